"""The verb `predict`: a mask for every image, on its own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Voxels, usable_image
from aleaseg.errors import AleasegError, UsageError, one_line
from aleaseg.levels import LEVELS_KEY
from aleaseg.readers.files import FLAT_ENDINGS, split_ending
from aleaseg.readers.voxels import write_nifti, write_png
from aleaseg.run import Run, aside, begin, now, write_json
from aleaseg.training.asking import Asking, add_noise, dropouts
from aleaseg.training.images import open_images
from aleaseg.training.model import Model, open_models
from aleaseg.training.objectives import is_evidential
from aleaseg.training.prediction import Prediction
from aleaseg.training.region_prediction import RegionPrediction, level_map_of
from aleaseg.training.settings import PredictSettings
from aleaseg.work import Progress, choose_device, map_cases, serially

__all__ = ["Predicted", "predict"]

KIND = "predictions"


@dataclass(frozen=True)
class Predicted:
    """What was predicted.

    Attributes:
        path: the folder.
        masks: case -> its mask.
        failed: case -> why it has none.
        notes: what is to be known of the cases.
    """

    path: Path
    masks: dict[str, Path]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()


def predict(
    settings: PredictSettings,
    out: str | Path,
    *,
    cases: Sequence[Case] | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Predicted:
    """Predict; what is there already is neither made again nor overwritten.

    A mask is written in its image's own format where that is NIfTI or PNG, and else as .nii.gz (volumes)
    or .png (pictures); beside the masks a dataset.json as nnU-Net leaves it. An image that cannot be used
    is named, and the others are predicted.

    Args:
        settings: what is asked.
        out: the folder; new, empty, or begun with the same settings.
        cases: those of the images, where they are known already; None: they are looked for.
        progress: called with `predict`, done, total.

    Raises:
        UsageError: the arguments cannot work, or the folder was made with others.
        AleasegError: a mask could not be written.
    """
    models, run = _members(settings), Run(out)
    model = models[0]
    cases, failed = _cases(settings, models, cases)
    device = choose_device(settings.device, here=False)
    job = _Job(replace(settings, device=device), uuid4().hex)
    _opened.clear()
    _opened[job.token] = model, _asking(job.settings, models)
    masks, twice = _files(cases, run.path)
    failed |= twice
    weights = [one.sha256 for one in models]
    begin(
        run.path,
        KIND,
        {**settings.asked(), "weights": weights[0] if len(weights) == 1 else weights},
        free=("device",),
        usual={**PredictSettings("", "").asked(), "weights": None},
    )
    write_json(run.path / "dataset.json", _dataset_json(model, list(masks.values())), indent=4)
    # The mask comes last: where it is, the case is done.
    todo = [
        (case, masks[case.id].resolve())
        for case in cases
        if case.id in masks and not masks[case.id].exists()
    ]
    before, total = len(masks) - len(todo), len(masks)
    if not todo:
        progress("predict", total, total)
    # Here one network takes all cores.
    predicted = map_cases(
        partial(_predict_case, job),
        todo,
        device=device,
        executor=serially,
        progress=lambda done, left: progress("predict", before + done, total),
        killed=lambda item, error: str(error),
    )
    for (case, _), trouble in predicted:
        if trouble is not None:
            failed[case.id] = trouble
            del masks[case.id]
    _opened.clear()
    notes = _trained_on(cases, models)
    run.update_manifest(failed=failed, notes=notes, finished=now())
    return Predicted(run.path, masks, failed, tuple(notes))


@dataclass(frozen=True)
class _Job:
    settings: PredictSettings
    token: str


# What a process opened for the job at hand.
_opened: dict[str, tuple[Model, Asking]] = {}


def _predict_case(job: _Job, item: tuple[Case, Path]) -> str | None:
    """Predict one case and write its mask; returns why it has none."""
    case, mask = item
    if job.token not in _opened:
        _opened.clear()
        models = _members(job.settings)
        _opened[job.token] = models[0], _asking(job.settings, models)
    model, asking = _opened[job.token]
    try:
        image, prediction = _predicted(case, model, asking, job.settings)
    except Exception as error:  # whatever one case does, the others go on; the text names it
        return one_line(case.id, error)
    _write(case, image, prediction, mask, job.settings.probabilities)
    return None


def _trained_on(cases: Sequence[Case], models: Sequence[Model]) -> list[str]:
    """That a model learned from some of the cases, if it did: its answers then say little of others."""
    seen = {case for one in models for case in one.plan.train}
    known = [case.id for case in cases if case.id in seen]
    if not known:
        return []
    return [
        f"{len(known)} of the {len(cases)} cases have the ids of cases that a model was trained on, such as "
        f"{known[0]}: what is measured of them is too good."
    ]


def _members(settings: PredictSettings) -> list[Model]:
    """The models that are asked together.

    Raises:
        UsageError: one of them was trained for other classes, or sees cases otherwise than the first.
    """
    models = open_models(settings.model)
    first = models[0].plan
    for path in settings.members:
        for one in open_models(path):
            for name in ("classes", "channels", "preprocessing", "labels"):
                if getattr(one.plan, name) != getattr(first, name):
                    raise UsageError(
                        f"{path} differs from {settings.model} in its {name}; the members of an ensemble are trained "
                        "on the same cases with the same settings, and other seeds"
                    )
            models.append(one)
    if len({is_evidential(one.plan.objective) for one in models}) > 1:
        raise UsageError("some of the models are evidential and others are not; use one kind at a time")
    return models


def _cases(
    settings: PredictSettings, models: Sequence[Model], known: Sequence[Case] | None
) -> tuple[list[Case], dict[str, str]]:
    """What is predicted, and what cannot be."""
    cases, wrong = (
        open_images(settings.images, len(models[0].plan.channels)) if known is None else ([*known], [])
    )
    failed = {
        finding.case: f"{finding.case}: found {finding.found}; expected {finding.expected}; {finding.advice}"
        for finding in wrong
    }
    if settings.held_out:
        kept = set.intersection(*(set(one.plan.held_out) for one in models))
        cases = [case for case in cases if case.id in kept]
        failed = {case: text for case, text in failed.items() if case in kept}
    if not cases and not failed:
        which = "that the training held out " if settings.held_out else ""
        raise UsageError(f"{settings.images} holds no case {which}to predict")
    return cases, failed


def _asking(settings: PredictSettings, models: Sequence[Model]) -> Asking:
    """Networks, and how they are asked.

    Raises:
        UsageError: passes with dropout of a network that has none.
    """
    networks = [one.network() for one in models]
    if settings.passes and not all(map(dropouts, networks)):
        raise UsageError(
            f"--passes {settings.passes} asks for dropout, and the network of {settings.model} has none; train it with "
            "--dropout 0.1, or leave --passes out"
        )
    return Asking(
        networks,
        models[0].plan.preprocessing.grid.patch,
        is_evidential(models[0].plan.objective),
        settings.passes,
        settings.flips,
        settings.seed,
        settings.device,
        regions=models[0].plan.strategy is not None,
    )


def _files(cases: Sequence[Case], folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Where the mask of each case goes, and cases whose file would be another's."""
    files: dict[str, Path] = {}
    failed: dict[str, str] = {}
    taken: dict[str, str] = {}
    for case in cases:
        # The id of a DICOM series may be a path.
        stem = case.id.replace("/", "_").replace("\\", "_")
        if stem in taken:
            failed[case.id] = (
                f"{case.id}: found the name {stem}, which is also that of {taken[stem]}; expected names of their own; "
                "rename one"
            )
            continue
        taken[stem] = case.id
        files[case.id] = folder / f"{stem}{_ending(case)}"
    return files, failed


def _ending(case: Case) -> str:
    split = split_ending(case.image_files[0].name)
    ending = split[1].lower() if split else ""
    if ending in (".nii.gz", ".nii"):
        return ending
    return ".png" if ending in FLAT_ENDINGS else ".nii.gz"


def _dataset_json(model: Model, masks: Sequence[Path]) -> dict[str, Any]:
    endings = [
        next(end for end in (".nii.gz", ".nii", ".png") if path.name.endswith(end)) for path in masks
    ]
    strategy = model.plan.strategy
    level_map = None if strategy is None else level_map_of(strategy, model.plan.classes)
    regions = model.plan.classes if level_map is None else level_map.regions
    order = model.plan.preprocessing.values if level_map is None else [v[0] for v in regions.values()]
    labels = {
        "background": 0,
        **{name: values[0] if len(values) == 1 else list(values) for name, values in regions.items()},
    }
    if level_map is None and model.plan.preprocessing.ignore is not None:
        labels["ignore"] = model.plan.preprocessing.ignore
    overlapping = any(len(values) > 1 for values in regions.values())
    return {
        "channel_names": {str(number): name for number, name in enumerate(model.plan.channels)},
        "labels": labels,
        **({"regions_class_order": list(order)} if overlapping else {}),
        **({} if level_map is None else {LEVELS_KEY: level_map.to_dict()}),
        "numTraining": len(model.plan.train),
        "file_ending": max(set(endings), key=endings.count, default=".nii.gz"),
    }


def _predicted(
    case: Case, model: Model, asking: Asking, settings: PredictSettings
) -> tuple[Voxels, Prediction | RegionPrediction]:
    """The image, and what is said of it."""
    image = usable_image(case)
    seen: NDArray = model.plan.preprocessing.image(case, image)
    if settings.noise is not None:
        # After normalisation, which would take part of it away again.
        seen = add_noise(seen, case.id, *settings.noise, settings.seed)
    maps, kind = asking(case.id, seen)
    shape, classes, strategy = image.geometry.shape, model.plan.classes, model.plan.strategy
    if strategy is not None:
        return image, RegionPrediction.of(maps, kind, shape, classes, strategy)
    return image, Prediction(maps, kind, shape, classes)


def _write(
    case: Case, image: Voxels, prediction: Prediction | RegionPrediction, mask: Path, probabilities: bool
) -> None:
    largest = prediction.largest
    kind = np.uint8 if largest < 256 else np.uint16 if largest < 65536 else np.int32
    try:
        if probabilities:
            _write_probabilities(mask, prediction)
        labels = prediction.labels().astype(kind)
        if mask.suffix == ".png":
            write_png(mask, labels)
        else:
            write_nifti(mask, labels, image.geometry)
    except OSError as error:
        raise AleasegError(
            f"the mask of {case.id} could not be written to {mask} ({error.strerror or error}); make room and run "
            "the same command again: what is finished is kept"
        ) from error


def _write_probabilities(mask: Path, prediction: Prediction | RegionPrediction) -> None:
    """CASE.npz in half precision: `probabilities` (background and label values, *spatial) as nnU-Net leaves
    them, and `uncertainty` (*spatial), see `Prediction.uncertainty`. Of regions `regions` names the channels.
    """
    stem = mask.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".png")
    archive = mask.with_name(f"{stem}.npz")
    if isinstance(prediction, RegionPrediction):
        unsure = prediction.soft.uncertainty()
        assert unsure is not None
        with aside(archive) as file:
            np.savez_compressed(
                file,
                probabilities=prediction.p.astype(np.float16),
                uncertainty=unsure.astype(np.float16),
                regions=np.array(prediction.strategy.channels(list(prediction.classes))),
            )
        return
    values = prediction.values
    single = replace(prediction, classes={str(value): (value,) for value in values})
    found = np.empty((1 + len(values), *prediction.shape), dtype=np.float16)
    rest = np.ones(prediction.shape, dtype=np.float32)
    for place, value in enumerate(values, start=1):
        of_value = single.probability(str(value))
        assert of_value is not None
        found[place] = of_value
        rest -= of_value
    found[0] = rest.clip(0, 1)
    unsure = single.uncertainty()
    assert unsure is not None
    with aside(archive) as file:
        np.savez_compressed(file, probabilities=found, uncertainty=unsure.astype(np.float16))
