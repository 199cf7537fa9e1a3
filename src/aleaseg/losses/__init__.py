"""Losses on raw logits, for any training loop. Tensors in, tensors out; no case, no path.

segmentation   Dice and binary cross-entropy per sample and class, with soft targets
duo            `DUOLoss`: the same, weighted by 1 / (1 + alpha S)
certainty      other measures of a class's certainty in place of S; static weights
denoising      `LabelDenoising`: the noise that is taken off the targets
"""

from __future__ import annotations

from aleaseg.losses.certainty import FisherCertainty as FisherCertainty
from aleaseg.losses.certainty import MahalanobisCertainty as MahalanobisCertainty
from aleaseg.losses.certainty import frequency_weights as frequency_weights
from aleaseg.losses.certainty import scale_weights as scale_weights
from aleaseg.losses.denoising import LabelDenoising as LabelDenoising
from aleaseg.losses.denoising import NoiseHead as NoiseHead
from aleaseg.losses.denoising import NoiseState as NoiseState
from aleaseg.losses.denoising import noise_maps as noise_maps
from aleaseg.losses.duo import DUOLoss as DUOLoss
from aleaseg.losses.segmentation import dice_and_bce as dice_and_bce
