"""Reasons: a code and a number in a cell, a sentence for people, there and back."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aleaseg.measures import reasons
from aleaseg.measures.reasons import in_words, joined, told

# What the population step can say of a mask or an image.
CODES = [
    "oof_dice:liver",
    "own_dice:liver",
    "absent:liver",
    "false_positive:liver",
    "volume_low:liver",
    "volume_high:liver",
    "components:liver",
    "border:liver",
    "order:left and right",
    *(
        f"{kind}:liver"
        for kind in ("rough", "smooth", "coarse", "ragged", "coarse_across", "ragged_across")
    ),
    "contrast:liver",
    "softmin",
    "mask",
    "image",
    *(f"{name}" for name in ("noise", "contrast", "dark", "middle", "bright", "skew", "border")),
    *(f"{kind}_{axis}" for kind in ("sharp", "ghost", "fov", "tilt", "bend", "uneven") for axis in "dhw"),
]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("value", [5.0, -5.0])
def test_every_code_has_a_sentence_and_its_number_there_or_beside(code, value):
    if value < 0 and (":" in code or code == "softmin"):
        value = 0.5
    (one,) = told(joined([(code, 9.0, value)]))
    assert "=" not in one.sentence, "a code in place of words"
    assert "robust z" not in one.sentence, "nobody who reads scans thinks in z"
    assert re.search(r"\d", one.sentence + one.detail)
    assert one.axis == ("mask" if ":" in code or code in ("softmin", "mask") else "image")
    if ":" in code:
        assert one.of == code.partition(":")[2]
        assert one.sentence.startswith(f"{one.of}: ")


def test_an_axis_is_called_as_the_patient_lies_where_that_is_known():
    assert in_words("sharp_h=-5") == ["blurred from top to bottom of the slice"]
    ways = {"h": "in the front-back direction"}
    (one,) = told("sharp_h=-5", ways)
    assert (one.sentence, one.way) == ("blurred in the front-back direction", "h")
    assert "slice to slice" in in_words("uneven_d=5", ways)[0]


def test_where_there_is_one_class_it_is_not_named():
    assert in_words("volume_low:c1=0.2", one_class=True) == [
        "the mask is very small (0.2 times the usual size)"
    ]


def test_words_follow_numbers():
    assert "overlap less than usual" in in_words("oof_dice:liver=0.79")[0]
    assert "hardly overlap" in in_words("oof_dice:liver=0.1")[0]
    assert "larger than usual" in in_words("volume_high:liver=1.2")[0]
    assert "very large" in in_words("volume_high:liver=2.4")[0]
    assert "the largest holds 15%" in in_words("components:liver=0.85")[0]
    assert "the largest holds 99.60%" in in_words("components:liver=0.004")[0]
    assert "99.70% of the cases" in in_words("absent:liver=0.997")[0]
    assert "against a confident prediction" in in_words("softmin=0.004")[0]
    assert "less sure of the labels than usual" in in_words("softmin=0.73")[0]
    assert "sees another outline" in in_words("own_dice:liver=0.42")[0]
    assert "differs more than usual" in in_words("own_dice:liver=0.93")[0]


def test_z_is_explained_in_the_same_words_everywhere():
    root = Path(__file__).parents[2]
    for page in ("docs/measures/doubt.md", "docs/index.md", "docs/report.md"):
        assert reasons.Z_MEANS in (root / page).read_text("utf-8"), page


@pytest.mark.parametrize("kind", ["noise", "sharp_d", "skew"])
def test_a_channel_is_named(kind):
    (sentence,) = in_words(f"{kind}_1=4.2")
    assert "in channel 1" in sentence


def test_the_border_of_an_image_and_of_a_mask_are_told_apart():
    image, mask = in_words("border=4; border:liver=0.4")
    assert "body" in image
    assert mask.startswith("liver: 40% of the mask")


def test_a_cell_holds_reasons_in_the_order_given():
    assert joined([("noise", 5.0, 5.0), ("skew_1", 9.0, -9.0)]) == "noise=5; skew_1=-9"
    assert joined([]) == ""
    assert in_words("") == []


@given(st.text(max_size=20), st.floats(-100, 100))
def test_no_class_name_breaks_the_cell(name, value):
    cell = joined([(f"oof_dice:{name}", 5.0, value), ("noise", 4.0, 4.0)])
    sentences = in_words(cell)
    assert len(sentences) == 2
    assert "overlap" in sentences[0]


def test_what_is_unknown_is_shown_as_it_is():
    assert in_words("new_measure=3; odd") == ["new_measure=3", "odd"]
    assert set(reasons.__all__) <= set(dir(reasons))
