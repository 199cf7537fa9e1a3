"""The server of a review: on this machine alone, until somebody stops it."""

from __future__ import annotations

import hashlib
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aleaseg.errors import UsageError
from aleaseg.review.routes import routes
from aleaseg.review.safety import App, Guard
from aleaseg.review.session import Session
from aleaseg.review.settings import ReviewSettings

__all__ = ["application", "serve"]

_HOST = "127.0.0.1"


def application(session: Session, secret: str, once: str = "") -> App:
    """Everything that is served, behind its guard."""
    from starlette.applications import Starlette

    app: Any = Starlette(routes=routes(session))
    app.router.redirect_slashes = False
    # Cookies know no port: two reviews at once have two names.
    return Guard(app, secret, f"aleaseg_{hashlib.sha256(secret.encode()).hexdigest()[:12]}", once=once)


def serve(asked: ReviewSettings, ready: Callable[[str, str], None]) -> None:
    """Serve a review until it is interrupted.

    Args:
        asked: which run, and how.
        ready: called with the address, the secret in it, and with one that opens the page a single time, to start
            a browser with; as soon as the server answers.

    Raises:
        UsageError: the run or its data set cannot be opened, or the port is taken.
    """
    import uvicorn

    listening = _listen(asked.port) if asked.port else _usual(Path(asked.run))
    try:
        session = Session(asked)
    except BaseException:
        listening.close()
        raise
    session.prepare()
    secret, once = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    config = uvicorn.Config(
        application(session, secret, once),
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
        limit_concurrency=200,
        ws="none",
        lifespan="off",
        http="h11",
        loop="asyncio",
    )
    address = f"http://{_HOST}:{listening.getsockname()[1]}/?token="

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready(address + secret, address + once)

    try:
        Server(config).run(sockets=[listening])
    finally:
        session.close()


def _usual(run: Path) -> socket.socket:
    """A port that is the same each time where it is free: what a browser kept of a run is found again by it."""
    digits = hashlib.sha256(str(run.resolve()).encode("utf-8", "replace")).digest()
    try:
        return _listen(20000 + int.from_bytes(digits[:2], "big") % 12000)
    except UsageError:
        return _listen(0)


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((_HOST, port))
    except OSError as error:
        listening.close()
        raise UsageError(
            f"port {port} cannot be used ({error.strerror}); expected a free one; leave --port out"
        ) from error
    return listening
