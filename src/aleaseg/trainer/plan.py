"""The plan of a training: grid, normalisation, split, schedule; made once and kept, so that a kill changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from aleaseg.case import Case, Dataset, Geometry
from aleaseg.errors import UsageError
from aleaseg.predictions.working import one_line
from aleaseg.run import Run, write_aside, write_json
from aleaseg.selection.folds import to_bytes
from aleaseg.trainer.copies import make_copies
from aleaseg.trainer.network import build, check_network, fitting_patch, outputs_of
from aleaseg.trainer.settings import TrainerSettings, schedule
from aleaseg.trainer.splitting import Split, choose_split
from aleaseg.training.grid import Grid, choose_grid, default_steps, full_grid, median_spacing
from aleaseg.training.loop import TrainSettings
from aleaseg.training.prepare import IGNORE, fit_normalisation

__all__ = ["COPIES", "PLAN", "SPLITS", "make_plan"]

COPIES, PLAN, SPLITS = "prepared", "plan.json", "splits_final.json"
# A checkpoint takes a moment: on a GPU a step is quick, and an epoch is soon done again.
_CHECKPOINT_EVERY = {"cpu": 25, "cuda": 250}
_AHEAD = 8

Progress = Callable[[str, int, int], None]


def make_plan(
    run: Run, dataset: Dataset, settings: TrainerSettings, device: str, precision: str, progress: Progress
) -> dict[str, Any]:
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
    protocol = settings.protocol
    name, size = settings.network or protocol.network, settings.size or protocol.size
    check_network(name, size)
    if not dataset.values:
        raise UsageError(f"{dataset.name} has no class; name them with --classes NAME=VALUE,...")
    if len(dataset.values) > IGNORE - 1:
        raise UsageError(
            f"{dataset.name} has {len(dataset.values)} label values; at most {IGNORE - 1} can be trained; name those "
            "that matter with --classes"
        )
    split = choose_split(
        dataset,
        selection=settings.selection,
        split=settings.split,
        fold=settings.fold,
        share=settings.held_out,
    )
    wanted = {*split.train, *split.held_out}
    geometries, failed = _geometries([case for case in dataset.cases if case.id in wanted])
    train = [dataset[case] for case in split.train if case in geometries]
    if not train:
        raise UsageError("no case can be trained on; `aleaseg check` says why for each")
    seen = [geometries[case.id] for case in train]
    network = {
        "name": name,
        "size": size,
        "deep_supervision": outputs_of(name, protocol.deep_supervision),
    }
    grid = _grid(seen, settings, network)
    # Before anything is written: a patch that does not divide is refused here.
    build(network, grid, len(dataset.channels), len(dataset.values), train=True)
    rules = fit_normalisation(train, dataset.channels, dataset.values)
    usual = (
        float(np.median([np.prod(grid.shape(geometry)) for geometry in seen])) if protocol.full else None
    )
    copies = make_copies(
        [dataset[case] for case in (*split.train, *split.held_out) if case in geometries],
        geometries,
        run.path / COPIES,
        grid,
        rules,
        dataset.values,
        dataset.ignore,
        usual,
        lambda done, total: progress("prepare", done, total),
    )
    failed |= {case: about["failed"] for case, about in copies.items() if "failed" in about}
    split = _usable(split, copies, failed)
    _check_classes(dataset, [copies[case] for case in split.train])
    batch = min(settings.batch or protocol.batch[len(grid.patch)], len(split.train))
    steps, iterations = schedule(settings, default_steps(len(split.train), len(dataset.values), batch))
    how = TrainSettings(
        steps=steps,
        batch=batch,
        learning_rate=settings.learning_rate or protocol.learning_rate,
        seed=settings.seed,
        checkpoint_every=_CHECKPOINT_EVERY[device],
        optimizer=protocol.optimizer,
        epoch_steps=iterations,
        augmentation=protocol.augmentation,
        precision="bfloat16" if precision == "bfloat16" else "float32",
        workers=min(_AHEAD, max(0, (os.cpu_count() or 1) - 1)) if device == "cuda" else 0,
    )
    plan = {
        "network": network,
        "objective": settings.objective,
        "grid": grid.to_dict(),
        "usual_voxels": usual,
        "normalisation": rules,
        "channels": list(dataset.channels),
        "classes": {name: list(values) for name, values in dataset.classes.items()},
        "values": list(dataset.values),
        "ignore": dataset.ignore,
        "training": asdict(how),
        "train": list(split.train),
        "held_out": list(split.held_out),
        "notes": list(split.notes),
        "failed": failed,
    }
    write_aside(run.path / SPLITS, to_bytes(split.folds()))
    write_json(run.path / PLAN, plan)
    return plan


def _geometries(cases: Sequence[Case]) -> tuple[dict[str, Geometry], dict[str, str]]:
    """Of the cases that can be read and have as many axes as most; and why the others are left out."""
    found, failed = {}, {}
    for case in cases:
        try:
            found[case.id] = case.read_geometry()
        except Exception as error:  # whatever one case does, the others go on; the text names it
            failed[case.id] = one_line(case, error)
    dims = [len(geometry.shape) for geometry in found.values()]
    most = max(set(dims), key=dims.count) if dims else 0
    for case_id, geometry in list(found.items()):
        if len(geometry.shape) != most:
            del found[case_id]
            failed[case_id] = (
                f"{case_id}: found a {len(geometry.shape)}D image; expected {most}D as the others; leave it out"
            )
    return found, failed


def _grid(geometries: Sequence[Geometry], settings: TrainerSettings, network: Mapping[str, Any]) -> Grid:
    dims = len(geometries[0].shape)
    if settings.patch is not None and len(settings.patch) != dims:
        raise UsageError(f"--patch has {len(settings.patch)} edges, and the images have {dims} axes")
    if settings.protocol.full:
        edge = settings.protocol.edge[dims]
        grid = full_grid(geometries, (edge,) * 3 if dims == 3 else _flat_patch(geometries, edge))
    else:
        grid = choose_grid(geometries)
    patch = settings.patch or fitting_patch(network, grid)
    return (
        grid if patch == grid.patch else Grid(grid.spacing_mm, patch, full_grid(geometries, patch).levels)
    )


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
        raise UsageError("no case can be trained on; `aleaseg check` says why for each")
    return Split(tuple(train), held_out, tuple(notes))


def _check_classes(dataset: Dataset, copies: Sequence[Mapping[str, Any]]) -> None:
    present = {dataset.values[index - 1] for about in copies for index in about["classes"]}
    absent = [name for name, values in dataset.classes.items() if not present & set(values)]
    if absent:
        others = [name for name in dataset.classes if name not in absent]
        raise UsageError(
            f"none of the {len(copies)} cases to train on shows {', '.join(absent)} on the working grid; a network "
            "cannot learn what it never sees; "
            + (f"leave it away with --classes {','.join(others)}, or " if others else "")
            + "give a split in which some do"
        )
