"""What the package's own prompted network says of a case: S of its maps, and its outline against the mask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from aleaseg.case import Case, Dataset
from aleaseg.errors import CaseError
from aleaseg.extractors.base import ExtractorSettings, settled
from aleaseg.extractors.own import Own
from aleaseg.measures.label_agreement import dice
from aleaseg.networks.prompted import paste
from aleaseg.predictions.opinion import Opinion
from aleaseg.scoring.rivals import Number, unfolding
from aleaseg.spectral import semantic_perception_scale

__all__ = ["second_eye_numbers"]

_VARIANTS = {"raw": "own", "foreground": "own_foreground"}


def second_eye_numbers(case: Case, dataset: Dataset) -> Iterator[Number]:
    """`perception_scale` (variants `own`, `own_amplitude`, and of the mask-normalised image) and `own_dice`.

    Args:
        case: with a label; of several channels the first is looked at.
        dataset: for classes.
    """
    for normalize, variant in _VARIANTS.items():
        asked = ExtractorSettings("own", normalize=normalize, channel=0)
        eye = Own(settled(asked, Own.traits), dataset.with_cases(()))
        try:
            volume, label, picture = eye.stack(case)
            masks = dict(eye.masks(case, volume, label))
            opinions = eye.opinions(case)
        except CaseError:
            continue  # nothing annotated, or nothing to see in it: there is no such number
        for name, one in opinions.items():
            mask = masks[name]
            if one is None or mask is None:
                continue
            yield from _of_map(one, picture, variant, name)
            own = variant.partition("_")[2]
            yield "own_dice", own, name, dice(mask, _outline(one, mask.shape))


def _of_map(one: Opinion, picture: bool, variant: str, name: str) -> Iterator[Number]:
    values, unfold = unfolding(one.logits[0] if picture else one.logits)
    scale = semantic_perception_scale
    yield "perception_scale", variant, name, float(scale(values, unfold=unfold))
    yield "perception_scale", f"{variant}_amplitude", name, float(scale(values, unfold=unfold, power=1))


def _outline(one: Opinion, shape: tuple[int, ...]) -> np.ndarray:
    """(D, H, W): where the network says yes."""
    found = np.zeros(shape, dtype=bool)
    pasted = paste(torch.from_numpy(one.logits), one.window, (shape[1], shape[2]))
    found[one.first : one.first + len(one.logits)] = (pasted > 0).numpy()
    return found
