"""What people decided, kept as events: nothing is ever changed or deleted, an undo is one more event.

One SQLite file in the run. An event is acknowledged only once it is on the disk; sent twice, it is
there once.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aleaseg.errors import UsageError
from aleaseg.review.event import KINDS, VERDICTS, Event

__all__ = ["Decision", "Decisions"]

_COLUMNS = (
    *(
        "uuid",
        "at",
        "rater",
        "session",
        "case_id",
        "class",
        "kind",
        "verdict",
        "payload",
        "seconds",
        "blind",
    ),
    *("undoes", "image_stamp", "label_stamp", "run_stamp"),
)
_FEW = 500
_STATES = ("verdict", "reasons", "note")  # kinds of which the last one holds

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid TEXT NOT NULL UNIQUE,
  at TEXT NOT NULL,
  rater TEXT NOT NULL CHECK (rater <> ''),
  session TEXT NOT NULL,
  case_id TEXT NOT NULL,
  class TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN {KINDS!r}),
  verdict TEXT CHECK ((verdict IS NOT NULL) = (kind = 'verdict') AND (verdict IS NULL OR verdict IN {VERDICTS!r})),
  payload TEXT NOT NULL,
  seconds REAL,
  blind INTEGER NOT NULL,
  undoes TEXT UNIQUE CHECK ((undoes IS NOT NULL) = (kind = 'undo')),
  image_stamp TEXT NOT NULL,
  label_stamp TEXT NOT NULL,
  run_stamp TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS of_case ON event (case_id, rater, class, kind, seq);
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON event
  BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON event
  BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER IF NOT EXISTS own_undo BEFORE INSERT ON event WHEN NEW.kind = 'undo' AND NOT EXISTS (
    SELECT 1 FROM event WHERE uuid = NEW.undoes AND rater = NEW.rater AND case_id = NEW.case_id
      AND kind IN {_STATES!r})
  BEGIN SELECT RAISE(ABORT, 'an undo names an event of the same rater and case'); END;
CREATE VIEW IF NOT EXISTS holds AS
  SELECT e.*, of_case FROM (
    SELECT MAX(seq) AS last, case_id AS of_case FROM event
    WHERE kind IN {_STATES!r} AND uuid NOT IN (SELECT undoes FROM event WHERE undoes IS NOT NULL)
    GROUP BY case_id, rater, class, kind) JOIN event e ON seq = last;
"""
# Their locks and shared memory do not work over a network.
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "lustre",
    "gpfs",
    "beegfs",
    "fuse.sshfs",
    "ceph",
    "glusterfs",
)


@dataclass(frozen=True)
class Decision:
    """A verdict that holds.

    Attributes:
        case: its id.
        class_name: of one class; empty: of the case.
        rater: who.
        verdict: one of `VERDICTS`.
        at: when, UTC.
        seconds: how long the case was looked at; None: unknown.
        label_stamp: of the mask that was judged.
        seq: of its event.
    """

    case: str
    class_name: str
    rater: str
    verdict: str
    at: str
    seconds: float | None
    label_stamp: str
    seq: int


class Decisions:
    """The events of a run.

    Args:
        path: the file; it is made where it is missing.
        read_only: for a verb that only reads.

    Raises:
        UsageError: the file is no such file.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.Lock()
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        how = "?mode=ro" if read_only else ""
        try:
            self._base = sqlite3.connect(
                f"{path.resolve().as_uri()}{how}", uri=True, isolation_level=None, check_same_thread=False
            )
            self._base.row_factory = sqlite3.Row
            self._base.execute("PRAGMA busy_timeout = 10000")
            if not read_only:
                journal = "DELETE" if on_network(path) else "WAL"
                self._base.execute(f"PRAGMA journal_mode = {journal}")
                self._base.execute("PRAGMA synchronous = FULL")
                self._base.executescript(_SCHEMA)
            self._base.execute("SELECT COUNT(*) FROM holds")
        except sqlite3.DatabaseError as error:
            raise UsageError(
                f"{path} cannot be opened ({error}); expected the decisions of a review; put a sound copy in its "
                "place, or move it away"
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    # -- writing --------------------------------------------------------------------------------------

    def add(self, events: Sequence[Event]) -> list[int]:
        """Keep events, all or none; they are on the disk when this returns.

        Returns:
            The number of each. One that was there already keeps its number.

        Raises:
            ValueError: an event cannot be: another one has its uuid, or its undo names nothing of its own.
            sqlite3.OperationalError: the disk is full, or fails.
        """
        with self._lock, self._transaction():
            return [self._add(event) for event in events]

    def _add(self, event: Event) -> int:
        row = event.row()
        known = self._base.execute("SELECT * FROM event WHERE uuid = ?", (event.uuid,)).fetchone()
        if known is not None:
            # Stamps are what the server saw then; all else is what the rater sent.
            sent = [name for name in _COLUMNS if not name.endswith("_stamp")]
            if any(known[name] != row[name] for name in sent):
                raise ValueError(f"another event has the uuid {event.uuid}")
            return int(known["seq"])
        places = ", ".join("?" * len(_COLUMNS))
        try:
            done = self._base.execute(
                f"INSERT INTO event ({', '.join(_COLUMNS)}) VALUES ({places})",
                [row[name] for name in _COLUMNS],
            )
        except sqlite3.IntegrityError as error:
            raise ValueError(str(error)) from error
        return int(done.lastrowid or 0)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._base.execute("COMMIT")
        except BaseException:
            # A full disk may have rolled back by itself.
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise

    # -- reading --------------------------------------------------------------------------------------

    def events(self, since: int = 0, case: str | None = None) -> list[dict[str, Any]]:
        """Events in the order in which they came, each with its `seq`, and whether it was undone."""
        where, given = ("", [since]) if case is None else (" AND case_id = ?", [since, case])
        rows = self._rows(
            "SELECT event.*, EXISTS (SELECT 1 FROM event u WHERE u.undoes = event.uuid) AS undone "
            f"FROM event WHERE seq > ?{where} ORDER BY seq",
            given,
        )
        return [
            {**{key: row[key] for key in row.keys()}, "payload": json.loads(row["payload"])}  # noqa: SIM118
            for row in rows
        ]

    def last(self) -> int:
        """The number of the last event; 0 without any."""
        return int(self._rows("SELECT COALESCE(MAX(seq), 0) AS last FROM event", [])[0]["last"])

    def holding(self, cases: Iterable[str] | None = None) -> list[Decision]:
        """The verdicts that hold, in the order in which they came.

        Args:
            cases: only of these; None: of all.
        """
        wanted = None if cases is None else sorted(set(cases))
        # By name where they are few: SQLite then looks at the events of these alone.
        few = wanted is not None and len(wanted) <= _FEW
        named = f" AND of_case IN ({', '.join('?' * len(wanted or ()))})" if few else ""
        rows = self._rows(
            f"SELECT * FROM holds WHERE kind = 'verdict'{named} ORDER BY seq", (wanted or ()) if few else ()
        )
        kept = None if wanted is None else set(wanted)
        return [
            Decision(
                row["case_id"],
                row["class"],
                row["rater"],
                row["verdict"],
                row["at"],
                row["seconds"],
                row["label_stamp"],
                row["seq"],
            )
            for row in rows
            if kept is None or row["case_id"] in kept
        ]

    def changed(self, since: int) -> set[str]:
        """Ids of the cases that have an event after that one."""
        return {
            row["case_id"]
            for row in self._rows("SELECT DISTINCT case_id FROM event WHERE seq > ?", [since])
        }

    def _rows(self, sql: str, given: Sequence[Any]) -> list[sqlite3.Row]:
        with self._lock:
            return self._base.execute(sql, given).fetchall()


def on_network(path: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Whether a file lies on a network drive, as far as Linux says so."""
    if not sys.platform.startswith("linux") or not mounts.exists():
        return False
    whole, best, kind = str(path.resolve()), "", ""
    for line in mounts.read_text("utf-8", "replace").splitlines():
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), parts[1])  # a space is \040
        if (whole == point or whole.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, parts[2]
    return kind.startswith(_NETWORK)
