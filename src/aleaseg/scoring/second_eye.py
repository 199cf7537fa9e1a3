"""What the package's own prompted network says of a case: S of its maps, and its outline against the mask."""

from __future__ import annotations

from collections.abc import Iterator

from aleaseg.case import Case, Dataset
from aleaseg.errors import CaseError
from aleaseg.extractors.base import ClassMap, ExtractorSettings, settled
from aleaseg.extractors.own import Own
from aleaseg.scoring.rivals import Number, unfolding
from aleaseg.spectral import semantic_perception_scale as scale

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
            maps = [one for one in eye.class_maps(case) if isinstance(one, ClassMap)]
        except CaseError:
            continue  # nothing annotated, or nothing to see in it: there is no such number
        for one in maps:
            values, unfold = unfolding(one.values)
            yield "perception_scale", variant, one.name, float(scale(values, unfold=unfold))
            amplitude = float(scale(values, unfold=unfold, power=1))
            yield "perception_scale", f"{variant}_amplitude", one.name, amplitude
            if one.overlap is not None:
                yield "own_dice", variant.partition("_")[2], one.name, one.overlap
