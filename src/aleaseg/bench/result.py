"""What a bench found: tables, and what they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CASE_FIELDS", "CONFOUNDS", "SWAP_IN_COLUMNS", "BenchResult"]

SWAP_IN_COLUMNS = (
    "measure",
    "fault",
    "axis",
    "level",
    "n",
    "auroc",
    "low",
    "high",
    "fault_dice",
    "psnr_db",
)
"""Of `swap_in`."""

CASE_FIELDS = ("draw", "case", "group", "axis", "fault", "fault_dice", "clean_dice")
"""Of every row of `cases`, before the confounds and the measures."""
CONFOUNDS = ("volume_mm3", "fov_mm3", "depth", "spacing_mm", "n_classes")
"""What a measure might follow in place of doubt: size of the mask and of the image, slices, their distance, classes."""


@dataclass(frozen=True)
class BenchResult:
    """Tables of the mixed protocol, and of swap-in where it was asked for.

    Attributes:
        about: for the head of the page: dataset, cases, classes, draws, share, folds, steps, impossible
            (faults that this data cannot have), missing (measure -> share of cases without a number),
            command, date, machine, versions.
        cases: one row per draw and case: `CASE_FIELDS`, `CONFOUNDS`, and a column per measure, high = bad.
        detection: measure, target (`masks`, `images`, `both`, or a fault), n_faulty, n_clean, and mean over the
            draws of auroc, ap, precision_at_k (k = number of faulty), lift_at_k, fpr95, each with _low and _high
            (95% interval; only auroc and ap have one).
        differences: measure, baseline, target, difference (of AUROC), low, high.
        swap_in: measure, fault, axis, level, n, auroc, low, high, fault_dice, psnr_db; empty where not asked for.
        ranks: measure x measure, mean over the draws of Spearman's correlation.
        dice: measure, level (`case`, or `class`: means of classes), n, pearson, pearson_low, pearson_high,
            pearson_p, and likewise spearman: with the Dice of the out-of-fold prediction against the clean
            mask; a good measure is below 0.
        confounds: measure, confound, spearman, p, n, over the clean cases.
    """

    about: Mapping[str, Any]
    cases: pd.DataFrame
    detection: pd.DataFrame
    differences: pd.DataFrame
    swap_in: pd.DataFrame
    ranks: pd.DataFrame
    dice: pd.DataFrame
    confounds: pd.DataFrame
