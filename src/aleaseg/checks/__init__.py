"""What is wrong or odd in a data set, before anything is computed."""

from aleaseg.checks.checking import check, join_groups, same_image_groups, summary, write_check
from aleaseg.checks.closing import as_json, closing
from aleaseg.checks.result import CheckResult

__all__ = [
    "CheckResult",
    "as_json",
    "check",
    "closing",
    "join_groups",
    "same_image_groups",
    "summary",
    "write_check",
]
