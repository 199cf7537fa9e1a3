"""The verb `confidence`: a data set of confidences as one that nnU-Net trains on, stock or with a trainer of ours.

manifest.json         what was asked, and what came of it
labelsTr/CASE.nii.gz  the label maps
imagesTr/             only where nnU-Net cannot read the images where they lie
splits_final.json     folds by group: nnU-Net draws its own by case
dataset.json          the last file: with it the data set is whole
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aleaseg.case import Case, Dataset, Voxels, most_voxels, usable_confidence, usable_image
from aleaseg.errors import UsageError, one_line
from aleaseg.labelling.label import STOCK, Labeller
from aleaseg.labelling.settings import LabellingSettings
from aleaseg.levels import CONFIDENCE_KEY, LEVELS_KEY, ConfidenceMap, LevelMap
from aleaseg.predictions.folds import make_folds
from aleaseg.readers import open_dataset
from aleaseg.readers.confidence import count_voters
from aleaseg.readers.files import split_ending
from aleaseg.readers.rater_norm import RaterNorm, fit_rater_norm, with_rater_norm
from aleaseg.readers.splits import SPLITS, to_bytes
from aleaseg.readers.voxels import write_nifti, write_png
from aleaseg.run import Run, begin, file_name, read_json, write_aside, write_json
from aleaseg.training.targets import Strategy, parse_strategy
from aleaseg.work import Progress, map_cases

__all__ = ["Labelled", "write_labels"]

_NAME = re.compile(r"Dataset\d{3}_[^/]+")
# Endings that can be written as well: nnU-Net wants images and labels to have one.
_ENDINGS = (".nii.gz", ".nii", ".png")
_BYTES_PER_VOXEL = 40
# Starting a process costs seconds (it imports torch); a few small cases are faster without.
_WORTH_VOXELS = 2**26
# Of stated confidences, and of raters whose votes are no longer countable.
_TENTHS = 10


@dataclass(frozen=True)
class Labelled:
    """A data set that was written.

    Attributes:
        path: its folder.
        cases: ids.
        failed: case -> why it could not be used.
        labels: name -> value or values, as in dataset.json.
        notes: what is to be known.
    """

    path: Path
    cases: tuple[str, ...]
    failed: Mapping[str, str]
    labels: Mapping[str, int | list[int]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _One:
    """What became of one case."""

    entry: Mapping[str, Any] | None = None
    marked: int = 0
    lost: int = 0
    unseen: int = 0
    rounded: int = 0
    failed: str = ""


def write_labels(
    settings: LabellingSettings,
    out: str | Path,
    *,
    progress: Progress = lambda stage, done, total: None,
    workers: int | None = None,
) -> Labelled:
    """Write a data set whose labels are made of confidences.

    Images stay where they are, named by the `dataset` key of dataset.json, where nnU-Net reads them there.

    Args:
        settings: what is asked.
        out: a folder called DatasetNNN_NAME; new, empty, or made by the same settings.
        progress: called with `label`, done, total.
        workers: processes; None: one per core.

    Raises:
        UsageError: the arguments cannot work, no case can be used, or two classes collide too often.
    """
    if not _NAME.fullmatch(Path(out).name):
        raise UsageError(f"{out}: nnU-Net wants a name such as Dataset101_{Path(settings.dataset).name}")
    strategy = parse_strategy(settings.labels)
    dataset, norm = _stated(settings, strategy)
    cases = list(dataset.cases)
    steps = _TENTHS if norm is not None else count_voters(dataset) or _TENTHS
    labeller = Labeller.of(strategy, dataset.classes, _about(dataset), steps)
    run, ending = Run(out), _ending(cases, len(dataset.channels))
    if ending == ".png" and labeller.ignore > 255:
        ending = ""  # a picture holds no larger value
    begin(run.path, "labelling", settings.asked())
    names = _names(cases)
    write = partial(_write_one, labeller, run.path.resolve(), ending)
    found = _each(write, [(case, names[case.id]) for case in cases], progress, workers)
    failed = {case.id: found[case.id].failed for case in cases if found[case.id].failed}
    good = {case.id: found[case.id] for case in cases if not found[case.id].failed}
    if not good:
        raise UsageError(f"no case could be used; the first: {next(iter(failed.values()))}")
    unseen = sum(one.unseen for one in good.values())
    declared = labeller.declared(with_ignore=strategy.kind == "ignore" or unseen > 0)
    groups = {names[case.id]: case.group or case.id for case in cases if case.id in good}
    lost = _what_was_lost(labeller, list(good.values()), settings.overlap)
    notes = [*_how_to_train(run, strategy), *_write_splits(run, groups, settings.folds), *lost]
    run.update_manifest(
        labels=declared["labels"],
        cases=len(good),
        failed=failed,
        collided=sum(one.lost for one in good.values()),
        not_counted=unseen,
        rater_norm=None if norm is None else norm.to_dict(),
        notes=notes,
    )
    about_labels = {**declared, **_levels(labeller, strategy)}
    entries: dict[str, Any] = {names[case]: one.entry for case, one in good.items()}
    content = _content(settings.labels, dataset, about_labels, entries, ending)
    write_json(run.path / "dataset.json", content)
    return Labelled(run.path, tuple(good), failed, declared["labels"], tuple(notes))


def _each(
    write: Callable[[tuple[Case, str]], _One],
    items: Sequence[tuple[Case, str]],
    progress: Progress,
    workers: int | None,
) -> dict[str, _One]:
    """What became of every case, written side by side where that is worth the start of processes."""
    most = most_voxels([case for case, _ in items])
    done = map_cases(
        write,
        items,
        bytes_each=most * _BYTES_PER_VOXEL,
        workers=workers or (None if most * len(items) > _WORTH_VOXELS else 1),
        progress=lambda done, total: progress("label", done, total),
        killed=lambda item, error: _One(failed=str(error)),
    )
    return {case.id: one for (case, _), one in done}


def _stated(settings: LabellingSettings, strategy: Strategy) -> tuple[Dataset, RaterNorm | None]:
    """The cases that state confidences, their raters brought to one scale where that is asked for.

    Raises:
        UsageError: there is none, or too little of a rater to go by.
    """
    dataset = open_dataset(settings.dataset, **settings.reading)
    cases = [case for case in dataset.cases if case.read_confidence is not None]
    if not cases:
        raise UsageError(
            f"{settings.dataset} states no confidences; expected confidencesTr/CASE.nii.gz beside labelsTr/, "
            "confidence/ beside images/, raters/CASE/RATER.nii.gz, or probseg files in BIDS"
        )
    dataset = dataset.with_cases(cases)
    if not strategy.rater_norm:
        return dataset, None
    norm = fit_rater_norm(cases)
    return with_rater_norm(dataset, norm), norm


def _levels(labeller: Labeller, strategy: Strategy) -> dict[str, Any]:
    """What dataset.json says of levels, for those who read them back."""
    level_map = labeller.level_map
    if isinstance(level_map, ConfidenceMap):
        return {CONFIDENCE_KEY: {**level_map.to_dict(), "labels": strategy.kind}}
    if isinstance(level_map, LevelMap) and strategy.kind == "multi":
        return {LEVELS_KEY: level_map.to_dict()}
    return {}


def _content(
    way: str, dataset: Dataset, labels: Mapping[str, Any], entries: Mapping[str, Any], ending: str
) -> dict[str, Any]:
    """The dataset.json, in the order in which nnU-Net's own have it."""
    return {
        "name": f"{dataset.name} {way}",
        "channel_names": {str(place): channel for place, channel in enumerate(dataset.channels)},
        **labels,
        "numTraining": len(entries),
        "file_ending": ending or ".nii.gz",
        "dataset": dict(entries),
    }


def _about(dataset: Dataset) -> Mapping[str, Any]:
    file = dataset.root / "dataset.json"
    about: Any = read_json(file) if file.is_file() else {}
    return about if isinstance(about, dict) else {}


def _ending(cases: Sequence[Case], channels: int) -> str:
    """The ending of images that nnU-Net reads where they lie; empty where they have to be written anew."""
    endings = {
        (split[1] if (split := split_ending(path.name)) else path.suffix)
        for case in cases
        for path in case.image_files
    }
    ending = endings.pop() if len(endings) == 1 else ""
    # A colour picture is one file of three channels; of NIfTI nnU-Net wants a file for each.
    whole = all(
        len(case.image_files) == channels or (ending == ".png" and len(case.image_files) == 1)
        for case in cases
    )
    return ending if ending in _ENDINGS and whole else ""


def _names(cases: Sequence[Case]) -> dict[str, str]:
    """Case -> a name that can be one of a file, its own where that is one."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for case in cases:
        name = re.sub(r"[/\\\0:]", "_", case.id)
        if name in taken:
            name = f"{name}_{file_name(case.id)[:8]}"
        taken.add(name)
        names[case.id] = name
    return names


def _write_one(labeller: Labeller, folder: Path, ending: str, item: tuple[Case, str]) -> _One:
    """The files of one case, and its entry in dataset.json; whatever it does, the others go on."""
    case, name = item
    try:
        geometry = case.read_geometry()
        q = usable_confidence(case, geometry.shape)
        assert q is not None
        made = labeller.make(q)
        images = [str(path.absolute()) for path in case.image_files]
        if not ending:
            images = _write_images(folder, name, usable_image(case))
        label = folder / "labelsTr" / f"{name}{ending or '.nii.gz'}"
        if ending == ".png":
            write_png(label, made.label.astype("uint8"))
        else:
            write_nifti(label, made.label.astype("uint8" if made.label.max() < 256 else "int16"), geometry)
    except OSError:
        raise  # the disk is full, or the folder is gone: no case will fare better
    except Exception as error:
        return _One(failed=one_line(case.id, error))
    entry = {"images": images, "label": f"labelsTr/{label.name}"}
    return _One(entry, made.marked, made.lost, made.unseen, made.rounded)


def _write_images(folder: Path, name: str, image: Voxels) -> list[str]:
    """A file for each channel, as nnU-Net names them; relative paths."""
    written = []
    for place, channel in enumerate(image.array):
        path = f"imagesTr/{name}_{place:04d}.nii.gz"
        write_nifti(folder / path, channel, image.geometry)
        written.append(path)
    return written


def _how_to_train(run: Run, strategy: Strategy) -> list[str]:
    number = run.path.name[7:10]
    notes = [
        "put the folder into nnUNet_raw (or link it there), then: nnUNetv2_plan_and_preprocess -d "
        f"{number} --verify_dataset_integrity",
    ]
    if strategy.kind not in STOCK:
        notes.append(
            f'export nnUNet_extTrainer="$(aleaseg nnunet path)", and train with -tr nnUNetTrainerConfidence, which '
            f"learns `{strategy.kind}`; a stock trainer would learn every voxel with q > 0"
        )
    return notes


def _write_splits(run: Run, groups: Mapping[str, str], folds: int) -> list[str]:
    """Writes the folds by group, where there are several; what is to be known of that."""
    if len(set(groups.values())) < 2:
        return ["all cases are of one group: no splits were written"]
    held = make_folds(groups, folds)
    everybody = sorted(groups)
    splits = [
        {"train": [case for case in everybody if case not in set(fold)], "val": fold} for fold in held
    ]
    write_aside(run.path / SPLITS, to_bytes(splits))
    return [
        f"then copy {SPLITS} into nnUNet_preprocessed/{run.path.name}: {len(splits)} folds by group; nnU-Net would "
        "draw its own by case"
    ]


def _what_was_lost(labeller: Labeller, found: Sequence[_One], most: float) -> list[str]:
    """What a label map cannot hold.

    Raises:
        UsageError: classes collide too often.
    """
    marked, lost, unseen, rounded = (
        sum(getattr(one, what) for one in found) for what in ("marked", "lost", "unseen", "rounded")
    )
    share = lost / marked if marked else 0.0
    if share > most:
        raise UsageError(
            f"two classes reach the first threshold at {lost} of {marked} marked voxels ({share:.1%}), and a label map "
            f"holds one; raise the threshold, choose one of them with --classes, or allow it with --overlap "
            f"{math.ceil(1000 * share) / 1000:g}: the surer one is then kept"
        )
    notes = []
    if share:
        notes.append(f"two classes collide at {share:.2%} of the marked voxels; the surer one was kept")
    if rounded:
        notes.append(f"{rounded} voxels are between two steps and were rounded to one of {labeller.steps}")
    if unseen:
        notes.append(f"{unseen} voxels do not count: their label is `ignore`")
    return notes
