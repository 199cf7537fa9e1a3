"""Semantic volume: against the determinant itself, and what may change it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aleaseg.measures.semantic_volume import semantic_volume

QUICK = settings(max_examples=50, deadline=None)
matrices = hnp.arrays(float, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.floats(-10, 10))


def by_the_formula(z):
    m, p = z.shape
    d = z - z.mean(axis=0)
    return 0.5 * math.log2(np.linalg.det(np.eye(p) + p / m * d.T @ d))


@QUICK
@given(matrices)
def test_it_is_the_determinants(z):
    assert semantic_volume(z) == pytest.approx(max(by_the_formula(z), 0), rel=1e-8, abs=1e-8)


@QUICK
@given(matrices, st.randoms())
def test_order_and_an_offset_that_all_rows_share_do_not_matter(z, random):
    rows = random.sample(range(len(z)), len(z))
    offset = np.linspace(-3, 100, z.shape[1])
    assert semantic_volume(z[rows] + offset) == pytest.approx(semantic_volume(z), rel=1e-7, abs=1e-7)


@QUICK
@given(hnp.arrays(float, (4, 6), elements=st.floats(-10, 10)), st.integers(0, 2**32 - 1))
def test_it_is_the_same_from_every_side(z, seed):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    assert semantic_volume(z @ turn) == pytest.approx(semantic_volume(z), rel=1e-7, abs=1e-7)


@QUICK
@given(matrices, st.floats(1, 100))
def test_it_grows_with_the_scale(z, factor):
    assert semantic_volume(factor * z) >= semantic_volume(z) - 1e-9


def test_a_doubling_adds_a_bit_per_direction_where_the_volume_is_large():
    z = 1e6 * np.random.default_rng(0).normal(size=(5, 50))
    assert semantic_volume(2 * z) - semantic_volume(z) == pytest.approx(4, abs=1e-6)  # 5 rows less the mean


def test_slices_without_difference_have_none():
    assert semantic_volume(np.ones((6, 20)) * np.arange(20)) == 0
    assert semantic_volume(np.full((6, 20), 0.1, np.float32)) == 0
    assert semantic_volume(np.arange(5.0)[None]) == 0  # one slice


def test_a_volume_that_overflows_a_determinant_is_finite():
    z = np.random.default_rng(0).normal(0, 1e3, (400, 400)).astype(np.float32)
    s = np.linalg.svd((z - z.mean(axis=0, dtype=float)).astype(float), compute_uv=False)
    assert semantic_volume(z) == pytest.approx(0.5 * np.log2(1 + s**2).sum(), rel=1e-10)


def test_both_gram_matrices_give_the_same():
    z = np.random.default_rng(0).normal(size=(30, 8))
    wide = np.kron([[1, 0]], z)  # empty columns do not count but in d
    m, p = wide.shape
    s = np.linalg.svd(z - z.mean(axis=0), compute_uv=False)
    assert semantic_volume(wide) == pytest.approx(0.5 * np.log2(1 + p / m * s**2).sum())
    assert semantic_volume(z.T) == pytest.approx(by_the_formula(z.T))


def test_bad_input_is_named():
    for wrong in (np.zeros((2, 3, 4)), np.zeros((0, 4)), np.zeros(3)):
        with pytest.raises(ValueError, match=r"expected \(rows, columns\)"):
            semantic_volume(wrong)
    for wrong in (np.nan, np.inf, 1e200):
        with pytest.raises(ValueError, match="NaN, infinite or too large"):
            semantic_volume([[0.0, 1.0], [wrong, 0.0]])
