"""Spacing, orientation and size far from all other cases, told sparingly.

A data set of several scanners has many spacings, and one of cropped fields many
sizes; that is no fault. So a value is told only where it lies far out by a robust
measure, at least by a factor of two, and where few cases do: what is found in more
than one case of twenty is how the data set is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Finding, Geometry

__all__ = ["far_out"]

_FEWEST = 20  # below that there is no population to be far from
_ROBUST_Z = 6.0
_FACTOR = 2.0
_SHARE = 0.05


def far_out(geometries: Mapping[str, Geometry]) -> list[Finding]:
    """Notes on the cases whose spacing, orientation or field of view is far out.

    Args:
        geometries: by case id.

    Returns:
        At most one note per case and kind; none for fewer than 20 cases.
    """
    axes = Counter(len(geometry.shape) for geometry in geometries.values())
    if not axes:
        return []
    usual_axes = axes.most_common(1)[0][0]
    findings = _few(
        {
            case: _note(case, "axes", f"{usual_axes} axes, as most", f"{len(geometry.shape)} axes")
            for case, geometry in geometries.items()
            if len(geometry.shape) != usual_axes
        },
        len(geometries),
    )
    same = {case: one for case, one in geometries.items() if len(one.shape) == usual_axes}
    if len(same) < _FEWEST:
        return findings
    cases = list(same)
    spacing = np.array([same[case].spacing_mm for case in cases])
    extent = spacing * np.array([same[case].shape for case in cases])
    findings += _far(cases, spacing, "spacing", "mm between voxels")
    findings += _far(cases, extent, "size", "mm of field of view")
    return findings + _orientations(same)


def _far(cases: Sequence[str], values: NDArray[np.float64], what: str, unit: str) -> list[Finding]:
    """Notes on values far from the median, on a logarithmic scale, axis by axis.

    Args:
        cases: n ids.
        values: (n, axis), positive.
        what: for the name of the check.
        unit: for the message.
    """
    logs = np.log(values)
    middle = np.median(logs, axis=0)
    spread = 1.4826 * np.median(np.abs(logs - middle), axis=0)
    far = np.abs(logs - middle) > np.maximum(_ROBUST_Z * spread, np.log(_FACTOR))
    usual = " x ".join(f"{value:.3g}" for value in np.exp(middle))
    notes = {}
    for index in np.flatnonzero(far.any(axis=1)).tolist():
        found = " x ".join(f"{value:.3g}" for value in values[index])
        notes[cases[index]] = _note(
            cases[index], f"{what}_far_out", f"about {usual} {unit}", f"{found} {unit}"
        )
    return _few(notes, len(cases))


def _orientations(geometries: Mapping[str, Geometry]) -> list[Finding]:
    """Notes on the few whose array axes point another way than those of most."""
    codes = {
        case: _orientation(geometry.affine)
        for case, geometry in geometries.items()
        if geometry.affine is not None
    }
    if len(codes) < _FEWEST:
        return []
    usual = Counter(codes.values()).most_common(1)[0][0]
    notes = {
        case: _note(case, "orientation", f"axes towards {usual}, as most", f"axes towards {code}")
        for case, code in codes.items()
        if code != usual
    }
    return _few(notes, len(codes))


def _orientation(affine: NDArray[np.float64]) -> str:
    """Where the array axes (D, H, W) point, such as `SAR`: Right or Left, Anterior or Posterior, ...

    An oblique axis has the letter of the direction nearest to it.
    """
    letters = ("LR", "PA", "IS")
    columns = affine[:3, :3]
    code = ""
    for axis in range(3):
        direction = int(np.argmax(np.abs(columns[:, axis])))
        code += letters[direction][int(columns[direction, axis] > 0)]
    return code


def _few(notes: Mapping[str, Finding], total: int) -> list[Finding]:
    return list(notes.values()) if len(notes) <= max(1, _SHARE * total) else []


def _note(case: str, name: str, expected: str, found: str) -> Finding:
    advice = "look at the case; if it is as it should be, keep it"
    return Finding(case, "note", name, expected, found, advice)
