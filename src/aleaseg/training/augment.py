"""What is done to a patch so that a network does not learn cases by heart: MONAI's transforms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

__all__ = ["Augmentation", "augmentation", "untracked"]

Augmentation = Literal["none", "light", "strong"]


def augmentation(
    name: Augmentation, dims: int, *, label: Literal["nearest", "bilinear"] = "nearest"
) -> Any:
    """A transform of {"image": (channel, *patch), "label": (n, *patch)}; random by its own state alone.

    Args:
        name: `none`; `light`: small turns, scales, contrast and noise; `strong`: of the kinds, strengths
            and probabilities that nnU-Net 2.8 trains with, mirrored along every axis.
        dims: 2 or 3.
        label: how it is interpolated where it is turned: class indices by the nearest, confidences linearly. It is
            turned, scaled and mirrored as the image is, and its numbers are left alone.
    """
    from monai.transforms import Compose

    if name == "none":
        return Compose([])
    return Compose(_light(dims, label) if name == "light" else _strong(dims, label))


@contextmanager
def untracked() -> Iterator[None]:
    """Within, MONAI keeps no affine and no history of what it transforms: the numbers are the same, in less time."""
    from monai.data.meta_obj import get_track_meta, set_track_meta

    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)


def _light(dims: int, label: str) -> list[Any]:
    from monai.transforms import (
        RandAffined,
        RandGaussianNoised,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )

    return [
        RandAffined(
            keys=("image", "label"),
            prob=0.5,
            rotate_range=(0.15,) * (3 if dims == 3 else 1),
            scale_range=(0.1,) * dims,
            translate_range=(3,) * dims,
            mode=("bilinear", label),
            padding_mode="border",
        ),
        RandScaleIntensityd(keys="image", factors=0.2, prob=0.5),
        RandShiftIntensityd(keys="image", offsets=0.2, prob=0.5),
        RandGaussianNoised(keys="image", prob=0.2, std=0.2),
    ]


def _strong(dims: int, label: str) -> list[Any]:
    from monai.transforms import (
        RandAdjustContrastd,
        RandAffined,
        RandFlipd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
        RandScaleIntensityFixedMeand,
        RandSimulateLowResolutiond,
    )

    both = {"keys": ("image", "label"), "mode": ("bilinear", label), "padding_mode": "border"}
    blur = dict.fromkeys(("sigma_x", "sigma_y", "sigma_z"), (0.5, 1.0))
    gamma = {"keys": "image", "gamma": (0.7, 1.5), "retain_stats": True}
    return [
        RandAffined(**both, prob=0.2, rotate_range=(0.52,) * (3 if dims == 3 else 1)),
        RandAffined(**both, prob=0.2, scale_range=[(-0.3, 0.4)] * dims),
        RandGaussianNoised(keys="image", prob=0.1, std=0.3),
        RandGaussianSmoothd(keys="image", prob=0.2, **blur),
        RandScaleIntensityd(keys="image", prob=0.15, factors=0.25),
        RandScaleIntensityFixedMeand(keys="image", prob=0.15, factors=0.25, preserve_range=True),
        RandSimulateLowResolutiond(
            keys="image", prob=0.25, upsample_mode="trilinear" if dims == 3 else "bilinear"
        ),
        RandAdjustContrastd(**gamma, prob=0.1, invert_image=True),
        RandAdjustContrastd(**gamma, prob=0.3),
        *(RandFlipd(keys=("image", "label"), prob=0.5, spatial_axis=axis) for axis in range(dims)),
    ]
