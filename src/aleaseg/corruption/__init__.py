"""Known faults, put into arrays in memory: what a measure of doubt is tested with."""

from __future__ import annotations

from aleaseg.corruption.corruption import LEVELS as LEVELS
from aleaseg.corruption.corruption import Corrupted as Corrupted
from aleaseg.corruption.corruption import Corruption as Corruption
from aleaseg.corruption.corruption import ImpossibleFault as ImpossibleFault
from aleaseg.corruption.corruption import Level as Level
from aleaseg.corruption.image_faults import IMAGE_FAULTS as IMAGE_FAULTS
from aleaseg.corruption.mask_faults import MASK_FAULTS as MASK_FAULTS

FAULTS = {**MASK_FAULTS, **IMAGE_FAULTS}
