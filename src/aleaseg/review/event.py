"""One thing that somebody did: looked, judged, gave a reason, took it back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = ["KINDS", "VERDICTS", "Event", "label_words"]

VERDICTS = ("keep", "drop", "re-annotate", "re-scan", "use-prediction", "unsure")
KINDS = ("open", "verdict", "reasons", "note", "undo")

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LONGEST = {"rater": 64, "session": 64, "class": 200}
_LONGEST_PAYLOAD = 8020  # characters as JSON: a note of 4000, each of which is escaped
_SENT = {"uuid", "at", "rater", "session", "case", "class", "kind", "verdict", "payload"}
_SENT |= {"seconds", "blind", "undoes"}


def label_words(verdict: str) -> str:
    """A verdict as people read it.

    >>> label_words("use-prediction")
    'use the prediction'
    """
    return {
        "re-annotate": "annotate again",
        "re-scan": "scan again",
        "use-prediction": "use the prediction",
    }.get(verdict, verdict)


@dataclass(frozen=True)
class Event:
    """What a rater did.

    Attributes:
        uuid: made where it happened, so that it can be sent again.
        at: when it happened, UTC, ISO 8601.
        rater: who.
        case: its id.
        kind: one of `KINDS`.
        session: of the browser.
        class_name: where it is about one class alone.
        verdict: one of `VERDICTS`, of kind `verdict`.
        payload: of `reasons` `{"codes": [...]}`, of `note` `{"text": ...}`; else empty.
        seconds: how long the case had been looked at.
        blind: whether scores and other raters were hidden.
        undoes: the uuid that an `undo` takes back.
        image_stamp, label_stamp, run_stamp: what was looked at.
    """

    uuid: str
    at: str
    rater: str
    case: str
    kind: str
    session: str = ""
    class_name: str = ""
    verdict: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    blind: bool = False
    undoes: str | None = None
    image_stamp: str = ""
    label_stamp: str = ""
    run_stamp: str = ""

    @classmethod
    def read(cls, sent: Any, **known: Any) -> Event:
        """An event as it was sent, every part of it checked.

        Args:
            sent: what JSON gave.
            known: what the server knows better: the case's id, the stamps.

        Raises:
            ValueError: something that no event can have; the message says what.
        """
        if not isinstance(sent, dict):
            raise ValueError("an event is an object")
        if strange := set(sent) - _SENT:
            raise ValueError(f"an event has no {min(strange)!r}")
        uuid, undoes = sent.get("uuid"), sent.get("undoes")
        for name, text in (("uuid", uuid), ("undoes", undoes)):
            if not (text is None and name == "undoes") and not (
                isinstance(text, str) and _UUID.fullmatch(text)
            ):
                raise ValueError(f"{name} is {text!r}; expected a UUID in lower case")
        kind, verdict, seconds = sent.get("kind"), sent.get("verdict"), sent.get("seconds")
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
        if (kind == "verdict") != (verdict is not None) or (
            verdict is not None and verdict not in VERDICTS
        ):
            raise ValueError(
                f"verdict is {verdict!r}; expected one of {', '.join(VERDICTS)} of kind verdict"
            )
        if (kind == "undo") != (undoes is not None):
            raise ValueError("an undo names what it undoes, and nothing else does")
        if seconds is not None and not (isinstance(seconds, int | float) and 0 <= seconds < 1e7):
            raise ValueError(f"seconds is {seconds!r}; expected a number from 0")
        if not isinstance(blind := sent.get("blind", False), bool):
            raise ValueError(f"blind is {str(blind)[:80]!r}; expected true or false")
        return cls(
            uuid=str(uuid),
            at=_moment(sent.get("at")),
            rater=_line(sent.get("rater"), "rater", least=1),
            case=known.pop("case"),
            kind=str(kind),
            session=_line(sent.get("session", ""), "session"),
            class_name=_line(sent.get("class", ""), "class"),
            verdict=verdict,
            payload=_payload(str(kind), sent.get("payload", {})),
            seconds=None if seconds is None else round(float(seconds), 1),
            blind=blind,
            undoes=undoes,
            **known,
        )

    def row(self) -> dict[str, Any]:
        """As the table has it."""
        return {
            "uuid": self.uuid,
            "at": self.at,
            "rater": self.rater,
            "session": self.session,
            "case_id": self.case,
            "class": self.class_name,
            "kind": self.kind,
            "verdict": self.verdict,
            "payload": json.dumps(dict(self.payload), ensure_ascii=True, sort_keys=True),
            "seconds": self.seconds,
            "blind": int(self.blind),
            "undoes": self.undoes,
            "image_stamp": self.image_stamp,
            "label_stamp": self.label_stamp,
            "run_stamp": self.run_stamp,
        }


def _line(text: Any, name: str, least: int = 0) -> str:
    if not isinstance(text, str) or not least <= len(text.strip()) <= _LONGEST[name]:
        raise ValueError(f"{name} is {str(text)[:80]!r}; expected {least} to {_LONGEST[name]} characters")
    if not text.isprintable():
        raise ValueError(f"{name} has characters that cannot be shown")
    return text.strip()


def _moment(text: Any) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="milliseconds")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"at is {str(text)[:80]!r}; expected a time in ISO 8601") from error


def _payload(kind: str, payload: Any) -> Mapping[str, Any]:
    """What an event of that kind carries: kept for good, so nothing that a later reader could stumble over."""
    wanted = {"reasons": {"codes"}, "note": {"text"}}.get(kind, set())
    if not isinstance(payload, dict) or set(payload) != wanted:
        expected = ", ".join(wanted) or "nothing"
        raise ValueError(f"payload of kind {kind} is {str(payload)[:80]!r}; expected {expected} in it")
    if len(json.dumps(payload, ensure_ascii=False)) > _LONGEST_PAYLOAD:
        raise ValueError(f"payload has more than {_LONGEST_PAYLOAD} characters")
    if kind == "note":
        return {"text": _text(payload["text"])}
    if kind == "reasons":
        if not isinstance(payload["codes"], list):
            raise ValueError(
                f"payload has the codes {str(payload['codes'])[:80]!r}; expected a list of texts"
            )
        return {"codes": [_text(code) for code in payload["codes"]]}
    return {}


def _text(text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError(f"payload has {str(text)[:80]!r}; expected a text")
    # Half of a character, as a text field that is full may leave it, cannot be written into a file.
    return text.encode("utf-8", "replace").decode()
