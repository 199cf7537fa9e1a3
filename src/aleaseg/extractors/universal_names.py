"""What data sets call the 32 structures that the CLIP-Driven Universal Model knows.

A name is taken for what it says or not at all: `femur` is no head of a femur, and `kidney cyst left`
is no kidney cyst of either side. Case, order of words, underscores, plurals and what stands in
brackets do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["KNOWN", "rows_of"]

KNOWN = (
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "portal vein and splenic vein",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
    "duodenum",
    "hepatic vessel",
    "right lung",
    "left lung",
    "colon",
    "intestine",
    "rectum",
    "bladder",
    "prostate",
    "left head of femur",
    "right head of femur",
    "celiac trunk",
    "kidney tumour",
    "liver tumour",
    "pancreas tumour",
    "hepatic vessel tumour",
    "lung tumour",
    "colon tumour",
    "kidney cyst",
)
"""In the order of the network's channels."""

# As BTCV, AMOS, TotalSegmentator, WORD and the Decathlon write them. Not `vessel`, `veins` or `lad`:
# other data sets mean something else by these.
_ALSO = {
    "gallbladder": ("gall bladder", "gall"),
    "esophagus": ("oesophagus", "eso"),
    "stomach": ("sto",),
    "inferior vena cava": ("ivc", "postcava"),
    "portal vein and splenic vein": ("portal and splenic vein",),
    "right kidney": ("rkid",),
    "left kidney": ("lkid",),
    "intestine": ("small bowel", "small intestine"),
    "bladder": ("urinary bladder",),
    "prostate": ("prostate/uterus",),
    "right head of femur": ("right femoral head",),
    "left head of femur": ("left femoral head",),
}
_BOTH_SIDES = ("kidney", "adrenal gland", "lung", "head of femur")
_SAME = {
    "tumor": "tumour",
    "cancer": "tumour",
    "lesion": "tumour",
    "carcinoma": "tumour",
    "renal": "kidney",
    "hepatic": "liver",
    "pancreatic": "pancreas",
    "pulmonary": "lung",
    "colonic": "colon",
    "coeliac": "celiac",
    "truck": "trunk",  # so the authors' list
    "l": "left",
    "r": "right",
}
_SILENT = {"the", "of", "and", "gland", "primary", "primaries"}


def _words(name: str) -> frozenset[str]:
    """What of a name matters.

    >>> sorted(_words("Kidneys_R (RK)")) == sorted(_words("rightKidney"))
    True
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"\(.*?\)", " ", name)).lower()
    found = (word for word in re.findall(r"[a-z0-9]+", spaced) if not _SILENT & {word, _single(word)})
    return frozenset(_single(_SAME.get(_single(word), word)) for word in found)


def _single(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 else word


_ROWS: dict[frozenset[str], tuple[int, ...]] = {
    _words(spelling): (row,)
    for row, known in enumerate(KNOWN)
    for spelling in (known, *_ALSO.get(known, ()))
} | {_words(organ): (KNOWN.index(f"right {organ}"), KNOWN.index(f"left {organ}")) for organ in _BOTH_SIDES}


def rows_of(name: str, others: Iterable[str] = ()) -> tuple[int, ...]:
    """The network's channels of a class: one; two where it stands for both sides; none if it is unknown.

    A bare `tumour` or `cyst` is that of the one organ among the other classes that has one here.

    Args:
        name: of the class.
        others: what the other classes of the data set are called.

    >>> [KNOWN[row] for row in rows_of("kidney_left")], rows_of("skull")
    (['left kidney'], ())
    >>> [KNOWN[row] for row in rows_of("cancer", ["liver"])], rows_of("cancer", ["liver", "pancreas"])
    (['liver tumour'], ())
    """
    words = _words(name)
    if words not in ({"tumour"}, {"cyst"}):
        return _ROWS.get(words, ())
    found = {_ROWS.get(words | _words(other) - {"left", "right"}, ()) for other in others} - {()}
    return found.pop() if len(found) == 1 else ()
