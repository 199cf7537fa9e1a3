"""How well the map of doubt points at the voxels that a known fault has changed.

    python benchmarks/where.py DATASET=RUN [DATASET=RUN ...] [--cases N] [--commit]

RUN is a draw of `aleaseg bench detect` (`OUT/draws/0`, say): a fifth of its cases have faults, its networks were
fitted to them, and its out-of-fold prediction of a case never saw that case's mask. So any fault can be put into the
mask of a clean case and held against that prediction. What is usual is told by the masks of the draw, faults and all.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from aleaseg.bench.draw import Draw, open_draw
from aleaseg.bench.faults import spoil
from aleaseg.case import Case, usable_image, usable_label
from aleaseg.corruption import FAULTS, ImpossibleFault
from aleaseg.measures.boundary import BOUNDARY_SHAPE, boundary_contrast, boundary_shape
from aleaseg.measures.doubt_map import UsualBorder, belief, border_doubt, both
from aleaseg.predictions import Predictions, open_predictions
from aleaseg.readers import open_dataset
from aleaseg.run import Run

KINDS = [name for name, fault in FAULTS.items() if fault.axis == "mask" and "medium" in fault.strengths]
FAR = 5  # voxels around mask and prediction that are looked at
NEAR = 3  # voxels to either side of the mask's borders
COLUMNS = {
    "chance": "chance",
    "differ": "mask and prediction differ",
    "far": "the same, by distance",
    "p": "disagreement",
    "border": "border",
    "labels": "map, labels alone",
    "map": "**map**",
    "whole": "border not halved",
}


def usual_of(draw: Draw) -> dict[str, UsualBorder]:
    """Medians over every second case, as a population has them."""
    classes = draw.dataset.classes
    shape, contrast = defaultdict(list), defaultdict(list)
    for case in draw.dataset.cases[::2]:
        image = usable_image(case)
        label = usable_label(case, image.geometry.shape)
        for name, values in classes.items():
            mask = np.isin(label, values)
            if mask.any():
                of = boundary_shape(mask)
                shape[name].append([of.get(each, np.nan) for each in BOUNDARY_SHAPE])
                contrast[name].append(boundary_contrast(mask, image.array[0])["rim_contrast"])
    found = {}
    for name in classes:
        roughness, *steps = np.nanmedian(shape[name], axis=0)
        usual = np.nanmedian(contrast[name])
        spread = 1.4826 * np.nanmedian(np.abs(np.array(contrast[name]) - usual))
        told = usual if abs(usual) >= 2 * spread else np.nan
        found[name] = UsualBorder(float(roughness), *map(float, np.exp(steps)), (float(told),))
    return found


def maps_of(
    label: NDArray, case: Case, draw: Draw, predictions: Predictions, usual: Mapping[str, UsualBorder]
) -> tuple[dict[str, NDArray], float]:
    """Each column's map, and the seconds of the processor that the map itself took."""
    image = usable_image(case)
    (one,) = predictions.read(case)
    predicted = one.labels()
    started = time.process_time()
    against = 1 - one.given(label)
    border = np.zeros(label.shape, np.float32)
    for name, values in draw.dataset.classes.items():
        np.maximum(border, border_doubt(np.isin(label, values), usual[name], image.array), out=border)
    joined = both(against, border)
    seconds = time.process_time() - started
    far = 1 - belief(label, predicted, image.geometry.spacing_mm)
    return {
        "differ": label != predicted,
        "far": far,
        "p": against,
        "border": border,
        "labels": both(far, border),
        "map": joined,
        "whole": both(against, np.minimum(2 * border, 1)),
    }, seconds


def domains(label: NDArray, predicted: NDArray) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Where voxels are counted: all around mask and prediction, and near the borders of the mask."""
    marked = (label > 0) | (predicted > 0)
    box = np.zeros(label.shape, bool)
    where = []
    for axis in range(label.ndim):
        filled = np.flatnonzero(marked.any(axis=tuple(a for a in range(label.ndim) if a != axis)))
        where.append(slice(max(0, filled[0] - FAR), filled[-1] + 1 + FAR))
    box[tuple(where)] = True
    yield "around", box
    edge = np.zeros(label.shape, bool)
    for axis in range(label.ndim):
        there = np.moveaxis(edge, axis, 0)
        differs = np.moveaxis(np.diff(label, axis=axis) != 0, axis, 0)
        there[:-1] |= differs
        there[1:] |= differs
    yield "near", ndimage.binary_dilation(edge, iterations=NEAR - 1)


Found = dict[str, dict[tuple[str, str], list[tuple[float, float]]]]


def measured(data: Path, folder: Path, cases: int) -> tuple[Draw, Found, float]:
    """Fault -> (domain, column) -> AUROC and average precision of each case; and seconds a map."""
    dataset = open_dataset(data)
    run = Run(folder)
    draw = open_draw(run, dataset, 0, share=0.2)
    predictions, usual = open_predictions(run, dataset), usual_of(draw)
    clean = [case for case in dataset.cases if case.id not in draw.truth]
    clean = [clean[place] for place in np.random.default_rng(1).permutation(len(clean))]
    found: Found = defaultdict(lambda: defaultdict(list))
    took = []
    for fault in KINDS:
        for case in clean:
            if len(found[fault]["near", "chance"]) == cases:
                break
            try:
                _, done = spoil(dataset, case, fault, "medium", 0)
            except ImpossibleFault:
                continue
            label = done.array
            wrong = label != case.read_label().array
            of, seconds = maps_of(label, case, draw, predictions, usual)
            took.append(seconds)
            for name, where in domains(label, predictions.read(case)[0].labels()):
                y = wrong[where]
                if y.any() and not y.all():
                    found[fault][name, "chance"].append((0.5, float(y.mean())))
                    for column, values in of.items():
                        x = values[where].astype(np.float32)
                        scores = roc_auc_score(y, x), average_precision_score(y, x)
                        found[fault][name, column].append(scores)
    return replace(draw, dataset=dataset), found, float(np.median(took))


def table(found: Found, domain: str, score: int) -> list[str]:
    lines = [
        f"| fault | cases | {' | '.join(COLUMNS.values())} |",
        f"|---|---|{'---|' * len(COLUMNS)}",
    ]
    rows = []
    for fault, of in found.items():
        if of[domain, "map"]:
            row = [float(np.mean([one[score] for one in of[domain, column]])) for column in COLUMNS]
            rows.append(row)
            lines.append(f"| {fault} | {len(of[domain, 'map'])} | {' | '.join(f'{x:.2f}' for x in row)} |")
    mean = np.mean(rows, axis=0)
    return [*lines, f"| mean | | {' | '.join(f'{x:.3f}' for x in mean)} |", ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("draws", nargs="+", metavar="DATASET=RUN")
    parser.add_argument("--cases", type=int, default=5, help="of each kind of fault")
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "# Does the map point at what is wrong?",
        "",
        f"`python benchmarks/where.py DATASET=RUN ...`, {platform.machine()}, one process, one thread. Faults of "
        f"medium strength are put into the masks of clean cases (at most {given.cases} of each kind) of a draw of "
        "`aleaseg bench detect`, whose out-of-fold predictions never saw them. A voxel is wrong where the fault "
        "changed its label. The map is held against that, voxel by voxel: the area under the ROC curve, and the "
        "average precision, which is the share of wrong voxels by chance; means over the cases of a kind, and in "
        f"the last row over the kinds. *Around*: the box of mask and prediction and {FAR} voxels beyond. *Near*: at "
        f"most {NEAR} voxels from a border of the faulty mask.",
        "",
        "Columns: voxels at which mask and prediction differ; one less what a predictor of labels alone is taken to "
        "believe, by its distance to its own border in mm; one less the probability that the predictor gives to the "
        "mask's label (disagreement); the border's doubt by itself, as where nothing is predicted; the map where "
        "labels alone are predicted; **the map**; and the map if the border's doubt went up to 1 and not to a half.",
        "",
    ]
    for pair in given.draws:
        data, _, folder = pair.partition("=")
        draw, found, seconds = measured(Path(data), Path(folder), given.cases)
        size = "x".join(map(str, draw.dataset.cases[0].read_geometry().shape))
        lines += [f"## {draw.dataset.name}", ""]
        lines += [f"A map takes {seconds:.3f} s of the processor (median; the first case is {size}).", ""]
        for domain in ("around", "near"):
            for score, name in enumerate(("area under the ROC curve", "average precision")):
                lines += [f"{domain.capitalize()}, {name}:", "", *table(found, domain, score)]
    print("\n".join(lines))
    if given.commit:
        page = Path(__file__).parent / "where.md"
        # What was seen is written by hand, below the tables.
        seen = page.read_text().partition("## What was seen")[2] if page.exists() else ""
        tail = f"## What was seen{seen}" if seen else ""
        page.write_text("\n".join(lines) + tail)


if __name__ == "__main__":
    main()
