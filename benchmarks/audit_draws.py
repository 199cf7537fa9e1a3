"""`doubt` of two versions of this package on the same draws, as `aleaseg audit` makes it.

    python benchmarks/audit_draws.py deal DATA --draws 200 201 [--groups REGEX] -o FOLDER
    python benchmarks/audit_draws.py score FOLDER [FOLDER ...] -o CSV
    python benchmarks/audit_draws.py table OLD.csv NEW.csv [--write]

`deal` gives a fifth of the cases a known fault (the draw is the seed), cross-fits on the faulty data in three folds,
looks through the package's prompted network, and keeps the records: what an audit does, and no other measure.
`score` compares the cases of every draw with one another, by the version that is imported; run it with an older
checkout on PYTHONPATH for that version's scores. `table` sets both beside each other, with 95% intervals over
draws and groups.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aleaseg.bench.draw import open_draw
from aleaseg.bench.opening import open_clean
from aleaseg.bench.settings import DetectSettings
from aleaseg.extractors import ExtractorSettings, make_extractor
from aleaseg.metrics import Resamples, auroc, interval, nested
from aleaseg.metrics.bootstrap import Replicated, difference
from aleaseg.pages.markdown import table_markdown
from aleaseg.pages.tables import frame_table
from aleaseg.predictions import open_predictions
from aleaseg.predictions.crossfit import CrossfitSettings, crossfit
from aleaseg.run import Run, read_json
from aleaseg.scoring import score_cases
from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.population import fit_population, score_population

PAGE = Path(__file__).with_name("detection.md")
SHARE = 0.2
TARGETS = ("both", "masks", "images", "coarse", "warp")


def quiet(*told: object) -> None:
    """Tell nothing."""


def deal(given: argparse.Namespace) -> None:
    """Make the draws; what is finished is not done again."""
    dataset = open_clean(DetectSettings(given.data, groups=given.groups))
    for number in given.draws:
        run = Run(given.output / str(number))
        draw = open_draw(run, dataset, number, share=SHARE)
        fitted = CrossfitSettings(folds=3, seed=number, device="cpu", inside=False, workers=1)
        done = crossfit(run, draw.dataset, fitted, progress=quiet)
        about = {"path": str(dataset.root), "name": dataset.name, "cases": len(dataset.cases)}
        run.update_manifest(predictions={"source": "crossfit"}, crossfit=done, dataset=about)
        eye = make_extractor(ExtractorSettings("own"), draw.dataset, open_predictions(run, draw.dataset))
        score_cases(run, draw.dataset, eye, {}, progress=quiet)
        print(f"draw {number}: {len(dataset.cases)} cases", flush=True)


def scored(folder: Path) -> Iterator[pd.DataFrame]:
    """The cases of every finished draw of a folder."""
    for file in sorted(folder.glob("*/manifest.json")):
        run, kept = Run(file.parent), read_json(file.with_name("truth.json"))
        records = list(run.records())
        if len(records) < run.manifest.get("dataset", {}).get("cases", np.inf):
            print(f"{file.parent}: not finished, left out")
            continue
        numbers = Numbers.of(records, list(records[0].volume_mm3))
        found = score_population(numbers, fit_population(numbers), reasons=False)
        fault = [kept["faults"].get(case, {}) for case in numbers.cases]
        yield pd.DataFrame(
            {
                "data": folder.name,
                "draw": kept["draw"],
                "case": numbers.cases,
                "group": [record.group for record in records],
                "axis": [each.get("axis", "clean") for each in fault],
                "fault": [each.get("fault", "") for each in fault],
                "doubt": found.doubt,
                "image_doubt": found.image_doubt,
                "label_doubt": found.label_doubt,
            }
        )


def rows_of(cases: pd.DataFrame, target: str) -> pd.Series:
    """The clean cases and those that are to be found."""
    wanted = {
        "both": cases["axis"] != "clean",
        "masks": cases["axis"] == "mask",
        "images": cases["axis"] == "image",
    }.get(target, cases["fault"] == target)
    return (cases["axis"] == "clean") | wanted


def cell(found: Replicated) -> str:
    low, high = interval(found.replicates)
    return f"{found.point:.3f} ({low:.3f} to {high:.3f})"


def of_data(name: str, old: pd.DataFrame, new: pd.DataFrame) -> tuple[list[dict], dict, list[dict]]:
    """How well each version finds the targets, how much passes 0.5, and each fault of masks."""
    resamples = Resamples.make(new["draw"], new["group"])
    bad, found, by_fault = (new["axis"] != "clean").to_numpy(), [], []

    def both(target: str) -> tuple[Replicated, Replicated]:
        rows = rows_of(new, target).to_numpy()
        one, other = (
            nested(auroc, each["doubt"][rows], bad[rows], each["draw"][rows], resamples.select(rows))
            for each in (old, new)
        )
        return one, other

    for target in TARGETS:
        before, after = both(target)
        gain = difference(after, before)
        found.append(
            {
                "data": name,
                "faults": target,
                "n": int((rows_of(new, target) & bad).sum()),
                "old": cell(before),
                "new": cell(after),
                "difference": f"{gain.point:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})",
            }
        )
    passed = {"data": name, "draws": ", ".join(map(str, sorted(new["draw"].unique())))}
    for version, cases in (("old", old), ("new", new)):
        above = (cases["doubt"] > 0.5).groupby(cases["axis"]).mean()
        passed |= {
            f"{what}, {version}": f"{above[axis]:.1%}"
            for what, axis in (("masks", "mask"), ("images", "image"), ("clean", "clean"))
        }
    for fault, axis in sorted({*zip(new["fault"], new["axis"], strict=True)} - {("", "clean")}):
        before, after = both(fault)
        count = str((new["fault"] == fault).sum())
        by_fault.append(
            {
                "fault": fault,
                "of": axis,
                "n": count,
                "old": f"{before.point:.2f}",
                "new": f"{after.point:.2f}",
            }
        )
    return found, passed, by_fault


def table(given: argparse.Namespace) -> None:
    """Both versions beside each other."""
    key = ["data", "draw", "case"]
    old, new = (pd.read_csv(file, keep_default_na=False, na_values=[""]) for file in (given.old, given.new))
    old, new = (each.fillna({"fault": ""}).sort_values(key, ignore_index=True) for each in (old, new))
    if not old[key].equals(new[key]):
        raise SystemExit("the two tables are not of the same cases; score the same folders")
    goal, passed, faults = [], [], []
    for name in new["data"].unique():
        mine = new["data"] == name
        found, above, by_fault = of_data(name, *(e[mine].reset_index(drop=True) for e in (old, new)))
        goal += found
        passed.append(above)
        faults.append(pd.DataFrame(by_fault).set_index(["fault", "of"]).add_prefix(f"{name}, "))
    lines = []
    each_fault = pd.concat(faults, axis=1).reset_index().fillna("")
    for frame in (pd.DataFrame(goal), pd.DataFrame(passed), each_fault):
        lines += [*table_markdown(frame_table(frame)), ""]
    print("\n".join(lines))
    if given.write:
        from page import replace_between

        replace_between(PAGE, "old and new", "\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("deal")
    making.add_argument("data", type=Path)
    making.add_argument("--draws", type=int, nargs="+", required=True)
    making.add_argument("--groups")
    making.add_argument("-o", "--output", type=Path, required=True)
    scoring = verbs.add_parser("score")
    scoring.add_argument("folders", type=Path, nargs="+")
    scoring.add_argument("-o", "--output", type=Path, required=True)
    tabling = verbs.add_parser("table")
    tabling.add_argument("old", type=Path)
    tabling.add_argument("new", type=Path)
    tabling.add_argument("--write", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.verb == "deal":
        deal(given)
    elif given.verb == "score":
        frames = [frame for folder in given.folders for frame in scored(folder)]
        pd.concat(frames).to_csv(given.output, index=False)
    else:
        table(given)


if __name__ == "__main__":
    main()
