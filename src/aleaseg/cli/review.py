"""The verb `review`."""

from __future__ import annotations

from aleaseg.cli.options import verb
from aleaseg.cli.terminal import say
from aleaseg.review.settings import ReviewSettings

__all__ = ["review"]


@verb
def review(settings: ReviewSettings) -> None:
    """Look at the cases in a browser, on this machine only, and decide about each; Ctrl-C ends the review."""
    import threading

    from aleaseg.review.server import serve

    def ready(address: str, once: str) -> None:
        print(address, flush=True)  # noqa: T201
        if not settings.no_browser:
            say("Decisions are kept in RUN/review at once; Ctrl-C ends the review.", stderr=True)
            # Aside: some browsers come back only when they are closed, and would keep the server from answering.
            threading.Thread(target=_open, args=(once,), name="browser", daemon=True).start()

    try:
        serve(settings, ready)
    except KeyboardInterrupt:
        say("The review has ended; your decisions are kept.", stderr=True)


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        say("No browser could be opened: open the address above.", stderr=True)
