"""What a check found, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aleaseg.case import Account, Finding

__all__ = ["CheckResult"]


@dataclass(frozen=True)
class CheckResult:
    """What the check found.

    Attributes:
        findings: errors first, each part by case.
        image_hashes: case id -> hash of the image's voxels, for each image that could be read.
        n_cases: how many cases were looked at.
        classes: name -> label values, as the data set has them.
        account: what became of every file below the data set's folder.
    """

    findings: tuple[Finding, ...]
    image_hashes: Mapping[str, str] = field(default_factory=dict)
    n_cases: int = 0
    classes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    account: Account = field(default=Account())

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that make a case unusable as it is."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """Findings that are worth a look."""
        return tuple(finding for finding in self.findings if finding.severity == "note")
