"""Whether numbers from outside are what they claim to be: probabilities, logits or label values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset
from aleaseg.errors import BadVoxels, Unreadable

__all__ = ["as_meant", "refuse_logits", "refuse_range", "refuse_sum", "refuse_unknown", "unknown_values"]

# Somewhat beyond 0 and 1: interpolation and scaled integers do that.
_BEYOND = 1e-3
# Several channels in half precision, or scaled to bytes.
_SUM = 0.02
_FEW = 1e-3
_PIECE = 1 << 20


def refuse_range(maps: NDArray, path: Path, case: Case) -> None:
    """Raise `Unreadable` where what should be probabilities are logits, bytes, percents or something else."""
    low, high = float(maps.min(initial=0)), float(maps.max(initial=0))
    if low >= -_BEYOND and high <= 1 + _BEYOND:
        return
    whole = bool((np.floor(maps) == maps).all())
    if low < 0:
        advice = "if they are logits, save them in an .npz under the key `logits`"
    elif whole and high <= 255:
        advice = f"if they are bytes or percents, divide them by {'255' if high > 100 else '255 or 100'}"
    elif high <= 100 + _BEYOND:
        advice = "if they are percents, divide them by 100; if logits, save them in an .npz as `logits`"
    else:
        advice = "save probabilities, or logits under the key `logits` of an .npz"
    raise Unreadable(
        case.id,
        f"values from {low:.4g} to {high:.4g} in {path.name}",
        "probabilities in [0, 1] that add up to 1 over the channels",
        advice,
    )


def refuse_sum(maps: NDArray, path: Path, case: Case) -> None:
    """Raise `Unreadable` where the channels of a softmax do not add up to 1.

    Args:
        maps: (channel, *spatial), background among them.
        path: for the message.
        case: likewise.
    """
    total = maps.sum(axis=0)
    off = np.abs(total - 1) > _SUM
    if np.count_nonzero(off) > _FEW * total.size:
        raise Unreadable(
            case.id,
            f"{len(maps)} channels in {path.name} that add up to {total.min():.4g} to {total.max():.4g}",
            "probabilities that add up to 1 over background and classes",
            "apply the softmax; a sigmoid for each class is read where classes overlap, as regions do",
        )


def refuse_logits(maps: NDArray, path: Path, case: Case) -> None:
    """Raise `Unreadable` where what is called logits are probabilities."""
    if len(maps) < 2 or maps.min(initial=0) < 0 or maps.max(initial=0) > 1 + _BEYOND:
        return
    if bool((np.abs(maps.sum(axis=0) - 1) <= _SUM).all()):
        raise Unreadable(
            case.id,
            f"values in [0, 1] that add up to 1 under the key `logits` in {path.name}",
            "what the network gives before its softmax",
            "save them under the key `probabilities`",
        )


def as_meant(label: NDArray, dataset: Dataset) -> NDArray:
    """Where there is one class, a mask of 0 and 255 as 0 and 1; and, where nothing declares its value, any."""
    if dataset.values != (1,):
        return label
    found = _distinct(label)
    foreground = found[found != 0]
    free = dataset.layout == "folder"
    if len(foreground) == 1 and (free or foreground[0] == 255):
        return (label != 0).astype(label.dtype)
    return label


def _distinct(label: NDArray) -> NDArray:
    """The values of a label map, sorted: piece by piece, since sorting copies."""
    flat = label.reshape(-1)
    pieces = [np.unique(flat[first : first + _PIECE]) for first in range(0, flat.size, _PIECE)]
    return np.unique(np.concatenate(pieces)) if pieces else flat


def unknown_values(label: NDArray, dataset: Dataset) -> list[int]:
    """Label values that mean nothing in the data set, sorted."""
    found = _distinct(label)
    known = [0, *dataset.declared, *dataset.values]
    return [int(value) for value in found[~np.isin(found, known)]]


def refuse_unknown(label: NDArray, path: Path, case: Case, dataset: Dataset) -> None:
    """Raise `BadVoxels` where a predicted label map holds values that mean nothing in the data set."""
    unknown = unknown_values(label, dataset)
    if not unknown:
        return
    told = ", ".join(map(str, unknown[:6])) + (f" and {len(unknown) - 6} more" if len(unknown) > 6 else "")
    advice = "predict with a model of this data set, or name the classes with --classes NAME=VALUE,..."
    if len(unknown) > 6 and unknown[0] >= 0 and unknown[-1] <= 255:
        advice = (
            "if they are probabilities as bytes or percents, save them as .npz in [0, 1]; if a picture was packed "
            "with loss, save label maps as PNG"
        )
    raise BadVoxels(
        case.id,
        f"the label values {told} in the prediction {path.name}",
        f"0 and {', '.join(map(str, dataset.declared or dataset.values))}",
        advice,
    )
