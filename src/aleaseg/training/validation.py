"""How well a training does on cases held out, epoch by epoch: nnU-Net's pseudo-Dice, and a loss.

The same patches in every epoch: with TP, FP and FN counted over all of them,

    pseudo-Dice_c = 2 TP_c / (2 TP_c + FP_c + FN_c)

It is no Dice of whole cases, but costs next to nothing. The loss is the plain one whatever
the training makes small, so that trainings with different objectives can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aleaseg.levels import at_least
from aleaseg.training.augment import augmentation
from aleaseg.training.batches import batch_at
from aleaseg.training.copies import WorkingCopy
from aleaseg.training.plan import TrainingPlan
from aleaseg.training.preprocessing import IGNORE
from aleaseg.training.schedule import Schedule
from aleaseg.training.targets import parse_strategy

if TYPE_CHECKING:
    import torch

__all__ = ["Validated", "Validation", "pseudo_dice", "pseudo_dice_of_regions"]

# Of the steps of an epoch: 50 batches after 250, as in nnU-Net.
_SHARE = 5
# Others than those of the training.
_SEED = 1_000_000


@dataclass(frozen=True)
class Validated:
    """What an epoch came to on the cases held out.

    Attributes:
        loss: mean over the batches.
        dice: class -> pseudo-Dice in [0, 1], high = good; NaN where no patch has the class, or is said to.
    """

    loss: float
    dice: Mapping[str, float]


def pseudo_dice(found: torch.Tensor, target: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
    """(3,) TP, FP and FN of a class over a batch.

    Args:
        found: class indices (B, *patch).
        target: class indices (B, *patch), `IGNORE` where nobody annotated.
        indices: that make up the class.
    """
    import torch

    wanted = torch.as_tensor(indices, device=found.device)
    counted = target != IGNORE
    said, true = torch.isin(found, wanted) & counted, torch.isin(target, wanted)
    return _counts(said, true)


def pseudo_dice_of_regions(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, levels: int
) -> torch.Tensor:
    """(C, 3) TP, FP and FN of each class where confidences are learnt: of p >= .5 against t >= .5.

    Where levels are learnt p is q^, the mean of the levels, none above the one below it; and t their mean.

    Args:
        logits: (B, C levels, *patch), raw.
        target: the same in [0, 1].
        weight: >= 0; where it is 0 a voxel does not count.
        levels: channels for each class.
    """
    import torch

    grid = (len(logits), -1, levels, *logits.shape[2:])
    p, t = logits.float().sigmoid().reshape(grid), target.reshape(grid)
    counted = torch.ones_like(t) if weight is None else weight.reshape(grid)
    counts = (counted > 0).all(2)
    said = at_least(p.cummin(2).values.mean(2), 0.5) & counts
    true = at_least(t.mean(2), 0.5) & counts
    return torch.stack([_counts(said[:, c], true[:, c]) for c in range(said.shape[1])])


def _counts(said: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.stack([(said & true).sum(), (said & ~true).sum(), (~said & true).sum()])


class Validation:
    """Patches of the cases held out, and a network's answer to them.

    Args:
        cases: working copies.
        plan: of the training: its patch and classes.
        schedule: of the training; its batch and seed count.
        device: `cpu` or `cuda`.
    """

    def __init__(
        self, cases: Sequence[WorkingCopy], plan: TrainingPlan, schedule: Schedule, device: str
    ) -> None:
        places = {value: index for index, value in enumerate(plan.preprocessing.values, start=1)}
        self.classes = {name: [places[value] for value in values] for name, values in plan.classes.items()}
        self.cases, self.patch, self.device = cases, plan.preprocessing.grid.patch, device
        self.labels = plan.strategy
        if self.labels is not None and self.labels.kind == "sample":
            self.labels = parse_strategy("soft")  # no lot is drawn: what samples are on the average
        batch = min(schedule.batch, max(1, len(cases)))
        self.schedule = replace(schedule, batch=batch, seed=schedule.seed + _SEED)
        self.batches = -(-(schedule.epoch_steps or schedule.steps) // _SHARE) if cases else 0

    def __call__(self, network: torch.nn.Module) -> Validated:
        """Look; the network is left in evaluation."""
        import torch

        from aleaseg.training.objective import Objective, Plain, finest
        from aleaseg.training.regions import Regions

        labels = self.labels
        plain: Objective = Plain()
        if labels is not None:
            plain = Regions("semimetric" if labels.soft else "objective")
        as_it_is = augmentation("none", len(self.patch))
        network.eval()
        counts = {name: torch.zeros(3, dtype=torch.long, device=self.device) for name in self.classes}
        losses = []
        with (
            torch.inference_mode(),
            torch.autocast(self.device, torch.bfloat16, self.schedule.precision == "bfloat16"),
        ):
            for number in range(self.batches):
                batch = batch_at(number, self.cases, self.patch, self.schedule, as_it_is, labels=labels).on(
                    self.device
                )
                logits = finest(network(batch.image))
                losses.append(float(plain.of(logits, batch)))
                if labels is None:
                    found = logits.argmax(1)
                    for name, indices in self.classes.items():
                        counts[name] += pseudo_dice(found, batch.target[:, 0], indices)
                    continue
                of_each = pseudo_dice_of_regions(logits, batch.target, batch.weight, labels.levels)
                for name, three in zip(self.classes, of_each, strict=True):
                    counts[name] += three
        mean = sum(losses) / len(losses) if losses else float("nan")
        return Validated(mean, {name: _dice(*map(int, three)) for name, three in counts.items()})


def _dice(both: int, only_found: int, only_true: int) -> float:
    total = 2 * both + only_found + only_true
    return 2 * both / total if total else float("nan")
