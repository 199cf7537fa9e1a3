"""Decisions out and in: all events as JSON, what holds as a table."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aleaseg.review.decisions import Decisions
from aleaseg.review.event import Event
from aleaseg.run.tables import cell

__all__ = ["as_csv", "as_json", "from_csv", "from_json"]

COLUMNS = ("case", "class", "rater", "verdict", "reasons", "note", "at", "seconds", "blind", "mask")
_STAMPS = ("image_stamp", "label_stamp", "run_stamp")
# Of what a table says: the same row gives the same event, so that a table may be read in twice.
_NAMESPACE = uuid.UUID("6f1d5f0e-2f27-4a52-9d5c-1c7c0d6b6a41")
_START = "1970-01-01T00:00:00+00:00"


def as_json(decisions: Decisions) -> str:
    """All events, in their order: what was decided, and how it came about."""
    events = []
    for row in decisions.events():
        event = {key: row[key] for key in row if key not in ("seq", "undone", "case_id")}
        events.append({"case": row["case_id"], **event, "blind": bool(row["blind"])})
    return json.dumps({"aleaseg review": 1, "events": events}, indent=1, ensure_ascii=True)


def from_json(text: str, cases: Collection[str], classes: Collection[str]) -> list[Event]:
    """Events of `as_json`.

    Args:
        text: of the file.
        cases: ids of the run.
        classes: names of its classes.

    Raises:
        ValueError: it is no such file, or has an event that cannot be; the message says which.
    """
    held = json.loads(text)
    if (
        not isinstance(held, dict)
        or held.get("aleaseg review") != 1
        or not isinstance(held.get("events"), list)
    ):
        raise ValueError("no decisions of a review; expected a file that the page exported")
    return [_event(sent, number, cases, classes) for number, sent in enumerate(held["events"], start=1)]


def _event(sent: Any, number: int, cases: Collection[str], classes: Collection[str]) -> Event:
    case = sent.get("case") if isinstance(sent, dict) else sent
    if not isinstance(sent, dict) or not isinstance(case, str) or case not in cases:
        raise ValueError(f"event {number} is about {str(case)[:80]!r}; expected a case of this run")
    stamps = {name: str(sent.get(name, ""))[:80] for name in _STAMPS}
    try:
        event = Event.read(
            {key: value for key, value in sent.items() if key not in _STAMPS}, case=case, **stamps
        )
    except ValueError as error:
        raise ValueError(f"event {number}: {error}") from error
    if event.class_name and event.class_name not in classes:
        raise ValueError(f"event {number} is about the class {event.class_name!r}; expected one of the run")
    return event


def as_csv(decisions: Decisions) -> str:
    """What holds: one row for each case, class and rater; no cell is a formula."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in decisions.events():
        if row["undone"] or row["kind"] not in ("verdict", "reasons", "note"):
            continue
        key = (row["case_id"], row["class"], row["rater"])
        entry = rows.setdefault(key, dict(zip(("case", "class", "rater"), key, strict=True)))
        if row["kind"] == "verdict":
            entry |= {name: row[name] for name in ("verdict", "at", "seconds")}
            entry |= {"blind": bool(row["blind"]), "mask": row["label_stamp"]}
        elif row["kind"] == "reasons":
            entry["reasons"] = "; ".join(row["payload"]["codes"])
        else:
            entry["note"] = row["payload"]["text"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for key in sorted(rows):
        writer.writerow([cell(rows[key].get(name)) for name in COLUMNS])
    return file.getvalue()


def from_csv(
    text: str, cases: Collection[str], classes: Collection[str], stamps: Callable[[str], Mapping[str, str]]
) -> list[Event]:
    """Events of a table: of `as_csv`, or of anybody's with the columns case, rater and verdict.

    Args:
        text: of the file.
        cases: ids of the run.
        classes: names of its classes.
        stamps: case -> what it is now: a verdict whose row does not say which mask it judged is of this one.

    Raises:
        ValueError: a column is missing, or a row says what no event can; the message says which.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    missing = {"case", "rater", "verdict"} - set(reader.fieldnames or ())
    if missing:
        raise ValueError(f"no column {min(missing)}; expected case, rater and verdict")
    events = []
    for number, row in enumerate(reader, start=2):
        plain = {key: _plain(value) for key, value in row.items() if isinstance(key, str)}
        if plain["case"] not in cases:
            raise ValueError(f"line {number} is about {plain['case'][:80]!r}; expected a case of this run")
        if plain.get("class") and plain["class"] not in classes:
            raise ValueError(
                f"line {number} is about the class {plain['class'][:80]!r}; expected one of the run"
            )
        try:
            events += _of_row(plain, stamps)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return events


def _plain(value: str | None) -> str:
    text = value or ""
    return text[1:] if text.startswith("'") else text


def _of_row(row: Mapping[str, str], stamps: Callable[[str], Mapping[str, str]]) -> list[Event]:
    shared = {"rater": row["rater"], "class": row.get("class", ""), "at": row.get("at") or _START}
    shared_more: dict[str, Any] = {"session": "table", "blind": row.get("blind", "").lower() == "true"}
    said: list[dict[str, Any]] = []
    if row["verdict"]:
        seconds = float(row["seconds"]) if row.get("seconds") else None
        said.append({"kind": "verdict", "verdict": row["verdict"], "seconds": seconds})
    if row.get("reasons"):
        codes = [code.strip() for code in row["reasons"].split(";") if code.strip()]
        said.append({"kind": "reasons", "payload": {"codes": codes}})
    if row.get("note"):
        said.append({"kind": "note", "payload": {"text": row["note"]}})
    judged = {"label_stamp": row["mask"][:80]} if row.get("mask") else stamps(row["case"])
    events = []
    for one in said:
        sent = {**shared, **shared_more, **one}
        name = json.dumps([row["case"], sent], sort_keys=True)
        made = str(uuid.uuid5(_NAMESPACE, name))
        events.append(Event.read({**sent, "uuid": made}, case=row["case"], **judged))
    return events
