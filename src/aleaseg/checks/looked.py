"""What one case says by itself in a check; and kept in a folder, so that several processes can share a check."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.case import Case, Dataset, Finding, Geometry, file_stamps
from aleaseg.checks.confidence import Certain
from aleaseg.errors import UsageError
from aleaseg.run import file_name, read_json, write_json

__all__ = ["Looked", "kept_or_looked"]


@dataclass(frozen=True)
class Looked:
    """What was seen of one case.

    Attributes:
        findings: errors and notes.
        image_hash: of the voxels; None where the image cannot be read.
        geometry: of the image, likewise.
        certain: the highest confidences; None without any.
    """

    findings: tuple[Finding, ...]
    image_hash: str | None = None
    geometry: Geometry | None = None
    certain: Certain | None = None

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Looked:
        """Back from JSON."""
        findings = tuple(
            Finding(**{**one, "files": tuple(map(Path, one["files"]))}) for one in kept["findings"]
        )
        geometry = certain = None
        if (about := kept["geometry"]) is not None:
            affine = about["affine"]
            shape, spacing = tuple(about["shape"]), tuple(about["spacing_mm"])
            geometry = Geometry(shape, spacing, None if affine is None else np.array(affine))
        if (about := kept["certain"]) is not None:
            raters = {name: _number(value) for name, value in about["raters"].items()}
            certain = Certain(tuple(map(_number, about["classes"])), raters)
        return cls(findings, kept["image_hash"], geometry, certain)


def _number(value: float | None) -> float:
    """JSON knows no NaN."""
    return math.nan if value is None else value


def kept_or_looked(folder: Path, dataset: Dataset, look: Callable[[Case], Looked], case: Case) -> Looked:
    """What is kept of a case whose files did not change; where nothing is, it is looked at and kept.

    Args:
        folder: one file a case.
        dataset: without its cases.
        look: at one case.
        case: which.
    """
    file = folder / f"{file_name(case.id)}.json"
    declared = [dataset.layout, dict(dataset.classes), dataset.declared, dataset.ignore]
    about = json.dumps([file_stamps(case), declared, dataset.confidence and asdict(dataset.confidence)])
    made_from = hashlib.sha256(about.encode("utf-8", "surrogatepass")).hexdigest()
    if file.is_file():
        with suppress(UsageError, KeyError, TypeError):  # damaged: looked at again
            kept = read_json(file)
            if kept["made_from"] == made_from:
                return Looked.from_dict(kept)
    looked = look(case)
    write_json(file, {"made_from": made_from, **asdict(looked)}, indent=None)
    return looked
