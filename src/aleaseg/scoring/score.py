"""The map stage: score every case that is not finished yet, side by side."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from aleaseg.case import Case, Dataset, file_stamps
from aleaseg.errors import AleasegError, WorkerKilled
from aleaseg.extractors import Extractor, ExtractorSettings, make_extractor
from aleaseg.predictions import Predictions, open_predictions
from aleaseg.predictions.folder import PredictionFolder
from aleaseg.run import Run
from aleaseg.scoring.record import score_case, unmeasured
from aleaseg.work import map_cases

__all__ = ["score_cases"]

# What scoring a case holds at its highest, with logits: 29 measured on 300 x 256 x 256 voxels of 16 bits
# (benchmarks/large.md), and room for images of single precision.
_BYTES_PER_VOXEL = 40


@dataclass(frozen=True)
class _Job:
    run: Run
    dataset: Dataset
    extractor: ExtractorSettings | None
    image_hashes: Mapping[str, str]
    token: str


# What a worker process opened for the job at hand: a folder is listed and networks are loaded once.
_opened: dict[str, tuple[Predictions | None, Extractor | None]] = {}


def _open(job: _Job) -> tuple[Predictions | None, Extractor | None]:
    if job.token not in _opened:
        _opened.clear()
        predictions = open_predictions(job.run, job.dataset, job.image_hashes)
        eye = make_extractor(job.extractor, job.dataset, predictions) if job.extractor else None
        _opened[job.token] = predictions, eye
    return _opened[job.token]


def _score(job: _Job, item: tuple[Case, str]) -> str | None:
    """Score one case and keep its record; returns what went wrong."""
    import torch

    torch.set_num_threads(1)
    case, seen = item
    image_hash = job.image_hashes.get(case.id, "")
    spectra: Mapping[str, Sequence[float]] = {}
    predictions, extractor = _open(job)
    try:
        record, spectra = score_case(case, job.dataset, predictions, extractor, image_hash)
    except AleasegError:
        raise
    except Exception as error:  # whatever one case does, the others go on; the record says what it was
        said = " ".join(str(error).split())[:300]
        record = unmeasured(case, f"{case.id}: {type(error).__name__}: {said}", image_hash)
    job.run.write_case(replace(record, seen=seen), spectra)
    return record.error


def _killed(job: _Job, item: tuple[Case, str], error: WorkerKilled) -> str:
    """Keep a record that says so: the case is set aside, and tried again by the next call."""
    case, seen = item
    record = unmeasured(case, str(error), job.image_hashes.get(case.id, ""))
    job.run.write_case(replace(record, status="killed", seen=seen))
    return str(error)


def score_cases(
    run: Run,
    dataset: Dataset,
    extractor: Extractor | None,
    image_hashes: Mapping[str, str],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, str]:
    """Score every case whose record is missing, failed, or made from other files or predictions.

    Args:
        run: where records are kept; its manifest names the predictions.
        dataset: the cases.
        extractor: the eye; each process makes its own of the same settings. None: no S and no AUV.
        image_hashes: case -> hash of its voxels, as the check found it.
        progress: called with (done, total).

    Returns:
        case -> what could not be used, for the cases where something could not.
    """
    asked = None if extractor is None else extractor.settings
    seen = _prediction_stamps(run, dataset)
    held = 0
    if extractor is not None and extractor.traits.brings_model:
        # Another model, or other weights in the same file, see every case anew.
        eye = json.dumps(extractor.identity(), sort_keys=True)
        seen = {case: _digest(f"{stamp}\0{eye}") for case, stamp in seen.items()}
        held = extractor.cost(_largest(dataset.cases), max(1, len(dataset.classes))).memory_bytes
    todo = [(case, seen[case.id]) for case in dataset.cases if not _finished(run, case, seen[case.id])]
    # Worker processes are kept between calls, and stay where the first call was made.
    job = _Job(run.resolved(), dataset.with_cases(()), asked, image_hashes, uuid4().hex)
    total = len(dataset.cases)
    progress(total - len(todo), total)
    scored = map_cases(
        partial(_score, job),
        todo,
        bytes_each=math.prod(_largest([case for case, _ in todo])) * _BYTES_PER_VOXEL + held,
        # Several processes would each bring the model to the one GPU.
        device=asked.device if held and asked is not None else "cpu",
        progress=lambda done, left: progress(total - left + done, total),
        killed=partial(_killed, job),
    )
    return {case.id: error for (case, _), error in scored if error}


def _finished(run: Run, case: Case, seen: str) -> bool:
    record = run.record(case.id)
    # What failed is tried again: its files may have been mended in a way that no stamp shows.
    return (
        record is not None
        and record.case == case.id
        and record.status == "ok"
        and record.files == file_stamps(case)
        and record.seen == seen
    )


def _prediction_stamps(run: Run, dataset: Dataset) -> dict[str, str]:
    """What each case's predictions were made from: where that changed, the case is scored again."""
    named = run.manifest.get("predictions") or {}
    if named.get("source") in ("crossfit", "own"):
        return {case.id: _stamp([run.prediction_file(case.id)]) for case in dataset.cases}
    if named.get("source") == "folder":
        folder = PredictionFolder(named["path"], dataset)
        return {case.id: _stamp(folder.paths(case.id)) for case in dataset.cases}
    return dict.fromkeys((case.id for case in dataset.cases), "")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def _stamp(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        if path.exists():
            about = path.stat()
            digest.update(
                f"{path}\0{about.st_size}\0{about.st_mtime_ns}\0".encode("utf-8", "surrogatepass")
            )
    return digest.hexdigest()[:20]


def _largest(cases: Sequence[Case]) -> tuple[int, ...]:
    """The shape of the largest image."""
    largest: tuple[int, ...] = (1, 1, 1)
    for case in cases:
        try:
            largest = max(largest, case.read_geometry().shape, key=math.prod)
        except AleasegError:
            continue  # the case will say so itself when it is scored
    return largest
