"""Reasons: a code and a number for the tables, a sentence for people.

A reason speaks of one axis of doubt, the image or the mask. Its sentence says what a reader of the
scan would see; the robust z behind it stands apart, for whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

__all__ = [
    "LEAST_STRENGTH",
    "WAYS",
    "WAYS_OF_A_PICTURE",
    "Z_MEANS",
    "Reason",
    "Told",
    "in_words",
    "joined",
    "merged",
    "told",
]

LEAST_STRENGTH = 3.0
"""Robust z below which nothing stands out: there a doubt is 0.5."""
Z_MEANS = "z: how many robust standard deviations beyond the usual of this data set"
"""What z is, wherever it is shown: on the page, in the review, in the help of the program and in the docs."""
Reason = tuple[str, float, float]
"""Code, strength (robust z, high = doubtful), number shown."""

WAYS = {
    "d": "between the slices",
    "h": "from top to bottom of the slice",
    "w": "from left to right of the slice",
}
"""The axes of a volume where nobody knows how it lies in the patient."""
WAYS_OF_A_PICTURE = {"h": "from top to bottom", "w": "from left to right"}
"""The axes of what has no slices."""


@dataclass(frozen=True)
class Told:
    """One reason, ready for a page.

    Attributes:
        code: as in the table, without its number: `sharp_h`, `oof_dice:liver`.
        axis: `image` or `mask`: which doubt it explains.
        value: the number in the table.
        sentence: for people.
        detail: the robust z, where the sentence does not hold the number; else empty.
        way: the array axis that it names, `d`, `h` or `w`; empty: none.
        of: the class that it names; empty: none.
    """

    code: str
    axis: Literal["image", "mask"]
    value: float
    sentence: str
    detail: str = ""
    way: str = ""
    of: str = ""


def _size(value: float) -> str:
    times = f"({value:.2g} times the usual size)"
    if value < 1:
        return f"very small {times}" if value < 0.5 else f"smaller than usual {times}"
    return f"very large {times}" if value > 2 else f"larger than usual {times}"


def _overlap(value: float) -> str:
    how = (
        "hardly overlap" if value < 0.3 else "overlap little" if value < 0.7 else "overlap less than usual"
    )
    return f"the mask and the prediction {how} (Dice {value:.2f})"


def _outline(value: float) -> str:
    how = "another outline" if value < 0.7 else "an outline that differs more than usual"
    return f"the package's own network, shown the mask's boxes, sees {how} (Dice {value:.2f})"


def _softmin(value: float) -> str:
    how = (
        "some voxels are labelled against a confident prediction"
        if value < 0.1
        else "some voxels are labelled against the prediction"
        if value < 0.5
        else "the prediction is less sure of the labels than usual"
    )
    return f"{how} (softmin {value:.3f})"


def _share(value: float) -> str:
    """A share in percent; near to none and to all with the digits that tell it from them."""
    digits = 0 if 0.01 <= value <= 0.99 or value in (0, 1) else 2
    return f"{value:.{digits}%}"


_MASK: Mapping[str, Callable[[float], str]] = {
    "oof_dice": _overlap,
    "own_dice": _outline,
    "softmin": _softmin,
    "false_positive": lambda value: (
        f"the mask is empty, but {value:.2g} times the usual size is predicted there"
    ),
    "absent": lambda value: f"the mask is empty, although {_share(value)} of the cases have this class",
    "volume_low": lambda value: f"the mask is {_size(value)}",
    "volume_high": lambda value: f"the mask is {_size(value)}",
    "components": lambda value: f"the mask is in pieces, the largest holds {_share(1 - value)}",
    "border": lambda value: f"{_share(value)} of the mask lies on the border of the image: is it cut off?",
    "rough": lambda value: (
        f"the border is rougher than usual ({value:.1%} of the mask is thin spikes and edges)"
    ),
    "smooth": lambda value: (
        f"the border is smoother than usual ({value:.1%} of the mask is spikes and edges)"
    ),
    "coarse": lambda value: (
        f"the border looks drawn on a coarser grid (straight for {value:.1f} voxels on average)"
    ),
    "ragged": lambda value: (
        f"the border has more corners than usual (straight for {value:.1f} voxels on average)"
    ),
    "coarse_across": lambda value: (
        "between the slices the border runs straight for longer than usual "
        f"({value:.1f} voxels; repeated slices, a coarser grid?)"
    ),
    "ragged_across": lambda value: (
        "between the slices the border jumps more often than usual "
        f"(straight for {value:.1f} voxels; missing slices?)"
    ),
    "contrast": lambda value: "the image shows no clear border where the mask ends",
    "order": lambda value: "the two lie the other way round than usual: swapped classes or sides?",
    "mask": lambda value: "an unusual mixture of overlap, size, pieces, place and border of the mask",
}
# Of these the number is a robust z, and the sentence does not hold it.
_Z = ("contrast", "order", "mask")

_IMAGE = {
    "noise": ("more noise than usual", "less noise than usual (smoothed?)"),
    "sharp": ("coarse grain{way}", "blurred{way}"),
    "ghost": (
        "a second, shifted copy of the anatomy{way} (ghosting, wrap-around?)",
        "less repeating structure than usual{way}",
    ),
    "contrast": ("more contrast than usual", "less contrast than usual"),
    "dark": ("dark areas are unusually bright", "dark areas are unusually dark (cut off at black?)"),
    "middle": ("most of the image is unusually bright", "most of the image is unusually dark"),
    "bright": ("bright areas are unusually bright (saturated?)", "bright areas are unusually dark"),
    "tail": ("more edges and spots than usual", "fewer edges and spots than usual"),
    "peaks": (
        "more sharp edges and bright spots than usual (streaks, spikes?)",
        "fewer sharp edges than usual",
    ),
    "focus": (
        "brightness is spread over more of the image than usual (motion?)",
        "a small part of the image holds the brightness",
    ),
    "tilt": ("one side brighter{way} (coil shading?)", "one side brighter{way} (coil shading?)"),
    "bend": ("both ends brighter{way} (coil shading?)", "both ends darker{way} (coil shading?)"),
    "uneven": ("jumps{way}", "changes more evenly than usual{way}"),
    "skew": ("a few very bright voxels", "a few very dark voxels"),
    "border": (
        "more of the body is cut off at the border than usual",
        "less reaches the border than usual",
    ),
    "fov": ("a larger field of view than usual{way}", "a smaller field of view than usual{way}"),
    "image": ("an unusual mixture of grey values, noise and sharpness", "an ordinary image"),
}
# What is read from slice to slice has its own words.
_BETWEEN_SLICES = {
    "uneven": (
        "jumps from slice to slice (thick, repeated or missing slices?)",
        "slices change more evenly than usual",
    ),
    "sharp": ("neighbouring slices differ unusually much (order, motion?)", "blurred{way} (thick slices?)"),
}


def _safe(class_name: str) -> str:
    """Class names may hold the signs that the list of reasons is made of."""
    return "".join(" " if sign in ";=:" else sign for sign in class_name).strip()


def joined(reasons: Iterable[Reason]) -> str:
    """Reasons as `code=value; code=value`, in their order.

    >>> joined([("oof_dice:liver", 9.1, 0.31), ("noise", 5.2, 5.2)])
    'oof_dice:liver=0.31; noise=5.2'
    """
    parts = []
    for code, _, value in reasons:
        kind, _, of = code.partition(":")
        parts.append(f"{kind}{':' + _safe(of) if of else ''}={value:.3g}")
    return "; ".join(parts)


def _of_image(code: str, value: float, ways: Mapping[str, str]) -> Told | None:
    """A statistic of the image, or None if it is none: `noise`, `noise_0`, `sharp_h`, `sharp_h_1`."""
    name, _, rest = code.partition("_")
    way, _, channel = rest.partition("_")
    if name not in _IMAGE:
        return None
    if way.isdigit():
        way, channel = "", way
    words = _BETWEEN_SLICES[name] if way == "d" and name in _BETWEEN_SLICES else _IMAGE[name]
    sentence = words[0 if value >= 0 else 1].format(way=f" {ways[way]}" if way in ways else "")
    where = f" in channel {channel}" if channel else ""
    return Told(code, "image", value, sentence + where, f"robust z {value:+.1f}", way)


def told(reasons: str, ways: Mapping[str, str] = WAYS, *, one_class: bool = False) -> list[Told]:
    """What stands in a `reasons` cell, reason by reason.

    Args:
        reasons: the cell.
        ways: what the array axes d, h and w are called, such as `in the head-foot direction`.
        one_class: whether the data set has one class alone: then no sentence begins with its name.

    >>> [one.axis for one in told("oof_dice:liver=0.31; sharp_h=-5.2")]
    ['mask', 'image']
    """
    found = []
    for part in filter(None, (piece.strip() for piece in reasons.split(";"))):
        code, _, number = part.rpartition("=")
        kind, of_a_class, of = code.partition(":")
        try:
            value = float(number)
        except ValueError:
            found.append(Told(part, "image", float("nan"), part))
            continue
        # `border` is a statistic of the image, `border:liver` one of a mask.
        one = None if of_a_class else _of_image(kind, value, ways)
        if one is None:
            words = _MASK[kind](value) if kind in _MASK else part
            begin = f"{of}: " if of and not one_class and kind in _MASK else ""
            detail = f"robust z {value:+.1f}" if kind in _Z else ""
            one = Told(code, "mask" if kind in _MASK else "image", value, begin + words, detail, of=of)
        found.append(one)
    return found


def merged(reasons: Sequence[Told], ways: Mapping[str, str] = WAYS) -> list[Told]:
    """The same of several axes in one sentence, at the place and by the code and z of the first.

    >>> [one.sentence for one in merged(told("sharp_h=-5.2; noise=-4; sharp_w=-4.1"))]
    ['blurred from top to bottom of the slice and from left to right of the slice', 'less noise than usual (smoothed?)']
    """
    found: dict[tuple[str, bool, str], list[Told]] = {}
    for one in reasons:
        named = one.way in ways and f" {ways[one.way]}" in one.sentence
        # What is said without naming an axis stands alone.
        words = one.sentence.replace(f" {ways[one.way]}", "{}") if named else one.sentence + one.code
        found.setdefault((words, one.value > 0, one.of), []).append(one)
    joint = []
    for (words, *_), same in found.items():
        if len(same) > 1:
            said = [ways[one.way] for one in same]
            where = "in every direction" if len(said) == len(ways) == 3 else " and ".join(said)
            joint.append(replace(same[0], sentence=words.replace("{}", f" {where}")))
        else:
            joint.append(same[0])
    return joint


def in_words(reasons: str, ways: Mapping[str, str] = WAYS, *, one_class: bool = False) -> list[str]:
    """One sentence for each reason of a `reasons` cell, as `told` has it.

    >>> in_words("oof_dice:liver=0.31; sharp_h=-5.2")
    ['liver: the mask and the prediction overlap little (Dice 0.31)', 'blurred from top to bottom of the slice']
    """
    return [one.sentence for one in told(reasons, ways, one_class=one_class)]
