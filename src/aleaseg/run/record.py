"""The record of one case: all that one case tells by itself. The truth of a run is one such file per case."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aleaseg.errors import NewerVersion, UsageError
from aleaseg.run.files import read_json, write_json

__all__ = ["UNMEASURED", "Measured", "Record"]

_VERSION = 2
UNMEASURED = ("failed", "killed")
"""Statuses of a record without numbers."""


class Measured(NamedTuple):
    """One number of a case.

    Attributes:
        measure: its name in the table of measures.
        variant: another way to compute it; empty: the default.
        class_name: the class; empty: the whole case.
        value: None where there is no number.
        status: `ok`, or why there is none.
    """

    measure: str
    variant: str
    class_name: str
    value: float | None
    status: str = "ok"

    @classmethod
    def of(
        cls, measure: str, value: float | None, class_name: str = "", variant: str = "", status: str = "ok"
    ) -> Measured:
        """A number, or why there is none: NaN and infinity are no numbers, `undefined` unless a status says more."""
        if value is not None and math.isfinite(value):
            return cls(measure, variant, class_name, float(value), status)
        return cls(measure, variant, class_name, None, "undefined" if status == "ok" else status)


@dataclass(frozen=True)
class Record:
    """What was measured of one case.

    Attributes:
        case: its id.
        status: `ok`; `partly`: something could not be used; `failed`: nothing could be measured;
            `killed`: whatever worked on it was killed, twice.
        error: what could not be used, and what to do; None where all is well.
        group, site: as the data set has them.
        files: path -> size in bytes and time in ns, of what was read.
        image_files, label_files: their paths.
        image_hash: of the voxels, as the check found it; empty: unknown.
        seen: a stamp of the predictions and the model that the numbers were made with.
        shape, spacing_mm: of the image; empty where it could not be read.
        present: class -> whether the mask has it.
        volume_mm3: class -> volume of the mask (area in mm^2 in 2D).
        class_maps: class -> what its map was (kind, grid, slices, prompt, source).
        measures: the numbers.
        model: which network predicted the case; empty: unknown.
        features: name -> class -> mean features.
    """

    case: str
    status: Literal["ok", "partly", "failed", "killed"] = "ok"
    error: str | None = None
    group: str = ""
    site: str = ""
    files: Mapping[str, list[int]] = field(default_factory=dict)
    image_files: tuple[str, ...] = ()
    label_files: tuple[str, ...] = ()
    image_hash: str = ""
    seen: str = ""
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    present: Mapping[str, bool] = field(default_factory=dict)
    volume_mm3: Mapping[str, float | None] = field(default_factory=dict)
    class_maps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    measures: tuple[Measured, ...] = ()
    model: str = ""
    features: Mapping[str, Mapping[str, list[float | None]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the id comes first, so that a folder is indexed without parsing whole files."""
        return {
            "case": self.case,
            "version": _VERSION,
            **{one.name: getattr(self, one.name) for one in fields(self) if one.name != "case"},
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Record:
        """Back from `to_dict`, of this version or the one before.

        Raises:
            NewerVersion: a newer version wrote it.
            UsageError: it is no record.
        """
        version = entries.get("version", 1)
        if not isinstance(version, int) or version > _VERSION:
            raise NewerVersion(
                f"the record of {entries.get('case')!r} has version {version}; expected at most {_VERSION}; "
                "it was written by a newer aleaseg"
            )
        known = {one.name for one in fields(cls)}
        kept = {name: value for name, value in entries.items() if name in known}
        rows = kept.get("measures", ())
        if version == 1:
            # Numbers were mappings, and the spectra stood among them.
            rows = [
                (r["measure"], r["variant"], r["class"], r["value"], r.get("status", "ok")) for r in rows
            ]
        for name in ("image_files", "label_files", "shape", "spacing_mm"):
            kept[name] = tuple(kept.get(name) or ())
        try:
            return cls(**{**kept, "measures": tuple(map(Measured._make, rows))})
        except TypeError as error:
            raise UsageError(
                f"a record lacks entries ({error}); delete it and run the command again"
            ) from error

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record.

        Raises:
            NewerVersion: a newer version wrote it.
            UsageError: the file is missing or damaged.
        """
        entries = read_json(path)
        if not isinstance(entries, dict):
            raise UsageError(f"{path} is damaged; delete it and run the same command again")
        return cls.from_dict(entries)

    def write(self, path: Path) -> None:
        """Write it aside and rename."""
        write_json(path, self.to_dict(), indent=None)
