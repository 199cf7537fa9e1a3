"""Which of the Universal Model's channels a class's name means: what data sets write, and what is none of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aleaseg.extractors.universal_names import KNOWN, rows_of


def meant(name, others=()):
    return [KNOWN[row] for row in rows_of(name, others)]


def test_the_order_of_the_channels():
    assert len(KNOWN) == 32
    assert KNOWN.index("liver") == 5
    assert KNOWN.index("kidney tumour") == 25
    assert KNOWN.index("kidney cyst") == 31
    assert [rows_of(name) for name in KNOWN] == [(row,) for row in range(32)]


TOTALSEGMENTATOR = {
    "spleen": "spleen",
    "kidney_right": "right kidney",
    "kidney_left": "left kidney",
    "gallbladder": "gallbladder",
    "liver": "liver",
    "stomach": "stomach",
    "pancreas": "pancreas",
    "adrenal_gland_right": "right adrenal gland",
    "adrenal_gland_left": "left adrenal gland",
    "esophagus": "esophagus",
    "small_bowel": "intestine",
    "duodenum": "duodenum",
    "colon": "colon",
    "urinary_bladder": "bladder",
    "prostate": "prostate",
    "aorta": "aorta",
    "inferior_vena_cava": "inferior vena cava",
    "portal_vein_and_splenic_vein": "portal vein and splenic vein",
    "liver_vessels": "hepatic vessel",
    "liver_tumor": "liver tumour",
}
BTCV = {
    "rkid": "right kidney",
    "lkid": "left kidney",
    "gall": "gallbladder",
    "eso": "esophagus",
    "sto": "stomach",
    "IVC": "inferior vena cava",
    "Portal vein and splenic vein": "portal vein and splenic vein",
    "left adrenal gland": "left adrenal gland",
}
AMOS = {"gall bladder": "gallbladder", "postcava": "inferior vena cava", "prostate/uterus": "prostate"}
FLARE = {
    "Inferior Vena Cava (IVC)": "inferior vena cava",
    "Right Adrenal Gland (RAG)": "right adrenal gland",
}
WORD = {"Head_of_femur_L": "left head of femur", "left_head_of_femur": "left head of femur"}
DECATHLON = {
    "hepatic_vessels": "hepatic vessel",
    "colon cancer primaries": "colon tumour",
    "pancreas_cancer": "pancreas tumour",
    "pancreatic tumors": "pancreas tumour",
    "lung cancer": "lung tumour",
    "HepaticVesselTumour": "hepatic vessel tumour",
    "renal cyst": "kidney cyst",
    "liver lesion": "liver tumour",
}


@pytest.mark.parametrize(
    ("name", "known"),
    [pair for one in (TOTALSEGMENTATOR, BTCV, AMOS, FLARE, WORD, DECATHLON) for pair in one.items()],
)
def test_what_data_sets_call_them(name, known):
    assert meant(name) == [known]


@pytest.mark.parametrize(
    "name", ["kidney", "Kidneys", "lungs", "adrenal", "adrenal_glands", "head of femur"]
)
def test_a_name_for_both_sides_is_both(name):
    found = meant(name)
    assert [known.split()[0] for known in found] == ["right", "left"]
    assert len({known.partition(" ")[2] for known in found}) == 1


@pytest.mark.parametrize(
    "name",
    [
        "heart",
        "femur_left",
        "lung_upper_lobe_left",
        "kidney_cyst_left",
        "vessel",
        "vein",
        "lad",
        "liver2",
        "right",
        "",
    ],
)
def test_what_says_something_else_is_unknown(name):
    assert meant(name) == []


def test_a_bare_tumour_is_that_of_the_one_organ_beside_it():
    assert meant("tumor", ["liver"]) == ["liver tumour"]
    assert meant("Cancer", ["pancreas", "background stuff"]) == ["pancreas tumour"]
    assert meant("tumour", ["kidney", "cyst"]) == ["kidney tumour"]
    assert meant("cyst", ["kidney_left", "kidney_right", "tumor"]) == ["kidney cyst"]
    assert meant("tumour", ["Hepatic vessel"]) == ["hepatic vessel tumour"]
    assert meant("tumour", ["liver", "pancreas"]) == []  # of which?
    assert meant("tumour", ["spleen"]) == []  # none is known there
    assert meant("tumour") == []


@given(st.sampled_from(KNOWN), st.randoms(), st.sampled_from([" ", "_", "-", " / "]), st.booleans())
def test_case_order_and_what_stands_between_do_not_matter(known, random, between, loud):
    words = known.split()
    random.shuffle(words)
    name = between.join(words)
    assert meant(name.upper() if loud else name) == [known]
