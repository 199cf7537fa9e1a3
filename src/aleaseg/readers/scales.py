"""What a confidence of 7 means: the scale of a data set, as declared or as its numbers tell.

    {"scale": 10, "classes": ["liver", "tumour"], "ignore": -1}

stands under the key "confidence" of dataset.json, or in a confidence.json beside the images. The scale
belongs to the data set and never to a case: a case whose surest voxel has 1 of 10 would pass for certain.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.errors import UsageError
from aleaseg.readers.json_once import loads_once

__all__ = ["Declaration", "Span", "decide_scale", "declared_confidence", "span_of"]

_FORM = '{"scale": 10, "classes": ["..."], "ignore": -1}'


@dataclass(frozen=True)
class Declaration:
    """What a data set says of its confidences.

    Attributes:
        scale: what is certain: 1, 10, 100, 255; None: nothing says so.
        classes: names, in the order of channels; empty: nothing says so.
        ignore: the number of voxels that nobody looked at, beside NaN; None: there is none.
        source: the name of the file; empty without one.
    """

    scale: float | None = None
    classes: tuple[str, ...] = ()
    ignore: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Span:
    """Of the numbers stated in some files: the highest, and whether all of them are whole."""

    high: float = 0.0
    whole: bool = True

    def __or__(self, other: Span) -> Span:
        """Of both."""
        return Span(max(self.high, other.high), self.whole and other.whole)


def declared_confidence(root: Path, folder: Path | None = None) -> Declaration:
    """What dataset.json or a confidence.json declares.

    Args:
        root: of the data set.
        folder: that holds the confidences, where there may be a confidence.json as well.

    Raises:
        UsageError: what stands there cannot be used.
    """
    for path, key in (
        (root / "dataset.json", "confidence"),
        (root / "confidence.json", ""),
        *([] if folder is None else [(folder / "confidence.json", "")]),
    ):
        if not path.is_file():  # a pipe is never opened: it would wait for whoever writes
            continue
        try:
            said: Any = loads_once(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            if key:
                continue  # the layout's reader tells of its dataset.json
            raise UsageError(f"{path} cannot be read ({error}); expected {_FORM}") from error
        if key and (not isinstance(said, dict) or key not in said):
            continue
        return _declaration(said[key] if key else said, path)
    return Declaration()


def _declaration(said: Any, path: Path) -> Declaration:
    if not isinstance(said, Mapping):
        raise UsageError(f"{path}: the confidence is a {type(said).__name__}; expected {_FORM}")
    numbers: dict[str, float | None] = {}
    for name in ("scale", "ignore"):
        value = said.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UsageError(
                f"{path}: {name} of the confidence is {value!r}; expected a number, as {_FORM}"
            )
        numbers[name] = value
    scale, classes = numbers["scale"], said.get("classes") or ()
    if scale is not None and not 0 < scale < math.inf:
        raise UsageError(f"{path}: scale is {scale}; expected what is certain, such as 1, 10 or 100")
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise UsageError(f"{path}: classes of the confidence are {classes!r}; expected a list of names")
    return Declaration(scale, tuple(classes), numbers["ignore"], path.name)


def span_of(stated: NDArray, ignore: float | None = None) -> Span:
    """Of the numbers of one file; NaN, infinite ones, those below 0 and `ignore` say nothing of the scale."""
    numbers = stated[np.isfinite(stated) & (stated >= 0)]
    if ignore is not None:
        numbers = numbers[numbers != ignore]
    if not numbers.size:
        return Span()
    return Span(float(numbers.max()), bool((numbers == np.floor(numbers)).all()))


def decide_scale(spans: Iterable[Span], where: str) -> float:
    """The scale that the numbers of a whole data set tell.

    Above 10: 100. Above 1, whole numbers: 10. Not above 1, with fractions: 1. Nothing marked at all: 1.

    Args:
        spans: of every file.
        where: the files, for the message.

    Raises:
        UsageError: there are two readings; the message names both.
    """
    span = Span()
    for one in spans:
        span |= one
    if span.high == 0:
        return 1.0
    told = f"the scale of the confidences in {where} cannot be told: "
    if span.high > 100:
        raise UsageError(
            f"{told}they go up to {span.high:g}; expected at most 1, 10 or 100; say what is certain, such as "
            f"--scale {255 if span.high <= 255 and span.whole else math.ceil(span.high)}"
        )
    if span.high > 10:
        return 100.0
    if span.high > 1 and span.whole:
        return 10.0
    if span.high > 1:
        raise UsageError(
            f"{told}they go up to {span.high:g} and have fractions, of 10 or of 100; say which: --scale 10 "
            "or --scale 100"
        )
    if span.whole:
        raise UsageError(
            f"{told}they are 0 and 1 alone, and 1 may be certain or 1 of 10 (or of 100); say which: --scale 1 "
            "where 1 is certain, --scale 10 or --scale 100 else"
        )
    return 1.0
