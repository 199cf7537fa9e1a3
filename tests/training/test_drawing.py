"""Curves are where their numbers are, and names stay text."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from aleaseg.training.drawing import Curve, Panel, compare_trainings, panel_svg, panels_of
from aleaseg.training.history import History
from aleaseg.training.loop import Epoch
from aleaseg.training.validation import Validated

SVG = "{http://www.w3.org/2000/svg}"


def points(path):
    return np.array(
        [[float(n) for n in pair.split(",")] for pair in re.findall(r"[ML]([\d.]+,[\d.]+)", path)]
    )


def lines(svg):
    """Title of a curve -> its path."""
    root = ElementTree.fromstring(svg)
    found = {}
    for group in root.iter():
        title = group.find("title") if group.find("title") is not None else group.find(f"{SVG}title")
        path = group.find("path") if group.find("path") is not None else group.find(f"{SVG}path")
        if title is not None and path is not None:
            found[title.text.split(":")[0]] = path.get("d")
    return found


def test_up_is_more_and_right_is_later():
    panel = Panel(
        "p", [Curve("a", [0.1, 0.4, 0.2]), Curve("b", [0.0, math.nan, 1.0], True)], [1, 2, 3], True
    )
    found = lines(panel_svg(panel))
    a, b = points(found["a"]), points(found["b"])
    assert (np.diff(a[:, 0]) > 0).all()
    assert a[1, 1] < a[2, 1] < a[0, 1]
    assert len(b) == 2
    assert found["b"].count("M") == 2, "a gap is a gap"
    # The unit axis: 0.1 to 0.4 is three tenths of 0 to 1.
    assert (a[0, 1] - a[1, 1]) / (b[0, 1] - b[1, 1]) == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize(
    "panel",
    [
        Panel("empty", [Curve("a", [])], []),
        Panel("nothing known", [Curve("a", [math.nan])], [1]),
        Panel("constant", [Curve("a", [2.0, 2.0])], [1, 2]),
        Panel("one", [Curve("<b> & co", [0.5])], [7], True),
    ],
)
def test_little_to_draw_is_drawn(panel):
    svg = panel_svg(panel)
    ElementTree.fromstring(svg)
    assert "nan" not in svg.replace("nothing known", "")
    assert "<b>" not in svg


def test_a_hundred_classes_stand_behind_their_mean():
    curves = [Curve("mean", [0.5, 0.6], True), *(Curve(f"organ {i}", [0.4, 0.5]) for i in range(104))]
    svg = panel_svg(Panel("p", curves, [1, 2], True))
    assert "each of 104: the pointer tells which" in svg
    assert svg.count('class="curve crowd"') == 105  # one more in the key
    root = ElementTree.fromstring(svg)
    assert [group.get("class") for group in root if "curve" in (group.get("class") or "")][
        -1
    ] == "curve strong"


@pytest.fixture
def history(tmp_path):
    """history(name, dice): three epochs, with weights and scales."""

    def _history(name, dice):
        made = History(tmp_path / name, ["liver", "=tumour"], ["liver", "=tumour"])
        for number in (1, 2, 3):
            seen = np.array([[0.8, 0.9], [0.5, math.nan]])
            epoch = Epoch(number, 10 * number, 1 / number, 0.01 / number, 5.0 * number, seen)
            made.add(epoch, Validated(2 / number, {"liver": dice, "=tumour": math.nan}))
        return made

    return _history


def test_a_table_survives_its_own_writing_and_an_epoch_replaces_later_ones(history):
    made = history("a", 0.5)
    rows = made.rows()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["seconds"] for row in rows] == [5, 5, 5]
    assert rows[2]["pseudo_dice"] == rows[2]["pseudo_dice/liver"] == 0.5
    assert math.isnan(rows[2]["pseudo_dice/=tumour"])
    made.add(Epoch(2, 20, 0.4, 0.1, 11.0, None), Validated(0.3, {"liver": 0.7, "=tumour": 0.1}))
    again = made.rows()
    assert [row["epoch"] for row in again] == [1, 2]
    del again[0]["pseudo_dice/=tumour"], rows[0]["pseudo_dice/=tumour"]  # NaN
    assert again[0] == rows[0]
    assert again[1]["seconds"] == 6
    assert again[1]["pseudo_dice"] == pytest.approx(0.4)


def test_panels_of_a_training_with_duo(history):
    panels = panels_of(history("a", 0.5))
    assert [panel.title.split(" (")[0].split(",")[0] for panel in panels] == [
        "Loss",
        "Pseudo-Dice of the cases held out",
        "Weights of the classes",
        "S of the classes",
    ]
    assert [curve.name for curve in panels[2].curves] == ["liver", "=tumour"]
    assert panels[2].curves[1].values == [0.9, 0.9, 0.9]
    assert all(math.isnan(value) for value in panels[3].curves[1].values)


def test_several_trainings_side_by_side(history, tmp_path):
    history("a", 0.5)
    history("b", 0.7)
    svg = compare_trainings({"plain & simple": tmp_path / "a", "DUO": tmp_path / "b"})
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    text = "".join(root.itertext())
    assert "plain & simple" in text
    assert "Validation loss (low = good)" in text
    assert "DUO: 0.7 in the end" in text
