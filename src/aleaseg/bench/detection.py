"""Which measure puts the faulty cases first, by how much more than another, and how sure that is.

In draw d a measure scores a target's cases of that draw (`aleaseg.bench.targets`), and
every number here is

    mean_d t(scores of d, faulty of d)

over the draws that have the fault. The intervals are percentiles (95%) of 1000 bootstrap
replicates that draw draws, and groups within each draw (`aleaseg.metrics.bootstrap`), the
same ones for all measures and targets, so that measures are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aleaseg.bench.targets import AXES, Sample, measures_of, pairwise_auroc, samples, targets_of
from aleaseg.metrics import (
    auroc,
    average_precision,
    difference,
    fpr_at_tpr,
    interval,
    lift_at_k,
    precision_at_k,
)
from aleaseg.scoring.catalogue import MEASURES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AXES", "best_published", "detection", "differences"]

_DETECTION = (
    "measure",
    "target",
    "n_faulty",
    "n_clean",
    "auroc",
    "auroc_low",
    "auroc_high",
    "ap",
    "ap_low",
    "ap_high",
    "precision_at_k",
    "lift_at_k",
    "fpr95",
)


def detection(cases: pd.DataFrame) -> pd.DataFrame:
    """How well every measure finds the faults of every target.

    Returns:
        A row per target and measure: measure, target, n_faulty and n_clean (rows of all draws that
        have the fault), auroc and ap with _low and _high (of single faults auroc alone has them),
        precision_at_k and lift_at_k with k the number of faulty cases of the draw, all high = finds
        them, and fpr95, LOW = finds them at little cost. NaN where the measure does not apply, or no
        draw has the fault.
    """
    import pandas as pd

    rows = [
        {
            "measure": name,
            "target": sample.target,
            "n_faulty": sample.bad.sum(),
            "n_clean": (~sample.bad).sum(),
            **_detected(sample, name),
        }
        for sample in samples(cases, targets_of(cases))
        for name in measures_of(cases)
    ]
    return pd.DataFrame(rows, columns=list(_DETECTION))


def differences(
    cases: pd.DataFrame, measure: str = "doubt", targets: Sequence[str] = tuple(AXES)
) -> pd.DataFrame:
    """AUROC of a measure less that of every other one, on the same replicates.

    Args:
        cases: as in `BenchResult`.
        measure: which is compared with the others.
        targets: keys of `AXES`, or faults that were dealt.

    Returns:
        A row per target and other measure: measure, baseline (the other), target, difference in
        [-1, 1], high = the measure finds more, low and high; NaN where one of the two does not apply.

    Raises:
        ValueError: unknown measure or target.
    """
    import pandas as pd

    _among("measure", [measure], measures_of(cases))
    _among("target", targets, targets_of(cases))
    rows = []
    for sample in samples(cases, targets):
        own = sample.replicated(measure)
        for name in measures_of(cases):
            if name != measure:
                gap = difference(own, sample.replicated(name))
                rows.append((measure, name, sample.target, gap.point, gap.low, gap.high))
    return pd.DataFrame(rows, columns=["measure", "baseline", "target", "difference", "low", "high"])


def best_published(detection: pd.DataFrame, target: str) -> str:
    """The measure with the highest AUROC for a target among those of `MEASURES` that others published.

    Raises:
        ValueError: no such measure has an AUROC for this target.
    """
    published = [name for name, measure in MEASURES.items() if not measure.ours]
    rows = detection[(detection["target"] == target) & detection["measure"].isin(published)]
    rows = rows.dropna(subset="auroc")
    if rows.empty:
        raise ValueError(
            f"no published measure has an AUROC for the target {target!r}; "
            f"the targets are: {', '.join(dict.fromkeys(detection['target']))}"
        )
    return str(rows["measure"].iloc[rows["auroc"].argmax()])


def _detected(sample: Sample, name: str) -> dict[str, float]:
    if name not in sample.scores:
        return {}
    joined = sample.target in AXES
    area = sample.replicated(name, auroc if joined else pairwise_auroc)
    low, high = interval(area.replicates)
    found = {
        "auroc": area.point,
        "auroc_low": low,
        "auroc_high": high,
        "ap": sample.mean(name, average_precision),
        "precision_at_k": sample.mean(name, lambda s, bad: precision_at_k(s, bad, bad.sum())),
        "lift_at_k": sample.mean(name, lambda s, bad: lift_at_k(s, bad, bad.sum())),
        "fpr95": sample.mean(name, fpr_at_tpr),
    }
    if joined:
        found["ap_low"], found["ap_high"] = interval(sample.replicated(name, average_precision).replicates)
    return found


def _among(what: str, names: Sequence[str], valid: Sequence[str]) -> None:
    unknown = [name for name in names if name not in valid]
    if unknown:
        raise ValueError(f"no {what} {unknown[0]!r} here; expected one of: {', '.join(valid)}")
