"""How long a stage will still take, told once by its own first steps."""

from __future__ import annotations

import time
from collections.abc import Callable

from aleaseg.work import cores

__all__ = ["Pace", "in_minutes"]

# Nothing is told before this many seconds of a stage, nor of a stage that is nearly over.
_MEASURED_SECONDS = 15.0
_WORTH_SECONDS = 60.0


class Pace:
    """The speed of each stage, measured from its first report to its latest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun: dict[str, tuple[float, int]] = {}
        self._latest: dict[str, int] = {}
        self._told: set[str] = set()
        self._draws = (0, 0)

    def left(self, stage: str, done: int, total: int) -> float | None:
        """Seconds until the stage is done; None where too little of it is done to say."""
        now = self._clock()
        if stage == "draws":
            self._draws = (done, total)
        if done < self._latest.get(stage, total + 1):  # begun, or begun again by the next draw
            self._begun[stage] = (now, done)
        self._latest[stage] = done
        start, before = self._begun[stage]
        passed, did = now - start, done - before
        # Of what is shared out over the cores, the first results come together.
        if passed < _MEASURED_SECONDS or did < max(cores(), (total - before) / 50):
            return None
        return passed / did * (total - done)

    def estimate(self, stage: str, done: int, total: int) -> str | None:
        """`about 9 minutes to go`, once for each stage that lasts; None otherwise.

        >>> pace = Pace(iter([0.0, 60.0, 61.0]).__next__)
        >>> [pace.estimate("train", done, 5000) for done in (0, 500, 510)]
        [None, 'about 9 minutes to go', None]
        """
        left = self.left(stage, done, total)
        if stage in self._told or left is None or left < _WORTH_SECONDS:
            return None
        self._told.add(stage)
        more = self._draws[1] - self._draws[0] - 1 if stage == "train" else 0
        again = f", then as much again for each of {more} more draws" if more > 1 else ""
        again = ", then as much again for one more draw" if more == 1 else again
        return f"about {in_minutes(left)} to go{again}"


def in_minutes(seconds: float) -> str:
    """A rough time, in words.

    >>> in_minutes(61), in_minutes(420), in_minutes(7300)
    ('1 minute', '7 minutes', '2.0 hours')
    """
    minutes = round(seconds / 60)
    if minutes >= 90:
        return f"{seconds / 3600:.1f} hours"
    return "1 minute" if minutes <= 1 else f"{minutes} minutes"
