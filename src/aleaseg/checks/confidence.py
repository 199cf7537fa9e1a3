"""What is wrong or odd with the confidences of a data set: range, grid, classes and raters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Finding, Stored, Voxels
from aleaseg.readers.fit import differs_in_world

__all__ = ["Certain", "case_findings", "certain", "dataset_findings"]

_BRACKETS = (1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Certain:
    """The surest that anybody was in one case.

    Attributes:
        classes: the highest confidence in each class; NaN where nobody looked.
        raters: rater -> the same over all classes, where raters are told apart by name.
    """

    classes: tuple[float, ...] = ()
    raters: Mapping[str, float] = field(default_factory=dict)


def certain(case: Case, q: NDArray[np.float32], raters: NDArray[np.float32] | None) -> Certain:
    """The highest confidences of a case.

    Args:
        case: whose raters have names.
        q: (C, *spatial).
        raters: (R, C, *spatial), where there are several.
    """
    by_rater = {}
    if raters is not None and case.raters:
        by_rater = {name: _highest(one) for name, one in zip(case.raters, raters, strict=True)}
    return Certain(tuple(_highest(one) for one in q), by_rater)


def _highest(q: NDArray[np.float32]) -> float:
    return float(np.nanmax(q)) if not np.isnan(q).all() else float("nan")


def case_findings(case: Case, image: Stored | None, q: Voxels) -> list[Finding]:
    """Of one case: confidences on another grid than the image, in another place, or of nothing at all."""
    files = (*case.image_files, *case.confidence_files)
    if image is not None and q.array.shape[1:] != image.channels[0].shape:
        return [
            Finding(
                case.id, "error", "confidence_shape", f"confidences of the image's shape, {image.channels[0].shape}",
                f"confidences of shape {q.array.shape[1:]}",
                "find the confidences of this image, or resample them, linearly, to its grid", files,
            )
        ]  # fmt: skip
    apart = None if image is None else differs_in_world(image.geometry, q.geometry)
    if apart is not None:
        return [
            Finding(
                case.id, "error", "confidence_geometry", "confidences in the place of their image", apart,
                "resample the confidences to the image's grid, or correct the header that is wrong", files,
            )
        ]  # fmt: skip
    if np.isnan(q.array).all():
        return [
            Finding(
                case.id, "note", "not_looked_at", "voxels that somebody looked at", "none: all are left out",
                "leave the case out, or check whether the number that means so is declared correctly", files,
            )
        ]  # fmt: skip
    return []


def dataset_findings(dataset: Dataset, found: Mapping[str, Certain]) -> list[Finding]:
    """Of the data set: classes without any confidence, cases without any, raters who are missing or scale otherwise.

    Args:
        dataset: with confidences.
        found: by case, those that could be read.
    """
    if dataset.confidence is None:
        return []
    return [
        *_label_of_confidence(dataset),
        *_without_confidence(dataset),
        *_empty_classes(dataset, found),
        *_missing_raters(dataset),
        *_other_scales(dataset, found),
    ]


def _label_of_confidence(dataset: Dataset) -> list[Finding]:
    # What npz/CASE.npz holds is masks, and their majority is what everybody calls the label.
    if not (dataset.confidence and dataset.confidence.makes_label) or dataset.layout == "raters":
        return []
    return [
        Finding(
            "", "note", "label_of_confidence", "labels", "confidences alone: the label is where they are at least 0.5",
            "nothing, if that is intended; otherwise add the labels",
        )
    ]  # fmt: skip


def _without_confidence(dataset: Dataset) -> list[Finding]:
    lacking = [case for case in dataset.cases if case.read_confidence is None]
    return [
        Finding(
            case.id, "note", "no_confidence", "confidences, as other cases have them", "none",
            "add them; where confidences are asked for the case is not used", case.image_files,
        )
        for case in lacking
    ]  # fmt: skip


def _empty_classes(dataset: Dataset, found: Mapping[str, Certain]) -> list[Finding]:
    if not found:
        return []
    highest = np.array([one.classes for one in found.values()])
    findings = []
    for name, column in zip(dataset.classes, highest.T, strict=True):
        if np.isnan(column).all():
            told = "no file that says anything of it"
        elif np.nanmax(column) == 0:
            told = f"0 at every voxel of {len(column)} cases"
        else:
            continue
        findings.append(
            Finding(
                "", "note", "empty_confidence", f"some confidence in the class {name!r}", told,
                "check whether its files or channels are named correctly; a class without confidence is never learnt",
            )
        )  # fmt: skip
    return findings


def _missing_raters(dataset: Dataset) -> list[Finding]:
    everybody = sorted({name for case in dataset.cases for name in case.raters})
    return [
        Finding(
            case.id, "note", "missing_rater", f"{len(everybody)} raters, {_some(everybody)}",
            f"nothing of {_some(missing)}", "nothing, if they never saw the case; the others are fused without them",
            case.confidence_files,
        )
        for case in dataset.cases
        if case.raters and (missing := [name for name in everybody if name not in case.raters])
    ]  # fmt: skip


def _other_scales(dataset: Dataset, found: Mapping[str, Certain]) -> list[Finding]:
    """A note where the highest number of one rater is 1 and that of another 10, say."""
    scale = dataset.confidence.scale if dataset.confidence else 1.0
    highest: dict[str, float] = defaultdict(float)
    for one in found.values():
        for name, most in one.raters.items():
            highest[name] = max(highest[name], 0.0 if np.isnan(most) else most * scale)
    bracket = {name: _bracket(most) for name, most in highest.items() if most > 0}
    if len(set(bracket.values())) < 2:
        return []
    told = ", ".join(f"{name} {highest[name]:g}" for name in sorted(bracket)[:8])
    return [
        Finding(
            "", "note", "rater_scales", f"raters who all use the scale from 0 to {scale:g}",
            f"their highest confidences are {told}",
            "check whether some of them wrote on another scale, and bring their files to one",
        )
    ]  # fmt: skip


def _bracket(most: float) -> float:
    """The least of 1, 10 and 100 that is not below a number."""
    return next((top for top in _BRACKETS if most <= top * (1 + 1e-6)), _BRACKETS[-1])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
