"""The workers of a cluster as an executor: cases on their way in a window, whatever becomes of a worker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from aleaseg.cluster.task import Sent, Unfit, perform, send, unfit
from aleaseg.errors import AleasegError
from aleaseg.work import Lost, side_by_side

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster"]

T = TypeVar("T")
R = TypeVar("R")

# Cases on their way for each worker: the one it does, and the next, so that it never waits for this process.
_ON_THEIR_WAY = 2
# Between two looks at who is there; and how long nobody may be there.
_LOOK_SECONDS = 2.0
_ALONE_SECONDS = 60.0


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
        if now - self._looked > _ALONE_SECONDS:
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
        may_come = self._revive() or (not self._unfit and now - self._seen < _ALONE_SECONDS)
        if not self._there and not may_come:
            why = "; ".join(f"{address} {why}" for address, why in self._unfit.items())
            raise AleasegError(
                f"no worker {'is left' if why else f'was there for {_ALONE_SECONDS:g} seconds'}: "
                f"{why or 'start some with `dask worker`'}; then run the same command again: what is finished is kept"
            )
        return self._there

    def _gone(self) -> AleasegError:
        return AleasegError(
            "the scheduler is gone; what is finished is kept: start it again, and run the same command again to resume"
        )

    # -- a map ----------------------------------------------------------------------------------------

    def __call__(
        self, function: Callable[[T], R], items: Sequence[T], *, bytes_each: float, device: str
    ) -> Iterator[tuple[int, R | Lost]]:
        """Yields an item's place and result as they come; a window of items is on its way, never all.

        Raises:
            PicklingError: the function cannot be sent.
            AleasegError: the scheduler or all workers are gone.
        """
        sent = send(function, self.folder, f"map{next(self._maps)}")
        waiting: deque[int] = deque(range(len(items)))
        under_way: dict[Any, tuple[int, Future]] = {}
        finished: SimpleQueue[Future] = SimpleQueue()
        deaths: dict[int, int] = {}
        try:
            while waiting or under_way:
                while waiting and len(under_way) < self._window(len(items), bytes_each, device):
                    place = waiting.popleft()
                    future = self._submit(sent, place, items[place], bytes_each, device)
                    under_way[future.key] = place, future
                    future.add_done_callback(finished.put)
                came = self._next(finished)
                if came is None:
                    continue
                place, _ = under_way.pop(came.key)
                result = self._result(came, place, deaths)
                if result is self._again:
                    waiting.appendleft(place)
                else:
                    yield place, result
        finally:
            if under_way and self.client.status == "running":
                self.client.cancel([future for _, future in under_way.values()], force=True)

    _again: Any = object()

    def _window(self, items: int, bytes_each: float, device: str) -> int:
        """How many cases may be on their way."""
        if self.local:
            # They share this machine's memory and device: no more at a time than it holds.
            most = side_by_side(items, bytes_each, device=device, workers=self.local)
            return most if most < self.local else _ON_THEIR_WAY * most
        chosen = self._chosen(bytes_each, device)
        # Nobody there now: one item asks whoever comes, unless it might be somebody who is passed over.
        return _ON_THEIR_WAY * len(chosen) or int(not self._unfit)

    def _chosen(self, bytes_each: float, device: str) -> list[str]:
        """Workers with a GPU where one is needed, and with room for the largest case where some have."""
        there = self._workers()
        chosen = [address for address, about in there.items() if device == "cpu" or _gpus(about)]
        large = [a for a in chosen if not 0 < (there[a]["memory_limit"] or 0) < bytes_each]
        return large or chosen

    def _submit(self, sent: Sent, place: int, item: Any, bytes_each: float, device: str) -> Future:
        chosen = [] if self.local else self._chosen(bytes_each, device)
        everyone = self.local or (len(chosen) == len(self._there) and not self._unfit)
        return self.client.submit(
            perform,
            sent,
            place,
            item,
            key=f"aleaseg-{sent.folder.name}-{sent.name}-{place}-{time.monotonic_ns()}",
            workers=None if everyone or not chosen else chosen,
            resources=None if self.local or device == "cpu" else {"GPU": 1},
            pure=False,
        )

    def _next(self, finished: SimpleQueue[Future]) -> Future | None:
        """What is finished; None where nothing is for a while, and all is well."""
        try:
            return finished.get(timeout=_LOOK_SECONDS)
        except Empty:
            self._workers(fresh=True)
            return None

    def _result(self, future: Future, place: int, deaths: dict[int, int]) -> Any:
        """The result; `_again` where the item is to be sent once more.

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
            deaths[place] = deaths.get(place, 0) + 1
            if deaths[place] < 2:
                return self._again
            return Lost(f"workers that died before they began, the last at {error.last_worker.address}")
        if isinstance(result, Unfit):
            address = next(iter(self.client.who_has([future]).get(future.key, ())), "unknown")
            if address not in self._unfit:
                self._unfit[address] = result.why
                self._announce(f"Worker {address} is passed over: it {result.why}.")
            self._workers(fresh=True)
            return self._again
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
