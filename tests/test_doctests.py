"""The examples in the docstrings."""

import doctest
import importlib

import pytest

MODULES = [
    "aleaseg.errors",
    "aleaseg.measures.auv",
    "aleaseg.measures.label_agreement",
    "aleaseg.measures.log_minmax",
    "aleaseg.measures.reasons",
    "aleaseg.measures.robust",
    "aleaseg.measures.variance",
    "aleaseg.predictions.folds",
    "aleaseg.spectral.scale",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
