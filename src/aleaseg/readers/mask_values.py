"""What the values of masks mean where nothing declares them: two values in several writings, grey levels, or classes.

A binary mask may be stored as 0 and 1, as pictures store it (0 and 255) or in 16 bits (0 and 65535); one
data set may mix them. A mask of two that was packed with loss (JPEG) or smoothed has many grey levels,
nearly all voxels at the two ends, and hardly two neighbours in between that are alike: it is cut at half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Finding
from aleaseg.errors import CaseError, UsageError
from aleaseg.readers.headers import note
from aleaseg.readers.voxels import read_label

__all__ = [
    "Guess",
    "Seen",
    "between_only",
    "guess_binary",
    "look_into",
    "looks_like_mask",
    "turned_round",
    "value_counts",
]

# How a binary mask writes "inside".
_INSIDE = (1, 255, 65535)
_FEWEST_GREYS = 3
_AT_ENDS = 0.8
_ALIKE = 0.6
# Of the foreground between the ends: what JPEG leaves, what smoothing of a small lesion leaves; and how much of
# that may lie within a tenth of the range (a third where blobs were smoothed, at most).
_LOSS, _SMOOTH, _CROWD = 0.15, 0.6, 0.33
_FEWEST_BLURRED = 12
_ALONE = 0.4
# As many structures as there are names for, and how many neighbours of their voxels have the same number.
_MOST_OF_MASK, _ALIKE_IN_MASK = 256, 0.45
_LOOKED_AT = 20_000
_FEWEST = 10
_THIN = 0.8
_BULK = 0.2
# A wider range of values than any number of classes is sorted, not counted.
_MOST_COUNTED = 4096


@dataclass(frozen=True)
class Seen:
    """What one mask holds.

    Attributes:
        path: the file.
        values: foreground values, sorted.
        grey: whether they look like the grey levels of a mask of two.
        blurred: whether most of them have no inside, as grey levels between several classes.
        around: a value of its own that lies along the border of the mask, with 0 inside; 0 where there is none.
    """

    path: Path
    values: tuple[int, ...]
    grey: bool
    blurred: bool = False
    around: int = 0


@dataclass(frozen=True)
class Guess:
    """Masks of two values, and how "inside" is written in them.

    Attributes:
        to_one: values that mean 1.
        drop: values that mean 0.
        notes: what was guessed.
    """

    to_one: tuple[int, ...]
    drop: tuple[int, ...] = ()
    notes: tuple[Finding, ...] = ()


def look_into(labels: Sequence[tuple[str, Path]], most: int) -> dict[str, Seen]:
    """What each of some masks holds; one that cannot be read tells nothing here (the check names it).

    Args:
        labels: (case id, file).
        most: more different values in all of them than this, grey levels apart, cannot be classes.

    Raises:
        UsageError: there are so many values.
    """
    seen: dict[str, Seen] = {}
    found: set[int] = set()
    for case, path in labels:
        try:
            label = read_label(path, case).array
        except CaseError:
            continue
        values = np.unique(label)
        grey = _is_grey(label, values)
        blurred = not grey and _is_blurred(label, values)
        seen[case] = Seen(
            path, tuple(int(value) for value in values if value > 0), grey, blurred, _around(label)
        )
        found.update(() if grey or (blurred and len(values) <= most) else values.tolist())
        if len(found) > most:
            raise UsageError(
                f"{path} and others hold {len(found)} different label values; expected the numbers of "
                "classes; if these are images, rename the folder; else name the classes with --classes"
            )
    return seen


def turned_round(seen: Mapping[str, Seen]) -> list[Finding]:
    """A note where most masks have 0 inside and another value around it, as where 0 means what is marked."""
    turned = {case: one for case, one in seen.items() if one.around}
    if 2 * len(turned) <= len(seen):
        return []
    case, one = next(iter(turned.items()))
    return [
        note(
            case,
            "background_inside",
            "0 around what is marked",
            f"{one.around} along the border and 0 inside it in {len(turned)} of {len(seen)} masks, such as "
            f"{one.path.name}",
            f"0 was read as background; if {one.around} is the background, write the masks the other way round",
        )
    ]


def _around(label: NDArray) -> int:
    """The value of nine tenths of the border, where 0 lies inside alone."""
    inner = label[tuple(slice(1, -1) if length > 2 else slice(None) for length in label.shape)]
    values, inside = np.unique(label, return_counts=True)
    rest = dict(zip(*np.unique(inner, return_counts=True), strict=True))
    border = inside - [rest.get(value, 0) for value in values]
    most = int(border.argmax())
    alone = values[most] > 0 and border[most] >= 0.9 * max(1, border.sum())
    return int(values[most]) if alone and 0 in rest else 0


def guess_binary(seen: Mapping[str, Seen]) -> Guess | None:
    """How these masks write two values; None where they hold several classes.

    Args:
        seen: by case, from `look_into`.

    Raises:
        UsageError: 1 and 255 in one mask may be one class or two, or grey masks lie among others that no cut fits.
    """
    grey = {case: one for case, one in seen.items() if one.grey}
    blurred = [one for one in seen.values() if one.blurred]
    plain = {case: one for case, one in seen.items() if not (one.grey or one.blurred) and one.values}
    if len(blurred) > len(plain) + len(grey):
        raise UsageError(
            f"{len(blurred)} of {len(seen)} masks, such as {blurred[0].path}, hold grey levels "
            f"({len(blurred[0].values)} values, most of them without an inside): masks of several classes, packed "
            "with loss or smoothed; write them again as PNG with one number per class, or name the classes with "
            "--classes"
        )
    if grey and len(grey) >= len(plain):
        return _cut(grey, plain)
    values = {value for one in plain.values() for value in one.values}
    if len(values) <= 1:
        # 2 in a mask whose sample holds 0 and 1 must stay 2, and be found as undeclared.
        return Guess(tuple(sorted({*values, 1, 255})))
    if not values <= set(_INSIDE):
        return None
    both = next((one for one in plain.values() if len(one.values) > 1), None)
    if both is not None:
        told = " and ".join(map(str, both.values))
        raise UsageError(
            f"{both.path} holds the values {told} beside 0, which may be one class, two, or a border that nobody "
            f"outlined; name what they are: --classes foreground={'+'.join(map(str, both.values))}, or "
            f"--classes foreground={both.values[0]},border={both.values[-1]}"
        )
    counts = {
        value: [case for case, one in plain.items() if value in one.values] for value in sorted(values)
    }
    told = ", ".join(f"0 and {value} in {len(cases)}" for value, cases in counts.items())
    rare = min(counts.values(), key=len)[0]
    return Guess(
        tuple(sorted({*values, 1, 255})),
        notes=(
            note(
                rare,
                "mixed_values",
                "one way to write a mask of two values",
                f"{told} of the masks that were looked into, such as {plain[rare].path.name}",
                "all were read as one class; name the classes with --classes if they are several",
            ),
        ),
    )


def _cut(grey: Mapping[str, Seen], plain: Mapping[str, Seen]) -> Guess:
    top = max(one.values[-1] for one in grey.values())
    half = (top + 1) // 2
    low = next((one for one in plain.values() if one.values[-1] < half), None)
    first = next(iter(grey))
    if low is not None:
        raise UsageError(
            f"{grey[first].path} holds {len(grey[first].values)} grey levels up to {top}, and {low.path} values up to "
            f"{low.values[-1]}; write all masks alike, with 0 and 1, or one number per class"
        )
    levels = sorted(len(one.values) for one in grey.values())
    return Guess(
        tuple(range(half, top + 1)) if top < 1 << 16 else (),
        tuple(range(1, half)),
        (
            note(
                first,
                "grey_mask",
                "two values, or one number per class",
                f"{levels[0]} to {levels[-1]} grey levels in {len(grey)} of {len(grey) + len(plain)} masks, such as "
                f"{grey[first].path.name}: they look like masks of two values, packed with loss or smoothed",
                f"they were read as background below {half} and foreground from {half} on; write them again as PNG "
                "with two values, or name the classes with --classes",
            ),
        ),
    )


def _is_grey(label: NDArray, values: NDArray) -> bool:
    """Whether the values of a mask are those of a lossy or smoothed mask of two."""
    top = int(values[-1]) if len(values) else 0
    between = values[(values > 0) & (values < top)]
    if top < 8 or len(between) < _FEWEST_GREYS or top >= 1 << 16 or values[0] < 0:
        return False
    counts = np.bincount(label.ravel(), minlength=top + 1)
    tenth = max(1, top // 10)
    ends = counts[: tenth + 1].sum() + counts[top - tenth :].sum()
    if ends < _AT_ENDS * label.size or _has_middle(counts, top):
        return False
    at = _sample(np.flatnonzero((label > 0) & (label < top)))
    own, beside = _neighbours(label, at)
    return bool((beside == own[:, None]).mean() < _ALIKE)


def _has_middle(counts: NDArray[np.intp], top: int) -> bool:
    """Whether grey levels crowd somewhere between the ends, as about a class of their own.

    Loss leaves few between the ends, and smoothing spreads them evenly; a class in between does neither.
    """
    between = counts[int(np.ceil(0.2 * top)) : int(0.8 * top) + 1]
    share = between.sum() / max(1, counts[top // 5 :].sum())
    crowd = np.convolve(between, np.ones(max(1, top // 10))).max() / max(1, between.sum())
    return bool(share > _LOSS and (share > _SMOOTH or crowd > _CROWD))


def _is_blurred(label: NDArray, values: NDArray) -> bool:
    """Whether most values of a mask lie alone: so loss and smoothing leave several classes."""
    if len(values) < _FEWEST_BLURRED:
        return False
    own, beside = _neighbours(label, _sample(np.flatnonzero(label)))
    alike = (beside == own[:, None]).mean(axis=1)
    found, place = np.unique(own, return_inverse=True)
    means = np.bincount(place, weights=alike) / np.bincount(place)
    return bool(len(found) >= _FEWEST_BLURRED and (means < _ALONE).mean() > 0.5)


def looks_like_mask(label: NDArray) -> list[int]:
    """The values of an array, if these few areas of one number each are rather a mask than an image; else nothing.

    Args:
        label: (*spatial) whole numbers.
    """
    values = np.unique(label)
    if not 1 < len(values) <= _MOST_OF_MASK:
        return []
    own, beside = _neighbours(label, _sample(np.flatnonzero(label != values[0])))
    alike = bool((beside == own[:, None]).mean() >= _ALIKE_IN_MASK)
    return values.tolist() if alike or _is_grey(label, values) else []


def value_counts(label: NDArray) -> dict[int, int]:
    """Every value of a label map, and at how many voxels it is.

    Args:
        label: (*spatial) whole numbers.

    >>> value_counts(np.array([[0, 7], [-1, 7]]))
    {-1: 1, 0: 1, 7: 2}
    """
    low, high = (int(label.min()), int(label.max())) if label.size else (0, 0)
    if high - low > _MOST_COUNTED:
        values, counts = np.unique(label, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))
    # A volume sorted by value would take a second; counted slice by slice it takes a tenth and no memory.
    total = np.zeros(high - low + 1, np.intp)
    for flat in label if label.ndim > 2 else label[None]:
        total += np.bincount(flat.ravel().astype(np.intp) - low, minlength=len(total))
    return {low + int(place): int(total[place]) for place in np.flatnonzero(total)}


def between_only(label: NDArray) -> list[tuple[int, int]]:
    """(value, voxels) of classes that lie only between lower and higher values, one voxel thin.

    So interpolation leaves a mask of whole numbers: a rim of 1 around every 2.

    Args:
        label: (*spatial) whole numbers.
    """
    at = _sample(np.flatnonzero(label))
    if not len(at):
        return []
    own, beside = _neighbours(label, at)
    values, counts = np.unique(own, return_counts=True)
    if len(values) < 2:
        return []
    thin = np.asarray((beside < own[:, None]).any(axis=1) & (beside > own[:, None]).any(axis=1))
    inner = np.asarray((beside == own[:, None]).all(axis=1))
    found = []
    for value, count in zip(values[:-1], counts[:-1], strict=True):
        here = np.asarray(own == value)
        # Noise is thin everywhere; what is interpolated lies about something that has an inside.
        above = np.isin(own, np.unique(beside[here][beside[here] > value]))
        if count >= _FEWEST and thin[here].mean() >= _THIN and above.any() and inner[above].mean() >= _BULK:
            found.append((int(value), int(np.count_nonzero(label == value))))
    return found


def _sample(at: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most so many places, evenly spaced."""
    if len(at) <= _LOOKED_AT:
        return at
    return at[np.linspace(0, len(at) - 1, _LOOKED_AT).astype(np.intp)]


def _neighbours(label: NDArray, at: NDArray[np.intp]) -> tuple[NDArray, NDArray]:
    """The values at some places (n,), and those of their neighbours along the axes (n, 2 * axes); a border repeats."""
    places = np.array(np.unravel_index(at, label.shape))
    beside = []
    for axis, length in enumerate(label.shape):
        for step in (-1, 1):
            moved = places.copy()
            moved[axis] = np.clip(moved[axis] + step, 0, length - 1)
            beside.append(label[tuple(moved)])
    return label.ravel()[at], np.stack(beside, axis=1)
