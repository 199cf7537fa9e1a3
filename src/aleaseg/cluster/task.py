"""What a worker of a cluster does: one case after the other, found and left in folders that all of them see.

The session's folder lies in the folder of the run, which every worker writes to:

session.json   what a worker has to be and to see
MAP.pickle     what is done with every item of one map; its SHA-256 travels with each item, and what does not
               have it is not opened
MAP-PLACE      a byte for every time that somebody began with an item; gone when it is finished
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aleaseg.run import read_json, write_aside, write_json
from aleaseg.work import Lost, on_one_core

__all__ = ["Done", "Sent", "Unfit", "begin_session", "perform", "send", "unfit"]

# What differs in these may compute other numbers, or cannot read what it is sent.
_PACKAGES = ("aleaseg", "torch", "numpy", "distributed")
_NAMES = 20


@dataclass(frozen=True)
class Unfit:
    """Stands for a result: the worker cannot do the work, and why."""

    why: str


@dataclass(frozen=True)
class Done:
    """What became of the items of one message.

    Attributes:
        results: in their order; `Lost` for one that was begun too often and never finished.
        seconds: that all of them took; None: nobody knows.
    """

    results: list[Any]
    seconds: float | None


@dataclass(frozen=True)
class Sent:
    """What is done with every item of a map, as workers find it.

    Attributes:
        folder: of the session.
        name: of the map, in that folder.
        digest: SHA-256 of the pickle.
    """

    folder: Path
    name: str
    digest: str


def begin_session(folder: Path, reads: Sequence[Path]) -> None:
    """Write down what a worker has to be and to see.

    Args:
        folder: of the session; exists.
        reads: files and folders that are read from.
    """
    inside = [str(path) for start in reads for path in _some_of(start) if path != folder.parent]
    write_json(folder / "session.json", {"versions": _versions(), "reads": inside})


def send(function: Callable[..., Any], folder: Path, name: str) -> Sent:
    """Write what is done down for workers to find.

    Raises:
        PicklingError: it cannot be written.
    """
    import cloudpickle

    try:
        content = cloudpickle.dumps(function)
    except Exception as error:  # whatever an object raises that cannot be sent
        raise pickle.PicklingError(str(error)) from error
    write_aside(folder / f"{name}.pickle", content)
    return Sent(folder, name, hashlib.sha256(content).hexdigest())


def unfit(folder: Path, dask_worker: Any) -> str:
    """Why the worker cannot work in a session; empty where it can. Each name in its own words.

    Args:
        folder: of the session.
        dask_worker: itself.
    """
    threads = dask_worker.state.nthreads
    if threads != 1:
        return (
            f"has {threads} threads; expected one, since a process holds one case at a time: start workers with "
            "`--nthreads 1`, and several of them with `--nworkers`"
        )
    file = folder / "session.json"
    if not file.is_file():
        return (
            f"does not see the folder of the run, {folder.parent}; expected the same folder under the same path on "
            "every machine: put it on the shared drive"
        )
    session = read_json(file)
    for name, there in _versions().items():
        if session["versions"].get(name) != there:
            return (
                f"has {name} {there or 'not at all'}; expected {session['versions'].get(name) or 'none'}, as where "
                "the command was typed: install the same environment"
            )
    for path in session["reads"]:
        if not Path(path).exists():
            return (
                f"does not see {path}; expected the same folders under the same paths on every machine: put the data "
                "on the shared drive"
            )
    return _cannot_write(folder)


def _cannot_write(folder: Path) -> str:
    own = folder / f"seen-{socket.gethostname()}-{os.getpid()}"
    try:
        own.write_bytes(b"")
        own.unlink()
    except OSError as error:
        return f"cannot write to {folder.parent} ({error.strerror or error}); free space or permissions"
    return ""


def _versions() -> dict[str, str]:
    """As far as they matter: `2.13.0+cpu` and `2.13.0+cu128` are one."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in _PACKAGES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = ""
    return found


def _some_of(path: Path) -> list[Path]:
    """A file or folder, and some of what lies in it: a drive that is not mounted leaves an empty folder."""
    if not path.is_dir():
        return [path]
    return [path, *sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))[:_NAMES]]


# What this worker found itself to be, by session; and the functions of the last map.
_fitness: dict[Path, str] = {}
_functions: dict[str, Callable[[Any], Any]] = {}


def perform(sent: Sent, items: Sequence[tuple[int, Any, int]]) -> Done | Unfit:
    """Do some items one after the other, if this worker is fit; but none that has killed too many others.

    Args:
        sent: what is done.
        items: place, item, and how often it may have been begun, this time included.
    """
    from distributed import get_worker

    if sent.folder not in _fitness:
        _fitness[sent.folder] = unfit(sent.folder, get_worker())
        _on_one_thread()
    if _fitness[sent.folder]:
        return Unfit(_fitness[sent.folder])
    # First, since it may import for seconds: who is killed meanwhile is not killed by an item.
    function, started = _function(sent), time.monotonic()
    results = [
        _done(function, sent.folder / f"{sent.name}-{place}", item, most) for place, item, most in items
    ]
    return Done(results, time.monotonic() - started)


def _done(function: Callable[[Any], Any], tries: Path, item: Any, most: int) -> Any:
    """The result, or `Lost`; counted while it lasts."""
    begun = tries.stat().st_size if tries.exists() else 0
    if begun >= most:
        return Lost(
            f"{begun} worker{'s' * (begun > 1)} killed while they were at it, the last one alone with it"
        )
    with tries.open("ab") as file:
        file.write(b".")
    try:
        with on_one_core():
            return function(item)
    finally:
        tries.unlink(missing_ok=True)


def _function(sent: Sent) -> Callable[[Any], Any]:
    if sent.digest not in _functions:
        content = (sent.folder / f"{sent.name}.pickle").read_bytes()
        if hashlib.sha256(content).hexdigest() != sent.digest:
            raise ValueError(f"{sent.folder / sent.name}.pickle is not what was sent")
        _functions.clear()
        _functions[sent.digest] = pickle.loads(content)
    return _functions[sent.digest]


def _on_one_thread() -> None:
    """As this machine's own workers are: numbers are the same, and a core has one worker."""
    from threadpoolctl import threadpool_limits

    limits: Mapping[str, str] = {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    os.environ.update(limits)  # for what is loaded later
    threadpool_limits(1)
