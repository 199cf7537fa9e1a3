"""Does leaving them out help: networks trained with and without the suspects, tested on clean cases.

A part of the patients is held out, clean. Of the others a share gets faults (in
memory), one draw is cross-fitted and measured, and the same small network is
trained on several choices of the same faulty cases,

    all           every one
    clean         the truly clean ones: what could be reached at best
    a measure     without as many of its most suspicious cases as there are faulty ones
    random        without as many by lot

each from several seeds. With several objectives (DUO's, say) the first trains every choice, and each of
the others trains on all cases, as `all + duo`. Choices of one seed start from the same weights, take the
same number of steps, and share working grid and normalisation, so that they differ
by their cases alone. With the Dice of each test case (mean over the classes that the clean
mask has), a choice is compared with a baseline as `aleaseg.metrics.paired` has it: the choice
less the baseline, above 0 = the choice is better.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aleaseg.bench.choices import choose_cases
from aleaseg.bench.downstream_tables import DownstreamResult, result_of, write_downstream
from aleaseg.bench.draw import Draw, dice_by_class, fit_draw, open_draw, plan_draw
from aleaseg.bench.mixed import suspicions
from aleaseg.bench.opening import begin_bench, open_clean
from aleaseg.bench.settings import DownstreamSettings
from aleaseg.case import Case, Dataset
from aleaseg.errors import UsageError
from aleaseg.metrics.paired import FEWEST_GROUPS
from aleaseg.predictions import Prediction
from aleaseg.predictions.prediction import Kind
from aleaseg.run import Run, now, read_json, versions, write_json
from aleaseg.training.copies import copy_of, make_copies
from aleaseg.training.foldplan import FoldPlan
from aleaseg.training.inference import predict_logits
from aleaseg.training.loop import draw_network, fit_plan
from aleaseg.training.objectives import is_evidential
from aleaseg.training.plan import TrainingPlan
from aleaseg.training.planning import screened
from aleaseg.training.schedule import Schedule, default_steps
from aleaseg.training.splitting import hold_out
from aleaseg.work import Progress, cores, map_cases

__all__ = ["DownstreamResult", "DownstreamSettings", "run_downstream", "write_downstream"]


def _choices(folder: Path, draw: Draw, usable: Collection[str], settings: DownstreamSettings) -> dict:
    """The choices, made once: what is begun goes on with the same cases."""
    file = folder / "choices.json"
    if not file.exists():
        cases = [case.id for case in draw.dataset.cases if case.id in usable]
        suspicion = {}
        if settings.names:
            table = suspicions([draw]).set_index("case").reindex(cases)
            suspicion = {name: table[name].to_numpy(dtype=float) for name in settings.names}
        faulty = set(draw.truth) & set(cases)
        count = None if settings.leave_out is None else round(settings.leave_out * len(cases))
        chosen = choose_cases(
            cases, faulty, suspicion, randoms=settings.randoms, seed=settings.first, count=count
        )
        others = {f"all + {way}": chosen["all"] for way in settings.ways[1:]}
        chosen = {"all": chosen["all"], **others, **chosen}
        write_json(file, {"faulty": sorted(faulty), "choices": chosen})
    kept: dict = read_json(file)
    return kept


@dataclass(frozen=True)
class _Training:
    """One training: a choice from a seed."""

    choice: str
    plan: TrainingPlan

    def file(self, folder: Path, suffix: str) -> Path:
        name = self.choice.replace(" + ", "+").replace("/", "-").replace(" ", "_").replace(":", "-")
        return folder / f"{name}_{self.plan.schedule.seed}{suffix}"


def _trainings(
    chosen: Mapping[str, Sequence[str]], settings: DownstreamSettings, folds: FoldPlan, test: Sequence[str]
) -> list[_Training]:
    """Every choice from every seed: the same grid, normalisation and network as of the draw's folds."""
    batch = min(folds.batch, *map(len, chosen.values()))
    steps = settings.steps or default_steps(len(chosen["all"]), len(folds.preprocessing.values), batch)
    return [
        _Training(
            choice,
            TrainingPlan(
                folds.preprocessing,
                folds.network,
                folds.channels,
                folds.classes,
                choice.partition(" + ")[2] or settings.ways[0],
                Schedule(steps, batch, seed=seed),
                tuple(cases),
                tuple(test),
            ),
        )
        for seed in settings.seeds
        for choice, cases in chosen.items()
    ]


def _prepare(work: Run, cases: Sequence[Case], folds: FoldPlan, progress: Progress) -> None:
    """Working copies; a test case that has none is one that no network could be tested on, in no choice."""
    geometries, _ = screened(cases)
    make_copies(
        [case for case in cases if case.id in geometries],
        geometries,
        _copies(work),
        folds.preprocessing,
        progress=lambda done, total: progress("copy", done, total),
    )


def _copies(work: Run) -> Path:
    return work.path / "models" / "prepared"


def _train(work: Run, device: str, test: Dataset, training: _Training) -> None:
    """One training from wherever it was left, and its Dice on every test case."""
    import torch

    torch.set_num_threads(1)
    plan, checkpoint = training.plan, training.file(work.path, ".pt")
    network = draw_network(plan)
    report = fit_plan(plan, network, _copies(work), checkpoint=checkpoint, device=device)
    found = {}
    for case in test.cases:
        copy = copy_of(_copies(work), case.id)
        if copy.places.exists():
            logits = predict_logits(network, copy.arrays()[0], plan.preprocessing.grid.patch, device)
            shape = case.read_geometry().shape
            kind: Kind = "evidence" if is_evidential(plan.objective) else "logit"
            prediction = Prediction(logits, kind, shape, test.classes)
            found[case.id] = dice_by_class(case, prediction, test, of_mask=True)
    about = {
        "choice": training.choice,
        "objective": plan.objective,
        "seed": plan.schedule.seed,
        "n_train": len(plan.train),
    }
    write_json(training.file(work.path, ".json"), {**about, **report, "dice": found})
    checkpoint.unlink(missing_ok=True)


def run_downstream(
    settings: DownstreamSettings,
    out: Run,
    progress: Progress = lambda stage, done, total: None,
    *,
    command: str = "",
) -> DownstreamResult:
    """Put faults in, measure, leave out, train, test. What is finished is not done again.

    Args:
        settings: what is asked.
        out: where; empty, or begun with the same settings. Nothing of the data set is changed.
        progress: called with stage (`prepare`, `train`, `score` of the draw, then `copy` and
            `compare`), done, total.
        command: as it was typed, for the page.

    Raises:
        UsageError: the arguments cannot work, the folder was made with others, or too few groups.
        AleasegError: a training failed; what is finished is kept.
    """
    settings = settings.settled()
    clean = open_clean(settings)
    training, test = split(clean, settings)
    begin_bench(out, settings, clean, "downstream")
    # Worker processes are kept between calls, and stay where the first call was made.
    run = Run(out.path.resolve() / "draws" / str(settings.first))
    draw = open_draw(run, training, settings.first, share=settings.share)
    # Where no measure chooses, nothing is measured.
    (fit_draw if settings.names else plan_draw)(draw, settings.crossfit(settings.first), progress)
    folds, work = FoldPlan.read(run), Run(run.path / "trainings")
    made = _choices(work.path, draw, set(folds.groups), settings)
    trainings = _trainings(made["choices"], settings, folds, [case.id for case in test.cases])
    todo = [one for one in trainings if not one.file(work.path, ".json").exists()]
    finished = len(trainings) - len(todo)
    if todo:
        trained_on = [case for case in draw.dataset.cases if case.id in folds.groups]
        _prepare(work, [*trained_on, *test.cases], folds, progress)
        progress("compare", finished, len(trainings))
        train = partial(_train, work, folds.device, test)
        for done, _ in enumerate(map_cases(train, todo, device=folds.device), start=finished + 1):
            progress("compare", done, len(trainings))
        shutil.rmtree(_copies(work))
    reports = [read_json(one.file(work.path, ".json")) for one in trainings]
    about = {
        **_about(settings, clean, test, draw, made),
        "command": command,
        "steps": trainings[0].plan.schedule.steps,
        "batch": trainings[0].plan.schedule.batch,
        "training_seconds": round(sum(report["seconds"] for report in reports)),
    }
    return result_of(about, reports, made, {case.id: _group(case) for case in test.cases})


def split(clean: Dataset, settings: DownstreamSettings) -> tuple[Dataset, Dataset]:
    """The cases to train on, and those that are held out."""
    held = set(hold_out({case.id: _group(case) for case in clean.cases}, settings.held_out, settings.first))
    test = clean.with_cases([case for case in clean.cases if case.id in held])
    training = clean.with_cases([case for case in clean.cases if case.id not in held])
    for part, cases in (("test", test.cases), ("training", training.cases)):
        if len({_group(case) for case in cases}) < FEWEST_GROUPS:
            raise UsageError(
                f"the {part} part has {len(cases)} cases of {len({_group(case) for case in cases})} groups; "
                f"expected at least {FEWEST_GROUPS} groups; hold out another share, or give more data"
            )
    return training, test


def _about(
    settings: DownstreamSettings, clean: Dataset, test: Dataset, draw: Draw, made: Mapping[str, Any]
) -> dict[str, Any]:
    """For the head of the page."""
    axes = [draw.truth[case].axis for case in made["faulty"]]
    return {
        "date": now(),
        "machine": f"{platform.system()} {platform.machine()}, {cores()} cores, {settings.device}",
        "versions": versions(),
        "dataset": clean.name,
        "classes": list(clean.classes),
        "draw": settings.first,
        "seeds": list(settings.seeds),
        "folds": settings.folds if settings.names else 0,  # without a measure none is fitted
        "objective": settings.ways[0],
        "training_cases": len(made["choices"]["all"]),
        "faulty": len(made["faulty"]),
        "fewest": len(made["choices"]["random 1"]),
        "faults": {axis: axes.count(axis) for axis in ("mask", "image")},
        "test_cases": len(test.cases),
        "test_groups": len({_group(case) for case in test.cases}),
        "unspoken": [name for name in settings.names if name not in made["choices"]],
    }


def _group(case: Case) -> str:
    return case.group or case.id
