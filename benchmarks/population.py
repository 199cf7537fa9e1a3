"""From finished records to tables, population and page: time and memory, through the product's own path.

    python benchmarks/population.py [--cases 10000] [--classes 104] [--no-page] [--commit]

The records are synthetic and say nothing about any data; records of real cases have the same numbers.
They are written to a run folder first, which is not measured. Measured is a process of its own that
reads them one at a time, writes measures.csv, scores.csv, cases.csv and population.json, and then the
page. Memory is the most that process ever held, its imports among it.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aleaseg.run import Measured, Record, Run, file_name, write_json

_IMAGE = ("noise", "contrast", "dark", "middle", "bright", "skew", "border")
_AXIS = ("sharp", "ghost", "fov")
_TABLE = Path(__file__).parent / "population.md"


def records(cases: int, classes: list[str], seed: int = 0) -> Iterator[Record]:
    """Records with the default measures, one at a time."""
    rng = np.random.default_rng(seed)
    image = [f"img_{name}" for name in _IMAGE] + [f"img_{name}_{a}" for name in _AXIS for a in "dhw"]
    place = [f"centroid_{axis}" for axis in "dhw"]
    for index in range(cases):
        rows = [Measured(name, "", "", rng.normal()) for name in image]
        rows.append(Measured("softmin", "", "", float(rng.beta(8, 2))))
        volumes = {}
        for number, name in enumerate(classes):
            volumes[name] = float(np.exp(8 + 0.3 * rng.normal()))
            values = {
                "volume_mm3": volumes[name],
                "oof_dice": float(rng.beta(8, 2)),
                "extra_components": float(rng.beta(1, 20)),
                "border": float(rng.beta(1, 20)),
                "components": float(rng.integers(1, 4)),
                **{axis: 20.0 * number + rng.normal() for axis in place},
            }
            rows += [Measured(measure, "", name, value) for measure, value in values.items()]
            for variant in ("", "official", "centered"):
                rows.append(Measured("perception_scale", variant, name, 0.3 + 0.02 * rng.normal()))
        yield Record(
            f"case_{index:06d}",
            shape=(100, 200, 200),
            spacing_mm=(3.0, 1.5, 1.5),
            present=dict.fromkeys(classes, True),
            volume_mm3=volumes,
            class_maps={name: {"kind": "logit", "grid": [64, 64, 64]} for name in classes},
            measures=tuple(rows),
        )


def fill(run: Run, cases: int, classes: list[str]) -> float:
    """Write the run that is measured; returns the megabytes of its records."""
    energies = np.exp(-np.arange(256) / 20)
    spectrum = [float(f"{energy:.4g}") for energy in energies / energies.sum()]
    (run.path / "cases").mkdir(parents=True)
    (run.path / "spectra").mkdir()
    for number, record in enumerate(records(cases, classes)):
        # As `Run.write_case`, without waiting for the disk ten thousand times.
        run.case_file(record.case).write_text(record_text(record))
        if number < 50:  # spectra of few: the page reads four a class
            write_json(run.spectra_file(record.case), dict.fromkeys(classes, spectrum), indent=None)
    run.update_manifest(
        kind="audit",
        dataset={
            "path": "nowhere", "name": "synthetic", "layout": "nnunet", "cases": cases, "ignore": None,
            "classes": {name: [number + 1] for number, name in enumerate(classes)}, "channels": ["CT"],
        },
        settings={},
        extractor={"name": "task", "title": "task", "why": ""},
    )  # fmt: skip
    files = (run.path / "cases" / f"{file_name(f'case_{index:06d}')}.json" for index in range(cases))
    return sum(file.stat().st_size for file in files) / 1e6


def record_text(record: Record) -> str:
    """The content of a record's file."""
    import json

    return json.dumps(record.to_dict())


def held() -> float:
    """The most memory this process ever held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder: str, page: bool) -> None:
    """What the measured process does: a line for each step, with seconds and the most held so far."""
    from aleaseg.report import write_report
    from aleaseg.scoring import write_tables

    run = Run(folder)
    print(f"imports\t0\t{held():.0f}", flush=True)
    started = time.perf_counter()
    write_tables(run, list(run.manifest["dataset"]["classes"]))
    print(f"tables and population\t{time.perf_counter() - started:.1f}\t{held():.0f}", flush=True)
    if page:
        started = time.perf_counter()
        write_report(run, None)
        print(f"page\t{time.perf_counter() - started:.1f}\t{held():.0f}", flush=True)


def row(cases: int, classes: int, page: bool) -> str:
    """Measure one size; returns its row of the table."""
    names = [f"class_{number:03d}" for number in range(classes)]
    folder = Path(tempfile.mkdtemp(prefix="population_"))
    try:
        run = Run(folder / "run")
        megabytes = fill(run, cases, names)
        started = time.perf_counter()
        command = [sys.executable, __file__, "--measure", str(run.path), *([] if page else ["--no-page"])]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds = time.perf_counter() - started
        steps = {
            name: (took, most) for name, took, most in (line.split("\t") for line in said.splitlines())
        }
        (tables, most), (drawn, whole) = steps["tables and population"], steps.get("page", ("", ""))
        return f"| {cases:,} | {classes} | {megabytes:,.0f} | {tables} | {most} | {drawn} | {whole} | {seconds:.0f} |"
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--classes", type=int, default=104)
    parser.add_argument("--no-page", action="store_true")
    parser.add_argument(
        "--commit", action="store_true", help="measure the committed sizes and write the table"
    )
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, not given.no_page)
        return
    sizes = [(10_000, 104, True), (100_000, 5, False)]
    if given.cases:
        sizes = [(given.cases, given.classes, not given.no_page)]
    lines = [
        "# From records to tables, population and page",
        "",
        f"`python benchmarks/population.py`, {platform.machine()}, {os.cpu_count()} cores, one process. "
        "Synthetic records, read from disk one at a time.",
        "",
        "| cases | classes | records, MB | tables and population, s | most memory so far, MB | page, s "
        "| most memory at the end, MB | all, s |",
        "|---|---|---|---|---|---|---|---|",
        *(row(*size) for size in sizes),
        "",
        "Memory is of the whole process; its imports take about 0.2 GB of it.",
        "",
    ]
    print("\n".join(lines))
    if given.commit:
        _TABLE.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
