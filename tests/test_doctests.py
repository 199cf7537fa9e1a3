"""The examples in the docstrings."""

import doctest
import importlib

import pytest

MODULES = [
    "aleaseg.corruption.mask_faults",
    "aleaseg.cues",
    "aleaseg.errors",
    "aleaseg.evaluation.columns",
    "aleaseg.evaluation.comparing",
    "aleaseg.evaluation.words",
    "aleaseg.losses.certainty",
    "aleaseg.losses.evidential",
    "aleaseg.losses.patches",
    "aleaseg.losses.segmentation",
    "aleaseg.losses.sure",
    "aleaseg.measures.adjusted",
    "aleaseg.measures.auv",
    "aleaseg.measures.confident_learning",
    "aleaseg.measures.effective_rank",
    "aleaseg.measures.energy",
    "aleaseg.measures.ensemble",
    "aleaseg.measures.entropy",
    "aleaseg.measures.fisher",
    "aleaseg.measures.label_agreement",
    "aleaseg.measures.label_loss",
    "aleaseg.measures.learning_dynamics",
    "aleaseg.measures.log_minmax",
    "aleaseg.measures.mahalanobis",
    "aleaseg.measures.reasons",
    "aleaseg.measures.robust",
    "aleaseg.measures.semantic_volume",
    "aleaseg.measures.variance",
    "aleaseg.metrics.bootstrap",
    "aleaseg.metrics.calibration",
    "aleaseg.metrics.correlation",
    "aleaseg.metrics.cues",
    "aleaseg.metrics.detection",
    "aleaseg.metrics.overlap",
    "aleaseg.metrics.paired",
    "aleaseg.metrics.risk_coverage",
    "aleaseg.metrics.surface",
    "aleaseg.metrics.uncertainty",
    "aleaseg.order",
    "aleaseg.pages.axes",
    "aleaseg.pages.javascript",
    "aleaseg.pages.markdown",
    "aleaseg.pages.numbers",
    "aleaseg.pages.templates",
    "aleaseg.plugins.nnunet.options",
    "aleaseg.predictions.folds",
    "aleaseg.report.standing",
    "aleaseg.reproduce.cells",
    "aleaseg.reproduce.drawing",
    "aleaseg.reproduce.embedding",
    "aleaseg.reproduce.reproducing",
    "aleaseg.reproduce.work",
    "aleaseg.spectral.scale",
    "aleaseg.training.copies",
    "aleaseg.training.page",
    "aleaseg.training.settings",
    "aleaseg.training.objectives",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
