"""What labels are made of confidences. Light: the command line reads it for its help."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from aleaseg.errors import UsageError
from aleaseg.settings import DatasetSettings, Option, table_or_regex

__all__ = ["LabellingSettings"]


@dataclass(frozen=True)
class LabellingSettings(DatasetSettings):
    """What decides the labels; written whole into the manifest."""

    _: KW_ONLY
    labels: Annotated[
        str,
        Option(
            "threshold:.6, ignore:.2,.6 or multi:.2,.4,.6,.8 for stock nnU-Net; soft, weight, regress or sample for "
            "nnUNetTrainerConfidence; `rater-norm+` before any: raters on one scale.",
            "WAY",
        ),
    ] = "threshold:.6"
    form: Annotated[str, Option("What is written.", names=("--as",), choices=("nnunet",))] = "nnunet"
    groups: Annotated[
        str | None,
        Option("Cases that share a fold: a regex on ids, or a CSV.", "REGEX|CSV", form=table_or_regex),
    ] = None
    folds: Annotated[int, Option("Folds of the splits, by group.", least=2)] = 5
    overlap: Annotated[
        float,
        Option("Share of the marked voxels in which two classes may collide; the surer one is kept."),
    ] = 0.01

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        from aleaseg.training.targets import parse_strategy

        super().__post_init__()
        strategy = parse_strategy(self.labels)
        if strategy.by_region:
            raise UsageError(
                f"--labels {self.labels}: inside nnU-Net a threshold is drawn for each sample; take sample, or "
                "aleaseg train"
            )
        # One form for what says the same.
        object.__setattr__(self, "labels", str(strategy))
        if not 0 <= self.overlap <= 1:
            raise UsageError(f"overlap is {self.overlap}; expected a share from 0 to 1")
