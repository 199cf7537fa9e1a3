"""What is wrong or odd in a data set, before anything is computed."""

from aleaseg.checks.checking import CheckResult, check, join_groups, same_image_groups, summary, write_check
from aleaseg.checks.closing import as_json, closing

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
