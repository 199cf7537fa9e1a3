"""Drift over a run's measures: who is held against whom, one family of tests, one case of each group."""

import numpy as np
import pytest

from aleaseg.scoring.drift import DRIFT_COLUMNS, Sample, find_drift
from aleaseg.scoring.numbers import Numbers


def sample(columns, *, name, groups=None, sites=None):
    """Cases `name0`, `name1`, ...; columns: key -> values."""
    size = len(next(iter(columns.values())))
    cases = tuple(f"{name}{number:03d}" for number in range(size))
    numbers = Numbers(
        cases,
        ("a",),
        np.zeros(size, bool),
        {},
        np.array([""] * size),
        {key: np.asarray(values, float) for key, values in columns.items()},
        {},
    )
    return Sample(numbers, groups or list(cases), sites or [""] * size)


NOISE, VOLUME = ("img_noise", "", ""), ("volume_mm3", "", "a")


def drawn(seed, size, shift=0.0):
    rng = np.random.default_rng(seed)
    return {NOISE: rng.normal(shift, 1, size), VOLUME: rng.normal(100, 5, size)}


def test_a_shift_is_the_first_and_the_rest_is_quiet():
    found = find_drift(sample(drawn(1, 20, 4.0), name="n"), sample(drawn(0, 80), name="p"))
    assert [(one.measure, one.class_name, one.drifts) for one in found] == [
        ("img_noise", "", True),
        ("volume_mm3", "a", False),
    ]
    row = found[0].row()
    assert set(row) == set(DRIFT_COLUMNS)
    assert row["shift"] == pytest.approx(4, abs=1)
    assert row["p_adjusted"] == pytest.approx(2 * row["p"])


def test_scans_of_one_patient_count_once():
    new = drawn(1, 40, 4.0)
    patients = [f"patient{number % 4}" for number in range(40)]
    assert find_drift(sample(new, name="n", groups=patients), sample(drawn(0, 80), name="p")) == []
    patients = [f"patient{number // 2}" for number in range(40)]
    (first, *_) = find_drift(sample(new, name="n", groups=patients), sample(drawn(0, 80), name="p"))
    assert first.found.n == 20


def test_the_latest_batch_and_each_site_are_parts_of_their_own():
    new = drawn(2, 30)
    new[NOISE][20:] += 5  # the second batch
    names = {f"n{number:03d}": 1 + number // 20 for number in range(30)}
    sites = ["A"] * 12 + ["B"] * 8 + ["A"] * 6 + ["C"] * 4
    population = sample(drawn(0, 80), name="p", sites=["A"] * 40 + ["B"] * 10 + [""] * 30)
    found = find_drift(sample(new, name="n", sites=sites), population, names)
    parts = {one.part: one for one in found if one.measure == "img_noise"}
    assert set(parts) == {"all", "batch 2", "site A", "site B"}  # C: four cases
    assert parts["batch 2"].drifts
    assert parts["batch 2"].found.n == 10
    assert parts["site A"].against == "site A"
    assert parts["site A"].found.n_population == 40
    assert parts["site B"].against == "population"
    assert not parts["site B"].drifts
    assert len(found) == 8


def test_a_site_that_is_all_of_the_new_is_not_tested_twice():
    found = find_drift(sample(drawn(1, 9), name="n", sites=["X"] * 9), sample(drawn(0, 80), name="p"))
    assert {one.part for one in found} == {"all"}


def test_what_cannot_be_compared_is_left_out():
    new, population = drawn(1, 9), drawn(0, 80)
    for side in (new, population):
        side[("volume_mm3", "other", "a")] = side[VOLUME]
        side[("of_a_plug_in", "", "a")] = side[VOLUME]
    new[("softmin", "", "")] = np.zeros(9)
    found = find_drift(sample(new, name="n"), sample(population, name="p"), leave_out=["img_noise"])
    assert [(one.measure, one.class_name) for one in found] == [("volume_mm3", "a")]
