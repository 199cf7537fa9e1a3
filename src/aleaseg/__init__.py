"""aleaseg: find the doubtful scans and masks of a medical segmentation data set.

    >>> import aleaseg
    >>> run = aleaseg.audit("Dataset004_Hippocampus", "run")        # doctest: +SKIP
    >>> run.cases.nlargest(10, "doubt")[["case", "doubt", "reasons"]]  # doctest: +SKIP
    >>> aleaseg.select(run, worst=10, write="splits")               # doctest: +SKIP

AUV and doubt are in [0, 1], high = bad; the semantic perception scale S is in
[0, 1], high = certain. Importing this package imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aleaseg.extras import late

if TYPE_CHECKING:
    from aleaseg.auditing.running import audit as audit
    from aleaseg.case import Case as Case
    from aleaseg.case import Dataset as Dataset
    from aleaseg.checks import check as check
    from aleaseg.losses import DUOLoss as DUOLoss
    from aleaseg.losses import LabelDenoising as LabelDenoising
    from aleaseg.measures.auv import aleatoric_uncertainty_value as aleatoric_uncertainty_value
    from aleaseg.readers import open_dataset as open_dataset
    from aleaseg.report import write_report as write_report
    from aleaseg.run import Run as Run
    from aleaseg.selection import select as select
    from aleaseg.spectral import semantic_perception_scale as semantic_perception_scale

__version__ = "0.2.0"

_FACE = {
    "Case": "aleaseg.case",
    "DUOLoss": "aleaseg.losses",
    "Dataset": "aleaseg.case",
    "LabelDenoising": "aleaseg.losses",
    "Run": "aleaseg.run",
    "aleatoric_uncertainty_value": "aleaseg.measures.auv",
    "audit": "aleaseg.auditing.running",
    "check": "aleaseg.checks",
    "open_dataset": "aleaseg.readers",
    "select": "aleaseg.selection",
    "semantic_perception_scale": "aleaseg.spectral",
    "write_report": "aleaseg.report",
}

__all__ = sorted(_FACE)

__getattr__ = late(__name__, _FACE)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
