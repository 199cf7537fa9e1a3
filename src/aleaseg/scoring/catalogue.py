"""The table of measures: every way to say how doubtful a case is, by its name.

What a measure is called, which way it points, what it sees, through which eye, where it comes
from and which function computes it is declared once, here or in one of the three parts that
this table is joined of. The manifest, the pages, every_measure.csv, the bench and the index in
docs/measures are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aleaseg.measures.column import Direction, by_name
from aleaseg.measures.doubt import ImageReference, LabelReference, doubt_from_z
from aleaseg.scoring.compared import Doubt
from aleaseg.scoring.label_quality import LABEL_QUALITY, SECOND_OPINION
from aleaseg.scoring.measure import UNIT, Eye, Measure
from aleaseg.scoring.readings import READINGS
from aleaseg.scoring.uncertainty import UNCERTAINTY

__all__ = ["MEASURES"]

_DOUBT: dict[str, Any] = {
    "direction": Direction.HIGH_BAD,
    "role": "score",
    "limits": UNIT,
    "source": "aleaseg",
    "ours": True,
}
_DOUBTS = (
    Doubt(
        name="image_doubt",
        title="Image doubt",
        text="how far the image's statistics lie from the population",
        function=ImageReference.z,
        sees="image",
        eye=Eye.IMAGE,
        **_DOUBT,
    ),
    Doubt(
        name="label_doubt",
        title="Label doubt",
        text="how far the mask lies from prediction and population",
        function=LabelReference.z,
        sees="both",
        eye=Eye.NETWORK,
        **_DOUBT,
    ),
    Doubt(
        name="doubt",
        title="Doubt",
        text="the larger of image and label doubt; 0.5 is a robust z of 3",
        function=doubt_from_z,
        sees="both",
        eye=Eye.NETWORK,
        **_DOUBT,
    ),
)

MEASURES: Mapping[str, Measure] = by_name(
    (*READINGS, *SECOND_OPINION, *UNCERTAINTY, *LABEL_QUALITY, *_DOUBTS)
)
"""In the order of the columns of every_measure.csv."""
