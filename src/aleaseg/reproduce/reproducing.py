"""The verb `reproduce`: declare grids, do their cells, write their tables."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aleaseg.errors import UsageError
from aleaseg.reproduce.cells import Cell
from aleaseg.reproduce.datasets import Prepared, find_sources, prepare, with_target
from aleaseg.reproduce.estimate import Estimate, estimate
from aleaseg.reproduce.figures import FIGURES, figure_cells, write_figures
from aleaseg.reproduce.filling import Table
from aleaseg.reproduce.grid import Grid, with_needs
from aleaseg.reproduce.settings import ReproduceSettings
from aleaseg.reproduce.tables import SWEEPS, TABLES, declare
from aleaseg.reproduce.work import Worker
from aleaseg.reproduce.writing import write_reproduced
from aleaseg.run import begin, versions
from aleaseg.work import Progress, choose_device, cores

__all__ = ["Plan", "Reproduced", "plan", "reproduce"]

KIND = "reproduction"
# Where it is computed may differ from machine to machine that shares the work.
_FREE = ("device",)


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        tables: declared.
        figures: cells that figures need, by what for; empty where none are asked for.
        datasets: by name.
        missing: data set of the paper -> what was expected where.
        grid: the state of cells.
    """

    tables: Sequence[Table]
    figures: Mapping[str, Cell]
    datasets: Mapping[str, Prepared]
    missing: Mapping[str, str]
    grid: Grid

    @property
    def cells(self) -> list[Cell]:
        """Every cell once, what it needs before it."""
        of_tables = [cell for table in self.tables for cell in table.cells]
        return with_needs([*of_tables, *self.figures.values()])


@dataclass(frozen=True)
class Reproduced:
    """How a reproduction ended.

    Attributes:
        pages: of tables and figures.
        failed: cell -> why.
        open: cells of other parts that are not done yet.
        missing: as of the plan.
    """

    pages: Sequence[Path]
    failed: Mapping[str, str]
    open: int
    missing: Mapping[str, str] = field(default_factory=dict)


def expand(names: Sequence[str]) -> list[str]:
    """`tables`, `sweep` and `all` in full.

    Raises:
        UsageError: an unknown name.

    >>> expand(["table2", "sweep"])[:2], len(expand(["all"]))
    (['table2', 'sweep_ratio'], 12)
    """
    groups = {
        "tables": TABLES,
        "sweep": SWEEPS,
        "all": (*TABLES, *SWEEPS, FIGURES),
    }
    found = [name for given in names for name in groups.get(given, (given,))]
    known = (*TABLES, *SWEEPS, FIGURES)
    unknown = next((name for name in found if name not in known), None)
    if unknown is not None or not found:
        raise UsageError(
            f"unknown table {unknown!r}; expected some of: {', '.join((*TABLES, FIGURES, *SWEEPS, *groups))}"
        )
    return list(dict.fromkeys(found))


def plan(names: Sequence[str], settings: ReproduceSettings, out: str | Path) -> Plan:
    """Find the data, fix the split, declare the grids; nothing is computed.

    Args:
        names: tables, `figures`, sweeps; or `tables`, `sweep`, `all`.
        settings: what is asked.
        out: the folder; new, empty, or begun with the same settings. Small files are written: data/, splits/.

    Raises:
        UsageError: the arguments cannot work, or the folder was made with others.
    """
    wanted, out = expand(names), Path(out).resolve()
    sources, missing = find_sources(Path(settings.data), settings.datasets)
    begin(out, KIND, settings.asked(), free=_FREE)
    datasets = [prepare(source, out, settings.groups) for source in sources]
    if settings.target:
        datasets = [
            with_target(data, settings.target) if settings.target in data.classes else data
            for data in datasets
        ]
        if not any(data.target == settings.target for data in datasets):
            with_target(datasets[0], settings.target)
    return Plan(
        [declare(name, datasets, settings) for name in wanted if name != FIGURES],
        figure_cells(datasets, settings) if FIGURES in wanted else {},
        {data.name: data for data in datasets},
        missing,
        Grid(out),
    )


def costs(made: Plan, settings: ReproduceSettings) -> list[tuple[str, Estimate]]:
    """What each table and the figures would take by themselves, and all together last."""
    # Somebody plans for a GPU on a machine without one.
    device = settings.device if settings.device == "cuda" else choose_device(settings.device)
    parts = [(table.name, table.cells) for table in made.tables]
    if made.figures:
        parts.append((FIGURES, list(made.figures.values())))
    if len(parts) > 1:
        parts.append(("together", made.cells))
    return [(name, estimate(cells, made.grid, made.datasets, settings, device)) for name, cells in parts]


def reproduce(
    names: Sequence[str],
    settings: ReproduceSettings,
    out: str | Path,
    *,
    part: int = 1,
    parts: int = 1,
    accept_licence: bool = False,
    command: str = "",
    progress: Progress = lambda stage, done, total: None,
    announce: Callable[[str], None] = lambda text: None,
) -> Reproduced:
    """Do what is not done, and write tables and figures of what is.

    Killed and started again it goes on. Several processes or machines may do it together, see
    `aleaseg.reproduce.grid`.

    Args:
        names: as of `plan`.
        settings: what is asked.
        out: the folder.
        part: which share of the cells is done here, from 1.
        parts: how many shares there are.
        accept_licence: you have read the licence of restricted weights and accept it.
        command: as it was typed, for the pages.
        progress: called with stage, done, total.
        announce: called with a line before each cell.

    Raises:
        UsageError: the arguments cannot work, or the folder was made with others.
    """
    if not 1 <= part <= parts:
        raise UsageError(f"part is {part} of {parts}; expected a number from 1 to {max(1, parts)}")
    folder = Path(out).resolve()
    made = plan(names, settings, folder)
    bench = Worker(made.grid, settings, made.datasets, accept_licence, progress)
    device = choose_device(settings.device, here=False)

    def tell(cell: Cell, done: int, total: int) -> None:
        left = estimate(made.cells, made.grid, made.datasets, settings, device).hours / parts
        announce(f"{cell.name} ({done} of {total} cells are done, about {left:.1f} hours are left)")

    failed = made.grid.run(made.cells, bench, part=part, parts=parts, tell=tell)
    about = _about(settings, made, device)
    pages = [write_reproduced(table, made.grid, about, command) for table in made.tables]
    if made.figures:
        pages.append(write_figures(made.figures, made.datasets, made.grid, about))
    unfinished = [cell for cell in made.cells if not made.grid.done(cell)]
    return Reproduced(
        pages,
        {cell.name: made.grid.failed(cell) for cell in failed},
        len([cell for cell in unfinished if not made.grid.failed(cell)]),
        made.missing,
    )


def _about(settings: ReproduceSettings, made: Plan, device: str) -> dict[str, str]:
    protocol = settings.protocol
    said: dict[str, Any] = {
        "preset": f"{settings.preset}: trainer {protocol.trainer}, networks {protocol.size}, steps "
        f"{protocol.steps or 'as the preset has them'}, seeds {protocol.seeds}, random cuts {protocol.randoms}, "
        f"extractor {protocol.extractor}",
        "data": "; ".join(
            f"{data.title}: {data.train} cases to train on, {data.test} to test on, classes {', '.join(data.classes)}"
            for data in made.datasets.values()
        ),
        "not there": "; ".join(made.missing.values())
        if any(d.of_paper for d in made.datasets.values())
        else "",
        "machine": f"{platform.system()} {platform.machine()}, {cores()} cores, {device}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }
    if settings.preset == "tiny":
        said["caveat"] = (
            "small networks, few steps: that every part works together, and no measure of what the paper claims"
        )
    return {name: str(text) for name, text in said.items() if text}
