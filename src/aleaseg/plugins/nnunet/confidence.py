"""Confidences inside nnU-Net 2.8: how sure the annotator was of each voxel (arXiv 2508.15635).

    nnUNetTrainerConfidence    soft targets, weights, squared error, or thresholds drawn anew each step

nnU-Net's targets are label maps through cropping, resampling, augmentation and deep supervision. So the
label is a map of confidences in m steps (`aleaseg.levels.ConfidenceMap`, written by `aleaseg confidence`),
with one region for each class, and a network of nnU-Net's regions learns it, a sigmoid for each class. The
training samples are not made regions, which would keep q > 0 alone: they stay steps until the loss, which
looks up what each step is to teach (`aleaseg.training.targets`).

Validation and prediction are nnU-Net's own. It holds predictions against its regions, every voxel with
q > 0, where p >= .5 is what is learnt: its numbers are low, and compare trainings of one way alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.levels import CONFIDENCE_KEY, LEVELS_KEY, ConfidenceMap
from aleaseg.plugins.nnunet.base import TrainerBase, as_list
from aleaseg.plugins.nnunet.options import ConfidenceOptions
from aleaseg.training.regions import over_the_batch, region_loss
from aleaseg.training.targets import Strategy, parse_strategy, targets

__all__ = ["nnUNetTrainerConfidence"]

_WRITTEN_BY = "aleaseg confidence DATA -o DatasetNNN_NAME --labels soft|weight|regress|sample"


class nnUNetTrainerConfidence(TrainerBase):  # noqa: N801
    """Learns how sure the annotator was of each voxel.

    Attributes:
        strategy: how; there from `initialize` on.
        stated: what the label values mean; likewise.
    """

    family = ConfidenceOptions
    method = "nnUNetTrainerConfidence"

    options: ConfidenceOptions
    strategy: Strategy
    stated: ConfidenceMap

    # -- the beginning ----------------------------------------------------------------------------

    def _prepare(self) -> None:
        self.stated, written_for = self._declared()
        self.strategy = parse_strategy(self.options.labels or written_for)

    def _declared(self) -> tuple[ConfidenceMap, str]:
        """What the data set's label values mean, and the way that it was written for.

        Raises:
            UsageError: they are no confidences.
        """
        about = self.dataset_json
        name, declared = self.plans_manager.dataset_name, about.get(CONFIDENCE_KEY)
        if declared is None:
            known = (
                f"the levels of {', '.join(about[LEVELS_KEY].get('classes', []))}, which stock nnUNetTrainer learns"
                if isinstance(about.get(LEVELS_KEY), dict)
                else f"the labels {', '.join(map(str, about['labels']))}"
            )
            raise UsageError(
                f"{name} has {known}, and no {CONFIDENCE_KEY!r} in its dataset.json; expected a map of confidences; "
                f"write one with {_WRITTEN_BY}"
            )
        try:
            stated = ConfidenceMap.from_dict(declared)
            written_for = self.family.read({self.family.variable("labels"): str(declared["labels"])}).labels
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise UsageError(
                f"{CONFIDENCE_KEY!r} in the dataset.json of {name} cannot be read ({error}); write the data set "
                f"again with {_WRITTEN_BY}"
            ) from error
        labels = {
            key: values for key, values in about["labels"].items() if key not in ("background", "ignore")
        }
        if list(labels.items()) != [(key, list(values)) for key, values in stated.regions.items()]:
            raise UsageError(
                f"the labels of {name} are {labels}; expected {stated.steps} steps of each class, "
                f"{ {key: list(values) for key, values in stated.regions.items()} }; write the data set again with "
                f"{_WRITTEN_BY}"
            )
        assert written_for is not None
        return stated, written_for

    def _about(self) -> str:
        steps, classes = self.stated.steps, ", ".join(self.stated.classes)
        return f"Confidences, learnt by {self.strategy} ({steps} steps of {classes})"

    def _tell(self) -> None:
        super()._tell()
        self.print_to_log_file(
            "Validation holds against every voxel with q > 0: val_loss, pseudo Dice, checkpoint_best, summary.json. "
            "`aleaseg evaluate --at` holds predictions against the confidences"
        )

    def get_training_transforms(self, *given: Any, **named: Any) -> Any:
        """NnU-Net's own, without the last step, which would make regions of what are confidences."""
        return super().get_training_transforms(*given, **{**named, "regions": None})

    # -- a step -----------------------------------------------------------------------------------

    def _loss(self, output: Any, target: Any, ids: Sequence[str], data: Tensor) -> Tensor:
        tables = self._tables(len(data), data.device)
        levels = zip(self.shares, as_list(output), as_list(target), strict=True)
        losses = [share * self._loss_at(logits, label, *tables) for share, logits, label in levels if share]
        return torch.stack(losses).sum()

    def _loss_at(self, logits: Tensor, label: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Of one output: (B, C, *spatial) logits, (B, 1, *spatial) label values, and the tables."""
        t = _look_up(y, label)
        w = None if weight is None else _look_up(weight, label)
        if self.configuration_manager.batch_dice:
            logits, t = over_the_batch(logits), over_the_batch(t)
            w = None if w is None else over_the_batch(w)
        return region_loss(logits, t, w, self.strategy.loss)

    def _tables(self, samples: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Target and weight of every label value, (samples, C, values) each; a sample of `sample` has its own draw."""
        ignore = self.label_manager.ignore_label
        label = np.arange(self.stated.values[-1] + 1 + (ignore is not None))
        q = self.stated.decode(label)
        q[:, label == ignore] = np.nan
        step = (self.options.seed, self.local_rank, self.current_epoch, self._iteration)
        made = [targets(q, self.strategy, np.random.default_rng((*step, n))) for n in range(samples)]
        y, weight = (
            None if tables[0] is None else torch.from_numpy(np.stack(tables)).to(device)
            for tables in zip(*made, strict=True)
        )
        assert y is not None
        return y, weight

    # -- checkpoints ------------------------------------------------------------------------------

    def _state_beside(self) -> dict[str, Any]:
        return {"parameter_groups": 0, "labels": str(self.strategy), "stated": self.stated.to_dict()}

    def _restore_beside(self, kept: Mapping[str, Any]) -> None:
        before = (kept["labels"], ConfidenceMap.from_dict(kept["stated"]))
        if before != (str(self.strategy), self.stated):
            raise SettingsDiffer(
                f"the training learnt `{before[0]}` of {before[1]}, and {self.plans_manager.dataset_name} now has "
                f"`{self.strategy}` of {self.stated}; write the data set as it was, or start a new training"
            )


def _look_up(tables: Tensor, label: Tensor) -> Tensor:
    """(B, C, values) at (B, 1, *spatial) label values: (B, C, *spatial)."""
    return torch.stack([table[:, values[0].long()] for table, values in zip(tables, label, strict=True)])
