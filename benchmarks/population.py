"""The population step at scale: time and memory for 100,000 cases of five classes.

    python benchmarks/population.py [--cases 100000] [--classes 5] [--commit]

The rows are synthetic and say nothing about any data; records of real cases have the
same numbers. Measured are gathering the numbers of records that are read one at a
time, and fitting and scoring the population with its reasons. Memory is what the
process holds at its highest beyond what it held before.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.population import fit_population, score_population

_IMAGE = ("noise", "contrast", "dark", "middle", "bright", "skew", "border")
_AXIS = ("sharp", "ghost", "fov")


def records(cases: int, classes: list[str], seed: int = 0) -> Iterator[dict[str, Any]]:
    """Records with the default measures, one at a time."""
    rng = np.random.default_rng(seed)
    image = [f"img_{name}" for name in _IMAGE] + [f"img_{name}_{a}" for name in _AXIS for a in "dhw"]
    mask = ("volume_mm3", "oof_dice", "extra_components", "border", "perception_scale")
    place = [f"centroid_{axis}" for axis in "dhw"]
    for index in range(cases):
        draws = iter(rng.standard_normal(len(image) + 1 + len(classes) * (len(mask) + 3)).tolist())
        rows = [("", name, next(draws)) for name in image]
        rows.append(("", "softmin", 1 / (1 + np.exp(-next(draws)))))
        for number, name in enumerate(classes):
            for measure in mask:
                value = next(draws)
                if measure == "volume_mm3":
                    value = float(np.exp(8 + 0.3 * value))
                elif measure != "perception_scale":
                    value = float(1 / (1 + np.exp(-value)))
                else:
                    value = 0.3 + 0.02 * value
                rows.append((name, measure, value))
            rows += [(name, axis, 20.0 * number + next(draws)) for axis in place]
        yield {
            "case": f"case_{index:06d}",
            "status": "ok",
            "class_maps": {name: {"kind": "logit"} for name in classes},
            "measures": [
                {"measure": measure, "variant": "", "class": name, "value": value}
                for name, measure, value in rows
            ],
        }


def held() -> float:
    """The most memory this process ever held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    classes = [f"class_{number}" for number in range(given.classes)]
    # Everything is imported and warm before the clock starts.
    warm = Numbers.of(records(50, classes), classes)
    score_population(warm, fit_population(warm))
    before, started = held(), time.perf_counter()
    for _ in records(given.cases, classes):
        pass
    made = time.perf_counter() - started
    started = time.perf_counter()
    numbers = Numbers.of(records(given.cases, classes), classes)
    gathered = time.perf_counter() - started - made
    started = time.perf_counter()
    population = fit_population(numbers)
    fitted = time.perf_counter() - started
    started = time.perf_counter()
    scored = score_population(numbers, population)
    done = time.perf_counter() - started
    told = sum(bool(cell) for cell in scored.reasons)
    rows = [
        ("gathering the numbers of the records", gathered),
        ("fitting the population", fitted),
        ("scoring it, with reasons", done),
        ("fitting and scoring", fitted + done),
    ]
    lines = [
        "# The population step at scale",
        "",
        f"`python benchmarks/population.py --cases {given.cases} --classes {given.classes}`, "
        f"{platform.machine()}, one process. Synthetic rows.",
        "",
        "| step | seconds |",
        "|---|---|",
        *(f"| {name} | {seconds:.1f} |" for name, seconds in rows),
        "",
        f"At most {held() - before:.0f} MB were held beyond what the process held before; "
        f"{told} of {given.cases} cases have a reason.",
        "",
    ]
    print("\n".join(lines))
    if given.commit:
        (Path(__file__).parent / "population.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
