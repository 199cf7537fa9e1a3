"""How work on many cases is shared out: one rule for cores, one for memory, one for the device, one map.

A process holds one case at a time. How many work side by side follows from the cores that this process
may use (a SLURM job's or a container's, not the node's) and from what the largest case needs of the
memory. An executor does the work: processes on this machine, threads, or one after the other.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from pickle import PicklingError
from typing import Protocol, TypeVar

from aleaseg.errors import UsageError

__all__ = [
    "Executor",
    "Progress",
    "choose_device",
    "cores",
    "deaf_children",
    "in_processes",
    "in_threads",
    "map_cases",
    "memory_bytes",
    "on_one_core",
    "serially",
    "side_by_side",
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


def choose_device(asked: str) -> str:
    """`cpu` or `cuda`, whichever `auto` finds.

    Raises:
        UsageError: `cuda` is asked for and is not there, or the name is unknown.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {asked!r}; expected auto, cpu or cuda")
    if asked == "cpu":
        return "cpu"
    import torch

    there = torch.cuda.is_available()
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
    from joblib import Parallel, delayed

    left = enumerate(items)
    # The first one alone: it imports what the others need, and two threads that import a package of
    # circles (nibabel) at the same time may each find it half made.
    for place, item in islice(left, 1):
        yield place, function(item)
    yield from Parallel(n_jobs=workers, prefer="threads", return_as="generator_unordered")(
        delayed(_placed)(function, place, item) for place, item in left
    )


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


def map_cases(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    bytes_each: float = 0,
    device: str = "cpu",
    workers: int | None = None,
    executor: Executor = in_processes,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[T, R]]:
    """Do something with every item, side by side, and yield each with its result as they are finished.

    A worker that dies was short of memory most likely: what it and the others left is done here, one
    after the other; so is what cannot be sent to a process.

    Args:
        function: of one item; importable by name (or a partial of such), since it crosses to processes.
            What it raises ends the map: what must not end it is its result.
        items: cases, or what stands for them.
        bytes_each: what one item holds at its highest.
        device: where it computes; a GPU has room for one process.
        workers: how many side by side at most; None: one per core.
        executor: who does the work; with one worker it is done here.
        progress: called with how many are done, and of how many.
    """
    total, done = len(items), 0
    if items:
        progress(0, total)
    left = dict(enumerate(items))
    count = side_by_side(total, bytes_each, device=device, workers=workers)
    if count > 1:
        with suppress(BrokenProcessPool, PicklingError):
            for place, result in executor(function, items, count):
                done += 1
                progress(done, total)
                yield left.pop(place), result
    for item in list(left.values()):
        result = function(item)
        done += 1
        progress(done, total)
        yield item, result
