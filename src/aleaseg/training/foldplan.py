"""The plan of cross-fitting: K trainings that differ by their cases and seeds alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aleaseg.run import Run
from aleaseg.training.plan import NetworkPlan, TrainingPlan, read_plan, write_plan
from aleaseg.training.preprocessing import Preprocessing
from aleaseg.training.schedule import Schedule

__all__ = ["FoldPlan", "copies_folder", "fold_file", "plan_file"]

_KIND, _VERSION = "fold plan", 2


def plan_file(run: Run) -> Path:
    """Where a run keeps the plan."""
    return run.path / "models" / "plan.json"


def copies_folder(run: Run) -> Path:
    """Where the working copies lie while the folds train."""
    return run.path / "models" / "prepared"


def fold_file(run: Run, fold: int, suffix: str) -> Path:
    """What there is of a fold: `.safetensors` its weights, `.json` its report, `.pt` a checkpoint.

    `.log`, of the first fold that a process does, is what that process said.
    """
    return run.path / "models" / f"fold_{fold}{suffix}"


@dataclass(frozen=True)
class FoldPlan:
    """Which cases are held out together, and how the others are trained on.

    Attributes:
        preprocessing, network, channels, classes: as of `TrainingPlan`, the same for every fold.
        folds: the cases that each holds out.
        groups: case -> group, as it was when the folds were dealt.
        files: case -> stamps of its files when it was prepared; None in the oldest plans.
        steps, batch: of each fold.
        seed: of the folds; each training has its own.
        device: `cpu` or `cuda`.
        inside: whether what the measures of a network's inside need is kept.
        failed: case -> why it has no prediction.
        objective: what each fold makes small, of `aleaseg.training.objectives`.
    """

    preprocessing: Preprocessing
    network: NetworkPlan
    channels: tuple[str, ...]
    classes: Mapping[str, tuple[int, ...]]
    folds: tuple[tuple[str, ...], ...]
    groups: Mapping[str, str]
    files: Mapping[str, Mapping[str, list[int]]] | None
    steps: int
    batch: int
    seed: int
    device: str
    inside: bool
    failed: Mapping[str, str]
    objective: str = "plain"

    def training(self, fold: int) -> TrainingPlan:
        """The training of a fold: on the cases of all others."""
        return TrainingPlan(
            self.preprocessing,
            self.network,
            self.channels,
            self.classes,
            self.objective,
            Schedule(self.steps, self.batch, seed=self.seed * 1000 + fold),
            tuple(case for other, cases in enumerate(self.folds) if other != fold for case in cases),
            self.folds[fold],
        )

    @property
    def fold_of(self) -> dict[str, int]:
        """Case -> the fold that holds it out."""
        return {case: fold for fold, cases in enumerate(self.folds) for case in cases}

    def write(self, run: Run) -> None:
        """Keep it."""
        write_plan(plan_file(run), _KIND, _VERSION, self)

    @classmethod
    def read(cls, run: Run) -> FoldPlan:
        """What `write` kept; also as it was before plans had a version.

        Raises:
            UsageError: it is missing, damaged, of another kind, or from a newer aleaseg.
        """
        return read_plan(plan_file(run), _KIND, _VERSION, cls._of, cls._of_first)

    @classmethod
    def _of(cls, kept: Mapping[str, Any]) -> FoldPlan:
        return cls(
            preprocessing=Preprocessing.from_dict(kept["preprocessing"]),
            network=NetworkPlan(**kept["network"]),
            channels=tuple(kept["channels"]),
            classes={name: tuple(values) for name, values in kept["classes"].items()},
            folds=tuple(map(tuple, kept["folds"])),
            **{name: kept[name] for name in ("groups", "files", "steps", "batch", "seed", "device")},
            inside=kept["inside"],
            failed=kept["failed"],
            objective=kept.get("objective", "plain"),
        )

    @classmethod
    def _of_first(cls, kept: Mapping[str, Any]) -> FoldPlan:
        """It knew one network, counted the channels, and named no class."""
        older = {"groups": {case: case for fold in kept["folds"] for case in fold}, "files": None}
        return cls._of(
            {
                **older,
                "inside": False,
                **kept,
                "preprocessing": kept,
                "network": {"name": "small"},
                "channels": [f"channel {number}" for number in range(kept["channels"])],
                "classes": {f"label {value}": [value] for value in kept["values"]},
            }
        )
