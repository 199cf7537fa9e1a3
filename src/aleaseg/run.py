"""A run: one folder that holds everything that was found out about a data set.

    cases/            one file per finished case, the truth (names are hashes of ids)
    manifest.json     what was asked, with which code and hashes; every column's direction
    population.json   the frozen reference: what new cases are compared with
    measures.csv scores.csv cases.csv       derived tables
    check.json check.csv                    what the check found
    models/ predictions/                    of cross-fitting
    report/ selection/                      the page, the cuts

A file is written aside and renamed, so that a kill at any moment loses no
finished case. No file needs locking.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Run",
    "file_name",
    "naming",
    "read_json",
    "read_table",
    "write_aside",
    "write_json",
    "write_table",
]

# A cell that starts with one of these is a formula to a spreadsheet program.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def file_name(case_id: str) -> str:
    """A safe file name for any case id: 20 hexadecimal digits, the same on every machine."""
    return hashlib.sha256(case_id.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def write_aside(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: to a temporary file beside it, then rename.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    with naming(path):
        _write_aside(path, content)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give the name of a file to an error of writing it: a full disk says by itself that it is full, not for what."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _write_aside(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes it private; a run is shared like any file
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _plain(value: Any) -> Any:
    """Numbers as JSON knows them: NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist") and not isinstance(value, str | bytes):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write JSON aside and rename; NaN becomes null."""
    text = json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    write_aside(path, (text + "\n").encode("utf-8", "surrogatepass"))


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        UsageError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist; expected a folder written by `aleaseg audit`") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is damaged ({error}); delete it and run the same command again"
        ) from error


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.9g}"
    text = str(value)
    # A number may be negative; a text must not be a formula. The apostrophe is
    # doubled where it was there already, so that reading gives the text back.
    if isinstance(value, str) and text.startswith((*_FORMULA_STARTS, "'")):
        return "'" + text
    return text


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV (UTF-8, header first); missing is empty; no cell is a formula."""
    lines: list[str] = []

    class _Lines:
        def write(self, text: str) -> None:
            lines.append(text)

    writer = csv.writer(_Lines(), lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    write_aside(path, "".join(lines).encode("utf-8", "surrogatepass"))


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV of a run; texts come back as they were before `write_table`."""
    import pandas as pd

    if not path.exists():
        raise UsageError(f"{path} does not exist; expected a folder written by `aleaseg audit`")
    texts = dict.fromkeys(
        ("case", "class", "group", "site", "reasons", "status", "class_set", "error"), str
    )
    frame = pd.read_csv(
        path, dtype=texts, keep_default_na=False, na_values={}, encoding_errors="surrogatepass"
    )
    for name in frame.columns:
        if name not in texts:
            # An empty cell is a missing number; a column of texts stays texts.
            numbers = pd.to_numeric(frame[name].replace("", None), errors="coerce")
            if not (numbers.isna() & (frame[name] != "")).any():
                frame[name] = numbers
        if frame[name].dtype == object or str(frame[name].dtype).startswith("str"):
            frame[name] = [
                text[1:] if isinstance(text, str) and text.startswith("'") else text for text in frame[name]
            ]
    return frame


class Run:
    """A run folder, opened.

    Args:
        path: the folder; need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    # -- the truth: one file per case ---------------------------------------------------------

    def case_file(self, case_id: str) -> Path:
        """Where the record of a case is."""
        return self.path / "cases" / f"{file_name(case_id)}.json"

    def prediction_file(self, case_id: str) -> Path:
        """Where cross-fitting keeps the out-of-fold logits of a case."""
        return self.path / "predictions" / f"{file_name(case_id)}.safetensors"

    def write_case(self, record: Mapping[str, Any]) -> None:
        """Keep a finished case (`record["case"]` is its id)."""
        write_json(self.case_file(record["case"]), record, indent=None)

    def records(self) -> Iterator[dict[str, Any]]:
        """All finished cases, by id. A damaged file is passed over: its case is not finished."""
        found = []
        for path in (self.path / "cases").glob("*.json"):
            try:
                found.append(read_json(path))
            except UsageError:
                continue
        yield from sorted(found, key=lambda record: record["case"])

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
