"""Cases that were mended, or whose files changed, after the networks were planned: predicted, never trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from aleaseg.case import Case, Dataset, file_stamps, usable_image, usable_label
from aleaseg.errors import UsageError, one_line
from aleaseg.predictions.learning import learning_file
from aleaseg.predictions.networks import fold_network, fold_units, predict_case, write_prediction
from aleaseg.run import Run, file_name
from aleaseg.training.foldplan import FoldPlan
from aleaseg.work import elsewhere, map_cases

__all__ = ["catch_up", "folds_of_groups"]


def folds_of_groups(plan: FoldPlan, groups: Mapping[str, str]) -> dict[str, set[int]]:
    """Group -> the folds that hold out a member of it, by the groups of then and of now.

    Args:
        plan: of the run.
        groups: case id -> group, now.
    """
    found: dict[str, set[int]] = defaultdict(set)
    for fold, ids in enumerate(plan.folds):
        for case_id in ids:
            for group in {case_id, plan.groups.get(case_id, case_id), groups.get(case_id, case_id)}:
                found[group].add(fold)
    return found


def _predict(run: Run, plan: FoldPlan, item: tuple[Case, int]) -> str | None:
    """Predict one case by the network of a fold; returns why it cannot be, or None."""
    import torch

    case, fold = item
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        image = usable_image(case)
        label = usable_label(case, image.geometry.shape)
        small = plan.preprocessing.image(case, image)
        indices = (
            np.zeros(small.shape[1:], dtype=np.uint8)
            if label is None
            else plan.preprocessing.label(label, small.shape[1:])
        )
        found = predict_case(fold_network(run, plan, fold), small, indices, plan, fold_units(run, fold))
        write_prediction(run, case.id, found)
    except Exception as error:  # whatever one case does, the others go on; the text names it
        return one_line(case.id, error)
    finally:
        torch.set_num_threads(threads)
    return None


def catch_up(
    run: Run,
    dataset: Dataset,
    plan: FoldPlan,
    *,
    workers: int | None,
    progress: Callable[[int, int], None],
) -> FoldPlan:
    """Predict the cases whose files are not those that the plan saw, and those that failed then.

    By the network that held the case, or a member of its group, out; by any one
    where none saw them. Where every network saw one of them, the case fails.

    Args:
        run: with finished networks.
        dataset: as it is now.
        plan: as it was made, or as the last call left it.
        workers: cases side by side; None: one per core.
        progress: called with done, total.

    Returns:
        The plan with `files` and `failed` as they are now.
    """
    # The oldest plans did not keep it.
    plan = replace(plan, preprocessing=replace(plan.preprocessing, ignore=dataset.ignore))
    cases = {case.id: case for case in dataset.cases if case.has_label}
    stamps = {case_id: file_stamps(case) for case_id, case in cases.items()}
    known = stamps if plan.files is None else plan.files
    changed = {case_id for case_id in cases if known.get(case_id) != stamps[case_id]}
    stale = [case for case in cases if case in changed or not run.prediction_file(case).exists()]
    other = elsewhere()
    shared = other is not None and other.several
    if shared and changed:
        raise UsageError(
            f"the files of {len(changed)} case(s) changed since the networks were trained; audit once without --part, "
            "then continue with parts"
        )
    there = {case.id for case in dataset.cases}
    failed = {name: text for name, text in plan.failed.items() if name in there and name not in stale}
    todo, torn = _by_clean_networks(run, plan, dataset, [cases[case_id] for case_id in stale])
    failed |= torn
    # Worker processes stay in the folder where the first call was made, and need not know of the other cases.
    alone = replace(plan, groups={}, files=None, failed={})
    for (case, _), outcome in map_cases(
        partial(_predict, Run(run.path.resolve()), alone),
        todo,
        device=plan.device,
        workers=workers,
        # Where several do the same at the same time, these few have no prediction yet, and will hardly get one.
        here=shared,
        progress=progress,
        killed=lambda item, error: str(error),
    ):
        if outcome is not None:
            failed[case.id] = outcome
    return replace(plan, files=stamps, failed=failed)


def _by_clean_networks(
    run: Run, plan: FoldPlan, dataset: Dataset, stale: Sequence[Case]
) -> tuple[list[tuple[Case, int]], dict[str, str]]:
    """Each case with the fold whose network may predict it; and, of those that every network saw, why they fail.

    What was predicted of them before is removed.
    """
    clean = folds_of_groups(plan, {case.id: case.group or case.id for case in dataset.cases})
    todo, torn = list[tuple[Case, int]](), dict[str, str]()
    for case in stale:
        # What was predicted from other files must not be taken for a prediction of these.
        run.prediction_file(case.id).unlink(missing_ok=True)
        learning_file(run, case.id).unlink(missing_ok=True)
        folds = clean.get(case.id, set()) | clean.get(case.group or case.id, set())
        if len(folds) > 1:
            torn[case.id] = _torn(case.id, len(folds))
        else:
            todo.append((case, next(iter(folds), int(file_name(case.id), 16) % len(plan.folds))))
    return todo, torn


def _torn(case_id: str, folds: int) -> str:
    return (
        f"{case_id}: found relatives of the case (a group, or the same image) in {folds} folds; expected them in one, "
        "so that one network saw none of them; audit into a new folder"
    )
