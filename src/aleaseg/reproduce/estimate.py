"""What a grid would take: runs, hours, disk. An estimate, and said to be one.

Where cells of the same kind are finished, theirs counts; else a step's cost that is assumed for one device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from aleaseg.extractors.base import Traits
from aleaseg.reproduce.cells import Cell, Maps, Training
from aleaseg.reproduce.datasets import Prepared
from aleaseg.reproduce.grid import Grid, with_needs
from aleaseg.reproduce.settings import ReproduceSettings

__all__ = ["Estimate", "estimate"]

# Seconds of a training step. Two patches of 96^3 for `paper`: measured on an H100, assumed on a CPU. Four of
# 32 x 64 x 32 for `tiny`: on a CPU measured at 0.65, 2.0 and 1.4 s of one core (another: 0.3, 1.1, 0.9).
_STEP_SECONDS: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("paper", "cuda"): {"unet": 0.055, "swin_unetr": 0.125, "umamba": 0.06},
    ("paper", "cpu"): {"unet": 25.0, "swin_unetr": 60.0, "umamba": 40.0},
    ("tiny", "cuda"): {"unet": 0.05, "swin_unetr": 0.08, "umamba": 0.08},
    ("tiny", "cpu"): {"unet": 0.45, "swin_unetr": 1.3, "umamba": 0.9},
}
# DUO's S and noise head beside the plain loss; on an H100 0.02 s more a step of `unet`.
_DUO_SHARE = {"cuda": 0.36, "cpu": 0.15}
# Reading and resampling a case for a training, and predicting and measuring one; of the paper's volumes.
_PREPARE_SECONDS = {"paper": 8.0, "tiny": 0.2}
_TEST_SECONDS = {"paper": {"cuda": 25.0, "cpu": 600.0}, "tiny": {"cuda": 0.5, "cpu": 1.5}}
# An eye on one case; of MedSAM2 and its like on a GPU, of a class.
_LOOK_SECONDS = {"cuda": 20.0, "cpu": 240.0}
_LIGHT_SECONDS = {"paper": 10.0, "tiny": 0.4}
_MEGABYTES = {"unet": 125.0, "swin_unetr": 250.0, "umamba": 170.0}
# The working copies of one case while a training lasts.
_COPY_MEGABYTES = {"paper": 250.0, "tiny": 0.5}
_STEPS = {"paper": 25_000}
_CROSSFIT_STEPS = 400


@dataclass(frozen=True)
class Estimate:
    """What a grid would take from here on.

    Attributes:
        runs: cells by kind, of all.
        done: cells that are finished.
        hours: of one device, for those that are not and can be done.
        without: eyes whose weights are not here.
        blocked: cells that need them; they fail until the weights are fetched.
        blocked_hours: that those would take.
        gigabytes: that stay.
        peak_gigabytes: that one training needs beside them while it lasts.
        basis: what the hours rest on, in words.
    """

    runs: Mapping[str, int]
    done: int
    hours: float
    without: Sequence[str]
    blocked: int
    blocked_hours: float
    gigabytes: float
    peak_gigabytes: float
    basis: str


def estimate(
    cells: Sequence[Cell],
    grid: Grid,
    datasets: Mapping[str, Prepared],
    settings: ReproduceSettings,
    device: str,
) -> Estimate:
    """Of a grid and all that it needs; what is finished takes nothing more, and tells what the others take."""
    every = with_needs(cells)
    left = [cell for cell in every if not grid.done(cell)]
    measured = _measured(every, grid)
    blind = _without_weights(every)
    seconds, blocked, from_measured = 0.0, list[float](), 0
    for cell in left:
        known = measured.get(_like(cell))
        from_measured += known is not None
        takes = known if known is not None else _seconds(cell, datasets[cell.dataset], settings, device)
        if blind & {one.eye for one in (cell, *cell.needs) if not isinstance(one, Training)}:
            blocked.append(takes)
        else:
            seconds += takes
    megabytes = sum(_kept_megabytes(cell, datasets[cell.dataset], settings) for cell in every)
    peak = max((datasets[cell.dataset].train for cell in every if isinstance(cell, Training)), default=0)
    basis = (
        "the costs of a training step on an H100, measured, and of all else, assumed; a card of the RTX 4090 class "
        "may need two to three times as long for the steps"
        if device == "cuda"
        else "assumed costs of a step on two CPU cores"
    )
    if from_measured:
        basis = f"{from_measured} of {len(left)} cells by finished ones like them, the others by {basis}"
    return Estimate(
        Counter(type(cell).__name__.lower() for cell in every),
        len(every) - len(left),
        seconds / 3600,
        sorted(blind),
        len(blocked),
        sum(blocked) / 3600,
        megabytes / 1024,
        peak * 1.25 * _COPY_MEGABYTES[_scale(settings)] / 1024,
        basis,
    )


def _without_weights(cells: Sequence[Cell]) -> set[str]:
    """Eyes of these cells whose weights were not fetched."""
    from aleaseg.extractors.weights import find

    eyes = {cell.eye for cell in cells if not isinstance(cell, Training)}
    asked = {eye: _traits(eye) for eye in eyes}
    return {
        eye
        for eye, traits in asked.items()
        if traits.weights and not traits.bundled and not find(traits.weights)
    }


def _traits(eye: str) -> Traits:
    from aleaseg.extractors import extractor_class

    return extractor_class(eye).traits


def _scale(settings: ReproduceSettings) -> str:
    return "paper" if settings.protocol.size == "paper" else "tiny"


def _like(cell: Cell) -> tuple[str, ...]:
    """Cells that take about the same time."""
    if isinstance(cell, Training):
        return ("training", cell.dataset, cell.network)
    return (type(cell).__name__, cell.dataset, cell.eye)


def _measured(cells: Sequence[Cell], grid: Grid) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], list[float]] = {}
    for cell in cells:
        made = grid.result(cell)
        if made is not None and "failed" not in made and "seconds" in made:
            found.setdefault(_like(cell), []).append(float(made["seconds"]))
    return {like: median(seconds) for like, seconds in found.items()}


def _seconds(cell: Cell, data: Prepared, settings: ReproduceSettings, device: str) -> float:
    scale = _scale(settings)
    cases = data.train + data.test
    if isinstance(cell, Training):
        steps = settings.protocol.steps or _STEPS.get(scale, _CROSSFIT_STEPS)
        step = _STEP_SECONDS[scale, device][cell.network]
        if cell.objective != "plain":
            step *= 1 + _DUO_SHARE[device]
        # A fifth as many validation batches, at a third of a step's cost.
        fit = steps * step * (1 + 0.2 / 3)
        return fit + cases * _PREPARE_SECONDS[scale] + data.test * _TEST_SECONDS[scale][device]
    eye = _traits(cell.eye)
    if eye.predictions:
        steps = 5 * (settings.protocol.crossfit_steps or _CROSSFIT_STEPS)
        return steps * 0.5 + data.train * 2 * _LIGHT_SECONDS[scale]
    if eye.bundled or not eye.brings_model:
        return data.train * _LIGHT_SECONDS[scale] * (2 if isinstance(cell, Maps) else 1)
    return data.train * min(len(data.classes), 8) * _LOOK_SECONDS[device]


def _kept_megabytes(cell: Cell, data: Prepared, settings: ReproduceSettings) -> float:
    if isinstance(cell, Training):
        weights = _MEGABYTES[cell.network] if _scale(settings) == "paper" else 2.0
        return weights + 0.3 * data.test
    return 0.3 * data.train * (20 if _traits(cell.eye).predictions else 1)
