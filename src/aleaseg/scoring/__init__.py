"""From cases to records (map), from records to scores (reduce)."""

from aleaseg.scoring.score import score_cases
from aleaseg.scoring.tables import write_tables

__all__ = ["score_cases", "write_tables"]
