"""How work on many cases is shared out: one rule for cores, one for memory, one for the device, one map.

A process holds one case at a time. How many work side by side follows from the cores that this process
may use (a SLURM job's or a container's, not the node's) and from what the largest case needs of the
memory. An executor does the work: processes on this machine, threads, or one after the other; or, where
a verb is told to work elsewhere, the workers of a cluster (see `aleaseg.cluster`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from pickle import PicklingError
from typing import Protocol, TypeVar

from aleaseg.errors import UsageError, WorkerKilled

__all__ = [
    "Elsewhere",
    "Executor",
    "Lost",
    "Progress",
    "choose_device",
    "cores",
    "deaf_children",
    "elsewhere",
    "in_processes",
    "in_threads",
    "map_cases",
    "memory_bytes",
    "name_of",
    "on_one_core",
    "serially",
    "side_by_side",
    "using",
]

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[str, int, int], None]
"""What a verb tells on its way: a stage, how many are done, of how many."""

_SHARE_OF_MEMORY = 0.7
_MOST_CORES = "LOKY_MAX_CPU_COUNT"
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Executor(Protocol):
    """Does something with every item, `workers` at a time; yields an item's place and result as they come.

    Items are drawn as workers become free, never all at once. The place of an item whose worker died is
    not yielded.
    """

    def __call__(
        self, function: Callable[[T], R], items: Iterable[T], workers: int
    ) -> Iterator[tuple[int, R]]:
        """Do it."""
        ...


@dataclass(frozen=True)
class Lost:
    """Stands for the result of an item whose workers were killed.

    Attributes:
        found: what happened, such as `3 workers killed while they were at it, the last one alone with it`.
    """

    found: str


class Elsewhere(Protocol):
    """Does the work of every map in a block of `using`, and knows itself how much of it goes side by side."""

    def __call__(
        self, function: Callable[[T], R], items: Sequence[T], *, bytes_each: float, device: str
    ) -> Iterator[tuple[int, R | Lost]]:
        """Yields an item's place and result as they come, and `Lost` for one that killed its workers.

        Raises:
            PicklingError: the function cannot be sent.
        """
        ...

    several: bool
    """Whether other processes do other items of the same maps, in the same folder, at the same time."""

    def room(self, device: str) -> int:
        """How many items may be worked on at a time, on `cpu` or on `cuda`."""
        ...


_elsewhere: ContextVar[Elsewhere | None] = ContextVar("elsewhere", default=None)


@contextmanager
def using(there: Elsewhere) -> Iterator[None]:
    """Within the block `map_cases` has its work done there. Threads and processes of the block are left alone."""
    token = _elsewhere.set(there)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def elsewhere() -> Elsewhere | None:
    """Who does the work of maps; None: this machine."""
    return _elsewhere.get()


def cores() -> int:
    """How many cores this process may use: affinity, container and SLURM limits count."""
    from joblib import cpu_count

    return max(1, int(cpu_count()))


@contextmanager
def on_one_core() -> Iterator[None]:
    """What shares out work meanwhile takes one core: it is itself one of several that work side by side."""
    before = os.environ.get(_MOST_CORES)
    os.environ[_MOST_CORES] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_MOST_CORES]
        else:
            os.environ[_MOST_CORES] = before


def memory_bytes() -> int | None:
    """How much memory this process may use: the machine's or its container's; None: nobody knows."""
    found = []
    with suppress(ValueError, OSError, AttributeError):  # no such system
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in map(Path, _CGROUPS):
        try:
            found.append(int(file.read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return min(found, default=None)


def choose_device(asked: str, *, here: bool = True) -> str:
    """`cpu` or `cuda`, whichever `auto` finds.

    Args:
        asked: `auto`, `cpu` or `cuda`.
        here: for this process itself; otherwise for what `map_cases` does, which may be done elsewhere.

    Raises:
        UsageError: `cuda` is asked for and is not there, or the name is unknown.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {asked!r}; expected auto, cpu or cuda")
    if asked == "cpu":
        return "cpu"
    import torch

    other = None if here else elsewhere()
    there = torch.cuda.is_available() if other is None else other.room("cuda") > 0
    if asked == "cuda" and not there and other is not None:
        raise UsageError(
            "device cuda was asked for, and no worker declares a GPU; start those that have one with "
            "`--resources GPU=1`, or use `--device cpu`"
        )
    if asked == "cuda" and not there:
        raise UsageError("device cuda was asked for, and torch finds no GPU; use `--device cpu`")
    return "cuda" if there else "cpu"


def side_by_side(
    items: int, bytes_each: float = 0, *, device: str = "cpu", workers: int | None = None
) -> int:
    """How many items are worked on at the same time.

    Args:
        items: how many there are.
        bytes_each: what one holds at its highest.
        device: a GPU is one: only one process works with it.
        workers: no more than these; None: one per core.
    """
    if device != "cpu":
        return 1
    most = workers or cores()
    memory = memory_bytes()
    if bytes_each > 0 and memory is not None:
        most = min(most, int(min(_SHARE_OF_MEMORY * memory / bytes_each, most)))
    return max(1, min(most, items))


def serially(function: Callable[[T], R], items: Iterable[T], workers: int = 1) -> Iterator[tuple[int, R]]:
    """One after the other, in this process."""
    for place, item in enumerate(items):
        yield place, function(item)


def in_threads(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[tuple[int, R]]:
    """Threads, for work that waits for files and releases the interpreter."""
    left = enumerate(items)
    # The first one alone: it imports what the others need, and two threads that import a package of
    # circles (nibabel) at the same time may each find it half made.
    for place, item in islice(left, 1):
        yield place, function(item)
    pool = ThreadPoolExecutor(workers)
    try:
        waiting = {pool.submit(function, item): place for place, item in islice(left, 2 * workers)}
        while waiting:
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                finished = waiting.pop(done)
                waiting |= {pool.submit(function, item): place for place, item in islice(left, 1)}
                yield finished, done.result()
    finally:  # also where nobody wants the rest
        pool.shutdown(cancel_futures=True)


def in_processes(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[tuple[int, R]]:
    """Processes on this machine, each on one thread, kept between calls; a script that calls needs no main guard.

    Worker processes stay in the folder where the first call was made: give them absolute paths.
    """
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1):
        with deaf_children():
            results = Parallel(n_jobs=workers, return_as="generator_unordered")(
                delayed(_placed)(function, place, item) for place, item in enumerate(items)
            )
        yield from results


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that are started meanwhile never hear Ctrl-C, which a terminal sends to all: this one ends them."""
    if threading.current_thread() is not threading.main_thread():  # only there a signal can be seen to
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _placed(function: Callable[[T], R], place: int, item: T) -> tuple[int, R]:
    return place, function(item)


def name_of(item: object) -> str:
    """What an item is called: a case, or a tuple that begins with one, by its id; all else as it is written.

    >>> name_of(("case_3", 0.5)), name_of(7)
    ('case_3', '7')
    """
    first = item[0] if isinstance(item, tuple) and item else item
    return str(getattr(first, "id", first))


def map_cases(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    bytes_each: float = 0,
    device: str = "cpu",
    workers: int | None = None,
    executor: Executor = in_processes,
    here: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    killed: Callable[[T, WorkerKilled], R] | None = None,
) -> Iterator[tuple[T, R]]:
    """Do something with every item, side by side, and yield each with its result as they are finished.

    In a block of `using` the work is done there. Here, a worker that dies was short of memory most likely:
    what it and the others left is done in this process, one after the other; so is, here and there, what
    cannot be sent.

    Args:
        function: of one item; importable by name (or a partial of such), since it crosses to processes.
            What it raises ends the map: what must not end it is its result.
        items: cases, or what stands for them.
        bytes_each: what one item holds at its highest.
        device: where it computes; a GPU has room for one process.
        workers: how many side by side at most on this machine; None: one per core; 1: in this process.
        executor: who does the work of several workers on this machine.
        here: on this machine whatever `using` says, since what is done is quick and its result large.
        progress: called with how many are done, and of how many.
        killed: the result of an item that killed whoever worked on it, alone too; None: that ends the map.

    Raises:
        WorkerKilled: see `killed`.
    """
    total, done = len(items), 0
    if items:
        progress(0, total)
    left = dict(enumerate(items))
    with suppress(BrokenProcessPool, PicklingError):
        for place, result in _side_by_side(
            function, items, bytes_each, device, workers, executor, None if here else elsewhere()
        ):
            item = left.pop(place)
            made = _of_lost(item, result, killed) if isinstance(result, Lost) else result
            done += 1
            progress(done, total)
            yield item, made
    for item in list(left.values()):
        result = function(item)
        done += 1
        progress(done, total)
        yield item, result


def _side_by_side(
    function: Callable[[T], R],
    items: Sequence[T],
    bytes_each: float,
    device: str,
    workers: int | None,
    executor: Executor,
    there: Elsewhere | None,
) -> Iterator[tuple[int, R | Lost]]:
    """Places and results from whoever does the work; nothing where it is to be done in this process."""
    if there is not None and items and workers != 1:
        yield from there(function, items, bytes_each=bytes_each, device=device)
        return
    count = side_by_side(len(items), bytes_each, device=device, workers=workers)
    if there is None and count > 1:
        yield from executor(function, items, count)


def _of_lost(item: T, lost: Lost, killed: Callable[[T, WorkerKilled], R] | None) -> R:
    error = WorkerKilled(
        name_of(item),
        lost.found,
        "a worker that lives until the case is done",
        "give workers more memory and run the same command again, or leave the case out",
    )
    if killed is None:
        raise error
    return killed(item, error)
