"""Labels made of confidences, written as a data set that other programs train on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aleaseg.extras import late

if TYPE_CHECKING:
    from aleaseg.labelling.labelling import Labelled as Labelled
    from aleaseg.labelling.labelling import write_labels as write_labels
    from aleaseg.labelling.settings import LabellingSettings as LabellingSettings

__all__ = ["Labelled", "LabellingSettings", "write_labels"]

__getattr__ = late(
    __name__,
    {
        "Labelled": "aleaseg.labelling.labelling",
        "LabellingSettings": "aleaseg.labelling.settings",
        "write_labels": "aleaseg.labelling.labelling",
    },
)
