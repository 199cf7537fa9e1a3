"""AUV, its reference, the aggregation over classes and the quantile filter."""

import json
import math

import numpy as np
import pytest

from aleaseg.measures.auv import (
    AuvReference,
    aggregate,
    aleatoric_uncertainty_value,
    case_uncertainty,
    quantile_threshold,
)
from aleaseg.measures.log_minmax import EqualValuesWarning

NAN = float("nan")


def test_missing_and_collapsed_classes_stay_out_of_the_range():
    auv = aleatoric_uncertainty_value([0.2, NAN, 0.4, 0.8, 0.0, 9e-9])
    np.testing.assert_allclose(auv, [1, NAN, 0.5, 0, 1, 1], atol=1e-12)
    assert math.isnan(aleatoric_uncertainty_value([NAN, NAN])[0])
    assert aleatoric_uncertainty_value([0.0, NAN]).tolist()[0] == 1.0
    assert aleatoric_uncertainty_value([]).shape == (0,)


def test_equal_scales_warn_and_get_a_half():
    with pytest.warns(EqualValuesWarning, match="equal"):
        auv = aleatoric_uncertainty_value([0.3, 0.3 * (1 + 1e-15), NAN, 0.0])
    np.testing.assert_array_equal(auv, [0.5, 0.5, NAN, 1.0])


def test_official_form_has_no_special_cases():
    auv = aleatoric_uncertainty_value([0.0, 0.5, 1.0], definition="official")
    assert auv[0] == pytest.approx(1)
    assert auv[2] == pytest.approx(0, abs=1e-7)
    assert auv[1] == pytest.approx(math.log(2) / math.log(1e8), abs=1e-6)
    np.testing.assert_allclose(aleatoric_uncertainty_value([0.3, 0.3], definition="official"), 1.0)
    assert np.isnan(aleatoric_uncertainty_value([NAN], definition="official")).all()


def test_reference_clips_and_does_not_move():
    reference = AuvReference.fit([0.2, 0.4, NAN, 0.8, 0.0])
    assert reference.n == 3
    auv = aleatoric_uncertainty_value([0.1, 0.2, 0.4, 0.8, 0.9, NAN, 0.0], reference)
    np.testing.assert_allclose(auv, [1, 1, 0.5, 0, 0, NAN, 1], atol=1e-12)
    with pytest.warns(EqualValuesWarning):
        assert aleatoric_uncertainty_value([0.1], AuvReference.fit([0.5])).tolist() == [0.5]


@pytest.mark.parametrize("definition", ["paper", "official"])
def test_reference_survives_json(definition):
    reference = AuvReference.fit([0.123456789, 0.987654321, NAN], definition=definition)
    again = AuvReference.from_dict(json.loads(json.dumps(reference.to_dict())))
    assert again == reference
    scales = [0.15, 0.5, 0.95]
    np.testing.assert_array_equal(
        aleatoric_uncertainty_value(scales, again), aleatoric_uncertainty_value(scales, reference)
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"min_log": "x", "max_log": 0, "n": 3, "definition": "paper"},
        {"min_log": 1.0, "max_log": 0.0, "n": 3, "definition": "paper"},
        {"min_log": NAN, "max_log": 0.0, "n": 3, "definition": "paper"},
        {"min_log": -1.0, "max_log": 0.0, "n": 3, "definition": "other"},
    ],
)
def test_reference_from_something_else(fields):
    with pytest.raises(ValueError, match="expected"):
        AuvReference.from_dict(fields)


def test_refuses_impossible_scales_and_a_reference_of_another_definition():
    for bad in (-0.1, math.inf):
        with pytest.raises(ValueError, match="negative or infinite"):
            aleatoric_uncertainty_value([0.5, bad])
    with pytest.raises(ValueError, match="none of 2 values"):
        AuvReference.fit([NAN, 0.0])
    with pytest.raises(ValueError, match="fitted with 'paper'"):
        aleatoric_uncertainty_value([0.5], AuvReference(-1.0, 0.0, 2), definition="official")
    with pytest.raises(ValueError, match="'paper', 'official'"):
        aleatoric_uncertainty_value([0.5], definition="code")


PER_CLASS = np.array([[0.2, 0.8], [0.4, NAN], [0.8, 0.2], [NAN, NAN]])


def test_aggregate():
    np.testing.assert_allclose(aggregate(PER_CLASS), [0.5, 0.4, 0.5, NAN])
    np.testing.assert_allclose(aggregate(PER_CLASS, "sum_scale"), [1.0, 0.4, 1.0, NAN])
    np.testing.assert_allclose(aggregate(1 - PER_CLASS, "mean_auv"), [0.5, 0.6, 0.5, NAN])
    with pytest.raises(ValueError, match="'mean_scale', 'sum_scale', 'mean_auv'"):
        aggregate(PER_CLASS, "mean")
    with pytest.raises(ValueError, match="cases, classes"):
        aggregate([0.1, 0.2])


def test_the_three_aggregations_rank_differently():
    # Mean of S: the case that lacks the second class looks most certain. Mean of AUV: it does not.
    scales = np.array([[0.5, 0.1], [0.5, NAN], [0.6, 0.2], [0.3, 0.2]])
    assert int(np.argmin(case_uncertainty(scales, "mean_scale"))) == 1
    assert int(np.argmin(case_uncertainty(scales, "mean_auv"))) == 2
    ln = np.log
    first = 1 - ln(0.5 / 0.3) / ln(0.6 / 0.3)
    np.testing.assert_allclose(
        case_uncertainty(scales, "mean_auv"), [(first + 1) / 2, first, 0, (1 + 0) / 2], atol=1e-12
    )


def test_case_uncertainty_against_references():
    whole = AuvReference.fit(aggregate(PER_CLASS))
    np.testing.assert_array_equal(
        case_uncertainty(PER_CLASS[:2], "mean_scale", whole), case_uncertainty(PER_CLASS)[:2]
    )
    each = [AuvReference.fit(column) for column in PER_CLASS.T]
    np.testing.assert_array_equal(
        case_uncertainty(PER_CLASS[:2], "mean_auv", each), case_uncertainty(PER_CLASS, "mean_auv")[:2]
    )
    for how, reference in (("mean_auv", whole), ("mean_auv", each[:1]), ("sum_scale", each)):
        with pytest.raises(ValueError, match="expects one reference"):
            case_uncertainty(PER_CLASS, how, reference)


@pytest.mark.parametrize(
    ("n", "p", "kept"),
    [(20, 0.95, 19), (20, 0.9, 18), (105, 0.95, 100), (105, 0.9, 95), (83, 0.95, 79), (83, 0.9, 75)],
)
def test_filter_keeps_what_equation_7_says(n, p, kept):
    auv = np.random.default_rng(n).permutation(n) / n
    assert int((auv <= quantile_threshold(auv, p)).sum()) == kept
    assert quantile_threshold(auv, p) == np.quantile(auv, p, method="inverted_cdf")


def test_filter_at_its_edges():
    auv = [0.1, 0.5, 0.5, 0.5, NAN, 1.0]
    assert [quantile_threshold(auv, p) for p in (1e-6, 0.4, 0.8, 1.0)] == [0.1, 0.5, 0.5, 1.0]
    assert quantile_threshold([NAN]) == math.inf
    # 0.55 * 20 is 11.000000000000002 in floating point.
    assert quantile_threshold(np.arange(20) / 20, 0.55) == 0.5
    for p in (0, -0.1, 1.01, NAN):
        with pytest.raises(ValueError, match="share of cases to keep"):
            quantile_threshold(auv, p)
