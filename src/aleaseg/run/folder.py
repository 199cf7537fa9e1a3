"""A run: one folder that holds everything that was found out about a data set.

cases/            one file per finished case, the truth (names are hashes of ids)
spectra/          the energies behind each case's S
maps/             of each suspect, where its mask is doubtful
manifest.json     what was asked, with which code and hashes; every column's direction
population.json   the frozen reference: what new cases are compared with
measures.csv scores.csv cases.csv       derived tables
check.json check.csv                    what the check found
models/ predictions/                    of cross-fitting
report/ selection/                      the page, the cuts
checked/ parts/                         where an audit is done in parts: of the check, and which are through
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.errors import NewerVersion, UsageError
from aleaseg.run.files import file_name, read_json, write_json
from aleaseg.run.record import Record
from aleaseg.run.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Run", "SharedRun"]

_ID_FIRST = '{"case": '
_LONGEST_ID = 8192
_OF_CASES = {"cases": "json", "spectra": "json", "maps": "npz", "predictions": "safetensors"}


class Run:
    """A run folder, opened.

    Args:
        path: the folder; need not exist yet.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def __fspath__(self) -> str:
        """A run may stand where a path is asked for."""
        return str(self.path)

    # -- the truth: one file per case ---------------------------------------------------------

    def case_file(self, case_id: str) -> Path:
        """Where the record of a case is."""
        return self.path / "cases" / f"{file_name(case_id)}.json"

    def spectra_file(self, case_id: str) -> Path:
        """Where the spectra of a case are."""
        return self.path / "spectra" / f"{file_name(case_id)}.json"

    def prediction_file(self, case_id: str) -> Path:
        """Where cross-fitting keeps the out-of-fold logits of a case."""
        return self.path / "predictions" / f"{file_name(case_id)}.safetensors"

    def map_file(self, case_id: str) -> Path:
        """Where it is kept of a suspect where its mask is doubtful."""
        return self.path / "maps" / f"{file_name(case_id)}.npz"

    def write_case(self, record: Record, spectra: Mapping[str, Sequence[float]] | None = None) -> None:
        """Keep a finished case: its spectra (class -> energies) first, since with the record it is finished."""
        if spectra:
            write_json(self.spectra_file(record.case), spectra, indent=None)
        record.write(self.case_file(record.case))

    def record(self, case_id: str) -> Record | None:
        """The record of a case; None where it is not finished or its file is damaged.

        Raises:
            NewerVersion: a newer aleaseg wrote it.
        """
        return _whole(self.case_file(case_id))

    def records(self) -> Iterator[Record]:
        """All finished cases, by id, one at a time. A damaged file is passed over: its case is not finished.

        Raises:
            NewerVersion: a newer aleaseg wrote one of them.
        """
        return filter(None, map(_whole, self._case_files()))

    def _case_files(self) -> list[Path]:
        """The files of finished cases, in the order of the ids."""
        found = []
        for path in (self.path / "cases").glob("[!.]*.json"):
            case_id = _id_of(path)
            if case_id is not None:
                found.append((case_id, path))
        return [path for _, path in sorted(found, key=lambda entry: entry[0])]

    def spectra(self, case_id: str) -> dict[str, list[float]]:
        """Class -> p_1 >= p_2 >= ..., the normalised energies of a case's map; empty where none were kept."""
        path = self.spectra_file(case_id)
        if not path.exists():  # once they stood in the record
            path = self.case_file(case_id)
            entries = read_json(path).get("spectra", {}) if path.exists() else {}
        else:
            entries = read_json(path)
        return {name: [float(energy) for energy in energies] for name, energies in entries.items()}

    def forget_others(self, cases: Collection[str]) -> None:
        """Delete what is kept of cases that are not among these."""
        names = {file_name(case) for case in cases}
        for folder, ending in _OF_CASES.items():
            for path in (self.path / folder).glob(f"[!.]*.{ending}"):
                if path.stem not in names:
                    path.unlink()

    # -- what was asked -----------------------------------------------------------------------

    @property
    def manifest_file(self) -> Path:
        """Where the manifest is."""
        return self.path / "manifest.json"

    @property
    def manifest(self) -> dict[str, Any]:
        """What was asked, with which code, and the direction of every column."""
        manifest: dict[str, Any] = read_json(self.manifest_file)
        return manifest

    def resolved(self) -> Run:
        """The same by its whole path, for processes that may be elsewhere."""
        return Run(self.path.resolve())

    def update_manifest(self, **entries: Any) -> None:
        """Put entries into the manifest, the others kept."""
        manifest = read_json(self.manifest_file) if self.manifest_file.exists() else {}
        write_json(self.manifest_file, {**manifest, **entries})

    @property
    def population(self) -> dict[str, Any]:
        """The frozen reference: what new cases are compared with."""
        population: dict[str, Any] = read_json(self.path / "population.json")
        return population

    # -- derived tables -----------------------------------------------------------------------

    @property
    def cases(self) -> pd.DataFrame:
        """One row per case: auv, image_doubt, label_doubt, doubt, reasons, ..."""
        return read_table(self.path / "cases.csv")

    @property
    def scores(self) -> pd.DataFrame:
        """One row per case and class: present, perception_scale, auv, ..."""
        return read_table(self.path / "scores.csv")

    @property
    def measures(self) -> pd.DataFrame:
        """Long: case, class, measure, variant, value, status."""
        return read_table(self.path / "measures.csv")


class SharedRun(Run):
    """A run that several processes fill at the same time: what one says for the manifest, it alone knows."""

    def __init__(self, path: str | PathLike[str], entries: Mapping[str, Any] | None = None) -> None:
        super().__init__(path)
        self._entries = dict(entries or {})

    @property
    def manifest(self) -> dict[str, Any]:
        """As it is on disk, and what this process has to say."""
        return {**super().manifest, **self._entries}

    def resolved(self) -> SharedRun:
        """The same by its whole path."""
        return SharedRun(self.path.resolve(), self._entries)

    def update_manifest(self, **entries: Any) -> None:
        """Remember entries; nothing is written."""
        self._entries.update(entries)


def _whole(path: Path) -> Record | None:
    try:
        return Record.read(path)
    except NewerVersion:
        raise
    except UsageError:
        return None


def _id_of(path: Path) -> str | None:
    """The id that a record begins with; None where the file is damaged."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")  # a character may be cut in two
    try:
        with path.open("rb") as file:
            start = decoder.decode(file.read(_LONGEST_ID))
        if not start.startswith(_ID_FIRST):
            return None
        case_id, _ = json.JSONDecoder().raw_decode(start, len(_ID_FIRST))
    except (OSError, ValueError):
        return None
    return case_id if isinstance(case_id, str) else None
