"""From the cases of a bench to its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aleaseg.bench.correlations import class_dice, confounds, dice, ranks
from aleaseg.bench.detection import detection, differences
from aleaseg.bench.result import SWAP_IN_COLUMNS, BenchResult
from aleaseg.bench.targets import missing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["analyse"]


def analyse(
    cases: pd.DataFrame,
    about: Mapping[str, Any],
    swap_in: pd.DataFrame | None = None,
    class_means: pd.DataFrame | None = None,
) -> BenchResult:
    """Every table of a bench, of `cases` and `swap_in` as in `BenchResult`; one of the measures is `doubt`.

    `about` gets `missing`; `class_means` are those of `aleaseg.bench.mixed`, for the rows of `dice` over classes.
    """
    import pandas as pd

    return BenchResult(
        about={**about, "missing": missing(cases)},
        cases=cases,
        detection=detection(cases),
        differences=differences(cases),
        swap_in=pd.DataFrame(columns=list(SWAP_IN_COLUMNS)) if swap_in is None else swap_in,
        ranks=ranks(cases),
        dice=_dice(cases, class_means),
        confounds=confounds(cases),
    )


def _dice(cases: pd.DataFrame, class_means: pd.DataFrame | None) -> pd.DataFrame:
    import pandas as pd

    found = dice(cases)
    of_classes = None if class_means is None else class_dice(class_means)
    if of_classes is None or of_classes.empty:
        return found
    return pd.concat([found, of_classes], ignore_index=True)
