"""What a network says of a case beside its logits, for the measures that ask for more.

`image_part` looks at the image alone; `mask_part` at the case's own mask as well.
Both are kept in the prediction's file, summarised to what the measures need: the
network is at hand only here.

    logits              (channel, *working) of the image as it is
    features            (channel, F) mean of the last features where each channel wins
    tta_dice            (values,) mean pairwise Dice of augmented predictions
    tta_information     () their mutual information near the prediction, nats
    logits_foreground   (channel, *working) of the image normalised by its own mask
    features_mask       (channel, F) mean of the last features inside the mask's values
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from aleaseg.measures.ensemble import mutual_information, pairwise_dice
from aleaseg.measures.label_agreement import near
from aleaseg.training.inference import predict_features, predict_logits
from aleaseg.training.preprocessing import IGNORE

if TYPE_CHECKING:
    import torch

__all__ = ["Units", "foreground_units", "image_part", "mask_part"]

Units = Sequence[tuple[float, float]]
# Test-time augmentation: changes of the kind and size that training used, each undone exactly.
_MEMBERS = 4
_SHIFT, _SCALE, _OFFSET, _NOISE = 3, 0.2, 0.2, 0.1


def _mean_features(features: NDArray, indices: NDArray, channels: int) -> NDArray[np.float32]:
    """(channel, F) mean feature of every class index; NaN where it has no voxel."""
    coarser = [max(1, round(n / m)) for n, m in zip(indices.shape, features.shape[1:], strict=True)]
    coarse = indices[tuple(slice(c // 2, None, c) for c in coarser)]
    shape = tuple(min(a, b) for a, b in zip(coarse.shape, features.shape[1:], strict=True))
    window = tuple(slice(0, n) for n in shape)
    coarse, features = coarse[window], features[(slice(None), *window)]
    means = [
        features[:, coarse == index].mean(axis=1)
        if (coarse == index).any()
        else np.full(len(features), np.nan)
        for index in range(channels)
    ]
    return np.stack(means).astype(np.float32)


def _augmented(
    network: torch.nn.Module, image: NDArray, patch: Sequence[int], device: str
) -> list[NDArray[np.float32]]:
    """Logits under small shifts, contrasts and noise, each brought back to the case's grid."""
    # From a fixed seed: a case that is predicted again gets the same number.
    rng = np.random.default_rng(0)
    axes = tuple(range(1, image.ndim))
    found = []
    for _ in range(_MEMBERS):
        steps = [int(rng.integers(-min(_SHIFT, n // 8), min(_SHIFT, n // 8) + 1)) for n in image.shape[1:]]
        moved = np.roll(np.asarray(image, dtype=np.float32), steps, axis=axes)
        moved = moved * rng.uniform(1 - _SCALE, 1 + _SCALE) + rng.uniform(-_OFFSET, _OFFSET)
        moved += _NOISE * rng.standard_normal(moved.shape, dtype=np.float32)
        logits = predict_logits(network, moved, patch, device)
        found.append(np.roll(logits, [-s for s in steps], axis=axes))
    return found


def image_part(
    network: torch.nn.Module, image: NDArray, patch: Sequence[int], device: str = "cpu"
) -> dict[str, NDArray]:
    """What the network says of an image (channel, *working) whose mask it does not know."""
    logits, features = predict_features(network, image, patch, device)
    channels = len(logits)
    predicted = logits.argmax(axis=0)
    members = [logits, *_augmented(network, image, patch, device)]
    labels = np.stack([member.argmax(axis=0) for member in members])
    anywhere: NDArray[np.bool_] = np.asarray((labels > 0).any(axis=0))
    where = near(predicted > 0, anywhere, 2)
    # Only near the prediction: far background is sure everywhere and would drown the rest.
    probabilities = np.stack([softmax(member[:, where], axis=0) for member in members])
    return {
        "logits": logits,
        "features": _mean_features(features, predicted, channels),
        "tta_dice": pairwise_dice(labels, range(1, channels)),
        "tta_information": np.asarray(mutual_information(probabilities)),
    }


def foreground_units(cases: Sequence[tuple[NDArray, NDArray]]) -> list[tuple[float, float]]:
    """Per channel the usual mean and standard deviation inside the masks, in the network's units.

    Args:
        cases: images (channel, *working) and class indices (*working).
    """
    found: list[list[tuple[float, float]]] = []
    for image, label in cases:
        inside = (label > 0) & (label != IGNORE)
        if inside.any():
            values = np.asarray(image, dtype=np.float32)[:, inside]
            found.append(list(zip(values.mean(axis=1).tolist(), values.std(axis=1).tolist(), strict=True)))
    if not found:
        return []
    mean, std = np.median(np.asarray(found), axis=0).T
    return list(zip(mean.tolist(), std.tolist(), strict=True))


def _by_own_mask(image: NDArray, inside: NDArray[np.bool_], units: Units) -> NDArray[np.float32]:
    """The image normalised by its own foreground, as nnU-Net normalises CT by the data set's.

    Clipped to the foreground's 0.5-99.5% range, its mean and standard deviation taken
    out; then brought to the usual foreground of the data, the same affine map for
    every case, since the network knows no other units.
    """
    out = np.empty(image.shape, dtype=np.float32)
    for channel, (mean, std) in enumerate(units):
        plane = np.asarray(image[channel], dtype=np.float32)
        values = plane[inside]
        low, high = np.percentile(values, [0.5, 99.5])
        own = np.clip(values, low, high)
        out[channel] = (np.clip(plane, low, high) - own.mean()) / max(float(own.std()), 1e-8) * std + mean
    return out


def mask_part(
    network: torch.nn.Module,
    image: NDArray,
    label: NDArray,
    patch: Sequence[int],
    units: Units,
    device: str = "cpu",
) -> dict[str, NDArray]:
    """What the network says of an image (channel, *working) that is looked at through a mask.

    Args:
        network: which never saw the case.
        image: on the working grid.
        label: class indices (*working), 0 background.
        patch: what the network saw in training.
        units: of `foreground_units`.
        device: `cpu` or `cuda`.

    Returns:
        Nothing for an empty mask.
    """
    inside = (label > 0) & (label != IGNORE)
    if not inside.any() or not units:
        return {}
    logits, features = predict_features(network, image, patch, device)
    through = predict_logits(network, _by_own_mask(image, inside, units), patch, device)
    return {"logits_foreground": through, "features_mask": _mean_features(features, label, len(logits))}
