"""What a reproduction is asked to do: presets, and what is said beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from aleaseg.errors import UsageError

__all__ = ["PRESETS", "Preset", "ReproduceSettings"]


@dataclass(frozen=True)
class Preset:
    """How every run of a reproduction is made.

    Attributes:
        trainer: preset of `aleaseg.training`.
        size: of the networks.
        steps: of a training; None: the trainer's preset.
        patch: edges in voxels, by the number of axes; empty: the trainer's preset. Swin-UNETR wants multiples of
            32, one of them longer than 32.
        batch: patches a step; None: the trainer's preset.
        crossfit_steps: of each fold of the task network; None: a rule on the data.
        eye: whose AUV cuts where the paper has MedSAM2.
        seeds: trainings of every row, from the seeds 0, 1, ...; the paper has one.
        randoms: cuts by lot beside each cut; the paper has none.
    """

    trainer: str
    size: str
    steps: int | None
    patch: Mapping[int, tuple[int, ...]]
    batch: int | None
    crossfit_steps: int | None
    eye: str
    seeds: int
    randoms: int


PRESETS = {
    "paper": Preset("paper", "paper", None, {}, None, None, "medsam2", 1, 5),
    "tiny": Preset("small", "tiny", 150, {2: (64, 64), 3: (32, 64, 32)}, 4, 60, "own", 1, 2),
}
"""`paper`: section 4 of arXiv 2604.10963, for a GPU. `tiny`: the same grid with small networks and few steps, for
two cores: that the way is open, no number worth quoting."""


@dataclass(frozen=True)
class ReproduceSettings:
    """What decides the numbers of a reproduction; written whole into its manifest.

    Attributes:
        data: a folder with data sets.
        preset: of `PRESETS`.
        datasets: which of them; empty: those of the paper that are there, else all in nnU-Net's layout.
        eye: whose AUV cuts; empty: the preset's.
        target: the class of class-specific cuts and rows; empty: the data set's (the tumour).
        steps, crossfit_steps, seeds, randoms: None: the preset's.
        groups: cases that share a side of the split, as `open_dataset` takes it.
        device: `auto`, `cpu` or `cuda`.
    """

    data: str
    preset: str = "paper"
    datasets: tuple[str, ...] = ()
    eye: str = ""
    target: str = ""
    steps: int | None = None
    crossfit_steps: int | None = None
    seeds: int | None = None
    randoms: int | None = None
    groups: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.preset not in PRESETS:
            raise UsageError(f"unknown preset {self.preset!r}; expected one of: {', '.join(PRESETS)}")
        for name, least in (("steps", 1), ("crossfit_steps", 1), ("seeds", 1), ("randoms", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} is {value}; expected at least {least}")

    @property
    def protocol(self) -> Preset:
        """The preset, with what is said beside it."""
        preset = PRESETS[self.preset]
        said = {
            name: value
            for name in ("steps", "crossfit_steps", "seeds", "randoms")
            if (value := getattr(self, name)) is not None
        }
        return replace(preset, eye=self.eye or preset.eye, **said)
