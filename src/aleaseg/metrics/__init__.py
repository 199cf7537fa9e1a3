"""Metrics: how well a measure does what it is for. Arrays in, numbers out, each with its direction.

detection     does a score, high = suspicious, put the bad cases first
correlation   does a measure go with a number, and with others held fixed
agreement     how far several raters' masks lie apart
kappa         do several raters put the same into one category
overlap       Dice and IoU of two masks, or of pooled voxels
surface       HD95, ASSD and NSD in mm
calibration   how far probabilities are from the shares that come true
risk_coverage does a model know which of its cases are bad
cues          does uncertainty follow gradient, distance and noise
uncertainty   does it lie where the mask is wrong, or where raters differ; soft Dice
regression    how well a number is foretold
bootstrap     how sure a number is, for groups of cases in several draws; two measures compared
paired        two ways to do the same cases, compared
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
from aleaseg.metrics.calibration import Calibration as Calibration
from aleaseg.metrics.calibration import calibration_error as calibration_error
from aleaseg.metrics.correlation import Correlation as Correlation
from aleaseg.metrics.correlation import correlation_p_value as correlation_p_value
from aleaseg.metrics.correlation import partial_spearman as partial_spearman
from aleaseg.metrics.correlation import pearson as pearson
from aleaseg.metrics.correlation import rank_matrix as rank_matrix
from aleaseg.metrics.correlation import spearman as spearman
from aleaseg.metrics.cues import Cue as Cue
from aleaseg.metrics.cues import cues_of_case as cues_of_case
from aleaseg.metrics.detection import auroc as auroc
from aleaseg.metrics.detection import average_precision as average_precision
from aleaseg.metrics.detection import fpr_at_tpr as fpr_at_tpr
from aleaseg.metrics.detection import lift_at_k as lift_at_k
from aleaseg.metrics.detection import precision_at_k as precision_at_k
from aleaseg.metrics.overlap import Overlap as Overlap
from aleaseg.metrics.overlap import count_overlap as count_overlap
from aleaseg.metrics.overlap import dice as dice
from aleaseg.metrics.overlap import iou as iou
from aleaseg.metrics.overlap import pooled as pooled
from aleaseg.metrics.paired import Mean as Mean
from aleaseg.metrics.paired import Paired as Paired
from aleaseg.metrics.paired import case_resamples as case_resamples
from aleaseg.metrics.paired import mean_over_cases as mean_over_cases
from aleaseg.metrics.paired import mean_with_interval as mean_with_interval
from aleaseg.metrics.paired import paired_difference as paired_difference
from aleaseg.metrics.paired import signed_rank as signed_rank
from aleaseg.metrics.risk_coverage import aurc as aurc
from aleaseg.metrics.risk_coverage import excess_aurc as excess_aurc
from aleaseg.metrics.risk_coverage import normalised_aurc as normalised_aurc
from aleaseg.metrics.risk_coverage import optimal_aurc as optimal_aurc
from aleaseg.metrics.surface import Surface as Surface
from aleaseg.metrics.surface import surface_distances as surface_distances
from aleaseg.metrics.uncertainty import ged as ged
from aleaseg.metrics.uncertainty import ncc as ncc
from aleaseg.metrics.uncertainty import soft_dice as soft_dice
from aleaseg.metrics.uncertainty import ueo as ueo
