"""How a training is planned: grid, network, normalisation, split, schedule, and the working copies they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aleaseg import networks
from aleaseg.case import Case, Dataset, Geometry
from aleaseg.errors import UsageError, one_line
from aleaseg.networks.stages import halvings
from aleaseg.readers.rater_norm import fit_rater_norm, with_rater_norm
from aleaseg.readers.splits import SPLITS, to_bytes
from aleaseg.run import Run, write_aside
from aleaseg.training.confident import check_confident, choose_strategy
from aleaseg.training.copies import make_copies
from aleaseg.training.grid import WorkingGrid, choose_grid, full_grid, median_spacing
from aleaseg.training.model import COPIES, PLAN
from aleaseg.training.plan import NetworkPlan, TrainingPlan
from aleaseg.training.preprocessing import Preprocessing, check_values, fit_normalisation
from aleaseg.training.schedule import Schedule, default_steps
from aleaseg.training.settings import TrainerSettings, TrainingProtocol, schedule
from aleaseg.training.splitting import Split, choose_split
from aleaseg.training.targets import Strategy
from aleaseg.work import Progress, cores

__all__ = ["make_plan", "plan_preprocessing", "screened"]

# A checkpoint takes a moment: on a GPU a step is quick, and an epoch is soon done again.
_CHECKPOINT_EVERY = {"cpu": 25, "cuda": 250}
_AHEAD = 8
_NOBODY = "no case can be trained on; `aleaseg check` says why for each"
# Of each class of a case; as many as nnU-Net keeps.
_MOST_PLACES = 10_000


def make_plan(
    run: Run, dataset: Dataset, settings: TrainerSettings, device: str, precision: str, progress: Progress
) -> TrainingPlan:
    """Choose, write the working copies, and keep both.

    Args:
        run: the training's folder.
        dataset: with labels.
        settings: what is asked.
        device: `cpu` or `cuda`.
        precision: `float32` or `bfloat16`.
        progress: called with `prepare`, done, total.

    Raises:
        UsageError: it cannot work: nothing to train on, a class that no case shows, a patch that does not fit.
        AleasegError: a copy could not be written.
    """
    network = _network(settings)
    if not dataset.values:
        raise UsageError(f"{dataset.name} has no class; name them with --classes NAME=VALUE,...")
    check_values(dataset)
    strategy, said = choose_strategy(dataset, settings.labels, settings.objective)
    split = _split(dataset, settings)
    wanted = {*split.train, *split.held_out}
    geometries, failed = screened([case for case in dataset.cases if case.id in wanted])
    train = [dataset[case] for case in split.train if case in geometries]
    if not train:
        raise UsageError(_NOBODY)
    seen = [geometries[case.id] for case in train]
    preprocessing = plan_preprocessing(dataset, train, seen, network, settings.protocol, settings.patch)
    # Before anything is written: a patch that does not divide is refused here.
    network.build(preprocessing, train=True)
    dataset, norm = _normed(dataset, train, strategy)
    copies = make_copies(
        [dataset[case] for case in (*split.train, *split.held_out) if case in geometries],
        geometries,
        run.path / COPIES,
        preprocessing,
        most_places=_MOST_PLACES,
        labels=strategy,
        norm=norm,
        progress=lambda done, total: progress("prepare", done, total),
    )
    failed |= {case: about["failed"] for case, about in copies.items() if "failed" in about}
    split = _usable(split, copies, failed)
    _check_taught(dataset, strategy, [copies[case] for case in split.train])
    plan = TrainingPlan(
        preprocessing,
        network,
        tuple(dataset.channels),
        dict(dataset.classes),
        settings.objective,
        _schedule(settings, preprocessing, len(split.train), device, precision),
        split.train,
        split.held_out,
        (*split.notes, *said),
        failed,
        "" if strategy is None else str(strategy),
        norm,
    )
    write_aside(run.path / SPLITS, to_bytes(split.folds()))
    plan.write(run.path / PLAN)
    return plan


def _check_taught(dataset: Dataset, strategy: Strategy | None, found: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what leaves a class, or everything, unlearned; `found` is of the copies to train on."""
    if strategy is None:
        _check_classes(dataset, found)
    else:
        check_confident(list(dataset.classes), strategy, found)


def _network(settings: TrainerSettings) -> NetworkPlan:
    protocol = settings.protocol
    return NetworkPlan.chosen(
        settings.network or protocol.network,
        settings.size or protocol.size,
        protocol.deep_supervision,
        settings.dropout,
    )


def _normed(
    dataset: Dataset, train: Sequence[Case], strategy: Strategy | None
) -> tuple[Dataset, dict[str, Any] | None]:
    """Raters brought to one scale, where that is asked for, and the scale."""
    if strategy is None or not strategy.rater_norm:
        return dataset, None
    # Of the cases to train on alone: nothing is known of those held out.
    fitted = fit_rater_norm(train)
    return with_rater_norm(dataset, fitted), fitted.to_dict()


def _split(dataset: Dataset, settings: TrainerSettings) -> Split:
    return choose_split(
        dataset,
        selection=settings.selection,
        split=settings.split,
        fold=settings.fold,
        share=settings.held_out,
    )


def plan_preprocessing(
    dataset: Dataset,
    train: Sequence[Case],
    geometries: Sequence[Geometry],
    network: NetworkPlan,
    protocol: TrainingProtocol,
    patch: tuple[int, ...] | None = None,
) -> Preprocessing:
    """Grid and normalisation of a protocol, from the cases to train on.

    Args:
        dataset: for channels, label values and the ignore label.
        train: the cases.
        geometries: theirs.
        network: which.
        protocol: full resolution or a small grid.
        patch: edges that are asked for; None: those that suit.

    Raises:
        UsageError: the patch has other axes, or is too small for the network.
    """
    grid = _working_grid(geometries, network, protocol, patch)
    shapes = [grid.shape(geometry) for geometry in geometries]
    usual = float(np.median([np.prod(shape) for shape in shapes])) if protocol.full else None
    rules = fit_normalisation(train, dataset.channels, dataset.values)
    return Preprocessing(grid, rules, dataset.values, dataset.ignore, usual)


def _schedule(
    settings: TrainerSettings, preprocessing: Preprocessing, cases: int, device: str, precision: str
) -> Schedule:
    protocol = settings.protocol
    batch = min(settings.batch or protocol.batch[len(preprocessing.grid.patch)], cases)
    steps, iterations = schedule(settings, default_steps(cases, len(preprocessing.values), batch))
    return Schedule(
        steps=steps,
        batch=batch,
        learning_rate=settings.learning_rate or protocol.learning_rate,
        seed=settings.seed,
        checkpoint_every=_CHECKPOINT_EVERY[device],
        optimizer=protocol.optimizer,
        epoch_steps=iterations,
        augmentation=protocol.augmentation,
        precision="bfloat16" if precision == "bfloat16" else "float32",
        workers=min(_AHEAD, max(0, cores() - 1)) if device == "cuda" else 0,
    )


def screened(cases: Sequence[Case]) -> tuple[dict[str, Geometry], dict[str, str]]:
    """Geometries of the cases that can be read and have as many axes as most; and why the others are left out."""
    found, failed = {}, {}
    for case in cases:
        try:
            found[case.id] = case.read_geometry()
        except Exception as error:  # whatever one case does, the others go on; the text names it
            failed[case.id] = one_line(case.id, error)
    dims = [len(geometry.shape) for geometry in found.values()]
    most = max(set(dims), key=dims.count) if dims else 0
    for case_id, geometry in list(found.items()):
        if len(geometry.shape) != most:
            del found[case_id]
            failed[case_id] = (
                f"{case_id}: found a {len(geometry.shape)}D image; expected {most}D as the others; leave it out"
            )
    return found, failed


def _working_grid(
    geometries: Sequence[Geometry],
    network: NetworkPlan,
    protocol: TrainingProtocol,
    patch: tuple[int, ...] | None,
) -> WorkingGrid:
    """The working grid of a protocol, with a patch that the network takes."""
    dims = len(geometries[0].shape)
    if patch is not None and len(patch) != dims:
        raise UsageError(f"--patch has {len(patch)} edges, and the images have {dims} axes")
    if protocol.full:
        edge = protocol.edge[dims]
        grid = full_grid(geometries, (edge,) * 3 if dims == 3 else _flat_patch(geometries, edge))
    else:
        grid = choose_grid(geometries)
    fits = patch or networks.fitting_patch(
        network.name, grid.patch, spacing_mm=grid.spacing_mm, size=network.size
    )
    return grid if fits == grid.patch else WorkingGrid(grid.spacing_mm, fits, halvings(fits))


def _flat_patch(geometries: Sequence[Geometry], most: int) -> tuple[int, ...]:
    """In 2D the paper says nothing: the median image, at most so large, in multiples of 64."""
    spacing = median_spacing(geometries)
    sizes = [np.multiply(one.shape, one.spacing_mm) / spacing for one in geometries]
    return tuple(int(min(most, 64 * np.ceil(n / 64 - 1e-6))) for n in np.median(sizes, axis=0))


def _usable(split: Split, copies: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]) -> Split:
    """The split without the cases that cannot be used, and without training cases that are held out as well."""
    held_out = tuple(case for case in split.held_out if case not in failed)
    held = {copies[case]["hash"]: case for case in held_out}
    train, notes = [], list(split.notes)
    for case in split.train:
        if case in failed:
            continue
        twin = held.get(copies[case]["hash"])
        if twin is None:
            train.append(case)
        else:
            notes.append(
                f"{case} is left out of the training: its image is that of {twin}, which is held out."
            )
    if not train:
        raise UsageError(_NOBODY)
    return Split(tuple(train), held_out, tuple(notes))


def _check_classes(dataset: Dataset, copies: Sequence[Mapping[str, Any]]) -> None:
    present = {dataset.values[index - 1] for about in copies for index in about["classes"]}
    absent = [name for name, values in dataset.classes.items() if not present & set(values)]
    if absent:
        others = [name for name in dataset.classes if name not in absent]
        raise UsageError(
            f"none of the {len(copies)} cases to train on shows {', '.join(absent)} on the working grid; a network "
            "cannot learn what it never sees; "
            + (f"leave it out with --classes {','.join(others)}, or " if others else "")
            + "give a split in which some do"
        )
