"""The trial: put known faults into real cases, audit them, and see which measure finds which.

    python benchmarks/trial.py DATASET --out FOLDER [--draws 3] [--first 10] [--faulty 40]

DATASET is the hippocampus set in nnU-Net's layout. For each draw, 40 masks and 40
images of 200 are spoilt (the kinds are `aleaseg.corruption`'s `TRIAL`s, dealt
evenly), the data set is audited with the default settings, and AUROC is taken of
each measure for telling the faulty from the clean. Writes trial.md beside this file
with --commit.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from aleaseg import audit, open_dataset
from aleaseg.corruption import images, masks
from aleaseg.readers.voxels import write_nifti


def make_trial(source: Path, target: Path, draw: int, faulty: int) -> dict[str, dict[str, str]]:
    """Write a copy of the data set with faults; returns case -> axis and fault."""
    truth_file = target / "truth.json"
    if truth_file.exists():
        return json.loads(truth_file.read_text())
    (target / "imagesTr").mkdir(parents=True, exist_ok=True)
    (target / "labelsTr").mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "dataset.json", target / "dataset.json")
    dataset = open_dataset(source)
    rng = np.random.default_rng(draw)
    order = [dataset.cases[i].id for i in rng.permutation(len(dataset.cases))]
    truth = {}
    for axis, registry, chosen in (
        ("mask", masks.TRIAL, order[:faulty]),
        ("image", images.TRIAL, order[faulty : 2 * faulty]),
    ):
        for number, case_id in enumerate(chosen):
            truth[case_id] = {"axis": axis, "fault": list(registry)[number % len(registry)]}
    for case in dataset.cases:
        image, label = case.read_image(), case.read_label()
        fault = truth.get(case.id)
        rng = np.random.default_rng([draw, dataset.cases.index(case)])
        pixels, mask = image.array, label.array
        if fault and fault["axis"] == "image":
            pixels = images.TRIAL[fault["fault"]](pixels, rng)
        if fault and fault["axis"] == "mask":
            mask = masks.TRIAL[fault["fault"]](mask, rng)
        write_nifti(target / "imagesTr" / f"{case.id}_0000.nii.gz", pixels[0], image.geometry)
        write_nifti(target / "labelsTr" / f"{case.id}.nii.gz", mask.astype(np.uint8), label.geometry)
    truth_file.write_text(json.dumps(truth, indent=1))
    return truth


def figures(
    cases: pd.DataFrame, truth: dict[str, dict[str, str]], column: str, sign: int
) -> dict[str, float]:
    """AUROC against the clean cases, for each axis, both, and each fault; AP for both."""
    score = cases.set_index("case")[column].astype(float) * sign
    score = score.fillna(score.median())
    axis = pd.Series({case: truth.get(case, {"axis": "clean"})["axis"] for case in score.index})
    fault = pd.Series({case: truth.get(case, {"fault": ""})["fault"] for case in score.index})
    clean = axis == "clean"
    found = {}
    for name, bad in (
        ("masks", axis == "mask"),
        ("images", axis == "image"),
        ("both", ~clean),
        *((kind, fault == kind) for kind in sorted(set(fault) - {""})),
    ):
        use = clean | bad
        found[name] = roc_auc_score(bad[use], score[use])
    found["AP"] = average_precision_score(~clean, score)
    doubtful = score > 0.5 if "doubt" in column else score * np.nan
    found["clean above 0.5"] = float(doubtful[clean].mean())
    found["faulty above 0.5"] = float(doubtful[~clean].mean())
    return found


COLUMNS = {
    "doubt": 1,
    "label_doubt": 1,
    "image_doubt": 1,
    "oof_dice": -1,
    "softmin": -1,
    "auv": 1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--first", type=int, default=10, help="seed of the first draw")
    parser.add_argument("--faulty", type=int, default=40)
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    rows = []
    for draw in range(given.first, given.first + given.draws):
        folder = given.out / f"draw{draw}"
        truth = make_trial(given.dataset, folder / "data", draw, given.faulty)
        run = audit(folder / "data", folder / "run")
        for column, sign in COLUMNS.items():
            rows.append({"measure": column, "draw": draw, **figures(run.cases, truth, column, sign)})
    table = pd.DataFrame(rows)
    mean = table.drop(columns="draw").groupby("measure", sort=False).mean().round(3)
    print(mean.to_string())
    if given.commit:
        write_markdown(table, mean, given)


def write_markdown(table: pd.DataFrame, mean: pd.DataFrame, given: argparse.Namespace) -> None:
    """Means over the draws, and each draw."""

    def rows(frame: pd.DataFrame) -> list[str]:
        text = frame.reset_index() if frame.index.name else frame
        lines = ["| " + " | ".join(map(str, text.columns)) + " |", "|" + "---|" * len(text.columns)]
        for row in text.itertuples(index=False):
            cells = [
                ""
                if isinstance(v, float) and np.isnan(v)
                else f"{v:.3f}"
                if isinstance(v, float)
                else str(v)
                for v in row
            ]
            lines.append("| " + " | ".join(cells) + " |")
        return lines

    lines = [
        "# The trial: known faults in real cases",
        "",
        f"`python benchmarks/trial.py DATASET --draws {given.draws}`; hippocampus, 200 cases, "
        f"{given.faulty} masks and {given.faulty} images spoilt, default settings. AUROC against the clean cases "
        "(0.5 is chance), mean over the draws; AP for all faults together; the share of clean cases above 0.5. "
        "The faults are those of `aleaseg.corruption`'s `TRIAL`s. The measures were built with draws 0 to 2 at "
        f"hand; these are draws {given.first} to {given.first + given.draws - 1}, of the same cases.",
        "",
        *rows(mean),
        "",
        "Each draw:",
        "",
        *rows(table.round(3)),
        "",
    ]
    (Path(__file__).parent / "trial.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
