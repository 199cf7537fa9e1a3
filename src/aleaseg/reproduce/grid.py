"""A declared grid of cells: each is done once, by whoever claims it first.

cells/NAME.json      what a cell came to, or why it failed
claims/NAME/         somebody is at it; made in one step, so that two never are
work/NAME/           what the work leaves: runs, networks, predictions

Nothing is locked: the same command may run on several machines that share the folder, and each takes
what is free. A claim is touched while its owner lives; one that nobody has touched for ten minutes was
left by a kill and is taken over. Machines that share no folder take a part each, and their `cells/` and
`work/` are copied together afterwards.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from aleaseg.errors import AleasegError, UsageError
from aleaseg.reproduce.cells import Cell
from aleaseg.run import now, read_json, write_json

__all__ = ["Grid", "with_needs"]

_BEAT_SECONDS, _DEAD_SECONDS, _WAIT_SECONDS = 30.0, 600.0, 20.0

Do = Callable[[Cell], dict[str, Any]]


def with_needs(cells: Iterable[Cell]) -> list[Cell]:
    """Every cell once, and before it what it needs."""
    ordered: dict[Cell, None] = {}

    def put(cell: Cell) -> None:
        for need in cell.needs:
            put(need)
        ordered.setdefault(cell)

    for cell in cells:
        put(cell)
    return list(ordered)


class Grid:
    """The state of cells in the folder of a reproduction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def work(self, cell: Cell) -> Path:
        """Where a cell works."""
        return self.folder / "work" / cell.name

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """What a cell came to, or why it failed (`failed`); None: it was not tried yet."""
        path = self.folder / "cells" / f"{cell.name}.json"
        try:
            made: dict[str, Any] = read_json(path)
        except UsageError:
            return None  # not there, or cut off on a file system without atomic renames: done again
        return made

    def done(self, cell: Cell) -> bool:
        """Whether it came to something."""
        made = self.result(cell)
        return made is not None and "failed" not in made

    def failed(self, cell: Cell) -> str:
        """Why it failed; empty where it did not."""
        return str((self.result(cell) or {}).get("failed", ""))

    def run(
        self,
        cells: Sequence[Cell],
        do: Do,
        *,
        part: int = 1,
        parts: int = 1,
        tell: Callable[[Cell, int, int], None] = lambda cell, done, total: None,
    ) -> list[Cell]:
        """Do what is not done, each cell after what it needs. One that fails is named, and the others go on.

        Args:
            cells: all of the grid, in order; what they need among them.
            do: the work of a cell; returns what it came to.
            part: which share of the cells is this machine's, from 1; what its cells need is, too.
            parts: how many shares there are.
            tell: called before each cell with it, the number of finished ones, and all.

        Returns:
            The cells that this call tried and that failed.
        """
        mine = with_needs(cell for number, cell in enumerate(cells) if number % parts == part - 1)
        tried: set[Cell] = set()
        while True:
            left = [cell for cell in mine if cell not in tried and not self.done(cell)]
            if not left:
                break
            worked, waiting = False, False
            for cell in left:
                if self.done(cell):
                    continue
                broken = next((need for need in cell.needs if not self.done(need) and need in tried), None)
                if broken is not None:
                    tried.add(cell)
                    self._keep(cell, {"failed": f"{broken.name} failed: {self.failed(broken)}"})
                    continue
                if not all(map(self.done, cell.needs)):
                    waiting = True
                    continue
                with self._claim(cell) as owned:
                    if not owned:
                        waiting = True
                        continue
                    if self.done(cell):  # another finished it before the claim
                        continue
                    worked = True
                    tell(cell, sum(map(self.done, mine)), len(mine))
                    tried.add(cell)
                    self._do(cell, do)
            if waiting and not worked:
                time.sleep(_WAIT_SECONDS)
        return [cell for cell in mine if cell in tried and not self.done(cell)]

    def _do(self, cell: Cell, do: Do) -> None:
        started = time.monotonic()
        try:
            made = do(cell)
        except AleasegError as error:
            made = {"failed": " ".join(str(error).split())}
        except OSError as error:
            made = {
                "failed": f"{error.strerror or error}: {error.filename or ''}; make room and run it again"
            }
        except Exception as error:  # whatever one cell does, the others go on; the table names it
            if os.environ.get("ALEASEG_TRACEBACK"):
                raise
            made = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        self._keep(cell, {**made, "seconds": round(time.monotonic() - started, 2)})

    def _keep(self, cell: Cell, made: dict[str, Any]) -> None:
        about = {"name": cell.name, "kind": type(cell).__name__.lower(), "cell": asdict(cell)}
        machine = {"finished": now(), "host": socket.gethostname()}
        write_json(self.folder / "cells" / f"{cell.name}.json", {**about, **made, **machine})

    @contextmanager
    def _claim(self, cell: Cell) -> Iterator[bool]:
        """Whether the cell is ours while the block runs."""
        folder = self.folder / "claims" / cell.name
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not _taken(folder):
            yield False
            return
        write_json(
            folder / "owner.json", {"host": socket.gethostname(), "pid": os.getpid(), "since": now()}
        )
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(_BEAT_SECONDS):
                with suppress(OSError):
                    os.utime(folder)

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            yield True
        finally:
            ended.set()
            heart.join()
            for grave in folder.parent.glob(f".{folder.name}.{'[0-9a-f]' * 20}"):
                _release(grave)
            _release(folder)


def _taken(folder: Path) -> bool:
    """Make the claim, if nobody has it or whoever had it is gone."""
    try:
        folder.mkdir()
    except FileExistsError:
        grave = _grave(folder)
        if not _abandoned(folder):
            return False
        # Only one of those who see it abandoned can move it away: the grave is of this one claim, and whoever
        # comes later, with the new claim in its hands, finds it full. So it stays until the cell is done.
        try:
            folder.rename(grave)
            folder.mkdir()
        except OSError:
            return False
    return True


def _grave(folder: Path) -> Path:
    """Where a claim goes when it is taken over; each has one of its own."""
    try:
        owner = (folder / "owner.json").read_bytes()
    except OSError:
        owner = b""
    return folder.with_name(f".{folder.name}.{sha256(owner).hexdigest()[:20]}")


def _abandoned(folder: Path) -> bool:
    try:
        owner = read_json(folder / "owner.json")
    except UsageError:
        owner = {}
    if owner.get("host") == socket.gethostname() and not _lives(int(owner.get("pid", 0))):
        return True
    try:
        # By the clock of the file system, which machines may share when they share no other.
        probe = folder.with_name(f".now.{uuid4().hex}")
        probe.touch()
        age = probe.stat().st_mtime - folder.stat().st_mtime
        probe.unlink()
    except OSError:
        return False
    return age > _DEAD_SECONDS


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _release(folder: Path) -> None:
    with suppress(OSError):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
