"""What the name of a folder says of the files in it."""

from __future__ import annotations

import re

__all__ = ["CONFIDENCE_FOLDERS", "RATER_FOLDERS", "TEST_FOLDERS", "plain", "role_of_folder"]

TEST_FOLDERS = (
    "imagests",
    "labelsts",
    "imagestest",
    "labelstest",
    "imagesval",
    "labelsval",
    "imagesva",
    "labelsva",
)
"""Parts that nnU-Net and others keep beside the training part, plain."""

CONFIDENCE_FOLDERS = ("confidencestr", "confidences", "confidence")
"""Folders whose files say how sure somebody was, plain."""
RATER_FOLDERS = ("raters", "raterstr")
"""Folders that hold the masks of several raters, a folder for each case, plain."""

_IMAGE_FOLDERS = ("imagestr", "images", "image", "imgs", "img")
_LABEL_FOLDERS = ("labelstr", "labels", "masks", "label", "mask", "segmentations", "annotations")
# Names that are often labels, but not always: taken, and said to be a guess.
_LABEL_FOLDERS_TOO = (
    *(
        "gt",
        "gts",
        "groundtruth",
        "groundtruths",
        "seg",
        "segs",
        "segmentation",
        "annotation",
        "lbl",
        "lbls",
    ),
    *("labelmaps", "labelmap", "contours", "rois", "roi", "targets", "manual", "reference"),
)


def plain(name: str) -> str:
    """A name in small letters and without what stands between its words.

    >>> plain("Ground_Truth")
    'groundtruth'
    """
    return re.sub(r"[ ._-]", "", name).lower()


def role_of_folder(name: str) -> str:
    """`image` or `label` where the name of a folder says it, `perhaps` where it may be labels, else nothing."""
    bare = plain(name)
    if bare in _IMAGE_FOLDERS:
        return "image"
    if bare in _LABEL_FOLDERS:
        return "label"
    return "perhaps" if bare in _LABEL_FOLDERS_TOO else ""
