"""The paper's experiments (arXiv 2604.10963) as grids of runs, each ending in its table."""

from aleaseg.reproduce.reproducing import Plan, Reproduced, costs, plan, reproduce
from aleaseg.reproduce.settings import PRESETS, Preset, ReproduceSettings
from aleaseg.reproduce.tables import SWEEPS, TABLES

__all__ = [
    "PRESETS",
    "SWEEPS",
    "TABLES",
    "Plan",
    "Preset",
    "ReproduceSettings",
    "Reproduced",
    "costs",
    "plan",
    "reproduce",
]
