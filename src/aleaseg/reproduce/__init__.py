"""The paper's experiments (arXiv 2604.10963) as grids of runs, each ending in its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aleaseg.extras import late

if TYPE_CHECKING:
    from aleaseg.reproduce.reproducing import Plan as Plan
    from aleaseg.reproduce.reproducing import Reproduced as Reproduced
    from aleaseg.reproduce.reproducing import costs as costs
    from aleaseg.reproduce.reproducing import plan as plan
    from aleaseg.reproduce.reproducing import reproduce as reproduce
    from aleaseg.reproduce.settings import PRESETS as PRESETS
    from aleaseg.reproduce.settings import Preset as Preset
    from aleaseg.reproduce.settings import ReproduceSettings as ReproduceSettings
    from aleaseg.reproduce.tables import SWEEPS as SWEEPS
    from aleaseg.reproduce.tables import TABLES as TABLES

_FACE = {
    "PRESETS": "aleaseg.reproduce.settings",
    "SWEEPS": "aleaseg.reproduce.tables",
    "TABLES": "aleaseg.reproduce.tables",
    "Plan": "aleaseg.reproduce.reproducing",
    "Preset": "aleaseg.reproduce.settings",
    "ReproduceSettings": "aleaseg.reproduce.settings",
    "Reproduced": "aleaseg.reproduce.reproducing",
    "costs": "aleaseg.reproduce.reproducing",
    "plan": "aleaseg.reproduce.reproducing",
    "reproduce": "aleaseg.reproduce.reproducing",
}
__all__ = sorted(_FACE)
__getattr__ = late(__name__, _FACE)
