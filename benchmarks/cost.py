"""What the measures of a case cost, beside its extraction, in one process on one thread.

    python benchmarks/cost.py DATASET BENCH/draws/0 [DATASET BENCH/draws/0 ...] [--commit]

Extraction is what the task network does for a case: its logits, its features, four
augmented predictions, and the prediction of the mask-normalised image. The measures
are everything in `aleaseg.scoring.catalogue` that one case can have, reading the case
and its prediction included; `default` are those of `aleaseg audit`. Medians over the
cases, cases in turn, so that a busy moment hits both.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from aleaseg.case import Case, usable_image, usable_label
from aleaseg.extractors import make_extractor
from aleaseg.predictions import Prediction
from aleaseg.predictions.fitted import Crossfit
from aleaseg.predictions.inside import image_part, mask_part
from aleaseg.predictions.networks import fold_network, fold_units
from aleaseg.readers import open_dataset
from aleaseg.run import Run
from aleaseg.scoring.record import score_case
from aleaseg.training.foldplan import FoldPlan


class Plain:
    """The same predictions without what only `--measures all` asks for."""

    source = "plain"

    def __init__(self, whole: Crossfit) -> None:
        self.whole = whole

    def read(self, case: Case) -> list[Prediction]:
        return [replace(one, inside={}) for one in self.whole.read(case)]


def row(data: Path, folder: Path, cases: int) -> str:
    dataset, run = open_dataset(data), Run(folder)
    plan, fold = FoldPlan.read(run), 0
    patch = plan.preprocessing.grid.patch
    network, units = fold_network(run, plan, fold), fold_units(run, fold) or []
    whole = Crossfit(run, dataset)
    plain = Plain(whole)
    seconds: dict[str, list[float]] = {"extraction": [], "default": [], "all": []}
    chosen = [dataset[case_id] for case_id in plan.folds[fold][: cases + 1]]
    for case in chosen:
        image = usable_image(case)
        small = plan.preprocessing.image(case, image)
        label = usable_label(case, image.geometry.shape)
        indices = plan.preprocessing.label(label, small.shape[1:])
        started = time.perf_counter()
        image_part(network, small, patch)
        mask_part(network, small, indices, patch, units)
        seconds["extraction"].append(time.perf_counter() - started)
        for name, source in (("default", plain), ("all", whole)):
            whole._last = None
            started = time.perf_counter()
            score_case(case, dataset, source, make_extractor("task", dataset, source))
            seconds[name].append(time.perf_counter() - started)
    # The first case warms up.
    median = {name: float(np.median(values[1:])) for name, values in seconds.items()}
    shape = "x".join(map(str, chosen[1].read_geometry().shape))
    return (
        f"| {dataset.name} | {shape}, {len(dataset.classes)} | {median['extraction']:.3f} | "
        f"{median['default']:.3f} | {median['all']:.3f} | {median['default'] / median['extraction']:.2f} | "
        f"{median['all'] / median['extraction']:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pairs", nargs="+", type=Path, metavar="DATASET RUN")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "# What the measures of a case cost",
        "",
        f"`python benchmarks/cost.py DATASET RUN ...`, {platform.machine()}, one process, one thread "
        f"(`OMP_NUM_THREADS=1`), median of {given.cases} cases, seconds a case.",
        "",
        "| data set | a case, classes | extraction | default measures | all measures "
        "| default / extraction | all / extraction |",
        "|---|---|---|---|---|---|---|",
        *(
            row(data, run, given.cases)
            for data, run in zip(given.pairs[::2], given.pairs[1::2], strict=True)
        ),
        "",
    ]
    print("\n".join(lines))
    if given.commit:
        (Path(__file__).parent / "cost.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
