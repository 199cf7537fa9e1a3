"""Who may ask the server for anything: the person to whom its address was printed, from a page of its own.

Any page that a browser shows may send requests to 127.0.0.1, and a name that it made up may point there.
So a request has to bear a secret, come to a name that is ours, and, where it writes, come from our own page.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from aleaseg.errors import AleasegError

__all__ = ["Guard"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Any port: a tunnel has its own. A name that somebody made up to point here is not among them.
_NAME = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")
_MOST_BYTES = 16 << 20
_SECONDS = 20.0  # that the body of a request may take
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """In front of an application.

    Args:
        app: that is guarded.
        secret: that the address bears, and then a cookie.
        once: that an address bears which opens the page one time. Whoever works on this machine sees what programs
            are started with, a browser and the address in it too.
        cookie: its name; another one for each run, since cookies know no port.
        most_bytes: the largest body.
        seconds: the longest that a body may take.
    """

    def __init__(
        self,
        app: App,
        secret: str,
        cookie: str,
        *,
        once: str = "",
        most_bytes: int = _MOST_BYTES,
        seconds: float = _SECONDS,
    ) -> None:
        self._app, self._secret, self._cookie, self._once = app, secret, cookie, once
        self._most_bytes, self._seconds = most_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise AleasegError(f"no {scope['type']} here")
        headers = _Headers(scope)
        refused = self._refused(scope, headers)
        if refused is not None:
            await _answer(send, *refused)
            return
        if self._given(scope):
            # The secret leaves the address at once.
            cookie = f"{self._cookie}={self._secret}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send, 303, "", {"location": "/", "set-cookie": cookie})
            return
        if not self._known(headers):
            await _answer(send, 403, _NO_SECRET)
            return
        if scope["method"] == "POST":
            body = await self._body(headers, receive)
            if not isinstance(body, bytes):
                await _answer(send, *body)
                return
            receive = _once(body)
        await self._app(scope, receive, _with_headers(send))

    def _refused(self, scope: Scope, headers: _Headers) -> tuple[int, str] | None:
        host = headers.only("host")
        if host is None or _NAME.fullmatch(host) is None:
            return 421, "This server answers to 127.0.0.1 and localhost alone."
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "GET and POST alone."
        site = headers.only("sec-fetch-site")
        origin = headers.only("origin")
        if origin is not None and origin != f"http://{host}":
            return 403, "A page of another origin asks for nothing here."
        if scope["method"] == "POST":
            if origin is None or site not in (None, "same-origin"):
                return 403, "Only the server's own page writes."
            if (headers.only("content-type") or "").partition(";")[0].strip().lower() != "application/json":
                return 415, "JSON alone."
        return None

    def _given(self, scope: Scope) -> bool:
        """Whether the address bears the secret."""
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["method"] != "GET":
            return False
        if self._once and _same(token, self._once):
            self._once = ""
            return True
        return _same(token, self._secret)

    def _known(self, headers: _Headers) -> bool:
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(headers.only("cookie") or "")
        except CookieError:
            return False
        return self._cookie in jar and _same(jar[self._cookie].value, self._secret)

    async def _body(self, headers: _Headers, receive: Receive) -> bytes | tuple[int, str]:
        length = headers.only("content-length") or "0"
        if not length.isdigit() or int(length) > self._most_bytes:
            return 413, f"A body has at most {self._most_bytes} bytes."
        parts = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return 400, "The body ended early."
                    parts += message.get("body", b"")
                    if len(parts) > self._most_bytes:
                        return 413, f"A body has at most {self._most_bytes} bytes."
                    if not message.get("more_body", False):
                        return bytes(parts)
        except TimeoutError:
            return 408, "The body took too long."


_NO_SECRET = (
    "Open the address that `aleaseg review` printed: it bears a token, without which nothing is shown."
)


def _same(token: str, secret: str) -> bool:
    return hmac.compare_digest(token.encode("utf-8", "replace"), secret.encode())


class _Headers:
    def __init__(self, scope: Scope) -> None:
        self._all: list[tuple[bytes, bytes]] = list(scope["headers"])

    def only(self, name: str) -> str | None:
        """The header of that name; None where it is missing, and what nobody may send where it is there twice."""
        found = [value.decode("latin-1") for key, value in self._all if key == name.encode()]
        return found[0] if len(found) == 1 else ("\0" if found else None)


def _once(body: bytes) -> Receive:
    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _with_headers(send: Send) -> Send:
    async def guarded(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = {key for key, _ in message["headers"]}
            more = [(key.encode(), value.encode()) for key, value in _HEADERS.items()]
            if b"cache-control" not in own:
                more.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return guarded


async def _answer(send: Send, status: int, text: str, more: MutableMapping[str, str] | None = None) -> None:
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(text.encode())),
        **(more or {}),
    }
    if status in (408, 413):
        headers["connection"] = "close"
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()],
    }
    guarded = _with_headers(send)
    await guarded(start)
    await guarded({"type": "http.response.body", "body": text.encode()})
