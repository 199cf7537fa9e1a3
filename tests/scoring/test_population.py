"""The reduce step on hand-made records: statuses, 2D, one class in one case, whole-image maps."""

import numpy as np
import pytest

from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.population import fit_population, score_population


def record(case, rng, classes=("a", "b"), dims=3, **changes):
    """One finished case; changes: class -> {measure: value}."""
    rows = [
        {"class": "", "measure": f"img_{name}", "variant": "", "value": rng.normal(), "status": "ok"}
        for name in ("noise", "skew", "contrast")
    ]
    axes = ("d", "h", "w")[-dims:]
    present = {}
    for number, name in enumerate(classes):
        values = {
            "volume_mm3": 100 + 5 * rng.normal(),
            "oof_dice": 0.9 + 0.01 * rng.normal(),
            "extra_components": 0.0,
            "border": 0.0,
            "perception_scale": 0.3 + 0.01 * rng.normal(),
            **{f"centroid_{axis}": 10.0 * number + 0.3 * rng.normal() for axis in axes},
            **changes.get(name, {}),
        }
        present[name] = values["volume_mm3"] > 0
        rows += [
            {"class": name, "measure": measure, "variant": "", "value": value, "status": "ok"}
            for measure, value in values.items()
        ]
    return {
        "case": case,
        "status": "ok",
        "class_maps": {name: {"kind": "logit"} for name in classes},
        "present": present,
        "measures": rows,
    }


@pytest.mark.parametrize("dims", [2, 3])
def test_swapped_classes_are_found_in_two_and_three_dimensions(dims):
    rng = np.random.default_rng(0)
    records = [record(f"c{i:02}", rng, dims=dims) for i in range(30)]
    axes = ("d", "h", "w")[-dims:]
    swapped = {"a": {f"centroid_{x}": 10.0 for x in axes}, "b": {f"centroid_{x}": 0.0 for x in axes}}
    records.append(record("swapped", rng, dims=dims, **swapped))
    population = fit_population(Numbers.of(records, ["a", "b"]))
    scored = score_population(Numbers.of(records, ["a", "b"]), population)
    assert scored.label_doubt.argmax() == 30
    assert "order:a and b=12" in scored.reasons[30]


def test_a_new_case_without_a_mask_is_compared_with_the_population_of_those_that_have_one():
    rng = np.random.default_rng(0)
    records = [record(f"c{i:02}", rng) for i in range(30)]
    population = fit_population(Numbers.of(records, ["a", "b"]))
    nothing = dict.fromkeys(("oof_dice", "extra_components", "border", "perception_scale"))
    nothing |= {"volume_mm3": 0.0, "centroid_d": None, "centroid_h": None, "centroid_w": None}
    empty = record("empty", rng, a=nothing, b=nothing)
    scored = score_population(Numbers.of([empty], ["a", "b"]), population)
    assert scored.label_doubt[0] > 0.5
    assert "absent:a" in scored.reasons[0]


def test_a_class_that_one_case_has_gives_no_warning():
    rng = np.random.default_rng(0)
    lacking = {"b": {"volume_mm3": 0.0, "perception_scale": None, "oof_dice": None}}
    records = [record(f"c{i:02}", rng, **({} if i == 0 else lacking)) for i in range(25)]
    scored = score_population(
        Numbers.of(records, ["a", "b"]), fit_population(Numbers.of(records, ["a", "b"]))
    )
    assert scored.class_auv[0, 1] == 0.5
    assert np.isnan(scored.class_auv[1:, 1]).all()


def test_a_population_of_one_image_many_times_has_doubts():
    records = [record(f"c{i:02}", np.random.default_rng(0)) for i in range(25)]
    scored = score_population(
        Numbers.of(records, ["a", "b"]), fit_population(Numbers.of(records, ["a", "b"]))
    )
    assert np.isfinite(scored.doubt).all()


def test_fewer_than_twenty_have_no_population():
    rng = np.random.default_rng(0)
    assert fit_population(Numbers.of([record(f"c{i}", rng) for i in range(19)], ["a", "b"])) is None
