"""Metrics: how well a measure does what it is for. Arrays in, numbers out, each with its direction.

detection     does a score, high = suspicious, put the bad cases first
correlation   does a measure go with a number, and with others held fixed
bootstrap     how sure that is, for groups of cases in several draws; two measures compared
cumulated     running sums of many sets of weights at once
"""

from __future__ import annotations

from aleaseg.metrics.bootstrap import Difference as Difference
from aleaseg.metrics.bootstrap import Replicated as Replicated
from aleaseg.metrics.bootstrap import Resamples as Resamples
from aleaseg.metrics.bootstrap import Statistic as Statistic
from aleaseg.metrics.bootstrap import difference as difference
from aleaseg.metrics.bootstrap import interval as interval
from aleaseg.metrics.bootstrap import nested as nested
from aleaseg.metrics.correlation import Correlation as Correlation
from aleaseg.metrics.correlation import correlation_p_value as correlation_p_value
from aleaseg.metrics.correlation import partial_spearman as partial_spearman
from aleaseg.metrics.correlation import pearson as pearson
from aleaseg.metrics.correlation import rank_matrix as rank_matrix
from aleaseg.metrics.correlation import spearman as spearman
from aleaseg.metrics.detection import auroc as auroc
from aleaseg.metrics.detection import average_precision as average_precision
from aleaseg.metrics.detection import fpr_at_tpr as fpr_at_tpr
from aleaseg.metrics.detection import lift_at_k as lift_at_k
from aleaseg.metrics.detection import precision_at_k as precision_at_k

__all__ = [
    "Correlation",
    "Difference",
    "Replicated",
    "Resamples",
    "Statistic",
    "auroc",
    "average_precision",
    "correlation_p_value",
    "difference",
    "fpr_at_tpr",
    "interval",
    "lift_at_k",
    "nested",
    "partial_spearman",
    "pearson",
    "precision_at_k",
    "rank_matrix",
    "spearman",
]
