"""Laws of every measure: order, populations with nothing in them, direction, range, and what each may see."""

from pathlib import Path

import numpy as np
import pytest

from aleaseg.measures.auv import AuvReference, aleatoric_uncertainty_value
from aleaseg.run import Record
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.compared import Auv, Doubt, Eaoa, Mahalanobis, SizeAdjusted, TwoSided
from aleaseg.scoring.measure import Eye, Recorded, Spread
from aleaseg.scoring.numbers import Numbers


def numbers_of(records, classes):
    """Gathered from records as version 1 wrote them."""
    return Numbers.of(map(Record.from_dict, records), classes)


CLASSES = ("left", "right")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "measures"

# (measure, variant): of every class, of the case.
BY_CLASS = [
    *(("perception_scale", v) for v in ("", "official", "amplitude", "centered", "h_dw", "w_dh")),
    *(("perception_scale", v) for v in ("probability", "foreground", "foreground_amplitude")),
    *(("perception_scale", f"own{v}") for v in ("", "_amplitude", "_foreground", "_foreground_amplitude")),
    *(("own_dice", v) for v in ("", "foreground")),
    *((name, "") for name in ("effective_rank", "participation_ratio", "semantic_volume", "fisher")),
    *((name, "") for name in ("tta_dice", "oof_dice", "in_sample_dice", "volume_mm3")),
    *((name, "") for name in ("extra_components", "border", "centroid_d", "centroid_h", "centroid_w")),
]
OF_CASE = [
    *(("intensity_variance", v) for v in ("image", "mask")),
    *((name, "") for name in ("residual_variance", "energy", "entropy", "tta_information", "aum")),
    *((name, v) for name, v in (("softmin", ""), ("softmin", "near"), ("el2n", ""), ("el2n", "early"))),
    *((name, "") for name in ("cross_entropy", "label_issues", "forgetting", "boundary_uncertainty")),
    *((f"cartography_{name}", "") for name in ("confidence", "variability")),
    *((f"img_{name}", "") for name in ("noise", "contrast", "skew")),
    *((f"img_{name}_{axis}", "") for name in ("sharp", "fov") for axis in "dhw"),
]
# What a mask has a part in, whatever the catalogue says of it.
OF_THE_MASK = {
    *(("perception_scale", f"own{v}") for v in ("", "_amplitude", "_foreground", "_foreground_amplitude")),
    *(("own_dice", v) for v in ("", "foreground")),
    *(("perception_scale", v) for v in ("foreground", "foreground_amplitude")),
    *((name, "") for name in ("oof_dice", "in_sample_dice", "volume_mm3", "extra_components", "border")),
    *((f"centroid_{axis}", "") for axis in "dhw"),
    ("intensity_variance", "mask"),
    *((name, "") for name in ("residual_variance", "aum", "cross_entropy", "label_issues", "forgetting")),
    *((name, v) for name, v in (("softmin", ""), ("softmin", "near"), ("el2n", ""), ("el2n", "early"))),
    *((f"cartography_{name}", "") for name in ("confidence", "variability")),
}
# By the papers: +1 where a large number is bad.
WORSE = {
    **dict.fromkeys(("effective_rank", "participation_ratio", "semantic_volume", "fisher"), -1),
    **dict.fromkeys(("variance/image", "variance/mask", "residual_variance"), 1),
    **dict.fromkeys(("energy", "entropy", "boundary_uncertainty", "tta_information"), 1),
    **dict.fromkeys(("own_dice", "own_dice/foreground"), -1),
    **dict.fromkeys(("tta_dice", "oof_dice", "in_sample_dice", "softmin", "softmin/near"), -1),
    **dict.fromkeys(("cross_entropy", "el2n", "el2n/early", "label_issues", "forgetting"), 1),
    **dict.fromkeys(("aum", "cartography_confidence"), -1),
    "cartography_variability": 1,
}
each = pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))


def _value(name, variant, rng):
    if name == "perception_scale":
        return float(rng.uniform(0.2, 0.4))
    if name in ("volume_mm3", "intensity_variance", "residual_variance"):
        return float(np.exp(rng.normal(3, 0.3)))
    if name == "energy":
        return float(-rng.uniform(1, 5))
    if name.startswith(("img_", "centroid_", "aum")):
        return float(rng.normal(10 if name.startswith("centroid") else 0, 1))
    return float(rng.uniform(0.05, 0.95))


def record(index, rng, *, missing=0.0):
    """One case with every number there is; some left out at random."""
    rows = [
        {"measure": name, "variant": variant, "class": of, "value": _value(name, variant, rng)}
        for pairs, classes in ((BY_CLASS, CLASSES), (OF_CASE, ("",)))
        for name, variant in pairs
        for of in classes
    ]
    for row in rows:
        if row["measure"].startswith("centroid") and row["class"] == "right":
            row["value"] += 20.0
        if rng.random() < missing and row["measure"] != "volume_mm3":
            row["value"] = None
    return {
        "case": f"c{index:02}",
        "status": "ok",
        "model": f"fold_{index % 2}",
        "class_maps": {name: {"kind": "logit"} for name in CLASSES},
        "features": {
            kind: {name: rng.normal(size=3).tolist() for name in CLASSES if rng.random() >= missing}
            for kind in ("predicted", "mask")
        },
        "measures": rows,
    }


def failed(index):
    return {"case": f"f{index}", "status": "failed", "class_maps": {}, "measures": []}


@pytest.fixture(scope="module")
def records():
    rng = np.random.default_rng(0)
    made = [record(index, rng, missing=0.05) for index in range(40)]
    return [*made[:20], failed(0), *made[20:], failed(1)]


@pytest.fixture(scope="module")
def numbers(records):
    return numbers_of(records, CLASSES)


def test_names_are_unique_and_every_measure_says_what_it_is():
    assert all(name == measure.name for name, measure in MEASURES.items())
    titles = [measure.title for measure in MEASURES.values()]
    assert len(titles) == len(set(titles))
    texts = [measure.text for measure in MEASURES.values() if not measure.text.startswith("the same")]
    assert len(texts) == len(set(texts))
    for measure in MEASURES.values():
        assert measure.text
        assert measure.source
        assert measure.direction.sign in (-1, 1)
        assert measure.formula.startswith("aleaseg.measures."), "a formula knows no record"
        assert measure.sees in ("image", "mask", "both")
        assert (DOCS / f"{measure.page}.md").is_file(), measure.page
        if measure.eye is Eye.TRAINING:
            assert measure.sees == "both", "a training sees the mask"


def test_every_kind_of_measure_is_under_law():
    kinds = {type(measure) for measure in MEASURES.values()}
    assert {Recorded, Auv, TwoSided, SizeAdjusted, Mahalanobis, Eaoa, Doubt} <= kinds
    recorded = {name for name, measure in MEASURES.items() if isinstance(measure, Recorded)}
    assert recorded == set(WORSE)
    known = {*BY_CLASS, *OF_CASE}
    for name in recorded:
        assert (MEASURES[name].measure, MEASURES[name].variant) in known, name


@each
def test_most_cases_have_a_number_within_the_range_that_is_declared(measure, numbers):
    found = measure.value(numbers, measure.fit(numbers))
    assert np.isfinite(found).sum() >= 30
    low, high = measure.limits or (None, None)
    if not isinstance(measure, Recorded) or isinstance(measure, Spread):  # those are made up here
        assert low is None or np.nanmin(found) >= low
        assert high is None or np.nanmax(found) <= high


@each
def test_the_order_of_the_cases_does_not_matter(measure, numbers):
    order = np.random.default_rng(1).permutation(len(numbers))
    turned = numbers.take(order)
    np.testing.assert_allclose(
        measure.value(turned, measure.fit(turned)),
        measure.value(numbers, measure.fit(numbers))[order],
        rtol=1e-9,
        atol=1e-9,
    )


@each
def test_a_case_is_compared_alike_alone_and_in_company(measure, numbers):
    frozen = measure.fit(numbers)
    every = measure.value(numbers, frozen)
    for index in (0, 7, 20):
        (alone,) = measure.value(numbers.take(np.array([index])), frozen)
        np.testing.assert_allclose(alone, every[index], rtol=1e-9, atol=1e-12)


@each
@pytest.mark.parametrize("count", [0, 1, 25])
def test_a_population_in_which_everything_failed_has_no_numbers(measure, count):
    nothing = numbers_of([failed(index) for index in range(count)], CLASSES)
    found = measure.suspicion(nothing, measure.fit(nothing))
    assert found.shape == (count,)
    assert np.isnan(found).all()


@each
def test_failed_cases_have_no_number_among_the_others(measure, numbers):
    found = measure.value(numbers, measure.fit(numbers))
    assert np.isnan(found[numbers.failed]).all()


@pytest.mark.parametrize("name", WORSE)
def test_a_worse_number_is_more_suspicious(name):
    measure = MEASURES[name]
    rng = np.random.default_rng(2)
    made = [record(index, rng) for index in range(30)]
    planted = 17
    for row in made[planted]["measures"]:
        if (row["measure"], row["variant"]) == (measure.measure, measure.variant):
            row["value"] = 1000.0 if WORSE[name] > 0 else 1e-6 if name != "aum" else -1000.0
    numbers = numbers_of(made, CLASSES)
    found = measure.suspicion(numbers, measure.fit(numbers))
    assert found.argmax() == planted
    assert (np.delete(found, planted) < found[planted]).all()


def test_a_low_s_is_suspicious_and_two_sided_finds_a_high_one_too():
    rng = np.random.default_rng(3)
    made = [record(index, rng) for index in range(30)]
    for index, factor in ((4, 0.1), (5, 2.4)):
        for row in made[index]["measures"]:
            if row["measure"] == "perception_scale":
                row["value"] *= factor
    numbers = numbers_of(made, CLASSES)
    for name, measure in MEASURES.items():
        if isinstance(measure, Auv | SizeAdjusted):
            assert measure.suspicion(numbers, measure.fit(numbers)).argmax() == 4, name
        if isinstance(measure, TwoSided):
            assert set(np.argsort(measure.suspicion(numbers, measure.fit(numbers)))[-2:]) == {4, 5}, name


def test_a_strange_feature_is_suspicious_and_each_model_has_a_space_of_its_own():
    rng = np.random.default_rng(4)
    made = [record(index, rng) for index in range(40)]
    for kind in ("predicted", "mask"):
        made[6]["features"][kind]["left"] = [9.0, 9.0, -9.0]
    moved = [
        {
            **one,
            "features": {
                kind: {name: [x + 50.0 for x in vector] for name, vector in by_class.items()}
                for kind, by_class in one["features"].items()
            },
        }
        if one["model"] == "fold_1"
        else one
        for one in made
    ]
    here, there = numbers_of(made, CLASSES), numbers_of(moved, CLASSES)
    for name, measure in MEASURES.items():
        if isinstance(measure, Mahalanobis):
            found = measure.suspicion(here, measure.fit(here))
            assert measure.relative or found.argmax() == 6, name
            np.testing.assert_allclose(measure.suspicion(there, measure.fit(there)), found, rtol=1e-6)


def test_auv_is_equation_6(numbers):
    scales = np.ma.masked_invalid(numbers.by_class("perception_scale"))
    scale = scales.mean(axis=1).filled(np.nan)
    reference = AuvReference.fit(scale)
    np.testing.assert_allclose(
        MEASURES["auv"].value(numbers, MEASURES["auv"].fit(numbers)),
        aleatoric_uncertainty_value(scale, reference),
    )


def test_a_variance_is_no_s_and_has_no_auv():
    rng = np.random.default_rng(5)
    made = [record(index, rng) for index in range(30)]
    for one in made:
        one["class_maps"] = {name: {"kind": "intensity"} for name in CLASSES}
        one["measures"] += [
            {
                "measure": "intensity_variance",
                "variant": "",
                "class": name,
                "value": float(rng.uniform(1, 9)),
            }
            for name in CLASSES
        ]
    numbers = numbers_of(made, CLASSES)
    for name, measure in MEASURES.items():
        if isinstance(measure, Auv | SizeAdjusted | TwoSided):
            assert np.isnan(measure.value(numbers, measure.fit(numbers))).all(), name


def test_many_channels_have_one_field_of_view():
    rng = np.random.default_rng(6)
    made = [record(index, rng) for index in range(12)]
    for one in made:
        views = [row for row in one["measures"] if row["measure"].startswith("img_fov_")]
        for row in views:
            one["measures"] += [{**row, "measure": f"{row['measure']}_{channel}"} for channel in range(4)]
            one["measures"].remove(row)
    measure = MEASURES["auv/size_adjusted"]
    numbers = numbers_of(made, CLASSES)
    single = numbers_of(
        [record(index, rng) for rng in [np.random.default_rng(6)] for index in range(12)], CLASSES
    )
    np.testing.assert_allclose(
        measure.value(numbers, measure.fit(numbers)), measure.value(single, measure.fit(single))
    )


@each
def test_what_sees_the_image_alone_does_not_move_with_the_mask(measure, records, numbers):
    rng = np.random.default_rng(7)
    other = []
    for one in records:
        rows = [
            {**row, "value": _value(row["measure"], row["variant"], rng)}
            if (row["measure"], row["variant"]) in OF_THE_MASK
            else row
            for row in one["measures"]
        ]
        features = {
            kind: {name: rng.normal(size=3).tolist() for name in by_class} if kind == "mask" else by_class
            for kind, by_class in one.get("features", {}).items()
        }
        other.append({**one, "measures": rows, "features": features})
    moved = numbers_of(other, CLASSES)
    before = measure.value(numbers, measure.fit(numbers))
    after = measure.value(moved, measure.fit(moved))
    if measure.sees == "image":
        np.testing.assert_array_equal(after, before)
    else:
        assert not np.array_equal(after, before, equal_nan=True)


@pytest.mark.parametrize("name", ["label_doubt", "oof_dice", "softmin", "variance/mask", "auv/foreground"])
def test_the_statistics_of_the_image_do_not_move_what_looks_at_the_mask(name, records):
    measure = MEASURES[name]
    rng = np.random.default_rng(8)
    other = [
        {
            **one,
            "measures": [
                {**row, "value": float(rng.normal())} if row["measure"].startswith("img_") else row
                for row in one["measures"]
            ],
        }
        for one in records
    ]
    here, there = (numbers_of(found, CLASSES) for found in (records, other))
    np.testing.assert_array_equal(
        measure.value(here, measure.fit(here)), measure.value(there, measure.fit(there))
    )
