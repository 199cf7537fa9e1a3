"""From a run to pages that open from disk."""

from aleaseg.report.write import write_report as write_report

__all__ = ["write_report"]
