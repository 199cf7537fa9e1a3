"""What S follows besides size: the disagreement of raters, and the Dice of a network.

    python benchmarks/scale_follows.py raters DATA --eye EYE [--weights FILE] --out FOLDER [--cases 160] [--write]
    python benchmarks/scale_follows.py dice ROWS... --runs RUN... [--write]
    python benchmarks/scale_follows.py plot ROWS... -o SVG

EYE is `mobilesam` (needs --weights) or `own`. `raters` looks at so many cases by lot of a data set of several raters,
raw and normalised by the majority mask, and holds S against their disagreement. ROWS are the FOLDERs of
`mobilesam.py faults`: their clean cases alone are taken. `dice` holds S of a class against the Dice of out-of-fold
predictions of RUN (an audit, or a draw of a bench) and the mask, of the cases that are clean in both. `plot` draws S
against the size of the object. FOLDER keeps what was looked at: a run that is stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aleaseg.extractors import ExtractorSettings, checked, make_extractor
from aleaseg.metrics import Correlation, partial_spearman, spearman
from aleaseg.metrics.agreement import rater_disagreement
from aleaseg.metrics.correlation import pearson
from aleaseg.pages.markdown import table_markdown
from aleaseg.pages.tables import frame_table
from aleaseg.readers import open_dataset
from aleaseg.run import Run, read_json
from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.stated import masks_of_raters
from mobilesam import INPUTS, numbers, shuffled
from page import replace_between

PAGE = Path(__file__).with_suffix(".md")
READINGS = ("S", "S_amplitude", "S_centred", "S_inside")


def cell(found: Correlation) -> str:
    return f"{found.r:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


# -- raters ------------------------------------------------------------------------------------------


def rated(given: argparse.Namespace) -> pd.DataFrame:
    """One row a case and input: S in its readings, the outline's Dice, disagreement, volume, slices."""
    given.out.mkdir(parents=True, exist_ok=True)
    dataset = open_dataset(given.data)
    cases = [case for case in shuffled(dataset) if case.read_raters is not None][: given.cases]
    dataset = replace(dataset, cases=tuple(cases))
    eyes = {}
    for normalize in INPUTS:
        asked = ExtractorSettings(given.eye, weights=given.weights, channel=0, normalize=normalize)
        eyes[normalize] = make_extractor(checked(asked, dataset, None), dataset)
    rows = []
    for case in cases:
        file = given.out / f"{given.eye}_{case.id}.json"
        if not file.exists():
            raters = masks_of_raters(case)
            about = {
                "group": case.group,
                "disagreement": rater_disagreement(raters),
                "volume": np.count_nonzero(raters) / len(raters),
                "slices": raters.shape[1],
            }
            file.write_text(json.dumps({"about": about, "seen": numbers(case, dataset, eyes)}))
        kept = json.loads(file.read_text())
        rows += [
            {"case": case.id, "input": normalize, **kept["about"], **values}
            for normalize, by_class in kept["seen"].items()
            if "error" not in by_class
            for values in by_class.values()
        ]
    return pd.DataFrame(rows)


def of_raters(given: argparse.Namespace) -> list[str]:
    """How S goes with disagreement, as it is and with volume and slices held fixed."""
    rows, found = rated(given), []
    for normalize, mine in rows.groupby("input", sort=False):
        held = mine[["volume", "slices"]].to_numpy()
        columns = {name: -mine[name] for name in READINGS} | {"outline against mask": -mine["outline"]}
        for name, suspicion in columns.items():
            raw = spearman(suspicion, mine["disagreement"], mine["group"])
            fixed = partial_spearman(suspicion, mine["disagreement"], held, mine["group"])
            found.append(
                {
                    "eye": given.eye,
                    "input": normalize,
                    "number": name.replace("S", "low S", 1),
                    "n": raw.n,
                    "Spearman": cell(raw),
                    "size held fixed": cell(fixed),
                }
            )
    return table_markdown(frame_table(pd.DataFrame(found)))


# -- size and Dice -----------------------------------------------------------------------------------


def clean_rows(folder: Path) -> pd.DataFrame:
    """One row a clean case, input and class, of what `mobilesam.py faults` kept."""
    faulty = read_json(folder / "truth.json")["faults"]
    rows = [
        {"case": file.stem, "input": normalize, "class": name, **values}
        for file in sorted(folder.glob("*.json"))
        if file.stem not in {"truth", "manifest", *faulty}
        for normalize, by_class in json.loads(file.read_text()).items()
        if "error" not in by_class
        for name, values in by_class.items()
    ]
    return pd.DataFrame(rows).assign(data=folder.name.partition("_")[2])


def out_of_fold(path: Path) -> pd.DataFrame:
    """One row a clean case and class: Dice of the out-of-fold prediction and the mask."""
    run = Run(path)
    dealt = path / "truth.json"
    faulty = read_json(dealt)["faults"] if dealt.exists() else {}
    records = [record for record in run.records() if record.case not in faulty]
    read = Numbers.of(records, list(records[0].volume_mm3))
    wide = pd.DataFrame(read.by_class("oof_dice"), index=read.cases, columns=read.classes)
    return wide.rename_axis("case").reset_index().melt("case", var_name="class", value_name="dice")


def of_dice(given: argparse.Namespace) -> list[str]:
    """The paper's Table 4, case by case: low S should go with low Dice, so the correlation should be above 0."""
    found, means = [], []
    for folder, run in zip(given.rows, given.runs, strict=True):
        rows = clean_rows(folder).merge(out_of_fold(run), on=["case", "class"])
        for (data, normalize, name), mine in rows.groupby(["data", "input", "class"], sort=False):
            row = {"data": data, "class": name, "input": normalize}
            for reading in ("S", "S_amplitude"):
                row[f"{reading} and size"] = cell(spearman(mine[reading], mine["size"]))
                row[f"{reading} and Dice"] = cell(spearman(mine[reading], mine["dice"]))
                row["n"] = int(mine["dice"].notna().sum())
                row[f"{reading} and Dice, size held fixed"] = cell(
                    partial_spearman(mine[reading], mine["dice"], mine["size"])
                )
            found.append(row)
        of_class = rows.groupby(["data", "input", "class"], sort=False)[["S", "size", "dice"]].mean()
        means += of_class.reset_index().to_dict("records")
    frame = pd.DataFrame(means)
    lines = [*table_markdown(frame_table(pd.DataFrame(found))), "", *table_markdown(frame_table(frame)), ""]
    for normalize, mine in frame.groupby("input", sort=False):
        if len(mine) >= 4:
            over = pearson(mine["S"], mine["dice"]), spearman(mine["S"], mine["dice"])
            lines.append(
                f"Over the {len(mine)} class means, {normalize}: Pearson {over[0].r:+.2f} (p {over[0].p:.2f}), "
                f"Spearman {over[1].r:+.2f} (p {over[1].p:.2f})."
            )
    return lines


def plot(given: argparse.Namespace) -> None:
    """S against the object's size, a panel for each data set."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams |= {"svg.hashsalt": "aleaseg", "svg.fonttype": "none", "font.family": "sans-serif"}
    frames = [clean_rows(folder).query("input == 'raw'") for folder in given.rows]
    figure, panels = plt.subplots(1, len(frames), figsize=(3.6 * len(frames), 3.2), squeeze=False)
    for panel, frame in zip(panels[0], frames, strict=True):
        for (name, mine), colour in zip(
            frame.groupby("class", sort=False), ("#0072b2", "#d55e00", "#009e73"), strict=False
        ):
            r = spearman(mine["size"], mine["S"]).r
            panel.scatter(
                mine["size"], mine["S"], s=12, color=colour, label=f"{name}, {r:+.2f}", linewidths=0
            )
        panel.set(xscale="log", xlabel="size of the object, voxels", title=frame["data"].iloc[0])
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=8)
    panels[0][0].set_ylabel("S")
    figure.tight_layout()
    figure.savefig(given.output, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    raters = verbs.add_parser("raters")
    raters.add_argument("data", type=Path)
    raters.add_argument("--eye", choices=("mobilesam", "own"), required=True)
    raters.add_argument("--weights")
    raters.add_argument("--out", type=Path, required=True)
    raters.add_argument("--cases", type=int, default=160)
    dice = verbs.add_parser("dice")
    dice.add_argument("rows", type=Path, nargs="+")
    dice.add_argument("--runs", type=Path, nargs="+", required=True)
    drawing = verbs.add_parser("plot")
    drawing.add_argument("rows", type=Path, nargs="+")
    drawing.add_argument("-o", "--output", type=Path, required=True)
    for verb in (raters, dice):
        verb.add_argument("--write", action="store_true", help="the table into scale_follows.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.verb == "plot":
        plot(given)
        return
    mark, lines = (
        (f"raters, {given.eye}", of_raters(given)) if given.verb == "raters" else ("dice", of_dice(given))
    )
    print("\n".join(lines))
    if given.write:
        replace_between(PAGE, mark, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
