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
        patch.setattr(module, "_UNFAIR", 0.02)
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
    found = percentiles_of_parts(lambda: iter(parts), size, one[:1] * 0 + 99, asked)
    np.testing.assert_array_equal(found, np.percentile(one, asked))


def test_only_what_lies_near_a_percentile_is_sorted(monkeypatch):
    one = values("normal", 600_000, 0)
    sorted_ = []
    partition = np.partition
    monkeypatch.setattr(np, "partition", lambda near, at: sorted_.append(len(near)) or partition(near, at))
    found = percentiles(one, [50, 90, 99])
    assert len(sorted_) == 6, "two places in order each"
    assert sum(sorted_) < one.size / 4
    np.testing.assert_array_equal(found, np.percentile(one, [50, 90, 99]))
