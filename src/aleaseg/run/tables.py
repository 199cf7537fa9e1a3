"""Tables of a run: CSV that a spreadsheet may open, written row by row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.errors import UsageError
from aleaseg.run.files import aside

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableWriter", "cell", "open_table", "read_table", "write_frame", "write_table"]

# A cell that starts with one of these is a formula to a spreadsheet program.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_TEXTS = ("case", "class", "group", "site", "reasons", "why", "status", "class_set", "error")


@lru_cache(maxsize=4096)  # names of classes and measures come again and again
def _text(value: str) -> str:
    # A number may be negative; a text must not be a formula. The apostrophe is
    # doubled where it was there already, so that reading gives the text back.
    return "'" + value if value.startswith((*_FORMULA_STARTS, "'")) else value


def cell(value: Any) -> str:
    """A value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return f"{value:.9g}" if math.isfinite(value) else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class TableWriter:
    """A table that is being written, row by row (see `open_table`)."""

    def __init__(self, file: io.TextIOBase, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(columns)

    def rows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Add rows: a value for each column, in their order."""
        self._writer.writerows(map(cell, row) for row in rows)

    def texts(self, rows: Iterable[Sequence[str]]) -> None:
        """Add rows whose values are made by `cell` already: for a table of millions of rows."""
        self._writer.writerows(rows)

    def entries(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows by the names of the columns; what is missing is empty."""
        self.rows(map(row.get, self._columns) for row in rows)


@contextmanager
def open_table(path: Path, columns: Sequence[str]) -> Iterator[TableWriter]:
    """A CSV to be written (UTF-8, header first); missing is empty; no cell is a formula."""
    with aside(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogatepass", newline="")
        yield TableWriter(text, columns)
        text.flush()
        text.detach()  # the file is closed by whoever opened it


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole table."""
    with open_table(path, columns) as table:
        table.entries(rows)


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame, its columns in their order and without its index."""
    write_table(path, list(map(str, frame.columns)), frame.to_dict("records"))  # type: ignore[arg-type]  # names are texts


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV of a run; texts come back as they were before `write_table`."""
    import pandas as pd

    if not path.exists():
        raise UsageError(f"{path} does not exist; expected a folder written by `aleaseg audit`")
    texts = dict.fromkeys(_TEXTS, str)
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
