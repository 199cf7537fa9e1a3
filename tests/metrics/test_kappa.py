"""Kappas and alpha against their definitions, written out, and against published examples."""

import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.metrics.kappa import MISSING, cohen_kappa, fleiss_kappa, krippendorff_alpha

CODES = st.lists(st.lists(st.integers(-1, 3), min_size=3, max_size=3), min_size=2, max_size=12)


def cohen(codes):
    pairs = [(a, b) for a, b in codes if a >= 0 and b >= 0]
    if not pairs:
        return math.nan
    n = len(pairs)
    observed = sum(a == b for a, b in pairs) / n
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    expected = sum(first[c] * second[c] for c in first) / n**2
    return math.nan if expected == 1 else (observed - expected) / (1 - expected)


def fleiss(codes):
    rows = [row for row in codes if min(row) >= 0]
    if not rows:
        return math.nan
    agree = [
        np.mean([a == b for i, a in enumerate(row) for j, b in enumerate(row) if i != j]) for row in rows
    ]
    shares = np.array(list(Counter(code for row in rows for code in row).values())) / (len(rows) * 3)
    expected = (shares**2).sum()
    return math.nan if math.isclose(expected, 1) else (np.mean(agree) - expected) / (1 - expected)


def krippendorff(codes):
    """By the matrix of coincidences: every ordered pair of values within a unit."""
    coincidences = Counter()
    for row in codes:
        values = [code for code in row if code >= 0]
        for a, b in permutations(range(len(values)), 2):
            coincidences[values[a], values[b]] += 1 / (len(values) - 1)
    totals = Counter()
    for (a, _), count in coincidences.items():
        totals[a] += count
    n = sum(totals.values())
    expected = sum(totals[a] * totals[b] for a, b in permutations(totals, 2))
    if not expected:
        return math.nan
    observed = sum(count for (a, b), count in coincidences.items() if a != b)
    return 1 - (n - 1) * observed / expected


@settings(max_examples=60, deadline=None)
@given(CODES)
def test_as_defined(codes):
    three = np.array(codes)
    same = {"replicates": 1}
    np.testing.assert_allclose(cohen_kappa(three[:, :2], **same).value, cohen(three[:, :2]), atol=1e-9)
    np.testing.assert_allclose(fleiss_kappa(three, **same).value, fleiss(codes), atol=1e-9)
    np.testing.assert_allclose(krippendorff_alpha(three, **same).value, krippendorff(codes), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(CODES, st.permutations(range(3)), st.permutations(range(4)))
def test_who_and_which_name_do_not_matter(codes, raters, names):
    three = np.array(codes)
    other = np.where(three < 0, MISSING, np.array(names)[np.maximum(three, 0)])[:, raters]
    for measure in (fleiss_kappa, krippendorff_alpha):
        np.testing.assert_allclose(measure(three, replicates=1).value, measure(other, replicates=1).value)


def test_published_examples():
    # Fleiss (1971), as in the encyclopedias: 10 units, 14 raters, 5 categories.
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    codes = [[code for code, count in enumerate(row) for _ in range(count)] for row in table]
    assert fleiss_kappa(codes).value == pytest.approx(0.210, abs=5e-4)
    # Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), example C: nominal 0.743.
    a = [1, 2, 3, 3, 2, 1, 4, 1, 2, -1, -1, -1]
    b = [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, -1, 3]
    c = [-1, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, -1]
    d = [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, -1]
    found = krippendorff_alpha(np.array([a, b, c, d]).T)
    assert found.value == pytest.approx(0.743, abs=5e-4)
    assert found.units == 11
    # Cohen (1960) as in the encyclopedias: 20, 5, 10, 15.
    counts = {(0, 0): 20, (0, 1): 5, (1, 0): 10, (1, 1): 15}
    cells = [pair for pair, count in counts.items() for _ in range(count)]
    assert cohen_kappa(cells).value == pytest.approx(0.4)


def test_the_interval_covers_and_narrows():
    rng = np.random.default_rng(0)
    truth, widths = 0.0, []
    for units in (30, 300):
        inside = 0
        for seed in range(60):
            codes = rng.integers(0, 2, (units, 2))  # by chance alone: kappa is 0
            found = cohen_kappa(codes, replicates=300, seed=seed)
            inside += found.low <= truth <= found.high
        widths.append(found.high - found.low)
        assert 50 <= inside <= 60
    assert widths[1] < 0.5 * widths[0]


def test_what_cannot_be():
    assert math.isnan(fleiss_kappa([[0, 0], [0, 0]]).value)
    assert cohen_kappa([[0, MISSING]]).units == 0
    with pytest.raises(ValueError, match="expected two"):
        cohen_kappa([[0, 1, 2]])
    with pytest.raises(ValueError, match="expected categories"):
        fleiss_kappa([[0, -2]])
