"""Eight ways to learn from a confidence: closed forms and laws."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aleaseg.errors import UsageError
from aleaseg.levels import confidence_of_levels, levels, running_minimum
from aleaseg.training import targets as module
from aleaseg.training.targets import Strategy, as_label_map, parse_strategy, targets

ALL = [
    "threshold:0.6",
    "soft",
    "weight",
    "ignore:0.2,0.6",
    "multi:0.2,0.4,0.6,0.8",
    "regress",
    "sample",
    "sample:regions",
]
Q = hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)),
               elements=st.one_of(st.sampled_from([0, 1, 0.2, 0.5, 0.6]), st.floats(0, 1, width=32)))  # fmt: skip
HARD = hnp.arrays(np.float32, (2, 3, 4), elements=st.sampled_from([0, 1]))


def of(q, text, seed=0, raters=None):
    return targets(np.asarray(q, np.float32), parse_strategy(text), np.random.default_rng(seed), raters)


def test_examples():
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


# -- what each way says -----------------------------------------------------------------------------

ROW = [[0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.8, 1]]


@pytest.mark.parametrize(
    ("text", "y", "weight"),
    [
        ("threshold:.6", [[0, 0, 0, 0, 0, 1, 1, 1]], None),
        ("threshold:.5", [[0, 0, 0, 0, 1, 1, 1, 1]], None),
        ("soft", ROW, None),
        ("regress", ROW, None),
        ("weight", [[0, 0, 0, 0, 1, 1, 1, 1]], [[1, 0.8, 0.6, 0.4, 0, 0.2, 0.6, 1]]),
        ("ignore:.2,.6", [[0, 0, 0, 0, 0, 1, 1, 1]], [[1, 1, 1, 0, 0, 1, 1, 1]]),
        ("multi:.2,.6", [[0, 0, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1, 1]], None),
    ],
)
def test_closed_forms(text, y, weight):
    found, w = of(ROW, text)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array(y, np.float32), atol=1e-6)
    if weight is None:
        assert w is None
    else:
        assert w.dtype == np.float32
        np.testing.assert_allclose(w, np.array(weight, np.float32), atol=1e-6)


@settings(deadline=None)
@given(HARD)
def test_of_masks_every_way_makes_the_mask_and_every_voxel_counts(q):
    for text in ALL:
        y, weight = of(q, text)
        count = parse_strategy(text).levels
        np.testing.assert_array_equal(y, np.repeat(q, count, axis=0))
        assert weight is None or (weight == 1).all()


@settings(deadline=None)
@given(HARD, st.floats(0.01, 1))
def test_of_masks_every_threshold_makes_the_mask(q, threshold):
    np.testing.assert_array_equal(of(q, f"threshold:{threshold:.6f}")[0], q)


def test_of_masks_every_way_has_the_same_loss():
    """`soft` by the semimetric loss, the others by product Dice: one number, since targets and weights are alike."""
    import torch

    from aleaseg.losses.segmentation import dice_and_bce
    from aleaseg.losses.soft import SoftDiceBCELoss

    rng = np.random.default_rng(0)
    q = (rng.random((2, 5, 6)) < 0.4).astype(np.float32)
    logits = torch.tensor(rng.normal(size=(1, 2, 5, 6)))
    found = {}
    for text in ("threshold:.6", "soft", "weight", "ignore:.2,.6", "multi:.5", "sample"):
        y, weight = (None if x is None else torch.tensor(x)[None] for x in of(q, text))
        if parse_strategy(text).loss == "semimetric":
            found[text] = SoftDiceBCELoss(beta=0.5)(logits, y, weight).item()
        else:
            dice, bce = dice_and_bce(logits, y, softmax=False, counted=weight)
            found[text] = (dice / 2 + bce / 2).mean().item()
    np.testing.assert_allclose([*found.values()], found["threshold:.6"], rtol=1e-6)


# -- laws --------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(Q, st.floats(0.01, 1), st.floats(0.01, 1))
def test_threshold_falls_in_t(q, one, other):
    low, high = sorted((one, other))
    assert (of(q, f"threshold:{high:.6f}")[0] <= of(q, f"threshold:{low:.6f}")[0]).all()


@settings(deadline=None)
@given(Q)
def test_ignore_is_the_threshold_where_it_counts(q):
    y, weight = of(q, "ignore:.3,.7")
    hard, _ = of(q, "threshold:.7")
    np.testing.assert_array_equal(y, hard)
    assert set(np.unique(weight)) <= {0, 1}
    between = (q > 0.3 + 1e-5) & (q < 0.7 - 1e-5)
    assert not weight[between].any()
    assert weight[(q < 0.3) | (q > 0.7)].all()


@settings(deadline=None)
@given(Q)
def test_channels_of_multi_are_the_thresholds_and_their_sum_is_the_level(q):
    thresholds = (0.2, 0.4, 0.6, 0.8)
    y, _ = of(q, "multi")
    by_class = y.reshape(len(q), 4, *q.shape[1:])
    for k, threshold in enumerate(thresholds):
        np.testing.assert_array_equal(by_class[:, k], of(q, f"threshold:{threshold}")[0])
    np.testing.assert_array_equal(by_class.sum(axis=1), levels(q, thresholds))
    # Hard levels read back: no level above a lower one, and the mean is the share of levels.
    np.testing.assert_array_equal(running_minimum(by_class[0]), by_class[0])
    np.testing.assert_allclose(confidence_of_levels(by_class[0]), levels(q, thresholds)[0] / 4)


@settings(deadline=None)
@given(hnp.arrays(np.float32, (4, 6), elements=st.floats(0, 1, width=32)))
def test_the_running_minimum_does_not_rise(p):
    falling = running_minimum(p)
    assert (np.diff(falling, axis=0) <= 0).all()
    assert (falling <= p).all()
    np.testing.assert_array_equal(falling[0], p[0])


@settings(deadline=None)
@given(Q, st.integers(0, 2**31))
def test_samples_are_nested_and_the_same_from_the_same_seed(q, seed):
    y, _ = of(q, "sample", seed)
    np.testing.assert_array_equal(y, of(q, "sample", seed)[0])
    flat = np.argsort(q.ravel(), kind="stable")
    assert (np.diff(y.ravel()[flat]) >= 0).all()  # whoever is surer is in whenever the other is
    for text in ("sample", "sample:regions"):
        assert not of(q, text, seed)[0][q == 0].any()
        assert of(q, text, seed)[0][q == 1].all()


@pytest.mark.parametrize("text", ["sample", "sample:regions"])
def test_the_mean_of_samples_is_the_confidence(text):
    q = np.zeros((1, 3, 9), np.float32)
    q[0, 0, :3], q[0, 2, 4:6], q[0, 2, 8] = 0.25, 0.6, 0.9
    rng, n = np.random.default_rng(0), 2000
    mean = np.mean([targets(q, parse_strategy(text), rng)[0] for _ in range(n)], axis=0)
    error = np.sqrt(q * (1 - q) / n)
    assert (np.abs(mean - q) <= 4 * error + 1e-9).all()


def test_regions_are_drawn_each_by_itself():
    q = np.zeros((1, 1, 9), np.float32)
    q[..., :2] = q[..., 4:6] = 0.5
    drawn = [tuple(of(q, "sample:regions", seed)[0][0, 0, [0, 1, 4, 5]]) for seed in range(200)]
    assert set(drawn) == {(0, 0, 0, 0), (1, 1, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1)}
    whole = {tuple(of(q, "sample", seed)[0][0, 0, [0, 4]]) for seed in range(200)}
    assert whole == {(0, 0), (1, 1)}


def test_one_of_the_raters_is_drawn():
    raters = np.eye(4, dtype=np.float32)[:, None]
    seen = {tuple(of(raters.mean(axis=0), "sample", seed, raters)[0][0]) for seed in range(200)}
    assert seen == {tuple(row) for row in np.eye(4)}


@settings(deadline=None)
@given(Q, st.data())
def test_where_nobody_looked_nothing_counts_and_the_rest_is_as_before(q, data):
    blind = data.draw(hnp.arrays(bool, q.shape))
    partly = np.where(blind, np.nan, q).astype(np.float32)
    for text in ALL[:6]:
        y, weight = of(q, text)
        found, w = of(partly, text)
        repeated = np.repeat(blind, parse_strategy(text).levels, axis=0)
        assert np.isfinite(found).all()
        if blind.any():
            assert not w[repeated].any()
            assert not found[repeated].any()
            np.testing.assert_array_equal(w[~repeated], 1 if weight is None else weight[~repeated])
        np.testing.assert_array_equal(found[~repeated], y[~repeated])


def test_inputs_are_never_changed():
    q = np.array([[0.5, np.nan, 1]], np.float32)
    for text in ALL:
        before = q.copy()
        of(q, text)
        np.testing.assert_array_equal(q, before)


# -- label maps ----------------------------------------------------------------------------------------


def test_a_label_map_where_classes_exclude_one_another():
    y = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32)
    weight = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.float32)
    assert as_label_map(y).tolist() == [1, 2, 0, 0]
    assert as_label_map(y, weight).tolist() == [1, 2, 0, 255]
    with pytest.raises(
        ValueError, match="at 2 voxels; a label map holds one: raise the threshold, or train regions"
    ):
        as_label_map(np.array([[1, 1, 0], [1, 1, 0]], np.float32))


# -- as it is typed --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("threshold:.6", Strategy("threshold", (0.6,))),
        ("threshold", Strategy("threshold", (0.6,))),
        ("threshold:1", Strategy("threshold", (1.0,))),
        ("ignore", Strategy("ignore", (0.2, 0.6))),
        ("ignore:0,.5", Strategy("ignore", (0.0, 0.5))),
        ("multi", Strategy("multi", (0.2, 0.4, 0.6, 0.8))),
        ("multi:.25,.5,.75,1", Strategy("multi", (0.25, 0.5, 0.75, 1.0))),
        ("rater-norm+soft", Strategy("soft", rater_norm=True)),
        ("rater-norm+sample:regions", Strategy("sample", by_region=True, rater_norm=True)),
    ],
)
def test_what_can_be_typed(text, expected):
    assert parse_strategy(text) == expected
    assert parse_strategy(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "hard", "threshold:60", "threshold:0", "threshold:.5,.6", "threshold:x", "threshold:", "threshold:nan",
     "soft:.5",
     "ignore:.6,.2", "ignore:.5", "multi:.4,.2", "multi:.2,.2", "sample:voxels", "norm+soft", "+soft", "rater-norm",
     "rater-norm+", "threshold:1e999", "threshold:-.5"],
)  # fmt: skip
def test_what_cannot(text):
    with pytest.raises(UsageError, match="--labels"):
        parse_strategy(text)
