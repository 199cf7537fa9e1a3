"""Percentiles without sorting everything, against `numpy.percentile`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.measures import percentiles as module
from aleaseg.measures.percentiles import percentiles, percentiles_of_parts

ASKED = st.lists(st.floats(0, 100), min_size=1, max_size=4)


def values(kind, size, seed):
    rng = np.random.default_rng(seed)
    return {
        "normal": lambda: rng.normal(size=size).astype(np.float32),
        "rising": lambda: np.sort(rng.gamma(0.3, size=size)).astype(np.float32),
        "one value": lambda: np.full(size, 0.25, np.float32),
        "mostly one": lambda: np.where(rng.random(size) < 0.7, 0, rng.normal(size=size)).astype(np.float32),
        "double": lambda: rng.normal(size=size),
        "whole": lambda: rng.integers(-3000, 3000, size).astype(np.int16),
        "ends": lambda: rng.choice(np.array([-32768, 32767], np.int16), size),
        "bytes": lambda: rng.integers(0, 255, size).astype(np.uint8),
    }[kind]()


KINDS = st.sampled_from(
    ["normal", "rising", "one value", "mostly one", "double", "whole", "ends", "bytes"],
)


@settings(max_examples=150, deadline=None)
@given(KINDS, st.integers(1, 3000), st.integers(0, 99), ASKED)
def test_those_of_numpy_to_the_last_digit(kind, size, seed, asked):
    one = values(kind, size, seed)
    # Whole numbers as float32, which holds them: so an image is read.
    expected = np.percentile(one.astype(np.float32) if one.dtype.kind in "iu" else one, asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SAMPLE", 60)
        patch.setattr(module, "_UNFAIR", 0.01)
        before = one.copy()
        found = percentiles(one, asked)
    np.testing.assert_array_equal(one, before)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 900), st.integers(0, 99), ASKED)
def test_a_sample_that_misleads(size, seed, asked):
    """The sample is of other values altogether, and is found out."""
    one = values("normal", size, seed)
    parts = np.array_split(one, 5)
    found = percentiles_of_parts(lambda: iter(parts), one[:1] * 0 + 99, asked)
    np.testing.assert_array_equal(found, np.percentile(one, asked))


def test_a_sample_of_nothing_and_nothing_at_all():
    one = values("normal", 500, 0)
    found = percentiles_of_parts(lambda: iter([one]), one[:0], [50, 99])
    np.testing.assert_array_equal(found, np.percentile(one, [50, 99]))
    assert np.isnan(percentiles_of_parts(lambda: iter([one[:0]]), one[:0], [50, 99])).all()


def test_only_what_lies_near_a_percentile_is_sorted():
    one, called = values("normal", 600_000, 0), []

    def parts():
        called.append(1)
        return iter(np.array_split(one, 7))

    found = percentiles_of_parts(parts, one[::10], [50, 90, 99])
    assert len(called) == 1, "all of it would be sorted where the sample misled"
    np.testing.assert_array_equal(found, np.percentile(one, [50, 90, 99]))
