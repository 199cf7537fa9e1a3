"""What is wrong or odd in a data set, before anything is computed."""

from aleaseg.checks.checking import CheckResult, check, join_groups, same_image_groups, summary, write_check

__all__ = ["CheckResult", "check", "join_groups", "same_image_groups", "summary", "write_check"]
