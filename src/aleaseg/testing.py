"""What authors of plug-ins can test their work with.

from aleaseg.testing import check_extractor
check_extractor(MyExtractor(settings, dataset), case)
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from aleaseg.case import Case
from aleaseg.errors import UsageError
from aleaseg.extractors import ClassMap, Extractor, NoMap
from aleaseg.extractors.base import NORMALIZATIONS, PROMPTS, settled

__all__ = ["check_extractor"]

_KINDS = ("logit", "probability", "intensity")


def check_extractor(extractor: Extractor, case: Case) -> list[ClassMap]:
    """Hold an extractor to what the rest of the package relies on.

    Args:
        extractor: built for the data set that the case belongs to.
        case: one that it can look at; its voxels are read several times.

    Returns:
        The maps that it yielded.

    Raises:
        AssertionError: the message says what was expected.
    """
    traits, settings = extractor.traits, extractor.settings
    assert set(traits.prompts) <= set(PROMPTS), (
        f"prompts {traits.prompts}: expected some of {', '.join(PROMPTS)}"
    )
    assert set(traits.normalizations) <= set(NORMALIZATIONS), (
        f"unknown normalisation in {traits.normalizations}"
    )
    assert settings.prompt in traits.prompts, f"prompt {settings.prompt!r} is none of its own"
    _refuses_what_it_cannot(extractor)
    identity = extractor.identity()
    assert identity == extractor.identity(), "identity() differs from one call to the next"
    assert json.loads(json.dumps(identity))["name"] == extractor.name, (
        "identity() must be JSON, with the name"
    )
    image = case.read_image()
    cost = extractor.cost(image.geometry.shape, max(1, len(extractor.classes)))
    assert cost.seconds >= 0, "cost().seconds is below 0"
    assert cost.memory_bytes >= 0, "cost().memory_bytes is below 0"
    before = image.array.copy()
    found, again = list(extractor.class_maps(case)), list(extractor.class_maps(case))
    assert np.array_equal(case.read_image().array, before), "the image was changed"
    _names(extractor, found)
    for one, same in zip(found, again, strict=True):
        assert type(one) is type(same), (
            f"{one.name}: a map the first time and none the second, or the other way"
        )
        if isinstance(one, ClassMap) and isinstance(same, ClassMap):
            _map(one, image.geometry.shape)
            assert np.array_equal(one.values, same.values, equal_nan=True), f"{one.name}: not deterministic"
    return [one for one in found if isinstance(one, ClassMap)]


def _refuses_what_it_cannot(extractor: Extractor) -> None:
    asked = extractor.settings
    for field, value, wrong in (
        ("prompt", "no such prompt", replace(asked, prompt="no such prompt")),
        ("normalize", "no such rule", replace(asked, normalize="no such rule")),
    ):
        message = ""
        try:
            settled(wrong, extractor.traits)
        except UsageError as error:
            message = str(error)
        assert value in message, f"{field} {value!r} was not refused by name"


def _names(extractor: Extractor, found: list[ClassMap | NoMap]) -> None:
    names = [one.name for one in found]
    if not extractor.maps_classes:
        assert set(names) <= {""}, f"maps of the whole image have no name; came {sorted(set(names))}"
        return
    unknown = set(names) - set(extractor.classes)
    assert not unknown, f"maps of classes that the data set does not have: {sorted(unknown)}"
    for one in found:
        if isinstance(one, NoMap):
            assert one.why, f"{one.name}: no map, and no reason"
            assert one.why.isidentifier(), f"{one.name}: the reason {one.why!r} must be one word"


def _map(one: ClassMap, shape: tuple[int, ...]) -> None:
    name = one.name or "the whole image"
    assert one.kind in _KINDS, f"{name}: kind {one.kind!r}; expected one of {', '.join(_KINDS)}"
    assert one.values.dtype == np.float32, f"{name}: values are {one.values.dtype}; expected float32"
    assert one.values.ndim == len(shape), f"{name}: {one.values.ndim} axes for an image of {len(shape)}"
    assert one.kind == "intensity" or np.isfinite(one.values).all(), f"{name}: values that are not finite"
    first, last = one.z_range
    assert 0 <= first < last, f"{name}: z_range {one.z_range}; expected [first, last) with first < last"
    if one.presence is not None:
        slices = len(one.values) if one.values.ndim == 3 else 1
        assert len(one.presence) == slices, f"{name}: {len(one.presence)} presences for {slices} slices"
