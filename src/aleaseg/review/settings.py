"""What a review is asked for. Light: the command line reads it for its help."""

from __future__ import annotations

import getpass
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from aleaseg.errors import UsageError
from aleaseg.settings import Argument, Option, Settings

__all__ = ["ReviewSettings"]


@dataclass(frozen=True)
class ReviewSettings(Settings):
    """How a run is looked at."""

    run: Annotated[str | Path, Argument("A folder made by audit or score.", "RUN")]
    _: KW_ONLY
    no_browser: Annotated[
        bool, Option("Open no browser, only print the address, for example for a tunnel.")
    ] = False
    port: Annotated[
        int, Option("Port on 127.0.0.1; 0: the usual one of this run, or any that is free.", "N", least=0)
    ] = 0
    rater: Annotated[str | None, Option("Who decides; default: your user name.", "NAME")] = None
    blind: Annotated[
        bool, Option("Hide scores, reasons and what others decided, and shuffle the cases.")
    ] = False
    cache_gb: Annotated[
        float, Option("Disk space for decoded cases, in RUN/review/volumes.", "GB", least=0.0)
    ] = 8.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if self.port > 65535:
            raise UsageError(f"port is {self.port}; expected 0 to 65535")
        if self.rater is not None and not (
            self.rater.strip() and self.rater.isprintable() and len(self.rater) <= 64
        ):
            raise UsageError(f"rater is {self.rater!r}; expected a name of 1 to 64 characters")

    @property
    def name(self) -> str:
        """Who decides, where the page names nobody else."""
        if self.rater is not None:
            return self.rater.strip()
        try:
            return getpass.getuser()[:64] or "rater"
        except OSError:  # no such user, as in some containers
            return "rater"
