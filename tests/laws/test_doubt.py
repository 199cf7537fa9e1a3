"""Laws of the population step: what may change a doubt, and what must not."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aleaseg.measures.doubt import ImageReference, LabelReference, LabelSignals, doubt_from_z
from aleaseg.measures.robust import RobustScale

numbers = hnp.arrays(float, st.integers(1, 40), elements=st.floats(-1e3, 1e3).map(lambda x: round(x, 3)))
QUICK = settings(max_examples=40, deadline=None)


# -- one number --------------------------------------------------------------------------------------


@QUICK
@given(numbers, st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_z_knows_no_unit(values, factor, offset):
    plain = RobustScale.fit(values, floor=1e-9)
    assume(min(plain.below, plain.above) > 1e-3)
    moved = RobustScale.fit(values * factor + offset, floor=1e-9 * factor)
    np.testing.assert_allclose(moved.z(values * factor + offset), plain.z(values), rtol=1e-5, atol=1e-5)


@QUICK
@given(numbers)
def test_a_mirror_swaps_the_sides(values):
    plain, mirrored = RobustScale.fit(values), RobustScale.fit(-values)
    assert (mirrored.below, mirrored.above) == (plain.above, plain.below)
    np.testing.assert_allclose(mirrored.z(-values), -plain.z(values))


@QUICK
@given(numbers, st.permutations(range(6)))
def test_the_order_of_the_numbers_and_missing_ones_do_not_matter(values, order):
    shuffled = np.concatenate([np.resize(values, 6)[list(order)], [np.nan, np.inf]])
    assert RobustScale.fit(shuffled) == RobustScale.fit(np.resize(values, 6))


@QUICK
@given(numbers)
def test_frozen_and_thawed_it_is_the_same(values):
    scale = RobustScale.fit(values)
    thawed = RobustScale.from_dict(json.loads(json.dumps(scale.to_dict())))
    assert thawed == scale
    np.testing.assert_array_equal(thawed.z(values), scale.z(values))


def test_gaussian_numbers_have_their_standard_deviation():
    scale = RobustScale.fit(np.random.default_rng(0).normal(5, 2, 100_000))
    assert scale.center == pytest.approx(5, abs=0.03)
    assert (scale.below, scale.above) == pytest.approx((2, 2), rel=0.02)


def test_a_tenth_of_faults_does_not_stretch_the_ruler():
    values = np.random.default_rng(0).normal(0, 1, 1000)
    values[:100] = 1e6
    scale = RobustScale.fit(values)
    assert scale.above < 1.5
    assert scale.z(1e6) > 1e5


def test_nothing_known_and_all_equal():
    assert RobustScale.fit([]) == RobustScale.fit([np.nan]) == RobustScale(0.0, 1.0, 1.0)
    assert RobustScale.fit([2.0] * 30, floor=0.1) == RobustScale(2.0, 0.1, 0.1)


@QUICK
@given(st.lists(st.floats(-30, 30).map(lambda z: round(z, 4)), min_size=2, unique=True))
def test_doubt_rises_strictly_with_z(z):
    doubt = doubt_from_z(np.sort(z))
    assert (np.diff(doubt) > 0).all()
    assert ((doubt > 0) & (doubt < 1)).all()


def test_half_is_three_robust_standard_deviations():
    assert doubt_from_z(3.0) == 0.5
    assert np.isfinite(doubt_from_z([-1e9, 1e9])).all()
    assert np.isnan(doubt_from_z(np.nan))


# -- images ------------------------------------------------------------------------------------------


@pytest.fixture
def statistics():
    """60 cases of five correlated statistics; the last case is far out."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(5, 5))
    values = rng.normal(size=(60, 5)) @ mix + 10
    values[-1] += 30 * mix[0]
    values[7, 2] = np.nan
    return [f"img_{name}" for name in ("noise", "sharp_d", "ghost_w", "fov_h", "skew")], values


def test_images_frozen_and_thawed(statistics):
    names, values = statistics
    reference = ImageReference.fit(names, values)
    thawed = ImageReference.from_dict(json.loads(json.dumps(reference.to_dict())))
    np.testing.assert_array_equal(thawed.z(values), reference.z(values))
    np.testing.assert_array_equal(thawed.feature_z(values), reference.feature_z(values))


def test_image_z_is_the_same_in_any_company_and_order(statistics):
    names, values = statistics
    reference = ImageReference.fit(names, values)
    together = reference.z(values)
    np.testing.assert_allclose(
        [reference.z(row[None])[0] for row in values], together, rtol=1e-12, atol=1e-12
    )
    order = np.random.default_rng(1).permutation(60)
    again = ImageReference.fit(names, values[order])
    np.testing.assert_allclose(again.z(values), together, rtol=1e-7, atol=1e-9)


def test_the_case_far_out_is_the_worst_image_and_few_others_pass_the_line(statistics):
    names, values = statistics
    z = ImageReference.fit(names, values).z(values)
    assert z.argmax() == 59
    assert z[59] > 3
    assert (z[:59] > 3).mean() <= 0.05


def test_a_missing_statistic_lies_at_the_median(statistics):
    names, values = statistics
    reference = ImageReference.fit(names, values)
    assert reference.feature_z(values)[7, 2] == 0
    assert np.isfinite(reference.z(np.array([[0.0, np.nan, 0.0, np.nan, 0.0]]))).all()


def test_an_image_that_shares_few_statistics_with_the_population_is_not_called_fine(statistics):
    names, values = statistics
    reference = ImageReference.fit(names, values)
    assert np.isnan(reference.z(np.full((1, 5), np.nan))).all()


def test_a_population_of_equal_images_has_a_distance():
    alike = np.tile([1.0, 2.0, 3.0], (30, 1))
    odd = np.vstack([alike, [[5.0, 2.0, 3.0]]])
    assert np.isfinite(ImageReference.fit(["a", "b", "c"], alike).z(alike)).all()
    assert ImageReference.fit(["a", "b", "c"], odd).z(odd)[30] > 3


# -- scales that faults do not stretch ---------------------------------------------------------------


def test_without_anything_far_out_nothing_is_left_out():
    values = np.random.default_rng(0).normal(3, 2, 500)
    assert RobustScale.fit_trimmed(values) == RobustScale.fit(values)


@pytest.mark.parametrize(("share", "stretched"), [(0.1, 1.22), (0.2, 1.79)])
def test_faults_do_not_stretch_a_trimmed_scale(share, stretched):
    """By as much as its documentation says they stretch the other one."""
    clean = np.random.default_rng(0).normal(size=100_000)
    spoilt = np.concatenate([clean, np.full(round(share / (1 - share) * len(clean)), 20.0)])
    wanted = RobustScale.fit(clean)
    assert RobustScale.fit_trimmed(spoilt) == wanted
    assert RobustScale.fit(spoilt).above == pytest.approx(stretched * wanted.above, rel=0.02)


@QUICK
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.floats(1, 20))
def test_at_least_half_of_the_numbers_count(values, base):
    spread = [*values, *(base**power for power in range(30))]
    scale = RobustScale.fit_trimmed(spread)
    # The median of any half is no lower than the quartile of all.
    assert scale.center >= np.quantile(spread, 0.25, method="lower")


# -- masks -------------------------------------------------------------------------------------------


def signals(cases=60, seed=0, prevalence=1.0):
    """Masks of two classes; the second is empty in a share of the cases."""
    rng = np.random.default_rng(seed)
    shape = (cases, 2)
    volume = np.exp(rng.normal(7, 0.2, shape))
    volume[:, 1][np.arange(cases) >= round(prevalence * cases)] = 0
    there = volume > 0
    centroid = np.array([[0.0, 0, -10], [0, 0, 10]]) + rng.normal(0, 1, (*shape, 3))
    dice = np.clip(rng.normal(0.88, 0.03, shape), 0, 1)
    return LabelSignals(
        ("left", "right"),
        volume,
        np.where(there, dice, np.where(rng.random(shape) < 0.5, 0.0, np.nan)),
        np.where(there, np.nan, rng.exponential(20, shape)),
        np.where(there, rng.exponential(0.01, shape).clip(0, 0.9), np.nan),
        np.where(there, rng.exponential(0.01, shape).clip(0, 0.9), np.nan),
        np.where(there[..., None], centroid, np.nan),
        rng.uniform(0.2, 0.4, cases),
        # Better than the prediction for the first class, worse for the second.
        np.where(there, np.clip(rng.normal([0.94, 0.6], 0.03, shape), 0, 1), np.nan),
    )


def taken(found, rows):
    return found.take(np.asarray(rows) if not isinstance(rows, slice) else rows)


def joined(*populations):
    names = [name for name, value in vars(populations[0]).items() if isinstance(value, np.ndarray)]
    parts = {name: np.concatenate([getattr(one, name) for one in populations]) for name in names}
    return LabelSignals(populations[0].classes, **parts)


def changed(found, name, index, value):
    array = getattr(found, name).copy()
    array[index] = value
    return dataclasses.replace(found, **{name: array})


PREVALENCES = pytest.mark.parametrize("prevalence", [1.0, 0.97, 0.5, 0.1])


@PREVALENCES
def test_masks_frozen_and_thawed(prevalence):
    found = signals(prevalence=prevalence)
    reference = LabelReference.fit(found)
    thawed = LabelReference.from_dict(json.loads(json.dumps(reference.to_dict())))
    np.testing.assert_array_equal(thawed.z(found), reference.z(found))


def test_a_second_opinion_is_heard_where_it_is_usually_the_better_one():
    found = signals()
    reference = LabelReference.fit(found)
    assert reference.heard.tolist() == [True, False]
    before = reference.z(found)
    assert reference.z(changed(found, "second", (7, 0), 0.2))[7] > max(3, before[7])
    np.testing.assert_array_equal(reference.z(changed(found, "second", (7, 1), 0.0)), before)
    silent = dataclasses.replace(found, second=np.full((60, 2), np.nan))
    without = LabelReference.fit(silent)
    assert not without.heard.any()
    np.testing.assert_array_equal(
        LabelReference.fit(dataclasses.replace(found, second=None)).z(found), without.z(silent)
    )
    worse = dataclasses.replace(found, second=found.second - 0.5)
    np.testing.assert_array_equal(LabelReference.fit(worse).z(worse), without.z(silent))


@PREVALENCES
def test_label_z_is_the_same_in_any_company(prevalence):
    found = signals(prevalence=prevalence)
    reference = LabelReference.fit(found)
    together = reference.z(found)
    alone = [reference.z(taken(found, [row]))[0] for row in range(60)]
    np.testing.assert_allclose(alone, together, rtol=1e-12)
    np.testing.assert_allclose(reference.z(taken(found, range(30, 60))), together[30:], rtol=1e-12)


@PREVALENCES
def test_label_z_does_not_know_the_order_of_the_cases(prevalence):
    found = signals(prevalence=prevalence)
    order = np.random.default_rng(1).permutation(60)
    again = LabelReference.fit(taken(found, order))
    np.testing.assert_allclose(again.z(found), LabelReference.fit(found).z(found), rtol=1e-9)


@QUICK
@given(
    case=st.integers(0, 59),
    column=st.integers(0, 1),
    worse=st.floats(0, 1),
    better=st.floats(0, 1),
    prevalence=st.sampled_from([1.0, 0.5]),
)
def test_a_worse_dice_never_lowers_the_doubt(case, column, worse, better, prevalence):
    found = signals(prevalence=prevalence)
    reference = LabelReference.fit(found)
    worse, better = sorted((worse, better))
    low, high = (
        reference.z(changed(found, "dice", (case, column), value))[case] for value in (worse, better)
    )
    assert low >= high


@QUICK
@given(case=st.integers(0, 59), worse=st.floats(0, 1), better=st.floats(0, 1))
def test_a_worse_softmin_never_lowers_the_doubt(case, worse, better):
    found = signals()
    reference = LabelReference.fit(found)
    worse, better = sorted((worse, better))
    low, high = (reference.z(changed(found, "softmin", case, value))[case] for value in (worse, better))
    assert low >= high


@QUICK
@given(case=st.integers(0, 59), more=st.floats(0, 1e4), less=st.floats(0, 1e4))
def test_more_predicted_in_an_empty_mask_never_lowers_the_doubt(case, more, less):
    found = signals(prevalence=0.3)
    assume(found.volume[case, 1] == 0)
    reference = LabelReference.fit(found)
    less, more = sorted((less, more))
    low, high = (
        reference.z(changed(found, "false_positive", (case, 1), value))[case] for value in (less, more)
    )
    assert low <= high


def test_swapped_classes_are_found_by_their_order():
    found = signals()
    swapped = changed(found, "centroid", 5, found.centroid[5, ::-1])
    reference = LabelReference.fit(swapped)
    z = reference.signal_z(swapped)["order"][:, 0]
    assert z.argmax() == 5
    assert z[5] > 10
    assert np.delete(z, 5).max() < 5
    assert reference.z(swapped).argmax() == 5


def test_a_dropped_class_is_as_surprising_as_the_class_is_common():
    found = signals()
    found = changed(found, "volume", (3, 1), 0.0)
    found = changed(found, "dice", (3, 1), 0.0)
    found = changed(found, "false_positive", (3, 1), 1100.0)
    reference = LabelReference.fit(found)
    assert reference.z(found).argmax() == 3
    assert reference.z(found)[3] > 3
    rare = signals(prevalence=0.5)
    assert np.isnan(LabelReference.fit(rare).signal_z(rare)["absent"]).all()  # nobody misses it


@PREVALENCES
def test_few_clean_masks_pass_the_line(prevalence):
    shares = [
        (LabelReference.fit(found).z(found) > 3).mean()
        for found in (signals(seed=seed, prevalence=prevalence) for seed in range(5))
    ]
    assert np.mean(shares) <= 0.06


def bordered(found, seed=0):
    """The same masks with borders that were measured: three statistics of shape, one of contrast that tells."""
    rng = np.random.default_rng(seed)
    there = (found.volume > 0)[..., None]
    return dataclasses.replace(
        found,
        shape=np.where(there, rng.normal([0.2, 0.7, 2.7], 0.05, (*found.volume.shape, 3)), np.nan),
        contrast=np.where(there, rng.normal(0.9, 0.02, (*found.volume.shape, 1)), np.nan),
        statistics=("edge_alignment",),
    )


def test_borders_frozen_and_thawed():
    found = bordered(signals(prevalence=0.5))
    reference = LabelReference.fit(found)
    assert reference.toward.tolist() == [[-1.0], [-1.0]]
    thawed = LabelReference.from_dict(json.loads(json.dumps(reference.to_dict())))
    np.testing.assert_array_equal(thawed.z(found), reference.z(found))


@QUICK
@given(case=st.integers(0, 59), fainter=st.floats(0, 1), clearer=st.floats(0, 1))
def test_a_fainter_border_never_lowers_the_doubt(case, fainter, clearer):
    found = bordered(signals())
    reference = LabelReference.fit(found)
    fainter, clearer = sorted((fainter, clearer))
    low, high = (
        reference.z(changed(found, "contrast", (case, 0, 0), value))[case] for value in (clearer, fainter)
    )
    assert low <= high


def test_what_a_population_never_measured_does_not_count():
    """A run of before there were statistics of the border, as the reference of new cases."""
    found = dataclasses.replace(signals(), shape=np.full((60, 2, 3), np.nan))
    reference = LabelReference.fit(found)
    assert [part is None for part in reference.kinds[0].parts] == [False, False, False, False, True, True]
    thawed = LabelReference.from_dict(json.loads(json.dumps(reference.to_dict())))
    odd = dataclasses.replace(found, shape=bordered(found).shape + 50)
    np.testing.assert_array_equal(thawed.z(odd), reference.z(found))


def test_the_border_of_a_class_that_nobody_had_is_not_unusual():
    found = bordered(signals(prevalence=0))
    new = bordered(signals())
    assert np.isnan(LabelReference.fit(found).signal_z(new)["shape"][:, 1]).all()


def test_a_case_without_any_mask_has_no_label_doubt():
    found = signals()
    for name in ("volume", "dice", "extra_components", "border", "centroid"):
        found = changed(found, name, 4, np.nan)
    z = LabelReference.fit(found).z(found)
    assert np.isnan(z[4])
    assert np.isfinite(np.delete(z, 4)).all()


# -- two kinds of cases ------------------------------------------------------------------------------


def lesions(cases, empty, seed=0, fast=False):
    """Masks of one lesion, and empty ones, whose least sure voxel is far surer.

    fast: the prediction is the outline that a prompted network sees in the boxes of the mask, so that
    nothing is predicted where the mask is empty.
    """
    rng = np.random.default_rng(seed)
    there = np.arange(cases + empty)[:, None] < cases
    none = np.full((cases + empty, 1), np.nan)
    shape = there.shape

    def where_there(values, otherwise=none):
        return np.where(there, values, otherwise)

    predicted = rng.exponential(30, shape) * (rng.random(shape) < 0.3)
    return LabelSignals(
        ("lesion",),
        where_there(np.exp(rng.normal(6, 0.4, shape)), 0.0),
        where_there(
            rng.normal(0.8, 0.06, shape).clip(0, 1), none if fast else np.where(predicted, 0.0, np.nan)
        ),
        none if fast else np.where(there, np.nan, predicted),
        where_there(rng.exponential(0.01, shape).clip(0, 0.9)),
        where_there(rng.exponential(0.01, shape).clip(0, 0.9)),
        np.where(there[..., None], rng.normal(0, 20, (*shape, 3)), np.nan),
        np.where(
            there[:, 0],
            rng.normal(0.15, 0.04, len(there)).clip(0.01, 1),
            np.nan if fast else 1 - 10 ** rng.normal(-2.5, 0.3, len(there)),
        ),
        none,
    )


def with_organ(found, seed=0):
    """Every case has an organ too."""
    rng = np.random.default_rng(seed)
    whole = signals(len(found.volume), seed)
    parts = {}
    for name in found.__dataclass_fields__:
        lesion = getattr(found, name)
        if not isinstance(lesion, np.ndarray):
            continue
        parts[name] = (
            lesion if name == "softmin" else np.concatenate([getattr(whole, name)[:, :1], lesion], 1)
        )
    empty = found.volume[:, 0] == 0
    sure = rng.normal(0.6, 0.05, len(empty)).clip(0, 1)
    softmin = np.where(empty, sure, found.softmin)
    return LabelSignals(("organ", "lesion"), **{**parts, "softmin": softmin})


FAST = pytest.mark.parametrize("fast", [False, True])


@FAST
@QUICK
@given(empty=st.integers(0, 1140), seed=st.integers(0, 5))
def test_empty_masks_leave_the_doubt_of_the_others_as_it_is(fast, empty, seed):
    found = lesions(60, empty, seed, fast)
    alone = taken(found, slice(0, 60))
    np.testing.assert_allclose(
        LabelReference.fit(found).z(found)[:60], LabelReference.fit(alone).z(alone), rtol=1e-9
    )


@FAST
@QUICK
@given(times=st.integers(1, 8), empty=st.integers(30, 60))
def test_masks_with_a_lesion_leave_the_doubt_of_empty_ones_as_it_is(fast, times, empty):
    found = lesions(30, empty, fast=fast)
    assert LabelReference.fit(found).prevalence[0] <= 0.9, "beyond that an empty mask is missed"
    more = joined(*[taken(found, slice(0, 30))] * times, taken(found, slice(30, None)))
    np.testing.assert_allclose(
        LabelReference.fit(more).z(more)[30 * times :], LabelReference.fit(found).z(found)[30:], rtol=1e-9
    )


@FAST
@pytest.mark.parametrize("organ", [False, True])
@pytest.mark.parametrize("cases", [60, 200])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.7, 0.9, 0.95])
def test_few_clean_masks_of_either_kind_pass_the_line_whatever_their_share(fast, organ, cases, share):
    empty = round(share * cases)
    flagged = []
    for seed in range(10):
        found = lesions(cases - empty, empty, seed, fast)
        z = LabelReference.fit(found := with_organ(found, seed) if organ else found).z(found)
        flagged.append([(z[: cases - empty] > 3).mean(), (z[cases - empty :] > 3).mean() if empty else 0.0])
    assert np.mean(flagged, axis=0).max() <= 0.07


@FAST
@pytest.mark.parametrize("organ", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_fault_is_found_among_masks_of_its_kind(fast, organ, share):
    empty = round(share * 200)
    found = lesions(200 - empty, empty, fast=fast)
    if organ:
        found = with_organ(found)
    before = LabelReference.fit(found).z(found)
    low = changed(found, "dice", (7, -1), 0.1)
    assert LabelReference.fit(low).z(low)[7] > max(3, before[7])
    if empty and not fast:
        missed = changed(found, "false_positive", (199, -1), 4000.0)
        assert LabelReference.fit(missed).z(missed)[199] > max(3, before[199])


@pytest.mark.parametrize("empty", [1, 4, 8])
def test_an_organ_that_nearly_all_have_is_missed_where_it_is_not(empty):
    found = with_organ(lesions(400, 0))
    for row in range(empty):
        for name, value in (("volume", 0.0), ("dice", 0.0), ("false_positive", 900.0)):
            found = changed(found, name, (row, 0), value)
        for name in ("extra_components", "border"):
            found = changed(found, name, (row, 0), np.nan)
        found = changed(found, "centroid", (row, 0), np.nan)
    z = LabelReference.fit(found).z(found)
    assert (z[:empty] > 3).all()
    assert (z[empty:] > 3).mean() < 0.06


def test_where_every_class_is_always_there_all_cases_are_of_one_kind():
    (kind,) = LabelReference.fit(signals()).kinds
    assert (kind.upto, kind.cases) == (1.0, 60)


def test_too_few_masks_with_a_lesion_are_compared_with_nothing():
    found = lesions(4, 60)
    z = LabelReference.fit(found).z(found)
    assert np.isnan(z[:4]).all()
    assert np.isfinite(z[4:]).all()


def test_a_few_empty_masks_are_measured_by_the_others_and_teach_them_nothing():
    found = lesions(60, 3)
    reference = LabelReference.fit(found)
    assert [kind.cases for kind in reference.kinds] == [60]
    assert np.isfinite(reference.z(found)).all()
