"""The plan of a training: all that decides its numbers, made once and kept, so that a kill changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aleaseg import networks
from aleaseg.errors import NewerVersion, UsageError
from aleaseg.run import read_json, write_json
from aleaseg.training.preprocessing import Preprocessing
from aleaseg.training.schedule import Schedule
from aleaseg.training.targets import Strategy, parse_strategy

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NetworkPlan", "TrainingPlan", "read_plan", "write_plan"]

P = TypeVar("P")
Reader = Callable[[Mapping[str, Any]], P]
_KIND, _VERSION = "training plan", 2


@dataclass(frozen=True)
class NetworkPlan:
    """Which network.

    Attributes:
        name, size: of `aleaseg.networks`.
        deep_supervision: losses of several resolutions.
        dropout: share of channels that is dropped after every activation.
    """

    name: str
    size: str = "tiny"
    deep_supervision: bool = False
    dropout: float = 0.0

    @classmethod
    def chosen(
        cls, name: str, size: str, deep_supervision: bool = False, dropout: float = 0.0
    ) -> NetworkPlan:
        """A network that there is, with several outputs where they are asked for and to be had.

        Raises:
            UsageError: there is none of that name or size.
        """
        networks.check(name, size)
        return cls(name, size, deep_supervision and name in networks.DEEP_SUPERVISION, dropout)

    def build(self, preprocessing: Preprocessing, *, train: bool, regions: int | None = None) -> nn.Module:
        """The network with random weights, drawn from torch's global generator.

        Args:
            preprocessing: what it sees.
            train: with the outputs that only a training asks for.
            regions: channels, a sigmoid each; None: background and label values, a softmax.

        Raises:
            UsageError: the patch does not divide as the network would halve it.
        """
        grid = preprocessing.grid
        made = networks.build(
            self.name,
            dims=len(grid.patch),
            in_channels=len(preprocessing.normalisation),
            out_channels=1 + len(preprocessing.values) if regions is None else regions,
            patch=grid.patch,
            spacing_mm=grid.spacing_mm,
            levels=grid.levels,
            size=self.size,
            deep_supervision=train and self.deep_supervision,
        )
        if self.dropout:
            from aleaseg.networks.dropout import add_dropout

            add_dropout(made, self.dropout, len(grid.patch))
        return made


@dataclass(frozen=True)
class TrainingPlan:
    """What is trained, on which cases, and how.

    Attributes:
        preprocessing: how a case becomes what the network sees.
        network: which.
        channels: names of the image's channels.
        classes: name -> label values.
        objective: what is made small, of `aleaseg.training.objectives`.
        schedule: how long, how fast, from which seed.
        train, held_out: ids of the cases.
        notes: what is to be known of the split.
        failed: case -> why it cannot be used.
        labels: how confidences are learnt, see `aleaseg.training.targets`; empty: the label is learnt.
        rater_norm: how raters were brought to one scale, see `RaterNorm.to_dict`; None: they were not.
    """

    preprocessing: Preprocessing
    network: NetworkPlan
    channels: tuple[str, ...]
    classes: Mapping[str, tuple[int, ...]]
    objective: str
    schedule: Schedule
    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    labels: str = ""
    rater_norm: Mapping[str, Any] | None = None

    @property
    def strategy(self) -> Strategy | None:
        """How confidences are learnt; None: the label is learnt."""
        return parse_strategy(self.labels) if self.labels else None

    @property
    def regions(self) -> tuple[str, ...] | None:
        """Names of the network's channels where each is a sigmoid; None: background and label values, a softmax."""
        return None if self.strategy is None else self.strategy.channels(list(self.classes))

    def build(self, *, train: bool) -> nn.Module:
        """The network, see `NetworkPlan.build`."""
        regions = None if self.regions is None else len(self.regions)
        return self.network.build(self.preprocessing, train=train, regions=regions)

    def write(self, path: Path) -> None:
        """Keep it."""
        write_plan(path, _KIND, _VERSION, self)

    @classmethod
    def read(cls, path: Path) -> TrainingPlan:
        """What `write` kept; also as it was before plans had a version.

        Raises:
            UsageError: it is missing, damaged, of another kind, or from a newer aleaseg.
        """
        return read_plan(path, _KIND, _VERSION, cls._of, cls._of_first)

    @classmethod
    def _of(cls, kept: Mapping[str, Any]) -> TrainingPlan:
        return cls(
            preprocessing=Preprocessing.from_dict(kept["preprocessing"]),
            network=NetworkPlan(**kept["network"]),
            channels=tuple(kept["channels"]),
            classes={name: tuple(values) for name, values in kept["classes"].items()},
            objective=kept["objective"],
            schedule=Schedule(**kept["schedule"]),
            train=tuple(kept["train"]),
            held_out=tuple(kept["held_out"]),
            notes=tuple(kept["notes"]),
            failed=kept["failed"],
            labels=kept.get("labels", ""),
            rater_norm=kept.get("rater_norm"),
        )

    @classmethod
    def _of_first(cls, kept: Mapping[str, Any]) -> TrainingPlan:
        return cls._of({**kept, "preprocessing": kept, "schedule": kept["training"]})


def write_plan(path: Path, kind: str, version: int, plan: Any) -> None:
    """Keep a plan with its kind and version.

    Args:
        path: of the file.
        kind: what it is a plan of.
        version: of its form.
        plan: a dataclass.
    """
    write_json(path, {"kind": kind, "version": version, **asdict(plan)})


def read_plan(path: Path, kind: str, version: int, now: Reader[P], first: Reader[P]) -> P:
    """What `write_plan` kept.

    Args:
        path: of the file.
        kind: of the plan.
        version: of its form now.
        now: makes the plan of what was kept in this version.
        first: of what was kept before there were versions.

    Raises:
        UsageError: it is missing, damaged, or of another kind.
        NewerVersion: it is from a newer aleaseg.
    """
    kept = read_json(path)
    found = kept.get("version", 1) if isinstance(kept, dict) else None
    if found is None or kept.get("kind", kind) != kind:
        raise UsageError(f"{path} is not a {kind}; keep the files of one folder together")
    if found not in (1, version):
        raise NewerVersion(
            f"{path} is a {kind} of version {found}, and this aleaseg reads up to {version}; use the aleaseg that "
            "wrote it, or a newer one"
        )
    try:
        return now(kept) if found == version else first(kept)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{path} is not a complete {kind} ({type(error).__name__}: {error}); train again in another folder"
        ) from error
