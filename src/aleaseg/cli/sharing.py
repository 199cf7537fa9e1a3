"""Where the work of a verb is done: `--scheduler`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from typing import Annotated, Any

import typer

from aleaseg.cli.terminal import say

__all__ = ["Scheduler", "shared_out"]

Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        help="Who works: local:4, tcp://HOST:PORT, a scheduler file, slurm:FILE; default: this machine's cores.",
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
