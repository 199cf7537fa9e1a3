"""Ranks and rank correlations."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from aleaseg.report.standing import association, confound_table, percentiles


def test_percentiles_are_ranks_with_ties_in_the_middle_and_gaps_kept():
    result = percentiles(np.array([3.0, np.nan, 1.0, 3.0, 5.0]))
    np.testing.assert_allclose(result, [0.5, np.nan, 0.0, 0.5, 1.0])
    np.testing.assert_allclose(percentiles(np.array([7.0])), [0.5])


def test_numbers_give_spearman_with_average_ranks():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, 50).astype(float)
    y = x + rng.normal(0, 3, 50).round()
    y[3] = np.nan
    rho, count = association(y, x)
    known = np.isfinite(y)
    assert rho == pytest.approx(spearmanr(y[known], x[known]).statistic)
    assert count == 49


def test_groups_that_explain_all_give_one_and_chance_gives_little():
    groups = np.array(["a"] * 20 + ["b"] * 20 + ["c"] * 20, dtype=object)
    ordered = np.arange(60.0)
    assert association(ordered, groups)[0] > 0.9
    rng = np.random.default_rng(1)
    many = np.array([f"g{i % 25}" for i in range(60)], dtype=object)
    chance = [association(rng.permutation(60).astype(float), many)[0] for _ in range(20)]
    assert np.median(chance) < 0.35  # uncorrected it would be about 0.64


def test_what_does_not_vary_has_no_correlation():
    constant = np.ones(10)
    assert np.isnan(association(np.arange(10.0), constant)[0])
    assert np.isnan(association(constant, np.arange(10.0))[0])
    assert np.isnan(association(np.arange(2.0), np.arange(2.0))[0])
    texts = np.array(["same"] * 10, dtype=object)
    assert np.isnan(association(np.arange(10.0), texts)[0])
    each = np.array([str(i) for i in range(10)], dtype=object)
    assert np.isnan(association(np.arange(10.0), each)[0])


def test_the_table_has_every_pair_once():
    columns = {
        "auv": np.arange(5.0),
        "depth": -np.arange(5.0),
        "site": np.array(list("aabbb"), dtype=object),
    }
    table = confound_table(columns, ["auv"], ["depth", "site"])
    assert [(row["confound"], row["kind"]) for row in table] == [("depth", "rho"), ("site", "eta")]
    assert table[0]["rho"] == pytest.approx(-1)
