"""Cases that somebody decides about one by one: lists of ids, and what they change in a cut."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path

from aleaseg.errors import UsageError
from aleaseg.run import read_table

__all__ = ["known_ids", "read_ids"]


def read_ids(path: str | Path) -> tuple[str, ...]:
    """The ids that a file lists: one a line, lines that are empty or begin with # left out; or a CSV's column `case`.

    Of a CSV with a column `kept`, such as selection.csv, the ids that are not kept.

    Raises:
        UsageError: it is missing, no text, or a table without the column; or it lists nothing.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(
            f"{path} does not exist; expected a text file with one id per line; check the path"
        )
    ids = _of_table(path) if path.suffix.lower() == ".csv" else _of_lines(path)
    if not ids:
        raise UsageError(f"{path} lists no case; expected one id per line")
    return tuple(dict.fromkeys(ids))


def _of_lines(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); expected one id per line") from error
    if "\0" in text:
        raise UsageError(f"{path} is not valid text; expected one id per line")
    lines = (line.rstrip("\r") for line in text.split("\n"))
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _of_table(path: Path) -> list[str]:
    table = read_table(path)
    if "case" not in table:
        raise UsageError(
            f"{path} has the columns {', '.join(map(str, table.columns))}; expected case among them"
        )
    if "kept" in table:
        table = table[~table["kept"].astype(str).str.lower().isin(("true", "1"))]
    return [str(case) for case in table["case"]]


def known_ids(asked: Iterable[str], there: Collection[str], what: str) -> tuple[str, ...]:
    """Ids of the run, in the order asked for; what is none itself may be several with commas between them.

    Raises:
        UsageError: the run has no such case.
    """
    found: list[str] = []
    for text in asked:
        parts = [text] if text in there else [part.strip() for part in text.split(",") if part.strip()]
        for part in parts:
            if part not in there:
                near = get_close_matches(part, list(there), n=3)
                hint = f"; near it: {', '.join(near)}" if near else ""
                raise UsageError(f"{what}: the run has no case {part!r}{hint}; expected ids of cases.csv")
            found.append(part)
    return tuple(dict.fromkeys(found))
