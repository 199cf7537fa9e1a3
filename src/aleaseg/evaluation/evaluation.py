"""A finished evaluation, opened: its manifest and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from aleaseg.errors import UsageError
from aleaseg.evaluation.settings import EvaluationSettings
from aleaseg.evaluation.summary import CONFIDENCES
from aleaseg.run import Run, kind_of, read_table

__all__ = [
    "CUE_TABLE",
    "KIND",
    "PAGE",
    "RELIABILITY_TABLE",
    "TABLES",
    "Evaluation",
    "is_evaluation",
    "joined",
    "open_evaluation",
]

KIND = "evaluation"
PAGE = "index.html"
TABLES = ("metrics", "cases", "summary", "risk_coverage")
CUE_TABLE = "cues"
RELIABILITY_TABLE = "reliability"


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation, opened.

    Attributes:
        path: its folder.
        manifest: what was asked, and of which data.
        metrics: rows of metrics.csv.
        cases: rows of cases.csv, and of cues.csv where there is one.
        summary: rows of summary.csv.
        risk: rows of risk_coverage.csv.
        reliability: rows of reliability.csv; none where no uncertainty is known.
    """

    path: Path
    manifest: Mapping[str, Any]
    metrics: pd.DataFrame
    cases: pd.DataFrame
    summary: pd.DataFrame
    risk: pd.DataFrame
    reliability: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def page(self) -> Path:
        """The page, its own or that of the comparison with `against`."""
        return self.path / PAGE

    @property
    def settings(self) -> EvaluationSettings:
        """What was asked."""
        return EvaluationSettings(**self.manifest["settings"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the reference's order."""
        return tuple(self.manifest["dataset"]["classes"])

    @property
    def errors(self) -> dict[str, str]:
        """Case -> what could not be measured, and what to do."""
        failed = self.cases[self.cases["status"] == "failed"]
        return dict(zip(failed["case"], failed["error"], strict=True))

    @property
    def signs(self) -> dict[str, int]:
        """Columns of cases that rank them -> 1, high = sure, or -1."""
        return {**CONFIDENCES, **self.manifest["confidences"]}


def is_evaluation(path: str | Path) -> bool:
    """Whether a folder was made by `evaluate`."""
    return kind_of(path) == KIND


def open_evaluation(path: str | Path) -> Evaluation:
    """Open a folder made by `evaluate`.

    Raises:
        UsageError: it is none, or a damaged one.
    """
    run = Run(path)
    if not is_evaluation(path):
        raise UsageError(f"{path} is not an evaluation; expected a folder made by `aleaseg evaluate`")
    absent = [name for name in TABLES if not (run.path / f"{name}.csv").is_file()]
    if absent:
        raise UsageError(f"{path} is unfinished ({absent[0]}.csv is missing); run `aleaseg evaluate` again")
    metrics, cases, summary, risk = (read_table(run.path / f"{name}.csv") for name in TABLES)
    file = run.path / f"{CUE_TABLE}.csv"
    if file.is_file():
        cases = joined(cases, read_table(file))
    file = run.path / f"{RELIABILITY_TABLE}.csv"
    reliability = read_table(file) if file.is_file() else pd.DataFrame()
    return Evaluation(run.path, run.manifest, metrics, cases, summary, risk, reliability)


def joined(cases: pd.DataFrame, cues: pd.DataFrame) -> pd.DataFrame:
    """Rows of cases.csv with what cues.csv says of them."""
    return cases.merge(cues.drop(columns=["group", "status"]), on="case", how="left", validate="1:1")
