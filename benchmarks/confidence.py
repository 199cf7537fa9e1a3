"""How are confidences best learnt, and is 60% better than 50%? Four raters, simulated confidences, outcomes.

    python benchmarks/confidence.py DATA OUT [--only lidc busi outcome] [--seeds 3] [--commit]

DATA holds lidc_4raters and busi_256 (see benchmarks/raters.md and benchmarks/detection.md). What is finished in OUT is
not done again, so that the command can be killed and gone on with. `--commit` writes the tables of
benchmarks/confidence.md from what is finished; what stands around them a person wrote.

The confidences of BUSI are SIMULATED: its data set has one mask an image. Ten masks are made of each, the boundary
displaced by a smooth random field, and q is their mean. The target of LIDC's nodules is a SURROGATE, made here of the
volume at a reference, and of noise: it says nothing of patients.
"""

from __future__ import annotations

import argparse
import json
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage

from aleaseg.bench.confidence import run_confidence
from aleaseg.bench.confidence_design import Cell, Design
from aleaseg.bench.confidence_result import read_confidence_bench
from aleaseg.bench.confidence_tables import differences_table, heading, matrix_table, winners_table
from aleaseg.bench.confidence_words import answers
from aleaseg.bench.confidence_write import write_confidence
from aleaseg.bench.settings import ConfidenceSettings
from aleaseg.case import Case
from aleaseg.errors import AleasegError
from aleaseg.evaluation import OutcomeSettings, outcome
from aleaseg.evaluation.foretelling import Problem, foretell, score
from aleaseg.pages.markdown import markdown_text, table_markdown
from aleaseg.pages.numbers import interval, number
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import read_image, read_label, write_png
from aleaseg.run import Run, read_json, write_json
from aleaseg.training import PredictSettings, predict
from page import replace_between

HERE = Path(__file__).parent
SIMULATED, LONG_SIDE, MASKS = "busi_simulated", 96, 10
TWICE = {"benign_433"}  # the same picture as malignant_145
RAISED = ("threshold:0.25", "threshold:0.5", "threshold:0.75", "threshold:1", "soft")


# -- simulated confidences --------------------------------------------------------------------------------


def displaced(mask: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(count, H, W) masks whose boundary is a smooth random field away from that of the mask.

    The field is Gaussian noise, smoothed by a fifth of the radius of a disc of that area, its standard deviation an
    eighth of that radius (from 1 pixel on): a boundary that wanders, not one that is frayed.
    """
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    depth = np.where(mask, inside - 0.5, 0.5 - outside)
    radius = np.sqrt(mask.sum() / np.pi)
    found = []
    for _ in range(count):
        field = ndimage.gaussian_filter(rng.standard_normal(mask.shape), max(2.0, radius / 5))
        field *= max(1.0, radius / 8) / field.std()
        found.append(depth + field > 0)
    return np.stack(found)


def simulate(data: Path, out: Path) -> None:
    """BUSI's lesions, smaller, with simulated confidences in tenths, as a folder of pairs."""
    if (out / "confidence.json").is_file():
        return
    shutil.rmtree(out, ignore_errors=True)
    for folder in ("images", "confidence"):
        (out / folder).mkdir(parents=True)
    for path in sorted((data / "busi_256" / "images").glob("*.png")):
        name = path.stem
        if name.startswith("normal") or name in TWICE:
            continue
        image = read_image([path], name).array[0]
        mask = read_label(data / "busi_256" / "masks" / f"{name}.png", name).array > 0
        factor = LONG_SIDE / max(mask.shape)
        small = ndimage.zoom(ndimage.gaussian_filter(image, 0.5 / factor), factor, order=1)
        lesion = ndimage.zoom(mask.astype(np.float32), factor, order=1) >= 0.5
        if not lesion.any():
            continue
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        tenths = displaced(lesion, MASKS, rng).sum(axis=0) * (10 // MASKS)
        write_png(out / "images" / f"{name}.png", small.clip(0, 255).round().astype(np.uint8))
        write_png(out / "confidence" / f"{name}.png", tenths.astype(np.uint8))
    # Last: where it is, the data set is whole.
    (out / "confidence.json").write_text(json.dumps({"scale": 10, "classes": ["lesion"]}))


# -- the benches ------------------------------------------------------------------------------------------


def lidc(data: Path, out: Path, seeds: int) -> ConfidenceSettings:
    return ConfidenceSettings(
        data / "lidc_4raters",
        folds=2, seeds=seeds, steps=500, batch=2, patch=(4, 64, 64), learning_rate=0.005, device="cpu",
    )  # fmt: skip


def busi(data: Path, out: Path, seeds: int) -> ConfidenceSettings:
    simulate(data, out / SIMULATED)
    return ConfidenceSettings(
        out / SIMULATED,
        labels="threshold:.5,threshold:.6,threshold:.8,soft",
        folds=2, seeds=seeds, steps=500, batch=4, patch=(96, 96), learning_rate=0.005, device="cpu",
    )  # fmt: skip


BENCHES = {"lidc": lidc, "busi": busi}


def told(stage: str, done: int, total: int) -> None:
    print(stage, done, "of", total, flush=True)


# -- what masks are good for ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frozen:
    """The models of a bench, and what they say of the cases that they held out.

    Attributes:
        name: of the bench.
        data: its data set.
        out: the folder of everything.
    """

    name: str
    data: Path
    out: Path

    @property
    def bench(self) -> Path:
        return self.out / self.name

    def predictions(self, row: str) -> Path:
        """Out of fold, of the first seed; both folds in one folder."""
        folder = self.out / "outcome" / self.name / "predictions" / row.replace(":", "-")
        if (folder / "done.json").is_file():
            return folder
        design = Design.read(self.bench / "design.json")
        dataset = open_dataset(self.data)
        for fold, held in enumerate(design.folds):
            part = folder.with_name(f"{folder.name}_{fold}")
            model = Cell(row, 0, fold).folder(self.bench) / "model"
            cases: list[Case] = [dataset[case] for case in held]
            asked = PredictSettings(model, self.data, probabilities=True, device="cpu")
            predict(asked, part, cases=cases)
            folder.mkdir(parents=True, exist_ok=True)
            for path in part.iterdir():
                if path.name not in ("manifest.json", "dataset.json"):
                    shutil.move(path, folder / path.name)
            shutil.rmtree(part)
        write_json(folder / "done.json", {"row": row})
        return folder

    def outcome(self, row: str, target: Path, permutations: int) -> Path:
        """What `aleaseg outcome` says of them."""
        out = self.out / "outcome" / self.name / row.replace(":", "-")
        if not (out / "outcome.md").is_file():
            print("outcome", self.name, row, flush=True)
            design = Design.read(self.bench / "design.json")
            asked = OutcomeSettings(
                self.data, self.predictions(row), target=target, at=design.at, permutations=permutations
            )
            outcome(asked, out, workers=1)
        return out


def diagnosis(data: Path, out: Path) -> None:
    """BUSI: benign or malignant, a real target that nobody computed from a mask."""
    target = out / "outcome" / "diagnosis.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(path.stem for path in (out / SIMULATED / "images").glob("*.png"))
    target.write_text("case,target\n" + "".join(f"{name},{name.split('_')[0]}\n" for name in names))
    frozen = Frozen("busi", out / SIMULATED, out)
    for row in Design.read(frozen.bench / "design.json").rows:
        frozen.outcome(row, target, permutations=20)


def surrogate(data: Path, out: Path) -> None:
    """LIDC: ln of the volume at each reference, and noise; what the masks of each row foretell of it."""
    frozen = Frozen("lidc", data / "lidc_4raters", out)
    design = Design.read(frozen.bench / "design.json")
    sizes = pd.read_csv(frozen.bench / "sizes.csv").set_index("case")
    counts = np.stack([sizes[f"voxels@{t:g}"].to_numpy() for t in design.at])
    kept = sizes.index[(counts > 0).all(axis=0)]
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(len(kept))
    targets = {}
    for t in design.at:
        size = np.log(sizes.loc[kept, f"voxels@{t:g}"].to_numpy(dtype=float))
        # R^2 of the perfect volume is .6: the noise has two thirds of its variance, and nothing in common with it.
        rest = noise - np.polyval(np.polyfit(size, noise, 1), size)
        targets[f"{t:g}"] = size + rest * np.sqrt(2 / 3) * size.std() / rest.std()
    target = out / "outcome" / "surrogate.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"case": kept, "target": targets["0.5"]}).to_csv(target, index=False)
    rows = {}
    for row in (one for one in RAISED if one in design.rows):
        features = pd.read_csv(frozen.outcome(row, target, permutations=0) / "features.csv").set_index(
            "case"
        )
        there = features.loc[kept]
        sets = {row: "predicted"} | (
            {f"reference {t:g}": f"q>={t:g}" for t in design.at} if not rows else {}
        )
        for name, which in sets.items():
            X = there[[column for column in there if column.startswith(f"{which}/")]].to_numpy()
            rows[name] = {}
            for t, y in targets.items():
                problem = Problem(y, there["patient"].astype(str).to_numpy(), "regression")
                found = score(problem, foretell(problem, X))
                rows[name][t] = [found.values["r2"], found.low["r2"], found.high["r2"]]
                print("surrogate", name, t, rows[name][t], flush=True)
    write_json(out / "outcome" / "surrogate.json", {"cases": len(kept), "rows": rows})


# -- what is committed ------------------------------------------------------------------------------------


def bench_lines(name: str, out: Path) -> Iterator[str]:
    """The tables of a bench, and its answers, as far as it is finished."""
    try:
        result = read_confidence_bench(Run(out / name))
    except AleasegError as error:
        yield f"Not finished: {error}"
        return
    about = result.about
    yield (
        f"{len(result.design.groups)} cases of {len(set(result.design.groups.values()))} groups, "
        f"{len(result.design.folds)} folds, seeds {', '.join(map(str, about['seeds']))}; {about['steps']} steps of "
        f"{about['batch']} patches of {' x '.join(map(str, about['patch']))}. {about['cells']} of {about['wanted']} "
        f"cells; {about['seconds'] / 60:.0f} minutes of one core for those shown, "
        f"{about['seconds'] / (len(result.rows) * len(about['seeds']) * len(result.design.folds)):.0f} s a cell."
    )
    yield ""
    yield from table_markdown(matrix_table(result))
    yield ""
    yield f"Less {result.design.baseline}:"
    yield ""
    yield from table_markdown(differences_table(result))
    yield ""
    yield "The best training threshold of each column less the second:"
    yield ""
    yield from table_markdown(winners_table(result))
    yield ""
    for question, said in answers(result):
        yield f"**{question}**"
        yield ""
        yield from (f"- {markdown_text(one)}" for one in said)
        yield ""
    for part in ("small", "large"):
        yield f"The {'smaller' if part == 'small' else 'larger'} half of the cases:"
        yield ""
        yield from table_markdown(matrix_table(result, part))
        yield ""


def surrogate_lines(out: Path) -> Iterator[str]:
    """R^2 of every row for the surrogate of every reference."""
    file = out / "outcome" / "surrogate.json"
    if not file.is_file():
        yield "Not finished."
        return
    found = read_json(file)
    result = read_confidence_bench(Run(out / "lidc"))
    at = [f"{t:g}" for t in result.design.at]
    heads = [heading(result, f"dice@{t}").removeprefix("Dice at ") for t in at]
    yield (
        f"{found['cases']} nodules in which some voxel is marked by all raters. R² (95% interval over patients); the "
        "target is made of the volume at"
    )
    yield ""
    yield f"| masks | {' | '.join(heads)} |"
    yield "| --- |" + " ---: |" * len(at)
    for row, by in found["rows"].items():
        cells = (f"{number(by[t][0], '.3f')} ({interval(by[t][1], by[t][2], '.3f')})" for t in at)
        yield f"| {row} | {' | '.join(cells)} |"


def diagnosis_lines(out: Path) -> Iterator[str]:
    """AUROC of every row for BUSI's diagnosis, and of what stands beside it."""
    design = out / "busi" / "design.json"
    tables = {}
    if design.is_file():
        for row in Design.read(design).rows:
            file = out / "outcome" / "busi" / row.replace(":", "-") / "outcome.csv"
            if file.is_file():
                tables[row] = pd.read_csv(file).set_index("features")
    if not tables:
        yield "Not finished."
        return
    yield "| masks | AUROC | AP |"
    yield "| --- | ---: | ---: |"

    def line(name: str, row: pd.Series) -> str:
        cells = (
            f"{number(row[one], '.3f')} ({interval(row[f'{one}_low'], row[f'{one}_high'], '.3f')})"
            for one in ("auroc", "ap")
        )
        return f"| {name} | {' | '.join(cells)} |"

    first = next(iter(tables.values()))
    for name in first.index:
        if name not in ("predicted masks", "label") and "permuted" not in name:
            yield line(str(name), first.loc[name])
    for row, table in tables.items():
        yield line(f"predicted, learnt by {row}", table.loc["predicted masks"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", default=["lidc", "busi", "outcome"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tables", action="store_true", help="of what is finished, and no more")
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    data, out = given.data.resolve(), given.out.resolve()
    torch.set_num_threads(1)
    if not given.tables:
        for name in BENCHES:
            if name in given.only:
                run_confidence(BENCHES[name](data, out, given.seeds), Run(out / name), told)
                write_confidence(read_confidence_bench(Run(out / name)), out / name)
        if "outcome" in given.only:
            diagnosis(data, out)
            surrogate(data, out)
    texts = {
        **{name: "\n".join(bench_lines(name, out)) for name in BENCHES},
        "diagnosis": "\n".join(diagnosis_lines(out)),
        "surrogate": "\n".join(surrogate_lines(out)),
    }
    for name, text in texts.items():
        print(f"## {name}\n\n{text}\n")
        if given.commit:
            replace_between(HERE / "confidence.md", name, f"\n{text.rstrip()}\n\n")


if __name__ == "__main__":
    main()
