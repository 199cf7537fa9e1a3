"""Laws of AUV and of the filter, over drawn populations."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from aleaseg.measures.auv import AuvReference, aleatoric_uncertainty_value, quantile_threshold

SCALES = st.lists(
    st.one_of(st.floats(1e-6, 1.0), st.just(float("nan")), st.just(0.0)), min_size=3, max_size=30
).map(np.array)


def spread(scales):
    usable = scales[scales > 0]
    return usable.size > 1 and usable.max() > 1.001 * usable.min()


@given(SCALES)
def test_bounds_attained_and_missing_stays_missing(scales):
    assume(spread(scales))
    auv = aleatoric_uncertainty_value(scales)
    np.testing.assert_array_equal(np.isnan(auv), np.isnan(scales))
    assert np.nanmin(auv) == 0
    assert np.nanmax(auv) == 1


@given(SCALES)
def test_monotone_high_scale_means_low_auv(scales):
    assume(spread(scales))
    usable = scales > 0
    auv = aleatoric_uncertainty_value(scales)[usable]
    order = np.argsort(scales[usable])
    assert (np.diff(auv[order]) <= 1e-12).all()


@given(SCALES, st.floats(0.1, 10))
def test_unit_of_the_scale_cancels(scales, factor):
    assume(spread(scales))
    np.testing.assert_allclose(
        aleatoric_uncertainty_value(factor * scales), aleatoric_uncertainty_value(scales), atol=1e-9
    )


@given(SCALES, SCALES)
def test_against_a_reference_cases_are_alone_and_clipped(population, scales):
    assume(spread(population))
    reference = AuvReference.fit(population)
    together = aleatoric_uncertainty_value(scales, reference)
    alone = [float(aleatoric_uncertainty_value([scale], reference)[0]) for scale in scales]
    np.testing.assert_array_equal(together, alone)
    assert ((together >= 0) & (together <= 1) | np.isnan(together)).all()
    np.testing.assert_allclose(
        aleatoric_uncertainty_value(population, reference),
        aleatoric_uncertainty_value(population),
        atol=1e-12,
    )


@given(SCALES, st.floats(0.01, 1.0))
def test_filter_keeps_at_least_its_share_and_no_dropped_case_is_better(scales, p):
    assume(spread(scales))
    auv = aleatoric_uncertainty_value(scales)
    there = ~np.isnan(auv)
    kept = auv <= quantile_threshold(auv, p)
    assert kept[there].sum() >= p * there.sum() - 1e-6
    below = (auv[there] < quantile_threshold(auv, p)).sum()
    assert below < p * there.sum() + 1e-6  # the smallest such threshold
    if not kept[there].all():
        assert auv[there & ~kept].min() > np.nanmax(auv[kept & there])
