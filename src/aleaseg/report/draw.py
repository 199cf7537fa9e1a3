"""The pictures of every case, made once and kept until something changes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry, Voxels, stored_image
from aleaseg.errors import AleasegError
from aleaseg.loaded import as_stored
from aleaseg.pages.files import write_if_changed
from aleaseg.pages.javascript import as_script
from aleaseg.pages.mosaics import background_window, mosaic
from aleaseg.pages.places import Sought
from aleaseg.pages.planes import ways
from aleaseg.pages.slices import case_pictures, same_grid
from aleaseg.pages.thumbnails import thumbnail
from aleaseg.predictions import Predictions
from aleaseg.predictions.votes import most_votes
from aleaseg.run import Run, file_name
from aleaseg.where.keeping import Mapper
from aleaseg.work import map_cases

__all__ = ["Drawn", "Wanted", "draw_cases", "drawn", "mosaic_file", "pictures_file", "thumbnail_file"]

# Raise it when the pictures themselves change, so that older ones are made anew.
_VERSION = 6
# Starting a process costs seconds (it imports scipy and the readers); a few cases are faster without.
_WORTH_WORKERS = 40


def pictures_file(report: Path, case_id: str) -> Path:
    """Where the pictures of a case page are."""
    return report / "pictures" / f"{file_name(case_id)}.js"


def thumbnail_file(report: Path, case_id: str) -> Path:
    """Where the small picture of a case is."""
    return report / "thumbs" / f"{file_name(case_id)}.webp"


def mosaic_file(report: Path, case_id: str, background: bool = False) -> Path:
    """Where all slices of a doubtful case are, in the usual window or in that of the background."""
    return report / "mosaics" / f"{file_name(case_id)}{'.background' if background else ''}.webp"


@dataclass(frozen=True)
class Wanted:
    """What is to be drawn of a case.

    Attributes:
        sought: the reasons of its doubt: they say where to look.
        slices: whether all its slices are drawn too.
    """

    sought: Sequence[Sought] = ()
    slices: bool = False


@dataclass(frozen=True)
class Drawn:
    """What is known of the pictures of a case without reading them: the first line of their file.

    Attributes:
        stamp: of what they were made from.
        plane: which one the small picture shows, such as `coronal, slice 12 of 35`; empty in 2D.
        empty: which outlines are not in it, though the case has them: `mask`, `prediction`.
        ways: what the array axes are called in the patient; empty where nobody knows.
    """

    stamp: str = ""
    plane: str = ""
    empty: tuple[str, ...] = ()
    ways: Mapping[str, str] = field(default_factory=dict)


def drawn(report: Path, case_id: str) -> Drawn | None:
    """What is known of the pictures of a case; None where there are none."""
    path = pictures_file(report, case_id)
    if not path.exists() or not thumbnail_file(report, case_id).exists():
        return None
    with path.open("rb") as file:
        line = file.readline().decode("ascii", "replace").removeprefix("// ")
    try:
        entries = json.loads(line)
        return Drawn(entries["stamp"], entries["plane"], tuple(entries["empty"]), entries["ways"])
    except (ValueError, KeyError, TypeError):  # an older version wrote it
        return None


def _about(stamp: str, plane: Mapping[str, Any], geometry: Geometry) -> Drawn:
    """What stands in the first line."""
    where = f"{plane['name']}, slice {plane['index'] + 1} of {plane['of']}" if plane["name"] else ""
    names = {"mask": "mask", "oof": "prediction"}
    empty = [names[key] for key in names if plane[key] is not None and not any(plane[key].values())]
    return Drawn(stamp, where, tuple(empty), ways(geometry))


def _stamp(run: Run, case: Case, settings: list[Any]) -> str:
    """What the pictures of a case are made from: files and finished record, by size and time."""
    parts = list(settings)
    read = (*case.image_files, *case.label_files, *case.confidence_files)
    files = [*read, run.prediction_file(case.id), run.case_file(case.id), run.map_file(case.id)]
    for path in files:
        try:
            found = os.stat(path)
            parts.append([str(path), found.st_size, found.st_mtime_ns])
        except OSError:
            parts.append([str(path), None])
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "replace")).hexdigest()[:20]


def _one_line(error: BaseException) -> str:
    return " ".join(f"{error}".split()) or type(error).__name__


def _draw(
    mapper: Mapper | None,
    report: Path,
    dataset: Dataset,
    predictions: Predictions | None,
    item: tuple[Case, str, Wanted],
) -> str | None:
    """Make and write the pictures of one case, with their stamp; returns one line if that failed."""
    (case, stamp, wanted), notes = item, list[str]()
    try:
        image = _grey_values(case)
        spatial = image.array.shape[1:]
        label = same_grid(
            None if case.read_label is None else case.read_label().array, spatial, "mask", notes
        )
        predicted = None
        if predictions is not None:
            predicted = most_votes([one.labels() for one in predictions.read(case)])
        predicted = same_grid(predicted, spatial, "out-of-fold prediction", notes)
        q = None if case.read_confidence is None else case.read_confidence().array
        if q is not None and q.shape[1:] != spatial:
            notes.append(f"The confidences are {q.shape[1:]}, the image {spatial}: they are not drawn.")
            q = None
        kept = None if mapper is None else mapper.shown(case, notes)
        doubt = same_grid(None if kept is None else kept.doubt(), spatial, "map of doubt", notes)
        about = dataset.classes, dataset.ignore, dataset.is_ct
        pictures = case_pictures(
            image.array, image.geometry, label, predicted, *about, wanted.sought, q, doubt
        )
        small = thumbnail(pictures["planes"][0])
        slices = _slices(image, label, pictures["windows"][0], dataset) if wanted.slices else {}
    # Whatever one damaged case raises, its page says so and the other pages are made.
    except Exception as error:
        known = isinstance(error, AleasegError)
        line = _one_line(error) if known else f"{type(error).__name__}: {_one_line(error)}"
        _write(report, case.id, Drawn(), {"error": line}, None)
        return line
    pictures["notes"] = notes
    _write_slices(report, case.id, slices)
    _write(report, case.id, _about(stamp, pictures["planes"][0], image.geometry), pictures, small)
    return None


def _grey_values(case: Case) -> Voxels:
    """An image in the small whole numbers of its files where those are its values: they are drawn alike."""
    stored = stored_image(case)
    channels = [as_stored(stored, number) for number in range(len(stored.channels))]
    array = channels[0][None] if len(channels) == 1 else np.stack(channels)  # one is not held twice
    return Voxels(array, stored.geometry, stored.notes)


def _slices(
    image: Voxels, label: NDArray | None, window: Sequence[float], dataset: Dataset
) -> dict[bool, bytes]:
    """All slices of a volume, in its window and in that of the background (True); nothing of a picture."""
    if len(image.geometry.shape) != 3 or image.geometry.shape[0] == 1:
        return {}
    volume, usual = image.array[0], (window[0], window[1])
    return {
        False: mosaic(volume, image.geometry, usual, label, dataset.classes),
        True: mosaic(volume, image.geometry, background_window(volume)),
    }


def _write_slices(report: Path, case_id: str, slices: Mapping[bool, bytes]) -> None:
    for background in (False, True):
        path = mosaic_file(report, case_id, background)
        if background in slices:
            write_if_changed(path, slices[background])
        else:
            path.unlink(missing_ok=True)


def _write(report: Path, case_id: str, about: Drawn, pictures: dict[str, Any], thumb: bytes | None) -> None:
    if thumb is not None:
        write_if_changed(thumbnail_file(report, case_id), thumb)
    else:
        thumbnail_file(report, case_id).unlink(missing_ok=True)
    # The stamp goes last: with it the pictures count as made.
    script = as_script("pictures", file_name(case_id), pictures, json.dumps(asdict(about)))
    write_if_changed(pictures_file(report, case_id), script)


def draw_cases(
    run: Run,
    dataset: Dataset,
    cases: Mapping[str, Wanted],
    report: Path,
    predictions: Predictions | None,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> dict[str, str]:
    """Make the pictures that are missing or out of date, of those of the cases that the data set has.

    Args:
        run: where the finished cases are.
        dataset: where the images and labels are.
        cases: ids to draw, and what of each.
        report: the report folder.
        predictions: where out-of-fold label maps come from; None: none are drawn.
        progress: called with (done, total).
        workers: processes; None: as many as there are cores, 1: none besides this one.

    Returns:
        One line for each case that could not be drawn, by id.
    """
    made_by = run.manifest.get("predictions")
    settings = [_VERSION, dict(dataset.classes), dataset.ignore, dataset.is_ct, made_by]
    stale = []
    for case in dataset.cases:
        if case.id in cases:
            wanted = cases[case.id]
            stamp = _stamp(run, case, [*settings, asdict(wanted)])
            before = drawn(report, case.id)
            if before is None or before.stamp != stamp:
                stale.append((case, stamp, wanted))
    mapper = Mapper.of(run, dataset) if stale and (run.path / "maps").exists() else None
    done = map_cases(
        partial(_draw, mapper, report.resolve(), dataset.with_cases(()), predictions),
        stale,
        workers=workers or (None if len(stale) >= _WORTH_WORKERS else 1),
        progress=progress or (lambda done, total: None),
        killed=lambda item, error: str(error),
    )
    return {case.id: line for (case, *_), line in done if line is not None}
