"""The workers of a cluster as an executor: cases on their way in a window, whatever becomes of a worker."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from aleaseg.cluster.task import Done, Sent, Unfit, perform, send, unfit
from aleaseg.errors import AleasegError
from aleaseg.work import Lost, side_by_side

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster"]

T = TypeVar("T")
R = TypeVar("R")

# Cases on their way for each worker: the one it does, and the next, so that it never waits for this process.
_ON_THEIR_WAY = 2
# How long it takes to do the quick ones that go together, about, and how many they are at most.
_TOGETHER_SECONDS = 5.0
_MOST_TOGETHER = 100
# How often an item is tried while others are under way; after that it is tried alone.
_AMONG_OTHERS = 2
# Between two looks at who is there; how long nobody may be there, since a busy machine or a slow drive takes its time
# to start one; and when a person is told.
_LOOK_SECONDS = 2.0
_ALONE_SECONDS = 300.0
_TELL_SECONDS = 20.0


@dataclass(frozen=True)
class _Job:
    """One map."""

    sent: Sent
    items: Sequence[Any]
    bytes_each: float
    device: str


@dataclass(frozen=True)
class _OnItsWay:
    """What was sent: places, each with its try among those of its round; and who alone may do it; nobody: anyone."""

    items: Sequence[tuple[int, int]]
    future: Future
    only: frozenset[str]


class _Pace:
    """How many quick items go together, so that sending them is a small part of what it takes to do them."""

    def __init__(self) -> None:
        self.seconds = math.inf  # of one item

    def took(self, done: Done) -> None:
        """Learn from what is finished."""
        if done.seconds is not None:
            latest = max(1e-6, done.seconds / len(done.results))
            self.seconds = latest if self.seconds == math.inf else (self.seconds + latest) / 2

    def size(self, left: int, window: int) -> int:
        """Not more than a share of what is left, so that all workers end at about the same time."""
        return max(1, min(int(_TOGETHER_SECONDS / self.seconds), left // (2 * window), _MOST_TOGETHER))


def _together(waiting: deque[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The next items that go together; one that was at a killed worker goes by itself."""
    taken = [waiting.popleft()]
    while waiting and len(taken) < most and taken[0][1] == waiting[0][1] == 0:
        taken.append(waiting.popleft())
    return taken


class Cluster:
    """Does the work of maps on the workers of a cluster; see `aleaseg.work.Elsewhere`.

    Args:
        client: connected to the scheduler.
        folder: of the session, that every worker sees.
        local: how many workers this machine itself has made; 0: they are elsewhere.
        revive: called where workers are missing; returns whether somebody may come yet.
        announce: called with a line that a person should read.
    """

    several = False

    def __init__(
        self,
        client: Client,
        folder: Path,
        *,
        local: int = 0,
        revive: Callable[[], bool] = lambda: False,
        announce: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.client, self.folder, self.local = client, folder, local
        self._revive, self._announce = revive, announce
        self._maps = count()
        self._unfit: dict[str, str] = {}
        self._there: dict[str, dict[str, Any]] = {}
        self._looked = self._seen = time.monotonic()
        self._told = 0.0

    # -- who is there ---------------------------------------------------------------------------------

    def admit(self) -> None:
        """Wait for a worker, and look at all that are there.

        Raises:
            AleasegError: none comes, or one of them does not fit.
        """
        while not self._workers(fresh=True):
            time.sleep(0.2)
        found = self.client.run(unfit, self.folder, on_error="return")
        for address, why in found.items():
            if isinstance(why, OSError):
                continue  # it has died meanwhile; who comes later is looked at when it is given work
            if isinstance(why, Exception):
                why = f"cannot run aleaseg ({why}); install the same environment as where the command was typed"
            if why:
                raise AleasegError(f"worker {address} {why}")

    def room(self, device: str) -> int:
        """How many workers there are; on `cuda` those that say that they have a GPU, or this machine's one."""
        if self.local and device == "cuda":
            import torch

            return int(torch.cuda.is_available())
        there = self._workers(fresh=True).values()
        return sum(device == "cpu" or _gpus(about) for about in there)

    def _workers(self, fresh: bool = False) -> dict[str, dict[str, Any]]:
        """Address -> what is known of each worker that fits, as it was at the last look.

        Raises:
            AleasegError: the scheduler is gone, or nobody has been there for a while.
        """
        now = time.monotonic()
        if now - self._looked > _TELL_SECONDS:
            self._seen = now  # nobody has looked, so nobody was missed
        if not fresh and now - self._looked < _LOOK_SECONDS:
            return self._there
        if self.client.status != "running":
            raise self._gone()
        try:
            known = self.client.scheduler_info()["workers"]
        except (OSError, TimeoutError, RuntimeError) as error:
            raise self._gone() from error
        self._looked = now
        self._there = {address: about for address, about in known.items() if address not in self._unfit}
        if self._there:
            self._seen = now
        revived, alone = self._revive(), now - self._seen
        may_come = revived or (not self._unfit and alone < _ALONE_SECONDS)
        if may_come and not revived and alone > _TELL_SECONDS and self._told < self._seen:
            self._told = now
            self._announce(
                f"No worker is there: start some with `dask worker`; this ends in {_ALONE_SECONDS - alone:.0f} s."
            )
        if not self._there and not may_come:
            why = "; ".join(f"{address} {why}" for address, why in self._unfit.items())
            raise AleasegError(
                f"no worker {'is left' if why else f'was there for {_ALONE_SECONDS:g} seconds'}: "
                f"{why or 'start some with `dask worker`'}; then run the same command again: what is finished is kept"
            )
        return self._there

    def _gone(self) -> AleasegError:
        return AleasegError(
            "the scheduler is gone; what is finished is kept: start it again, and run the same command again to go on"
        )

    # -- a map ----------------------------------------------------------------------------------------

    def __call__(
        self, function: Callable[[T], R], items: Sequence[T], *, bytes_each: float, device: str
    ) -> Iterator[tuple[int, R | Lost]]:
        """Yields an item's place and result as they come; a window of items is on its way, never all.

        What was at two workers that were killed is tried again when all others are done, alone: what kills then
        too is lost. Where that clears one of several, workers are killed by something else, and the rest is
        tried anew.

        Raises:
            PicklingError: the function cannot be sent.
            AleasegError: the scheduler or all workers are gone.
        """
        job = _Job(send(function, self.folder, f"map{next(self._maps)}"), items, bytes_each, device)
        suspects: dict[int, Lost] = {}
        for place, result in self._shared_out(job, range(len(items)), range(1, _AMONG_OTHERS + 1)):
            if isinstance(result, Lost):
                suspects[place] = result
            else:
                yield place, result
        tries = _AMONG_OTHERS
        while suspects:
            tries, before = tries + 1, suspects
            suspects = {}
            for alone in before:
                for place, result in self._shared_out(job, [alone], [tries]):
                    if isinstance(result, Lost):
                        suspects[place] = result
                    else:
                        yield place, result
            if len(suspects) == len(before):
                yield from suspects.items()
                return

    def _shared_out(
        self, job: _Job, places: Sequence[int], tries: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        """Some items of a map, side by side; what is lost in one try goes to the end of the queue for the next.

        Args:
            job: the map.
            places: of the items.
            tries: the numbers of these tries, counted from 1 over the whole map.
        """
        waiting = deque((place, 0) for place in places)
        under_way: dict[Any, _OnItsWay] = {}
        finished: SimpleQueue[Future] = SimpleQueue()
        pace = _Pace()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < (window := self._window(job)):
                    together = _together(waiting, pace.size(len(waiting), window))
                    sent = self._submit(job, together, tries)
                    under_way[sent.future.key] = sent
                    sent.future.add_done_callback(finished.put)
                came = self._next(finished)
                if came is None:
                    waiting.extendleft(reversed(self._strays(under_way)))
                    continue
                if came.key not in under_way:  # a stray, called back as it was finished
                    continue
                sent = under_way.pop(came.key)
                done = self._result(came, len(sent.items))
                if done is None:
                    waiting.extendleft(reversed(sent.items))
                    continue
                pace.took(done)
                for (place, number), result in zip(sent.items, done.results, strict=True):
                    if isinstance(result, Lost) and number + 1 < len(tries):
                        waiting.append((place, number + 1))
                    else:
                        yield place, result
        finally:
            self._call_back(under_way.values())

    def _strays(self, under_way: dict[Any, _OnItsWay]) -> list[tuple[int, int]]:
        """Items that wait for workers of which none is there any more: called back, to be sent to others."""
        strays = [
            key for key, sent in under_way.items() if sent.only and not sent.only & self._there.keys()
        ]
        called = [under_way.pop(key) for key in strays]
        self._call_back(called)
        return [item for sent in called for item in sent.items]

    def _call_back(self, sent: Collection[_OnItsWay]) -> None:
        if sent and self.client.status == "running":
            self.client.cancel([one.future for one in sent], force=True)

    def _window(self, job: _Job) -> int:
        """How many cases may be on their way."""
        if self.local:
            # They share this machine's memory and device: no more at a time than it holds.
            most = side_by_side(len(job.items), job.bytes_each, device=job.device, workers=self.local)
            return most if most < self.local else _ON_THEIR_WAY * most
        chosen = self._chosen(job)
        # Nobody there now: one item asks whoever comes, unless it might be somebody who is passed over.
        return _ON_THEIR_WAY * len(chosen) or int(not self._unfit)

    def _chosen(self, job: _Job) -> list[str]:
        """Workers with a GPU where one is needed, and with room for the largest case where some have."""
        there = self._workers()
        chosen = [address for address, about in there.items() if job.device == "cpu" or _gpus(about)]
        large = [a for a in chosen if not 0 < (there[a]["memory_limit"] or 0) < job.bytes_each]
        return large or chosen

    def _submit(self, job: _Job, items: Sequence[tuple[int, int]], tries: Sequence[int]) -> _OnItsWay:
        chosen = [] if self.local else self._chosen(job)
        everyone = self.local or (len(chosen) == len(self._there) and not self._unfit)
        only = frozenset(() if everyone else chosen)
        future = self.client.submit(
            perform,
            job.sent,
            [(place, job.items[place], tries[number]) for place, number in items],
            key=f"aleaseg-{job.sent.folder.name}-{job.sent.name}-{items[0][0]}-{time.monotonic_ns()}",
            workers=sorted(only) or None,
            resources=None if self.local or job.device == "cpu" else {"GPU": 1},
            pure=False,
        )
        return _OnItsWay(items, future, only)

    def _next(self, finished: SimpleQueue[Future]) -> Future | None:
        """What is finished; None where nothing is for a while, and all is well."""
        try:
            return finished.get(timeout=_LOOK_SECONDS)
        except Empty:
            self._workers(fresh=True)
            return None

    def _result(self, future: Future, items: int) -> Done | None:
        """What became of the items; None where they are to be sent once more.

        Raises:
            AleasegError: the scheduler is gone.
            Exception: whatever the function raised.
        """
        from distributed.client import CancelledError
        from distributed.scheduler import KilledWorker

        try:
            result = self._fetched(future)
        except CancelledError as error:
            raise self._gone() from error
        except KilledWorker as error:
            # Workers may die before they begin, and take with them what only waited there: a worker that begins
            # keeps count, and this is for those that never do.
            lost = Lost(f"workers that died before they began, the last at {error.last_worker.address}")
            return Done([lost] * items, None)
        if isinstance(result, Unfit):
            address = next(iter(self.client.who_has([future]).get(future.key, ())), "unknown")
            if address not in self._unfit:
                self._unfit[address] = result.why
                self._announce(f"Worker {address} is passed over: it {result.why}.")
            self._workers(fresh=True)
            return None
        assert isinstance(result, Done)
        return result

    def _fetched(self, future: Future) -> Any:
        """What a worker holds of a future; where it died meanwhile, another one makes it once more."""
        from distributed import TimeoutError as TookLong
        from distributed.comm import CommClosedError

        while True:
            try:
                return future.result(timeout=_LOOK_SECONDS)
            except (TookLong, CommClosedError):
                if future.status == "error":  # the function itself raised it
                    raise
                self._workers(fresh=True)


def _gpus(about: dict[str, Any]) -> bool:
    return bool((about.get("resources") or {}).get("GPU"))
