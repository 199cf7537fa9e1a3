"""Numbers lie where a ruler would put them."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aleaseg.pages.axes import Axes, Scale, reach, ticks

numbers = st.floats(-1e6, 1e6, allow_nan=False)


def test_ticks_are_round_and_few():
    for low, high in ((0, 1), (0.137, 0.139), (1, 100), (1, 1000), (-3.2, 7), (1e-9, 2e-9)):
        found = ticks(low, high)
        assert 2 <= len(found) <= 5
        assert all(low - 1e-12 <= value <= high + 1e-12 for value in found)
        np.testing.assert_allclose(np.diff(found), np.diff(found)[0])
    assert ticks(5, 5) == [5.0]


@given(numbers, st.floats(1e-3, 1e6), st.integers(2, 9))
def test_ticks_lie_within_whatever_the_ends(low, width, most):
    found = ticks(low, low + width, most)
    slack = 1e-5 * (abs(low) + width)
    assert len(found) <= max(most, 2)
    assert all(low - slack <= value <= low + width + slack for value in found)


@given(st.integers(-100, 100), st.integers(1, 5000))
def test_whole_ticks_are_whole(low, width):
    assert all(value == round(value) for value in ticks(low, low + width, whole=True))


@given(numbers, st.floats(1e-3, 1e6), st.floats(0, 1))
def test_a_scale_is_straight_and_meets_its_ends(low, width, share):
    scale = Scale(low, low + width, 10, 110)
    assert scale(low) == pytest.approx(10)
    assert scale(low + width) == pytest.approx(110)
    assert scale(low + share * width) == pytest.approx(10 + 100 * share, abs=1e-2)


@given(st.integers(-8, 0), st.integers(0, 8))
def test_on_a_logarithmic_scale_factors_are_steps(power, step):
    scale = Scale(1e-8, 1, 300, 0, log=True)
    assert scale(10.0**power) == pytest.approx(-power * 300 / 8)


@given(st.lists(st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9), min_size=1))
def test_an_axis_around_zero_holds_all_and_is_not_far_too_long(values):
    far, largest = reach(values), max(map(abs, values))
    assert far >= largest * (1 - 1e-5)
    assert not largest or far <= 2.6 * largest


def test_a_curve_has_a_gap_where_there_is_no_number_and_up_is_more():
    axes = Axes(100, 50, (0, 3), (0, 1))
    axes.curve([0, 1, 2, 3], [0.0, 0.5, math.nan, 1.0], "curve", "c")
    (group,) = axes.drawn
    path = group.find("path").get("d")
    assert path == "M0,50L33.33,25M100,0"
    assert (group.find("circle").get("cx"), group.find("circle").get("cy")) == ("100", "0")


def test_a_level_lies_at_its_number_and_is_named_at_its_left():
    axes = Axes(100, 50, (0, 1), (0, 10), margins=(20, 5, 4, 6))
    axes.level(5, "5")
    line, said = axes.drawn
    assert [line.get(name) for name in ("x1", "x2", "y1", "y2")] == ["20", "95", "24", "24"]
    assert (said.text, said.get("text-anchor")) == ("5", "end")
    assert float(said.get("x")) < 20
    assert not re.search("nan", str(said.attrib))
