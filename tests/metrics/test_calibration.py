"""Calibration errors: a plain reference, MONAI's metric, what they must be, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aleaseg.metrics import calibration
from aleaseg.metrics.calibration import calibration_error

SHARES = arrays(np.float64, 40, elements=st.floats(0, 1))


def plain(confidence, correct, bins):
    gaps, shares = [], []
    for b in range(bins):
        last = b == bins - 1
        held = [
            (p, true)
            for p, true in zip(confidence, correct, strict=True)
            if int(p * bins) == b or (last and int(p * bins) > b)
        ]
        if held:
            gaps.append(abs(np.mean([p for p, _ in held]) - np.mean([true for _, true in held])))
            shares.append(len(held) / len(confidence))
    return np.dot(gaps, shares), np.mean(gaps)


@given(SHARES, arrays(bool, 40), st.integers(1, 20))
@settings(deadline=None, max_examples=60)
def test_plain_numpy_agrees(confidence, correct, bins):
    found = calibration_error(confidence, correct, bins)
    assert found == pytest.approx(plain(confidence, correct, bins), abs=1e-12)
    assert 0 <= found.ece <= 1
    assert 0 <= found.ace <= 1
    order = np.random.default_rng(0).permutation(40)
    assert calibration_error(confidence[order], correct[order], bins) == pytest.approx(found, abs=1e-12)


def test_monai_agrees_on_a_small_volume():
    import torch
    from monai.metrics import CalibrationErrorMetric

    rng = np.random.default_rng(0)
    p, y = rng.random((6, 7, 8)).astype(np.float32), rng.random((6, 7, 8)) > 0.5
    found = calibration_error(p, y)
    for reduction, ours in (("expected", found.ece), ("average", found.ace)):
        metric = CalibrationErrorMetric(num_bins=15, calibration_reduction=reduction)
        metric(torch.as_tensor(p)[None, None], torch.as_tensor(y)[None, None].float())
        assert ours == pytest.approx(float(metric.aggregate()), abs=1e-5)


def test_what_it_must_be():
    assert calibration_error([1.0, 1.0, 0.0], [True, True, False]) == (0, 0)
    assert calibration_error([1.0, 1.0], [False, False]) == (1, 1)
    # In one bin three of four came true at 0.7: off by 0.05.
    assert calibration_error([0.7] * 4, [True, True, True, False]).ece == pytest.approx(0.05)
    assert np.isnan(calibration_error([], np.array([], bool))).all()


def test_blocks_add_up(monkeypatch):
    rng = np.random.default_rng(2)
    p, y = rng.random(1000), rng.random(1000) > 0.3
    whole = calibration_error(p, y)
    monkeypatch.setattr(calibration, "_BLOCK", 64)
    assert calibration_error(p, y) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize(
    ("confidence", "correct", "bins", "said"),
    [
        ([0.5], [True, False], 15, r"\(1,\)"),
        ([0.5], [1.5], 15, "float64"),
        ([0.5], [1], 15, "int64"),
        ([1.1], [True], 15, r"\[0, 1\]"),
        ([np.nan], [True], 15, "no NaN"),
        ([0.5], [True], 0, "bins is 0"),
    ],
)
def test_what_does_not_fit_is_refused(confidence, correct, bins, said):
    with pytest.raises(ValueError, match=said):
        calibration_error(confidence, correct, bins)
