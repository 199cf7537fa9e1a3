"""Reasons: a code and a number in a cell, a sentence for people, there and back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aleaseg.measures import reasons
from aleaseg.measures.reasons import in_words, joined

# What the population step can say of a mask or an image.
CODES = [
    "oof_dice:liver",
    "absent:liver",
    "false_positive:liver",
    "volume_low:liver",
    "volume_high:liver",
    "components:liver",
    "border:liver",
    "order:left and right",
    "softmin",
    "image",
    *(f"{name}" for name in ("noise", "contrast", "dark", "middle", "bright", "skew", "border")),
    *(f"{kind}_{axis}" for kind in ("sharp", "ghost", "fov") for axis in "dhw"),
]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("value", [5.0, -5.0])
def test_every_code_has_a_sentence_with_its_number(code, value):
    if value < 0 and (":" in code or code == "softmin"):
        value = 0.5
    (sentence,) = in_words(joined([(code, 9.0, value)]))
    assert "=" not in sentence, "a code in place of words"
    assert re.search(r"\d", sentence)
    if ":" in code:
        assert sentence.startswith(code.partition(":")[2])


@pytest.mark.parametrize("kind", ["noise", "sharp_d", "skew"])
def test_a_channel_is_named(kind):
    (sentence,) = in_words(f"{kind}_1=4.2")
    assert "in channel 1" in sentence


def test_the_border_of_an_image_and_of_a_mask_are_told_apart():
    image, mask = in_words("border=4; border:liver=0.4")
    assert "body" in image
    assert mask.startswith("liver: 40% of the mask")


def test_strongest_first_at_most_five_and_none_that_is_weak():
    many = [(f"noise_{i}", 3.0 + i, 1.0) for i in range(8)]
    cell = joined(many)
    assert cell.split("; ") == [f"noise_{i}=1" for i in (7, 6, 5, 4, 3)]
    assert joined([("noise", 2.0, 2.0), ("skew", 1.9, 1.9)]) == "noise=2"
    assert joined([("noise", 1.4, 1.4)]) == ""
    assert in_words("") == []


@given(st.text(max_size=20), st.floats(-100, 100))
def test_no_class_name_breaks_the_cell(name, value):
    cell = joined([(f"oof_dice:{name}", 5.0, value), ("noise", 4.0, 4.0)])
    sentences = in_words(cell)
    assert len(sentences) == 2
    assert "overlap little" in sentences[0]


def test_what_is_unknown_is_shown_as_it_is():
    assert in_words("new_measure=3; odd") == ["new_measure=3", "odd"]
    assert set(reasons.__all__) <= set(dir(reasons))
