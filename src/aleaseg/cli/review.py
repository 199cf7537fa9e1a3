"""The verb `review`."""

from __future__ import annotations

from aleaseg.cli.options import verb
from aleaseg.cli.terminal import say
from aleaseg.review.settings import ReviewSettings

__all__ = ["review"]


@verb
def review(settings: ReviewSettings) -> None:
    """Look at the cases in a browser and decide about them, on this machine alone; Ctrl-C ends it."""
    from aleaseg.review.server import serve

    def ready(address: str) -> None:
        print(address, flush=True)  # noqa: T201
        if not settings.no_browser:
            import webbrowser

            say("Decisions are kept in RUN/review at once; Ctrl-C ends the review.", stderr=True)
            webbrowser.open(address)

    try:
        serve(settings, ready)
    except KeyboardInterrupt:
        say("The review has ended; what was decided is kept.", stderr=True)
