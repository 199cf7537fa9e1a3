"""A cell: one piece of work of a grid, done once, known by its name.

Scores      an eye looks at the training part of a data set: S, AUV, and with `task` every rival measure
Maps        the class maps of an eye, made small, for the embedding of Figure 5
Training    a network on what a cut leaves, tested on the test part
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Cell", "Maps", "Scores", "Subset", "Training"]


@dataclass(frozen=True)
class _Look:
    """An eye on a training part.

    Attributes:
        dataset: name of the source.
        eye: an extractor; `task` is cross-fitted, and brings every rival measure with it.
        normalize: `raw` (the paper's X-hat), `foreground` (its X), or empty where the eye has no choice.
    """

    dataset: str
    eye: str
    normalize: str = ""

    @property
    def name(self) -> str:
        """Stable, and the name of its folder."""
        return _joined(type(self).__name__.lower(), self.dataset, self.eye, self.normalize)

    @property
    def needs(self) -> tuple[Cell, ...]:
        """What must be done before."""
        return ()


class Scores(_Look):
    """S and AUV by an eye."""


class Maps(_Look):
    """Class maps of a training part, made small."""

    @property
    def needs(self) -> tuple[Cell, ...]:
        """What must be done before."""
        return (Scores(self.dataset, self.eye, self.normalize),)


@dataclass(frozen=True)
class Subset:
    """What is left out of a training (Eq. 7: keep what is no worse than F^-1(keep)).

    Attributes:
        by: `auv` of the eye, a measure of `aleaseg.scoring.catalogue`, or `random`.
        keep: share that stays, in (0, 1].
        eye, normalize: of the scores; empty for `random`.
        target: a class, for a cut by its AUV alone; empty: the whole case.
        lot: which of several random cuts, from 1; 0 for the others.
    """

    by: str
    keep: float
    eye: str = ""
    normalize: str = ""
    target: str = ""
    lot: int = 0

    @property
    def name(self) -> str:
        """A part of the cell's name."""
        by = f"{self.by}{self.lot}" if self.by == "random" else self.by
        return _joined(by, self.eye, self.normalize, self.target, f"{100 * self.keep:g}", by="_")


@dataclass(frozen=True)
class Training:
    """A network, trained and tested.

    Attributes:
        dataset: name of the source.
        network: of `aleaseg.networks`.
        objective: of `aleaseg.training.objectives`; or `static_s` or `static_freq`: fixed weights, by the mean S
            of each class, or by how rare it is.
        cut: what is left out; None: nothing.
        seed: of weights and batches.
        eye: for `static_s`, whose S.
    """

    dataset: str
    network: str = "unet"
    objective: str = "plain"
    cut: Subset | None = None
    seed: int = 0
    eye: str = ""

    @property
    def name(self) -> str:
        """Stable, and the name of its folder."""
        cut = "all" if self.cut is None else self.cut.name
        return _joined("train", self.dataset, self.network, self.objective, self.eye, cut, f"s{self.seed}")

    @property
    def needs(self) -> tuple[Cell, ...]:
        """What must be done before."""
        found: list[Cell] = []
        if self.cut is not None and self.cut.by != "random":
            found.append(Scores(self.dataset, self.cut.eye, self.cut.normalize))
        if self.objective.startswith("static_"):
            found.append(Scores(self.dataset, self.eye, "foreground"))
        return tuple(dict.fromkeys(found))


Cell = Scores | Maps | Training


def _joined(*parts: str, by: str = "-") -> str:
    """A name for a folder on any file system.

    >>> _joined("train", "lits", "", "duo:alpha=0.5")
    'train-lits-duo.alpha.0.5'
    """
    return by.join(re.sub(r"[^A-Za-z0-9._+]+", ".", part) for part in parts if part)
