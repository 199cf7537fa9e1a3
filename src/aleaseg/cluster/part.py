"""A share of every map without any scheduler: a job of a SLURM array does its part, and what all need waits for all.

    aleaseg audit DATASET -o RUN --part 3/20

A case belongs to a part by its id, whoever counts. When a part is through with its share of a map, it leaves a
mark in RUN/parts/; when the marks of all are there, what the others did is read from the run, and the next map
begins. Until then the part ends, and the same command goes on with what comes next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from aleaseg.errors import UsageError
from aleaseg.run import write_aside
from aleaseg.work import in_processes, name_of, serially, side_by_side, using

__all__ = ["NotYet", "Part", "part_of"]

T = TypeVar("T")
R = TypeVar("R")


class NotYet(Exception):
    """A part is through with its share, and what comes next needs the others.

    Attributes:
        last: whether nothing comes next but putting everything together.
        waiting: numbers of the parts that are not through with theirs.
    """

    def __init__(self, last: bool, waiting: Sequence[int] = ()) -> None:
        self.last, self.waiting = last, tuple(waiting)
        super().__init__(f"waiting for the parts {', '.join(map(str, waiting))}")


class Part:
    """Does one share of every map on this machine; see `aleaseg.work.Elsewhere`.

    Args:
        number: which, from 1.
        parts: how many there are.
        run: the folder that all of them share.
        last: the name of the function after whose map nothing is left to be shared out.
    """

    several = True

    def __init__(self, number: int, parts: int, run: Path, last: str) -> None:
        self.number, self.parts, self.last = number, parts, last
        self.marks = run / "parts" / f"of_{parts}"

    def room(self, device: str) -> int:
        """As many as on this machine."""
        if device == "cuda":
            import torch

            return int(torch.cuda.is_available())
        return side_by_side(2**16, device=device)

    def owner(self, item: object) -> int:
        """The part that an item belongs to, from 1: cases by their ids, numbers in turn."""
        if isinstance(item, int):
            return item % self.parts + 1
        digest = sha256(name_of(item).encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.parts + 1

    def __call__(
        self, function: Callable[[T], R], items: Sequence[T], *, bytes_each: float, device: str
    ) -> Iterator[tuple[int, R]]:
        """Yields this part's share; then, where all parts are through with theirs, the rest, which is found done.

        Raises:
            NotYet: they are not, or nothing is shared out after this.
        """
        mine = [place for place, item in enumerate(items) if self.owner(item) == self.number]
        yield from _here(function, items, mine, bytes_each, device)
        name = _name(function)
        write_aside(self.marks / name / f"{self.number}", b"")
        waiting = [n for n in range(1, self.parts + 1) if not (self.marks / name / f"{n}").is_file()]
        if waiting or name == self.last:
            raise NotYet(name == self.last, waiting)
        others = [place for place, item in enumerate(items) if self.owner(item) != self.number]
        yield from _here(function, items, others, bytes_each, device)


def _here(
    function: Callable[[T], R], items: Sequence[T], places: Sequence[int], bytes_each: float, device: str
) -> Iterator[tuple[int, R]]:
    count = side_by_side(len(places), bytes_each, device=device)
    todo = [items[place] for place in places]
    work: Any = in_processes if count > 1 else serially
    for number, result in work(function, todo, count):
        yield places[number], result


def _name(function: Any) -> str:
    """Of a function, or of what a partial of one is made of."""
    while isinstance(function, partial):
        function = function.func
    return str(function.__name__)


def part_of(asked: str | None, run: Path, last: str) -> Any:
    """Within the block a share of every map is done; without one asked for, all of it.

    Args:
        asked: `3/20`.
        run: the verb's folder.
        last: as of `Part`.

    Raises:
        UsageError: there is no such part.
    """
    if asked is None:
        return nullcontext()
    found = re.fullmatch(r"(\d+)/(\d+)", asked)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--part {asked}: expected which of how many, such as 3/20")
    return using(Part(int(found[1]), int(found[2]), run.resolve(), last))
