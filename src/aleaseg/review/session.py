"""All that a review knows while it runs: the run, its cases, what is decoded, what was decided."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.case import Case, Dataset
from aleaseg.errors import AleasegError, UsageError
from aleaseg.pages.javascript import plain
from aleaseg.predictions import open_predictions
from aleaseg.readers import open_dataset
from aleaseg.report.columns import values
from aleaseg.report.draw import Drawn, drawn, mosaic_file, thumbnail_file
from aleaseg.report.facts import CaseFacts
from aleaseg.report.index import case_table
from aleaseg.review.decisions import Decisions
from aleaseg.review.looking import drawn_order, faults_per_minute, found_bad, sample_of
from aleaseg.review.niivue import niivue_script
from aleaseg.review.settings import ReviewSettings
from aleaseg.review.stamps import label_stamp, same_label
from aleaseg.review.volumes import PARTS, Volumes
from aleaseg.run import Run, file_name, sha256_of
from aleaseg.settings import READING

__all__ = ["DECISIONS", "Session", "data_set_of"]

DECISIONS = Path("review") / "decisions.sqlite"
"""Where a run keeps what was decided."""
_DIGITS = 7


def data_set_of(run: Run) -> Dataset:
    """The data set that a run was made from.

    Raises:
        UsageError: it is not where it was.
    """
    settings = run.manifest["settings"]
    try:
        return open_dataset(settings["dataset"], **{name: settings.get(name) for name in READING})
    except AleasegError as error:
        raise UsageError(
            f"the data set of {run.path} cannot be opened at {settings['dataset']} ({error}); expected it where the "
            "run was made from; put it back, or make a link there"
        ) from error


class Session:
    """A review.

    Args:
        asked: which run, and how.

    Raises:
        UsageError: the folder holds no finished run, or its data set is gone.
    """

    def __init__(self, asked: ReviewSettings) -> None:
        self.asked = asked
        self.run = Run(asked.run)
        self.facts = CaseFacts(self.run)
        self.dataset = data_set_of(self.run)
        self.report = self.run.path / "report"
        there = {case.id: case for case in self.dataset.cases}
        self.ids: dict[str, str] = {file_name(case): case for case in self.facts.cases["case"].astype(str)}
        self.cases: Mapping[str, Case] = {
            name: there[case] for name, case in self.ids.items() if case in there
        }
        self._names = {case: name for name, case in self.ids.items()}
        self.decisions = Decisions(self.run.path / DECISIONS)
        self.volumes = Volumes(
            self.run,
            self.dataset,
            open_predictions(self.run, self.dataset.with_cases(())),
            self.facts.sought,
            self.run.path / "review" / "volumes",
            int(asked.cache_gb * 1e9),
        )
        self._making = threading.Lock()
        self.run_stamp = (sha256_of(self.run.path / "cases.csv") or "")[:20]

    def prepare(self) -> None:
        """Make the queue before anybody asks for it."""
        threading.Thread(target=lambda: self.queue, name="queue", daemon=True).start()

    def close(self) -> None:
        """Stop what runs in the background."""
        self.volumes.close()
        self.decisions.close()

    # -- the cases ------------------------------------------------------------------------------------

    @property
    def queue(self) -> bytes:
        """The cases and their numbers as JSON; without scores and reasons where the review is blind."""
        with self._making:
            return self._queue

    @cached_property
    def _queue(self) -> bytes:
        data = case_table(self.facts, self.report)
        if self.asked.blind:
            _hide(data, [_tells(drawn(self.report, case)) for case in data["case"]])
        return json.dumps(
            plain(data, _DIGITS), ensure_ascii=True, allow_nan=False, separators=(",", ":")
        ).encode()

    def about(self) -> dict[str, Any]:
        """What the page has to know of the run."""
        declared = self.dataset.classes
        return {
            "name": self.dataset.name,
            "run": str(self.run.path),
            "rater": self.asked.name,
            "blind": self.asked.blind,
            "classes": [{"name": name, "values": list(values)} for name, values in declared.items()],
            "ignore": self.dataset.ignore,
            "channels": list(self.dataset.channels),
            "prediction": self.facts.prediction,
            "niivue": niivue_script() is not None,
            "last": self.decisions.last(),
        }

    def case(self, name: str) -> dict[str, Any]:
        """What the page has to know of a case: what was found out about it, and how far it is decoded."""
        case_id = self.ids[name]
        picture = drawn(self.report, case_id)
        about = self.facts.of(case_id, None if picture is None else picture.ways)
        if self.asked.blind:
            about = {**about, "reasons": [], "statistics": [], "classes": []}
        found: dict[str, Any] = plain({**about, "volume": self.volume(name)}, _DIGITS)
        return found

    def volume(self, name: str) -> dict[str, Any]:
        """How far a case is decoded, and what a viewer has to know of it; it is asked for."""
        case = self.cases.get(name)
        if case is None:
            return {"error": "The data set has no such case any more."}
        stamp = self.volumes.stamp(case)
        self.volumes.ask(case, stamp)
        found: dict[str, Any] = {part: self.volumes.about(stamp, part) for part in PARTS}
        if self.asked.blind and found["prediction"]:  # a place would tell the reason
            found["prediction"] = {**found["prediction"], "places": [], "doubt": None}
        error = next(filter(None, (self.volumes.error(stamp, part) for part in PARTS)), "")
        return {"stamp": stamp, "error": error, **found}

    def prefetch(self, names: list[str]) -> None:
        """Decode these cases when nothing else is to be done."""
        for name in names[:3]:
            if name in self.cases:
                case = self.cases[name]
                self.volumes.ask(case, self.volumes.stamp(case), soon=False)

    def picture(self, name: str, kind: str) -> Path | None:
        """A small picture of a case that the report has; None where it has none, or where the blind would see more."""
        case_id = self.ids[name]
        path = thumbnail_file(self.report, case_id)
        if kind != "thumb":
            path = mosaic_file(self.report, case_id, background=kind == "background")
        if self.asked.blind and (kind != "thumb" or _tells(drawn(self.report, case_id))):
            return None
        return path if path.is_file() else None

    def looking(self, rater: str | None = None) -> dict[str, Any]:
        """What to look at first, by case: faults that a minute finds, a place drawn by lot; and what the lot says.

        Args:
            rater: where the review is blind, of their decisions alone.
        """
        held = self.decisions.holding()
        if self.asked.blind:
            held = [one for one in held if one.rater == rater]
        bad, frame = found_bad(held), self.facts.cases
        ids = list(frame["case"].astype(str))
        order = drawn_order(ids, str(self.facts.manifest.get("created") or ""))
        place = {case: number for number, case in enumerate(order, start=1)}
        found: dict[str, Any] = {
            "drawn": {file_name(case): place[case] for case in ids},
            "sample": asdict(sample_of(order, bad)),
        }
        if not self.asked.blind:
            took: dict[str, list[float]] = {}
            for one in held:
                if one.seconds and not one.class_name:
                    took.setdefault(one.case, []).append(one.seconds)
            rates = faults_per_minute(
                values(frame, "doubt") if "doubt" in frame else np.full(len(ids), np.nan),
                np.nan_to_num(values(frame, "depth"), nan=1.0) if "depth" in frame else np.ones(len(ids)),
                [float(bad[case]) if case in bad else np.nan for case in ids],
                [float(np.median(took[case])) if case in took else np.nan for case in ids],
            )
            found["rates"] = dict(zip(map(file_name, ids), rates.tolist(), strict=True))
        return found

    # -- decisions --------------------------------------------------------------------------------------

    def stamps(self, case_id: str) -> dict[str, str]:
        """What is looked at when somebody decides about a case now."""
        case = self.cases.get(self._names[case_id])
        if case is None:
            return {"run_stamp": self.run_stamp}
        return {
            "image_stamp": self.volumes.stamp(case),
            "label_stamp": label_stamp(case),
            "run_stamp": self.run_stamp,
        }

    def holding(self, since: int = 0, rater: str | None = None) -> list[dict[str, Any]]:
        """The verdicts that hold of every case that has an event after one, for the page.

        Args:
            since: number of an event.
            rater: where the review is blind, only theirs.
        """
        changed = self.decisions.changed(since)
        by_id = self._names
        found: dict[str, list[dict[str, Any]]] = {by_id[case]: [] for case in changed if case in by_id}
        known: dict[tuple[str, str], bool] = {}  # raters judge the same mask
        for one in self.decisions.holding(changed):
            name = by_id.get(one.case)
            if name is None or (self.asked.blind and one.rater != rater):
                continue
            key = (name, one.label_stamp)
            if key not in known:
                case = self.cases.get(name)
                known[key] = case is not None and not same_label(case, one.label_stamp)
            found[name].append(
                {"class": one.class_name, "rater": one.rater, "verdict": one.verdict, "stale": known[key]}
            )
        return [{"hash": name, "verdicts": verdicts} for name, verdicts in found.items()]


def _tells(picture: Drawn | None) -> bool:
    """Whether a small picture may show the slice of the first reason: that of a volume does."""
    return picture is None or bool(picture.plane)


def _hide(data: dict[str, Any], told: list[bool]) -> None:
    """Take scores, reasons and the small pictures that tell one out of a table of cases, and draw its order."""
    data["thumb"] = [int(there and not tells) for there, tells in zip(data["thumb"], told, strict=True)]
    data["numbers"], data["columns"] = {}, []
    data["reasons"] = {"texts": [], "rows": [[] for _ in data["case"]]}
    data["plane"] = {"texts": [""], "codes": [0] * len(data["case"])}
    data["shuffled"] = True
    # All slices are drawn of the most doubtful cases alone.
    data["mosaic"] = [0] * len(data["case"])
    order = list(range(len(data["case"])))
    random.Random(hashlib.sha256(data["key"].encode()).digest()).shuffle(order)
    for name in ("case", "hash", "thumb", "pictures", "mosaic"):
        data[name] = [data[name][row] for row in order]
    for name in ("status", "group", "site", "error", "class_set"):
        data[name] = {**data[name], "codes": [data[name]["codes"][row] for row in order]}
