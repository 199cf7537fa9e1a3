"""Reasons: a code and a number for the tables, a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["LEAST_STRENGTH", "Reason", "direction_words", "in_words", "joined"]

# What is weaker than this is never told.
LEAST_STRENGTH = 1.5
# code, strength (robust z, high = doubtful), number shown
Reason = tuple[str, float, float]

_SENTENCES = {
    "oof_dice": "{of}the mask and the prediction overlap little (Dice {value:.2f})",
    "own_dice": "{of}the package's own network, shown the mask's boxes, sees another outline (Dice {value:.2f})",
    "softmin": "some voxels are labelled against a confident prediction (softmin {value:.3f})",
    "false_positive": "{of}the mask is empty, but {value:.2g} times the usual size is predicted there",
    "absent": "{of}the mask is empty, although {value:.0%} of the cases have this class",
    "volume_low": "{of}the mask is very small ({value:.2g} times the usual size)",
    "volume_high": "{of}the mask is very large ({value:.2g} times the usual size)",
    "components": "{of}{value:.0%} of the mask lies outside its largest piece",
    "border": "{of}{value:.0%} of the mask lies on the border of the image: is it cut off?",
    "order": "{of}the two lie the other way round than usual: swapped classes or sides? "
    "(robust z {value:+.1f})",
}
_IMAGE = {
    "noise": ("more noise than usual", "less noise than usual (smoothed?)"),
    "sharp": ("grainier than usual{axis}", "blurrier than usual{axis}"),
    "ghost": ("an echo of the anatomy{axis} (ghosting?)", "less echo than usual{axis}"),
    "contrast": ("more contrast than usual", "less contrast than usual"),
    "dark": ("dark tissue is unusually bright", "dark tissue is unusually dark"),
    "middle": ("grey values are unusually bright", "grey values are unusually dark"),
    "bright": ("bright tissue is unusually bright", "bright tissue is unusually dark"),
    "tail": ("more strong local differences than usual", "fewer strong local differences than usual"),
    "peaks": (
        "more very strong local differences than usual (streaks, spikes?)",
        "fewer very strong local differences than usual",
    ),
    "focus": (
        "grey values spread over more of the image than usual",
        "fewer bright voxels carry the image than usual",
    ),
    "tilt": (
        "brighter towards the far end than usual{axis}",
        "darker towards the far end than usual{axis}",
    ),
    "bend": ("brighter at both ends than usual{axis}", "darker at both ends than usual{axis}"),
    "uneven": ("slices change less evenly than usual{axis}", "slices change more evenly than usual{axis}"),
    "skew": ("few very bright voxels (skewed grey values)", "few very dark voxels (skewed grey values)"),
    "border": ("more of the body is cut by the border than usual", "less reaches the border than usual"),
    "fov": ("a larger field of view than usual{axis}", "a smaller field of view than usual{axis}"),
    "image": ("an unusual mixture of grey values, noise and sharpness", "an ordinary image"),
}
_AXES = {"d": " across the slices", "h": " down the slice", "w": " across the slice"}


def _safe(class_name: str) -> str:
    """Class names may hold the signs that the list of reasons is made of."""
    return "".join(" " if sign in ";=:" else sign for sign in class_name).strip()


def joined(reasons: Iterable[Reason], least: float = 3.0, most: int = 5) -> str:
    """The strongest reasons as `code=value; code=value`; at least one where any is worth telling.

    >>> joined([("noise", 5.2, 5.2), ("oof_dice:liver", 9.1, 0.31), ("skew", 1.0, 1.0)])
    'oof_dice:liver=0.31; noise=5.2'
    """
    ordered = sorted(reasons, key=lambda reason: -reason[1])
    strong = [reason for reason in ordered if reason[1] >= least][:most]
    if not strong:
        strong = [reason for reason in ordered[:1] if reason[1] >= LEAST_STRENGTH]
    parts = []
    for code, _, value in strong:
        kind, _, of = code.partition(":")
        parts.append(f"{kind}{':' + _safe(of) if of else ''}={value:.3g}")
    return "; ".join(parts)


def direction_words(kind: str, value: float) -> str | None:
    """The sentence for a statistic of the image, or None if it is none."""
    name, _, rest = kind.partition("_")
    axis, _, channel = rest.partition("_")
    if name not in _IMAGE:
        return None
    if axis.isdigit():
        axis, channel = "", axis
    sentence = _IMAGE[name][0 if value >= 0 else 1].format(axis=_AXES.get(axis, ""))
    where = f" in channel {channel}" if channel else ""
    return f"{sentence}{where} (robust z {value:+.1f})"


def in_words(reasons: str) -> list[str]:
    """One sentence for each reason of a `reasons` cell.

    >>> in_words("oof_dice:liver=0.31; sharp_h=-5.2")
    ['liver: the mask and the prediction overlap little (Dice 0.31)', \
'blurrier than usual down the slice (robust z -5.2)']
    """
    sentences = []
    for part in filter(None, (piece.strip() for piece in reasons.split(";"))):
        code, _, number = part.rpartition("=")
        kind, of_a_class, of = code.partition(":")
        try:
            value = float(number)
        except ValueError:
            sentences.append(part)
            continue
        # `border` is a statistic of the image, `border:liver` one of a mask.
        found = None if of_a_class else direction_words(kind, value)
        if found is None and kind in _SENTENCES:
            found = _SENTENCES[kind].format(of=f"{of}: " if of else "", value=value)
        sentences.append(found or part)
    return sentences
