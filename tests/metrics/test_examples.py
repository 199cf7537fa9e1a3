"""The examples in the docstrings, and what the package gives out."""

import doctest
import importlib

import pytest

from aleaseg import metrics

FILES = ["bootstrap", "correlation", "cumulated", "detection"]


@pytest.mark.parametrize("name", FILES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"aleaseg.metrics.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_name_that_is_given_out_is_there():
    assert metrics.__all__ == sorted(metrics.__all__)
    public = {
        n
        for f in FILES
        if f != "cumulated"
        for n in importlib.import_module(f"aleaseg.metrics.{f}").__all__
    }
    assert set(metrics.__all__) == public
    assert all(hasattr(metrics, name) for name in public)
