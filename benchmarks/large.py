"""Cases that are large: 104 classes on 300 x 300 x 400 voxels, and a CT of 512 x 512 x 600 with five.

    python benchmarks/large.py TOTALSEG FOLDER [--against OLD/src] [--only WORD] [--commit]

TOTALSEG holds TotalSegmentator's small example (`example_ct_sm.nii.gz`, `example_seg.nii.gz`); what is measured is made
of it by laying it on itself and by resampling, and kept in FOLDER. Every measurement is a process of its own that does
one thing to one case: the time is the processor's, the memory the most that it ever held beyond what it held with all
modules loaded. With --against the same is done by another source tree, and both must give the same numbers.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from aleaseg.case import Case, Dataset, Geometry, usable_image, usable_label
from aleaseg.predictions import Prediction
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import write_nifti
from aleaseg.run import write_json

_TABLE = Path(__file__).parent / "large.md"
_MB = 2**20


@dataclass(frozen=True)
class Kind:
    """What a case is like."""

    shape: tuple[int, int, int]
    spacing_mm: float
    classes: int


KINDS = {
    "104 classes": Kind((400, 300, 300), 1.5, 104),
    "CT": Kind((600, 512, 512), 0.8, 5),
}
# Of the median case a working grid has so many voxels.
_WORKING = 400_000


def resampled(array: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    if order == 0:
        places = [(np.arange(n) + 0.5) * old / n for n, old in zip(shape, array.shape, strict=True)]
        return array[np.ix_(*(place.astype(int) for place in places))]
    zoomed: np.ndarray = ndimage.zoom(
        array.astype(np.float32),
        np.divide(shape, array.shape),
        order=order,
        grid_mode=True,
        mode="nearest",
    )
    return zoomed


def made(folder: Path, name: str, source: Path, smaller: int = 1) -> Path:
    """A data set of one case, its prediction as a label map, and as logits on a working grid."""
    import nibabel

    kind, data = KINDS[name], folder / name.replace(" ", "_")
    kind = replace(
        kind, shape=tuple(n // smaller for n in kind.shape), spacing_mm=kind.spacing_mm * smaller
    )
    if (data / "dataset.json").exists():
        return data
    scan, masks = (
        np.asarray(nibabel.load(source / f"example_{part}.nii.gz").dataobj).T for part in ("ct_sm", "seg")
    )
    values = np.unique(masks[masks > 0])
    if kind.classes <= len(values):  # the largest, and the rest is background
        order = np.argsort(-np.bincount(masks.ravel())[values], kind="stable")[: kind.classes]
        copies, known = 1, values[order]
    else:
        copies, known = -(-kind.classes // len(values)), values
    index = np.zeros(int(values.max()) + 1, np.int16)
    index[known] = np.arange(1, len(known) + 1)
    parts = [np.where(masks > 0, index[masks] + len(known) * k, 0) for k in range(copies)]
    label = np.concatenate([np.where(index[masks] > 0, part, 0) for part in parts])
    label = np.where(label > kind.classes, 0, label).astype(np.uint8)
    image = np.concatenate([scan] * copies)
    rng = np.random.default_rng(0)
    label = resampled(label, kind.shape, 0)
    image = resampled(image, kind.shape, 1)
    image += rng.normal(0, 15, (8, *kind.shape[1:])).astype(np.float32)[np.arange(kind.shape[0]) % 8]
    mm = kind.spacing_mm
    geometry = Geometry(kind.shape, (mm,) * 3, np.diag([mm, mm, mm, 1.0])[[2, 1, 0, 3]])
    write_nifti(data / "imagesTr" / "a_0000.nii.gz", np.rint(image).astype(np.int16), geometry)
    write_nifti(data / "labelsTr" / "a.nii.gz", label, geometry)
    predicted = np.roll(label, (1, 2, -2), axis=(0, 1, 2))
    write_nifti(data / "predictions" / "a.nii.gz", predicted, geometry)
    factor = (_WORKING / smaller**3 / np.prod(kind.shape)) ** (1 / 3)
    small = resampled(predicted, tuple(round(n * factor) for n in kind.shape), 0)
    logits = rng.normal(-4, 1, (kind.classes + 1, *small.shape)).astype(np.float16)
    np.put_along_axis(logits, small[None].astype(int), np.float16(5), axis=0)
    np.save(data / "logits.npy", logits)
    labels = {"background": 0, **{f"structure {k}": k for k in range(1, kind.classes + 1)}}
    about = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    write_json(data / "dataset.json", about)
    return data


class Kept:
    """Logits on a working grid, as cross-fitting keeps them; those of the last case are remembered."""

    source = "crossfit"

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self.path, self.dataset = path, dataset
        self.last: list[Prediction] = []

    def read(self, case: Case) -> list[Prediction]:
        if not self.last:
            shape = case.read_geometry().shape
            self.last = [Prediction(np.load(self.path), "logit", shape, self.dataset.classes)]
        return self.last


def one(data: Path, what: str) -> dict[str, Any]:
    """Do one thing to the case; numbers, seconds and bytes."""
    import torch

    from aleaseg.extractors import ExtractorSettings, make_extractor
    from aleaseg.measures.doubt_map import UsualBorder
    from aleaseg.predictions.folder import PredictionFolder
    from aleaseg.scoring.record import score_case
    from aleaseg.where.making import make_map

    torch.set_num_threads(1)
    dataset = open_dataset(data)
    case = dataset.cases[0]
    folder = PredictionFolder(data / "predictions", dataset)
    kept = Kept(data / "logits.npy", dataset)
    _warm()
    gc.collect()
    before, cpu = _resident(), time.process_time()
    numbers: Any = None
    if what == "read":
        image = usable_image(case)
        usable_label(case, image.geometry.shape)
    elif what == "map":
        usual = UsualBorder(0.1, 1.5, 1.5, (2.0,))
        found = make_map(case, dataset, folder, dict.fromkeys(dataset.classes, usual))
        numbers = [float(found.sum(dtype=np.float64)), int(np.count_nonzero(found > 0.02))]
    else:
        predictions = {"labels": folder, "logits": kept}[what.split()[0]]
        name = {"labels": "variance", "logits": "task"}[what.split()[0]]
        eye = make_extractor(ExtractorSettings(name), dataset, predictions) if "eye" in what else None
        record, _ = score_case(case, dataset, predictions, eye)
        if record.error:
            raise SystemExit(record.error)
        numbers = [list(row) for row in record.measures]
    seconds = time.process_time() - cpu
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    return {"seconds": seconds, "bytes": most, "numbers": numbers}


def _warm() -> None:
    """Load what a first call would load."""
    from aleaseg.measures.boundary import boundary_contrast, boundary_shape
    from aleaseg.measures.image_quality import image_statistics
    from aleaseg.measures.mask_quality import mask_statistics

    rng = np.random.default_rng(0)
    image = rng.normal(size=(20, 20, 20)).astype(np.float32)
    image_statistics(image, (1, 1, 1))
    boundary_shape(image > 1), boundary_contrast(image > 1, image), mask_statistics(image > 1, (1, 1, 1))


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def asked(data: Path, what: str, source: Path) -> dict[str, Any]:
    """The same in a process of its own, by a source tree."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(data), what],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(Path(sys.argv[2]), sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("totalseg", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--smaller", type=int, default=1, help="every axis divided by it")
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    for name in KINDS:
        data = made(given.folder, name, given.totalseg, given.smaller)
        for what in ("read", "labels", "labels eye", "logits", "logits eye", "map"):
            if given.only not in f"{name} {what}":
                continue
            found = asked(data, what, Path(__file__).parents[1] / "src")
            print(name, what, f"{found['seconds']:.1f} s, {found['bytes'] / _MB:.0f} MB", flush=True)
            if given.against:
                old = asked(data, what, given.against)
                same = old["numbers"] == found["numbers"]
                print(
                    "  before",
                    f"{old['seconds']:.1f} s, {old['bytes'] / _MB:.0f} MB, same: {same}",
                    flush=True,
                )
    _ = platform


if __name__ == "__main__":
    main()
