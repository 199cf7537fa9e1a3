"""Does leaving cases out by what MobileSAM says of them help: the maps looked at, the cases chosen, networks trained.

    python benchmarks/downstream_mobilesam.py WEIGHTS DATASET --out FOLDER [--inputs raw foreground]

WEIGHTS is mobile_sam.pt or the same with fused batch norms, DATASET one data set's folder. Split, faults and
trainings are those of `aleaseg bench downstream DATASET`, with the choices made here: AUV as the paper has it,
AUV with the size taken away, and the outline against the mask, for each input; and the smallest objects. FOLDER
keeps what was looked at and trained: a run that is stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aleaseg.bench.choices import choose_cases
from aleaseg.bench.downstream import run_downstream, split, write_downstream
from aleaseg.bench.draw import Draw, open_draw
from aleaseg.bench.opening import begin_bench, open_clean
from aleaseg.bench.settings import DownstreamSettings
from aleaseg.measures.adjusted import size_adjusted
from aleaseg.measures.auv import aggregate, aleatoric_uncertainty_value
from aleaseg.run import Run, write_json
from mobilesam import eye, numbers
from page import replace_between

PAGE = Path(__file__).with_name("downstream_mobilesam.md")


def looked(draw: Draw, weights: Path, inputs: list[str], pixels: int, kept: Path) -> pd.DataFrame:
    """One row a case, input and class."""
    kept.mkdir(parents=True, exist_ok=True)
    eyes = {each: eye(draw.dataset, weights, normalize=each, pixels=pixels) for each in inputs}
    rows = []
    for number, case in enumerate(draw.dataset.cases, start=1):
        file = kept / f"{case.id}.json"
        if not file.exists():
            file.write_text(json.dumps(numbers(case, draw.dataset, eyes)))
            print(f"{number} of {len(draw.dataset.cases)}", flush=True)
        for each, of_class in json.loads(file.read_text()).items():
            if "error" not in of_class:
                rows += [
                    {"case": case.id, "input": each, "class": name, **values}
                    for name, values in of_class.items()
                ]
    return pd.DataFrame(rows)


def suspicions(rows: pd.DataFrame, cases: list[str]) -> dict[str, np.ndarray]:
    """Choice -> one number a case, high = suspect, NaN where a case was not looked at."""
    found = {}
    for each, mine in rows.groupby("input", sort=False):
        wide = {
            column: mine.pivot(index="case", columns="class", values=column).reindex(cases)
            for column in ("S", "size", "outline")
        }
        scale, size = wide["S"].clip(lower=1e-6), wide["size"]
        left = [size_adjusted(np.log(scale[name]), size[name]) for name in scale.columns]
        found[f"AUV ({each})"] = aleatoric_uncertainty_value(aggregate(scale.to_numpy()))
        found[f"AUV for size ({each})"] = -aggregate(np.stack(left, axis=1))
        found[f"outline ({each})"] = 1 - wide["outline"].mean(axis=1).to_numpy()
    # What AUV follows where objects differ in size: the small ones.
    found["small"] = -wide["size"].mean(axis=1).to_numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--inputs", nargs="+", default=["raw"], choices=("raw", "foreground"))
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--groups")
    parser.add_argument("--lots", type=int, default=8, help="choices by lot")
    parser.add_argument("--look", action="store_true", help="look only, train nothing")
    parser.add_argument("--write", action="store_true", help="the tables into downstream_mobilesam.md")
    given = parser.parse_args()
    torch.set_num_threads(1)

    settings = DownstreamSettings(given.dataset, measures="", steps=given.steps, groups=given.groups)
    clean = open_clean(settings)
    training, _ = split(clean, settings)
    begin_bench(Run(given.out / "bench"), settings, clean, "downstream")
    run = Run(given.out.resolve() / "bench" / "draws" / str(settings.first))
    draw = open_draw(run, training, settings.first, share=settings.share)
    rows = looked(draw, given.weights, given.inputs, given.pixels, given.out / "looked")
    if given.look:
        return

    cases = [case.id for case in draw.dataset.cases]
    faulty = set(draw.truth)
    suspect = suspicions(rows, cases)
    chosen = choose_cases(cases, faulty, suspect, randoms=given.lots, seed=settings.first)
    choices = run.path / "trainings" / "choices.json"
    if not choices.exists():
        write_json(choices, {"faulty": sorted(faulty), "choices": chosen})
    command = shlex.join(
        ["python", "benchmarks/downstream_mobilesam.py", "WEIGHTS", given.dataset.name, *sys.argv[3:]]
    )
    result = run_downstream(
        settings,
        Run(given.out / "bench"),
        lambda stage, done, total: print(stage, done, total, flush=True),
        command=command,
    )
    write_downstream(result, Run(given.out / "bench"))
    if given.write:
        text = (given.out / "bench" / "downstream.md").read_text()
        replace_between(PAGE, given.dataset.name, re.sub("^#", "##", text, flags=re.MULTILINE))


if __name__ == "__main__":
    main()
