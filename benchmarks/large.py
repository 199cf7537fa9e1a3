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
WHATS = {
    "read": "image and mask read",
    "labels": "scored, prediction a label map",
    "labels eye": "the same, with variance of intensities",
    "logits eye": "scored, logits of cross-fitting, with S",
    "map": "map of the doubt",
}
FULL = ("read", "labels", "logits eye", "map")
ONCE = (("104 classes", "labels"), ("CT", "labels"))
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


def population(classes: int, cases: int) -> dict[str, Any]:
    """Fit a population and compare its cases: what is done once, when all cases are scored."""
    from aleaseg.scoring.numbers import Numbers
    from aleaseg.scoring.population import fit_population, score_population

    rng = np.random.default_rng(0)
    names = tuple(f"structure {k}" for k in range(classes))
    columns = {}
    for name in names:
        there, middle = rng.random(cases) < 0.9, rng.normal(0, 100, 3)
        columns["volume_mm3", "", name] = np.where(there, np.exp(rng.normal(8, 0.4, cases)), 0)
        for axis, place in zip("dhw", middle, strict=True):
            columns[f"centroid_{axis}", "", name] = np.where(there, rng.normal(place, 8, cases), np.nan)
        for measure in (
            "oof_dice",
            "extra_components",
            "border",
            "roughness",
            "step",
            "step_across",
            "rim_contrast",
        ):
            columns[measure, "", name] = np.where(there, rng.beta(2, 9, cases), np.nan)
    columns["softmin", "", ""] = rng.beta(5, 5, cases)
    columns |= {(f"img_{k}", "", ""): rng.normal(size=cases) for k in range(20)}
    ids = tuple(map(str, range(cases)))
    numbers = Numbers(ids, names, np.zeros(cases, bool), {}, np.full(cases, ""), columns, {})
    before, cpu = _resident(), time.process_time()
    found = fit_population(numbers)
    assert found is not None
    scored = score_population(numbers, found)
    seconds = time.process_time() - cpu
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    size = len(json.dumps(found))
    return {"seconds": seconds, "bytes": most, "numbers": [size, float(np.nansum(scored.doubt))]}


def asked(folder: Path, data: str, what: str, source: Path) -> dict[str, Any]:
    """The same in a process of its own, by a source tree; what was measured before is kept in the folder."""
    kept = folder / f"{source.parent.name} {data.replace('/', ' ')} {what}.json"
    if not kept.exists():
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(folder / data), what],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr)
        kept.write_text(done.stdout)
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


def compared(name: str, what: str, now: dict[str, Any], old: dict[str, Any] | None) -> str:
    """A row of the table."""
    cells = [name, what]
    for key, unit in (("seconds", 1.0), ("bytes", _MB)):
        one = now[key] / unit
        shown = f"{one:.1f}" if unit == 1 else f"{one:.0f}"
        if old is None:
            cells += ["", shown, ""]
        else:
            other = old[key] / unit
            cells += [f"{other:.1f}" if unit == 1 else f"{other:.0f}", shown, f"{one / other:.2f}"]
    if old is None:
        cells.append("")
    elif now["numbers"] == old["numbers"]:
        cells.append("the same")
    else:
        cells.append(f"{differing(now['numbers'], old['numbers']):.1e} apart")
    return "| " + " | ".join(cells) + " |"


def differing(now: list[Any], old: list[Any]) -> float:
    """The largest relative difference of two numbers that should be one."""
    most = 0.0
    for one, two in zip(now, old, strict=True):
        a, b = (one[3], two[3]) if isinstance(one, list) else (one, two)
        if isinstance(one, list) and (one[:3], one[4:]) != (two[:3], two[4:]):
            return float("inf")
        if a != b:
            most = max(most, abs(a - b) / max(abs(a), abs(b)))
    return most


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        what = sys.argv[3]
        found = (
            population(int(what.split()[1]), 1204)
            if what.startswith("tables")
            else one(Path(sys.argv[2]), what)
        )
        print(json.dumps(found))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("totalseg", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", type=Path, help="`src` of another source tree")
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    own = Path(__file__).parents[1] / "src"
    rows = []
    for smaller in (2, 1):
        for name in KINDS:
            folder = given.folder / "half" if smaller == 2 else given.folder
            data = made(folder, name, given.totalseg, smaller)
            shape = " x ".join(str(n // smaller) for n in KINDS[name].shape)
            for what in WHATS:
                # At full size the old code is asked for what it does in minutes.
                old = given.against and (smaller == 2 or (name, what) in ONCE)
                if given.only not in f"{name} {shape} {what}" or (smaller == 1 and what not in FULL):
                    continue
                where = str(data.relative_to(given.folder))
                now = asked(given.folder, where, what, own)
                before = asked(given.folder, where, what, given.against) if old else None
                rows.append(compared(f"{name}, {shape}", WHATS[what], now, before))
                print(rows[-1], flush=True)
    order = []
    for classes in (26, 52, 104):
        trees = [*filter(None, [given.against]), own]
        tables = [asked(given.folder, ".", f"tables {classes}", tree) for tree in trees]
        order.append(f"| {classes} | {once(tables)} |")
        print(order[-1], flush=True)
    if given.commit:
        _TABLE.write_text(page(rows, order))


def once(tables: list[dict[str, Any]]) -> str:
    """Cells of one row: seconds, memory and the size of population.json, before and now."""
    pairs = (
        [f"{table['seconds']:.1f}" for table in tables],
        [f"{table['bytes'] / _MB:.0f}" for table in tables],
        [f"{table['numbers'][0] / _MB:.2f}" for table in tables],
    )
    return " | ".join(cell for pair in pairs for cell in [""] * (2 - len(pair)) + pair)


def page(rows: list[str], order: list[str]) -> str:
    """The page, in Markdown."""
    return _PAGE.format(machine=platform.machine(), rows="\n".join(rows), order="\n".join(order))


_PAGE = """# Large cases

`python benchmarks/large.py TOTALSEG FOLDER --against OLD/src`, {machine}, one core, other work beside it. Volumes made
of TotalSegmentator's small example by laying it on itself and resampling. Every row is a process of its own; its time
is the processor's, its memory the most beyond what it holds with all modules loaded. Before: the whole volume gone
through for each class, the image in single precision. Now: each class in its own box, the image as its file holds it.

| case | what | before, s | now, s | now / before | before, MB | now, MB | now / before | numbers |
|---|---|---|---|---|---|---|---|---|
{rows}

With a prediction in label maps every number is the same to the last bit. Logits of up to 32 channels are brought to
the case's grid one channel at a time, as before, with the same numbers; more of them slice by slice, with numbers that
agree to rounding. Where a row has no numbers of before, that was not measured at this size. Most of a map's time and
memory are distances to borders: of each voxel only the nearest one beyond is held, and distances are made a few slices
at a time. While they were made whole, the two maps at full size took 1895 and 7376 MB, 71 and 236 s.

## What is done once for all cases

How classes lie to each other is compared for each class and the 16 nearest to it ([why 16](layout.md)), so this grows
with the number of classes. 1,204 cases, a population fitted and all cases compared with it; before: every pair of
classes.

| classes | before, s | now, s | before, MB | now, MB | population.json before, MB | now, MB |
|---|---|---|---|---|---|---|
{order}
"""


if __name__ == "__main__":
    main()
