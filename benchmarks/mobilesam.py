"""MobileSAM on medical images: Dice of its outline, and what S and AUV of its maps see.

    python benchmarks/mobilesam.py WEIGHTS DATA dice --out FOLDER [--seconds 75] [--only NAME ...] [--write]
    python benchmarks/mobilesam.py WEIGHTS DATA faults --only NAME --out FOLDER [--cases 240] [--draw 0] [--write]

WEIGHTS is mobile_sam.pt or the same with fused batch norms, DATA the folder of real data.

`dice` asks with a tight box about each class on every slice that has it, raw images, at 256, 512 and
1024 pixels; Dice is of whole volumes. Cases come in an order drawn by lot (seed 0), the same for all sizes, until
so many seconds of a core are used up for the data set and the size; with 0 the table is of what FOLDER has.
Seconds are of the process, not of the clock.

`faults` deals known faults to a fifth of so many cases (the draw is the seed), looks at every case raw and
normalised by its mask, and asks which number finds the faulty, and what S follows. FOLDER keeps what was
looked at: a run that is stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from aleaseg.bench.draw import open_draw
from aleaseg.case import Case, Dataset
from aleaseg.errors import CaseError
from aleaseg.extractors import ClassMap, Extractor, ExtractorSettings, checked, make_extractor
from aleaseg.extractors.boxes import slice_boxes
from aleaseg.measures.adjusted import size_adjusted
from aleaseg.measures.auv import aggregate, aleatoric_uncertainty_value
from aleaseg.metrics import Resamples, auroc, interval, nested
from aleaseg.pages.markdown import table_markdown
from aleaseg.pages.tables import frame_table
from aleaseg.readers import open_dataset
from aleaseg.run import Run
from aleaseg.scoring.rivals import unfolding
from aleaseg.spectral import semantic_perception_scale
from page import processor, replace_between

PAGE = Path(__file__).with_name("mobilesam.md")
SETS = ("busi_256", "Dataset027_ACDC", "lidc_4raters", "Dataset004_Hippocampus")
SIDES = (256, 512, 1024)
INPUTS = ("raw", "foreground")


def eye(dataset: Dataset, weights: Path, **asked):
    """MobileSAM for a data set; the first channel."""
    settings = ExtractorSettings("mobilesam", weights=str(weights), channel=0, **asked)
    return make_extractor(checked(settings, dataset, None), dataset)


def shuffled(dataset: Dataset) -> Iterator[Case]:
    """Its cases in an order drawn by lot."""
    for index in np.random.default_rng(0).permutation(len(dataset.cases)):
        yield dataset.cases[index]


# -- Dice --------------------------------------------------------------------------------------------


def outlined(dataset: Dataset, weights: Path, pixels: int, seconds: float, kept: Path) -> pd.DataFrame:
    """One row a case and class: Dice, and what the case took."""
    looker = eye(dataset, weights, pixels=pixels, normalize="raw")
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    spent = sum(row["seconds"] for row in rows)
    with kept.open("a") as file:
        for number, case in enumerate(shuffled(dataset)):
            if spent >= seconds:
                break
            if any(row["order"] == number for row in rows):
                continue
            started = time.process_time()
            maps = [one for one in looker.class_maps(case) if isinstance(one, ClassMap)]
            took = time.process_time() - started
            slices = len({z for one in maps for z in range(*one.z_range)})
            row = {
                "order": number,
                "slices": slices,
                "seconds": took,
                "dice": {m.name: m.overlap for m in maps},
            }
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
            spent += took
    return pd.DataFrame(rows, columns=["order", "slices", "seconds", "dice"])


def dice_table(data: Path, weights: Path, names: list[str], seconds: float, out: Path) -> list[str]:
    """The table, a row for each class: every size on its own cases, then two sizes on those that both have."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in names:
        dataset = open_dataset(data / name)
        found = {
            pixels: outlined(dataset, weights, pixels, seconds, out / f"{name}_{pixels}.jsonl")
            for pixels in SIDES
        }
        for class_name in dataset.classes:
            dice = {pixels: dice_of(each, class_name) for pixels, each in found.items()}
            row = {"data": name, "class": class_name}
            row |= {
                f"{pixels}": f"{each.mean():.3f} ({len(each)})"
                for pixels, each in dice.items()
                if len(each)
            }
            for one, other in pairwise(SIDES):
                both = pd.concat([dice[one], dice[other]], axis=1, join="inner")
                means = ", ".join(f"{mean:.3f}" for mean in both.mean())
                row[f"{one}, {other} on the same"] = f"{means} ({len(both)})" if len(both) else ""
            for pixels, each in found.items():
                row[f"s a slice, {pixels}"] = (
                    f"{each['seconds'].sum() / each['slices'].sum():.2f}" if len(each) else ""
                )
            rows.append(row)
    return [
        f"Mean Dice (cases). {processor()}, one thread, other work beside it, {date.today()}.",
        "",
        *table_markdown(frame_table(pd.DataFrame(rows).fillna(""))),
    ]


def dice_of(rows: pd.DataFrame, class_name: str) -> pd.Series:
    """Case -> Dice, of those that have the class."""
    dice = [known.get(class_name) for known in rows["dice"]]
    return pd.Series(dice, index=rows["order"], dtype=float).dropna()


# -- known faults ------------------------------------------------------------------------------------


def numbers(case: Case, dataset: Dataset, eyes: Mapping[str, Extractor]) -> dict:
    """What is measured of one case: input -> class -> name -> number."""
    found: dict = {}
    for normalize, looker in eyes.items():
        try:
            maps = list(looker.class_maps(case))
        except CaseError as error:
            found[normalize] = {"error": str(error)}
            continue
        found[normalize] = {
            one.name: of_map(one, case, dataset) for one in maps if isinstance(one, ClassMap)
        }
    return found


def of_map(one: ClassMap, case: Case, dataset: Dataset) -> dict[str, float]:
    """S in its readings, of the whole map and of the part inside the box; the outline; the mask's size."""
    label = case.read_label().array
    mask = np.isin(label.reshape(-1, *label.shape[-2:]), dataset.classes[one.name])
    values = one.values.reshape(-1, *one.values.shape[-2:])
    read = {"": values, "_inside": values[:, *window(mask, values.shape[1:])]}
    found = {"outline": one.overlap, "size": int(mask.sum())}
    for where, part in read.items():
        matrix, unfold = unfolding(part)
        found[f"S{where}"] = float(semantic_perception_scale(matrix, unfold=unfold))
        found[f"S_amplitude{where}"] = float(semantic_perception_scale(matrix, unfold=unfold, power=1))
        found[f"S_centred{where}"] = float(semantic_perception_scale(matrix, unfold=unfold, center=True))
    return found


def window(mask: np.ndarray, grid: tuple[int, int]) -> tuple[slice, slice]:
    """The box about the mask on all slices, on the map's grid; at least two places each way."""
    ((x0, y0, x1, y1),) = slice_boxes(mask.any(0, keepdims=True)).values()
    down, across = grid[0] / mask.shape[1], grid[1] / mask.shape[2]
    rows = slice(int(y0 * down), max(int(np.ceil((y1 + 1) * down)), int(y0 * down) + 2))
    return rows, slice(int(x0 * across), max(int(np.ceil((x1 + 1) * across)), int(x0 * across) + 2))


def looked(given: argparse.Namespace, dataset: Dataset) -> pd.DataFrame:
    """One row a case, input and class, of the first `--most` cases."""
    weights, out = given.weights, given.out
    out.mkdir(parents=True, exist_ok=True)
    dealt = open_draw(Run(out), dataset, given.draw, share=given.share)
    eyes = {normalize: eye(dealt.dataset, weights, normalize=normalize) for normalize in INPUTS}
    rows = []
    for number, case in enumerate(dealt.dataset.cases[: given.most]):
        file = out / f"{case.id}.json"
        if not file.exists():
            file.write_text(json.dumps(numbers(case, dealt.dataset, eyes)))
            print(f"{number + 1} of {len(dealt.dataset.cases)}", flush=True)
        fault = dealt.truth.get(case.id)
        for normalize, each in json.loads(file.read_text()).items():
            if "error" in each:
                continue
            about = {"case": case.id, "input": normalize, "axis": fault.axis if fault else "clean"}
            rows += [{**about, "class": name, **values} for name, values in each.items()]
    return pd.DataFrame(rows)


def wide(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Cases by classes."""
    return rows.pivot(index="case", columns="class", values=column)


def suspicions(rows: pd.DataFrame) -> pd.DataFrame:
    """Case -> each number, high = suspect; classes joined as AUV joins them."""
    found = {}
    size = wide(rows, "size")
    for column in rows.columns[rows.columns.str.startswith("S")]:
        scale = wide(rows, column).clip(lower=1e-6)
        name = column.replace("S", "AUV", 1)
        found[name] = aleatoric_uncertainty_value(aggregate(scale.to_numpy()))
        # As AUV is: of the logarithm, class by class, low S = suspect.
        left = [size_adjusted(np.log(scale[one]), size[one]) for one in scale.columns]
        found[f"{name}, size-adjusted"] = -aggregate(np.stack(left, axis=1))
    found["outline against mask"] = 1 - wide(rows, "outline").mean(axis=1).to_numpy()
    return pd.DataFrame(found, index=size.index)


def faults_tables(rows: pd.DataFrame) -> list[str]:
    """Which number finds the faulty; what S follows."""
    lines = []
    detection, follows = [], []
    for normalize in INPUTS:
        mine = rows[rows["input"] == normalize]
        suspect = suspicions(mine)
        axis = mine.groupby("case")["axis"].first().reindex(suspect.index)
        for name, values in suspect.items():
            row = {"input": normalize, "number": name}
            for target in ("mask", "image"):
                kept = axis.isin(["clean", target]) & values.notna()
                once = np.zeros(kept.sum(), dtype=int)
                found = nested(
                    auroc,
                    values[kept],
                    axis[kept] == target,
                    once,
                    Resamples.make(once, values.index[kept]),
                )
                low, high = interval(found.replicates)
                row[f"wrong {target}s"] = f"{found.point:.2f} ({low:.2f}-{high:.2f})"
            detection.append(row)
        clean = mine[mine["axis"] == "clean"]
        for class_name, each in clean.groupby("class"):
            for column in ("S", "S_amplitude", "S_inside", "S_amplitude_inside"):
                row = {"input": normalize, "class": class_name, "number": column, "n": len(each)}
                row["Spearman with size"] = f"{spearmanr(each[column], each['size']).statistic:.2f}"
                row["with the outline's Dice"] = f"{spearmanr(each[column], each['outline']).statistic:.2f}"
                follows.append(row)
    lines += [*table_markdown(frame_table(pd.DataFrame(detection))), ""]
    return [*lines, *table_markdown(frame_table(pd.DataFrame(follows)))]


def of_faults(given: argparse.Namespace) -> None:
    """Look, and print the tables."""
    (name,) = given.only
    dataset = open_dataset(given.data / name)
    kept = [case for case in shuffled(dataset) if (case.read_label().array > 0).any()][: given.cases]
    dataset = replace(dataset, cases=tuple(kept))
    rows = looked(given, dataset)
    axis_of = rows.groupby("case")["axis"].first()
    axis = axis_of.value_counts()
    about = (
        f"{name}: {len(axis_of)} cases by lot, draw {given.draw}; {axis.get('mask', 0)} wrong masks, "
        f"{axis.get('image', 0)} bad images; 512 pixels."
    )
    lines = [about, "", *faults_tables(rows)]
    print("\n".join(lines))
    if given.write:
        replace_between(PAGE, f"faults of {name}", "\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("what", choices=("dice", "faults"))
    parser.add_argument("--only", nargs="+", default=list(SETS))
    parser.add_argument("--seconds", type=float, default=75)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=240)
    parser.add_argument("--most", type=int, help="look at so many of them only")
    parser.add_argument("--draw", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--write", action="store_true", help="the tables into mobilesam.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "faults":
        of_faults(given)
        return
    lines = dice_table(given.data, given.weights, given.only, given.seconds, given.out)
    print("\n".join(lines))
    if given.write:
        replace_between(PAGE, "dice", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
