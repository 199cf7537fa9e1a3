"""Where the work of a verb is done: `--scheduler` and `--part`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import typer

from aleaseg.cli.terminal import say
from aleaseg.errors import UsageError

__all__ = ["Scheduler", "Share", "share", "shared_out"]

Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        help="Where the work is done: local:4, tcp://HOST:PORT, a scheduler file, slurm:FILE; default: this machine.",
        metavar="WHERE",
    ),
]


def shared_out(
    scheduler: str | None, reads: Sequence[str | PathLike[str] | None], writes: str | PathLike[str]
) -> AbstractContextManager[Any]:
    """The work within the block is done by that scheduler's workers; without one, where it always is.

    Args:
        scheduler: as it was typed.
        reads: files and folders that workers have to see.
        writes: the verb's folder.
    """
    if scheduler is None:
        return nullcontext()
    from aleaseg.cluster import connected

    return connected(
        scheduler,
        reads=[path for path in reads if path],
        writes=writes,
        announce=lambda text: say(text, stderr=True),
    )


Share = Annotated[
    str | None,
    typer.Option(
        "--part",
        help="Only this share of the cases, for job arrays; each says what comes next.",
        metavar="NUMBER/PARTS",
    ),
]


@contextmanager
def share(
    part: str | None, scheduler: str | None, out: str | PathLike[str], last: str, then: str
) -> Iterator[None]:
    """The block does a part of the cases, and ends the program with a line that says what comes next.

    Args:
        part: as it was typed; None: the block does everything.
        scheduler: likewise; there cannot be both.
        out: the verb's folder.
        last: the name of the function after whose map nothing is left to be shared out.
        then: the command that puts everything together.
    """
    if part is None:
        yield
        return
    if scheduler is not None:
        raise UsageError("--part shares out work without a scheduler; leave --part or --scheduler out")
    from aleaseg.cluster.part import NotYet, part_of

    try:
        with part_of(part, Path(out), last):
            yield
    except NotYet as end:
        if end.waiting:
            named = ", ".join(map(str, end.waiting[:5])) + (", ..." if len(end.waiting) > 5 else "")
            others = (
                f"{len(end.waiting)} of the others {'is' if len(end.waiting) == 1 else 'are'} not: {named}"
            )
        else:
            others = "so are the others"
        after = (
            then
            if end.last
            else "run the same command for every part again: it continues with what needs all cases"
        )
        say(f"Part {part} is done; {others}. When all parts are done: {after}", wrap=True)
        raise typer.Exit(0) from end
