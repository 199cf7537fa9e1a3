"""The paper's figures get the right cases."""

import numpy as np
import pandas as pd
import pytest

from aleaseg.pages.figures import auv_histograms, spectra


def test_the_four_cases_are_ordered_from_fastest_to_slowest_decay(fake):
    entries = spectra(fake.run, fake.run.scores)
    assert [entry["class"] for entry in entries] == ["head", "tail & <b>"]
    for entry in entries:
        curves = entry["curves"]
        assert [curve["which"] for curve in curves] == [
            "fastest", "second fastest", "second slowest", "slowest",
        ]  # fmt: skip
        assert [curve["case"] for curve in curves] == [fake.ids[i] for i in (0, 1, -2, -1)]
        scales = [curve["s"] for curve in curves]
        assert scales == sorted(scales)
        assert sum(curves[0]["energies"]) == pytest.approx(1)


def test_fewer_than_four_cases_have_no_spectra(fake):
    scores = fake.run.scores
    assert spectra(fake.run, scores[scores["case"].isin(fake.ids[:3])]) == []
    assert spectra(fake.run, pd.DataFrame(columns=["case", "class"])) == []


def test_histograms_count_every_known_auv(fake):
    entire, head, tail = auv_histograms(fake.run.cases, fake.run.scores)
    assert [entry["class"] for entry in (entire, head, tail)] == ["", "head", "tail & <b>"]
    assert entire["n"] == sum(entire["counts"]) == len(fake.ids)
    assert entire["counts"][0] == entire["counts"][-1] == 1  # 0 and 1 are within
    assert entire["median"] == pytest.approx(0.5)


def test_without_auv_there_is_nothing_to_count():
    cases = pd.DataFrame({"case": ["a"], "auv": [np.nan]})
    assert auv_histograms(cases, pd.DataFrame(columns=["case", "class"])) == []
