"""What a reproduction is asked to do: presets, and what is said beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from aleaseg.settings import Device, Option, Settings, table_or_regex, whole_path

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
        extractor: whose AUV cuts where the paper has MedSAM2.
        seeds: trainings of every row, from the seeds 0, 1, ...; the paper has one.
        randoms: cuts by lot beside each cut; the paper has none.
    """

    trainer: str
    size: str
    steps: int | None
    patch: Mapping[int, tuple[int, ...]]
    batch: int | None
    crossfit_steps: int | None
    extractor: str
    seeds: int
    randoms: int


PRESETS = {
    "paper": Preset("paper", "paper", None, {}, None, None, "medsam2", 1, 5),
    "tiny": Preset("small", "tiny", 150, {2: (64, 64), 3: (32, 64, 32)}, 4, 60, "own", 1, 2),
}
"""`paper`: section 4 of arXiv 2604.10963, for a GPU. `tiny`: the same grid with small networks and few steps, for
two cores: that the way is open, no number worth quoting."""


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    """`a,b`, or names already."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(name.strip() for name in parts if name.strip())


@dataclass(frozen=True)
class ReproduceSettings(Settings):
    """What decides the numbers of a reproduction; written whole into its manifest."""

    data: Annotated[
        str | Path, Option("A folder with the data sets, or one of them.", "FOLDER", form=whole_path)
    ]
    preset: Annotated[
        str, Option("paper: its protocol, for a GPU; tiny: a trial on two cores.", choices=tuple(PRESETS))
    ] = "paper"
    datasets: Annotated[
        tuple[str, ...],
        Option("Only these of the data sets in the folder: lits,word,...", "A,B", form=_names),
    ] = ()
    extractor: Annotated[
        str, Option("The extractor whose AUV makes the cuts; default: medsam2, with tiny own.", "NAME")
    ] = ""
    target: Annotated[str, Option("Class of the one-class rows; default: the tumour.", "CLASS")] = ""
    steps: Annotated[int | None, Option("Steps of every training; default: the preset's.", least=1)] = None
    crossfit_steps: Annotated[int | None, Option("Steps of each fold of the task network.", least=1)] = None
    seeds: Annotated[int | None, Option("Trainings of every row.", least=1)] = None
    randoms: Annotated[int | None, Option("Random cuts of the same size beside each cut.", least=0)] = None
    groups: Annotated[
        str | None,
        Option(
            "Cases that stay on one side of the split: a regex on ids, or a CSV.",
            "REGEX|CSV",
            form=table_or_regex,
        ),
    ] = None
    device: Device = "auto"

    @property
    def protocol(self) -> Preset:
        """The preset, with what is said beside it."""
        preset = PRESETS[self.preset]
        said = {
            name: value
            for name in ("steps", "crossfit_steps", "seeds", "randoms")
            if (value := getattr(self, name)) is not None
        }
        return replace(preset, extractor=self.extractor or preset.extractor, **said)
