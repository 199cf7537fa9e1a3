"""Losses on raw logits, for any training loop. Tensors in, tensors out; no case, no path.

segmentation   Dice and binary cross-entropy per sample and class, with soft targets
soft           `SoftDiceBCELoss`: the same where targets are fractions, smallest at p = t; squared error
duo            `DUOLoss`: the same, weighted by 1 / (1 + alpha S)
certainty      other measures of a class's certainty in place of S; static weights
denoising      `LabelDenoising`: the noise that is taken off the targets
evidential     evidence in place of a softmax: probabilities, uncertainty, `evidential_loss`
sure           `sure_terms`: uncertainty that follows gradient, noise and distance; its settings
gradient_rule  pairs on boundaries: uncertainty falls as the gradient rises
noise_rule     near boundaries uncertainty rises with noise, far away there is none
patches        where noise goes, and the noise
statistics     `kept_statistics`: passes that a batch norm does not learn from
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
from aleaseg.losses.evidential import evidential_loss as evidential_loss
from aleaseg.losses.segmentation import dice_and_bce as dice_and_bce
from aleaseg.losses.soft import SoftDiceBCELoss as SoftDiceBCELoss
from aleaseg.losses.soft import semimetric_dice as semimetric_dice
from aleaseg.losses.soft import squared_error as squared_error
from aleaseg.losses.statistics import kept_statistics as kept_statistics
from aleaseg.losses.sure import SureSettings as SureSettings
from aleaseg.losses.sure import sure_terms as sure_terms
