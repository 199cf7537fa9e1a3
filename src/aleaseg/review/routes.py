"""What the page asks for, and what it is answered."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from aleaseg.pages.files import asset
from aleaseg.pages.templates import templates
from aleaseg.review.agreement import raters_of
from aleaseg.review.event import VERDICTS, Event, label_words
from aleaseg.review.export import as_csv, as_json, from_csv, from_json
from aleaseg.review.niivue import niivue_script
from aleaseg.review.session import Session
from aleaseg.review.volumes import PART_OF

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from aleaseg.review.volumes import Kind, Slice

__all__ = ["routes"]

_REPORT, _OWN = "aleaseg.report", "aleaseg.review"
_OWN_SCRIPTS = (
    "slices.js",
    "outline.js",
    "window.js",
    "plane.js",
    "viewer.js",
    "niivue.js",
    "solid.js",
    "outbox.js",
    "verdicts.js",
    "panel.js",
    "controls.js",
    "together.js",
    "review.js",
)
SCRIPTS = (
    *((name, _REPORT) for name in ("page.js", "queue.js", "sheet.js")),
    *((name, _OWN) for name in _OWN_SCRIPTS),
)
STYLES = (("page.css", "aleaseg.pages"), ("report.css", _REPORT), ("review.css", _OWN))


def routes(session: Session) -> list[Route]:
    """Every address there is; a case is its hexadecimal digits, and one of the run."""
    from starlette.routing import Route

    answers = _Answers(session)

    def get(path: str, answer: Callable[[Request], Response]) -> Route:
        return Route(path, answer, methods=["GET"])

    return [
        get("/", answers.page),
        get("/assets/{name}", answers.asset),
        get("/niivue.js", answers.niivue),
        get("/api/run", answers.run),
        get("/api/queue", answers.queue),
        get("/api/holding", answers.holding),
        get("/api/events", answers.events),
        get("/api/case/{name}", answers.case),
        get("/api/case/{name}/volume", answers.volume),
        get("/api/case/{name}/picture/{kind}", answers.picture),
        get("/api/case/{name}/slice/{kind}/{axis:int}/{k:int}", answers.slice),
        get("/api/case/{name}/whole/{kind}", answers.whole),
        get("/api/case/{name}/solid/{kind}", answers.solid),
        get("/api/agreement", answers.agreement),
        get("/api/looking", answers.looking),
        get("/api/export.{form}", answers.export),
        Route("/api/events", answers.add_events, methods=["POST"]),
        Route("/api/import", answers.take_in, methods=["POST"]),
        Route("/api/prefetch", answers.prefetch, methods=["POST"]),
    ]


class _Answers:
    """One answer for each address."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._assets = {name: (asset(name, owner), name) for name, owner in (*SCRIPTS, *STYLES)}

    # -- the page ---------------------------------------------------------------------------------------

    def page(self, request: Request) -> Response:
        from starlette.responses import HTMLResponse

        text = (
            templates(_OWN)
            .get_template("review.html.j2")
            .render(
                name=self._session.dataset.name,
                styles=[name for name, _ in STYLES],
                scripts=[name for name, _ in SCRIPTS],
                verdicts=[(verdict, label_words(verdict)) for verdict in VERDICTS],
                prediction=self._session.facts.prediction,
            )
        )
        return HTMLResponse(text)

    def asset(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse

        found = self._assets.get(request.path_params["name"])
        if found is None:
            return _nothing()
        kind = "text/javascript" if found[1].endswith(".js") else "text/css"
        return PlainTextResponse(found[0], media_type=kind)

    def niivue(self, request: Request) -> Response:
        from starlette.responses import FileResponse

        path = niivue_script()
        return _nothing() if path is None else FileResponse(path, media_type="text/javascript")

    # -- the cases --------------------------------------------------------------------------------------

    def run(self, request: Request) -> Response:
        return _json(self._session.about())

    def queue(self, request: Request) -> Response:
        from starlette.responses import Response

        return Response(self._session.queue, media_type="application/json")

    def case(self, request: Request) -> Response:
        name = request.path_params["name"]
        return _json(self._session.case(name)) if name in self._session.ids else _nothing()

    def volume(self, request: Request) -> Response:
        name = request.path_params["name"]
        return _json(self._session.volume(name)) if name in self._session.ids else _nothing()

    def picture(self, request: Request) -> Response:
        from starlette.responses import FileResponse

        name, kind = request.path_params["name"], request.path_params["kind"]
        if name not in self._session.ids or kind not in ("thumb", "mosaic", "background"):
            return _nothing()
        path = self._session.picture(name, kind)
        return _nothing() if path is None else FileResponse(path, media_type="image/webp")

    def slice(self, request: Request) -> Response:
        def read(stamp: str, kind: Kind, channel: int) -> Slice | None:
            asked = request.path_params
            return self._session.volumes.slice(stamp, kind, asked["axis"], asked["k"], channel)

        return self._voxels(request, read)

    def whole(self, request: Request) -> Response:
        return self._voxels(request, self._session.volumes.whole)

    def solid(self, request: Request) -> Response:
        return self._voxels(request, lambda stamp, kind, _: self._session.volumes.solid(stamp, kind))

    def _voxels(self, request: Request, read: Callable[[str, Kind, int], Slice | None]) -> Response:
        from starlette.responses import Response

        name, kind = request.path_params["name"], request.path_params["kind"]
        case = self._session.cases.get(name)
        channel = request.query_params.get("channel", "0")
        kinds = ("image", "mask", "prediction", *(() if self._session.asked.blind else ("doubt",)))
        if case is None or kind not in kinds or not channel.isdecimal():
            return _nothing()
        volumes = self._session.volumes
        stamp = volumes.stamp(case)
        part = PART_OF[kind]
        if error := volumes.error(stamp, part):
            return _json({"error": error}, 500)
        try:
            found = read(stamp, kind, int(channel[:4]))
        except IndexError:
            return _nothing()
        if found is None:
            volumes.ask(case, stamp)
            return _json({"error": "not decoded yet"}, 202, {"retry-after": "1"})
        headers = {"x-shape": ",".join(map(str, found.size)), "x-kind": found.kind}
        return Response(found.content, media_type="application/octet-stream", headers=headers)

    async def prefetch(self, request: Request) -> Response:
        try:
            names = json.loads(await request.body())
        except (ValueError, RecursionError):
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return _json({"error": "expected a list of cases"}, 422)
        self._session.prefetch(names)
        return _json({})

    # -- decisions ----------------------------------------------------------------------------------------

    def holding(self, request: Request) -> Response:
        since = _number(request.query_params.get("since"))
        last = self._session.decisions.last()
        rater = request.query_params.get("rater")
        return _json({"last": last, "cases": self._session.holding(since, rater)})

    def events(self, request: Request) -> Response:
        name = request.query_params.get("case")
        if name is not None and name not in self._session.ids:
            return _nothing()
        case = None if name is None else self._session.ids[name]
        found = self._session.decisions.events(_number(request.query_params.get("since")), case)
        if self._session.asked.blind:
            found = [one for one in found if one["rater"] == request.query_params.get("rater")]
        return _json({"events": found})

    async def add_events(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(self._add, await request.body())

    def _add(self, body: bytes) -> Response:
        try:
            sent = json.loads(body)
            events = [self._event(one) for one in (sent if isinstance(sent, list) else [sent])]
        except (ValueError, RecursionError) as error:
            return _json({"error": f"{error}"[:300]}, 422)
        return self._keep(events)

    def _keep(self, events: Sequence[Event]) -> Response:
        try:
            numbers = self._session.decisions.add(events)
        except ValueError as error:
            return _json({"error": f"{error}"[:300]}, 409)
        except sqlite3.Error as error:
            # Nothing of it is kept: the page says so, and sends it again.
            return _json({"error": f"{error}"[:300]}, 507)
        return _json({"saved": [event.uuid for event in events], "seq": numbers})

    def _event(self, sent: Any) -> Event:
        name = sent.get("case") if isinstance(sent, dict) else None
        if not isinstance(name, str) or name not in self._session.ids:
            raise ValueError(f"the run has no case {str(name)[:40]!r}")
        blind = {"blind": True} if self._session.asked.blind else {}
        case = self._session.ids[name]
        event = Event.read({**sent, **blind}, case=case, **self._session.stamps(case))
        if event.class_name and event.class_name not in self._session.dataset.classes:
            raise ValueError(f"the data set has no class {event.class_name!r}")
        return event

    # -- all of them --------------------------------------------------------------------------------------

    def agreement(self, request: Request) -> Response:
        if self._session.asked.blind:
            return _json({"blind": True})
        return _json(raters_of(self._session.decisions.holding()).as_json())

    def looking(self, request: Request) -> Response:
        return _json(self._session.looking(request.query_params.get("rater")))

    def export(self, request: Request) -> Response:
        from starlette.responses import Response

        forms = {"json": (as_json, "application/json"), "csv": (as_csv, "text/csv")}
        form = request.path_params["form"]
        if form not in forms or self._session.asked.blind:
            return _nothing()
        write, kind = forms[form]
        headers = {"content-disposition": f'attachment; filename="decisions.{form}"'}
        return Response(write(self._session.decisions), media_type=kind, headers=headers)

    async def take_in(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(self._take_in, await request.body())

    def _take_in(self, body: bytes) -> Response:
        session = self._session
        cases, classes = set(session.ids.values()), session.dataset.classes
        try:
            sent = json.loads(body)
            if not isinstance(sent, dict) or not isinstance(sent.get("text"), str):
                raise ValueError("expected the text of a file")
            if str(sent.get("name")).lower().endswith(".csv"):
                events = from_csv(sent["text"], cases, classes, session.stamps)
            else:
                events = from_json(sent["text"], cases, classes)
        except (ValueError, RecursionError) as error:
            return _json({"error": f"{error}"[:300]}, 422)
        return self._keep(events)


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 16 else 0


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import Response

    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Response(text, status, headers=headers, media_type="application/json")


def _nothing() -> Response:
    return _json({"error": "there is nothing at this address"}, 404)
