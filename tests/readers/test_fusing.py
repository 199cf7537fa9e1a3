"""Raters fused, and brought to one scale: closed forms and laws."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aleaseg.errors import UsageError
from aleaseg.readers import fusing, rater_norm
from aleaseg.readers.fusing import FUSIONS, fuse, staple
from aleaseg.readers.rater_norm import RaterNorm, region_confidences


@pytest.mark.parametrize("module", [fusing, rater_norm])
def test_examples(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


VOTES = hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(2), st.integers(1, 12)),
                   elements=st.sampled_from([0, 0.25, 0.5, 1, np.nan]))  # fmt: skip


@settings(deadline=None)
@given(VOTES, st.randoms(use_true_random=False))
def test_the_order_of_the_raters_does_not_matter(votes, random):
    order = list(range(len(votes)))
    random.shuffle(order)
    for how in ("mean", "majority"):
        np.testing.assert_array_equal(fuse(votes[order], how), fuse(votes, how))


@settings(max_examples=20, deadline=None)
@given(
    hnp.arrays(bool, st.tuples(st.integers(1, 5), st.just(3), st.just(4))),
    st.randoms(use_true_random=False),
)
def test_the_order_does_not_matter_to_staple_either_and_it_is_a_probability(masks, random):
    order = list(range(len(masks)))
    random.shuffle(order)
    one, other = staple(masks), staple(masks[order])
    np.testing.assert_array_equal(one.probability, other.probability)
    np.testing.assert_array_equal(one.sensitivity[order], other.sensitivity)
    assert ((one.probability >= 0) & (one.probability <= 1)).all()


@settings(deadline=None)
@given(VOTES)
def test_the_mean_is_of_those_who_looked(votes):
    found = fuse(votes)
    for at in np.ndindex(votes.shape[1:]):
        looked = [float(v) for v in votes[(slice(None), *at)] if v == v]
        expected = np.float32(sum(looked) / len(looked)) if looked else np.float32(np.nan)
        np.testing.assert_allclose(found[at], expected, rtol=1e-6)


@pytest.mark.parametrize("how", FUSIONS)
def test_one_rater_of_masks_and_equal_raters_stay_as_they_are(how):
    mask = np.zeros((1, 1, 6, 6), np.float32)
    mask[..., 2:4, 1:5] = 1
    np.testing.assert_allclose(fuse(mask, how), mask[0], atol=1e-6)
    np.testing.assert_allclose(fuse(np.repeat(mask, 3, axis=0), how), mask[0], atol=1e-6)
    np.testing.assert_allclose(fuse(np.ones_like(mask), how), 1)
    np.testing.assert_array_equal(fuse(np.zeros((3, 1, 4, 4), np.float32), how), 0)


def test_a_tie_is_inside():
    votes = np.array([[[1, 1]], [[1, 0]], [[0, 1]], [[0, 0]]], np.float32)
    assert fuse(votes, "majority").tolist() == [[1, 1]]


def test_staple_does_not_know_how_much_empty_space_was_saved():
    small = np.zeros((3, 40, 40), bool)
    for rater, shift in enumerate((0, 1, 2)):
        small[rater, 15 + shift : 25, 15:25] = True
    large = np.pad(small, [(0, 0), (30, 5), (0, 60)])
    found = staple(large)
    np.testing.assert_allclose(found.probability[30:70, :40], staple(small).probability, atol=1e-6)
    np.testing.assert_allclose(found.specificity, staple(small).specificity)
    assert found.sensitivity[2] < found.sensitivity[0] or found.specificity[0] < found.specificity[2]


def test_staple_needs_raters_who_looked_everywhere_or_nowhere():
    votes = np.ones((3, 1, 4, 4), np.float32)
    votes[0] = np.nan
    np.testing.assert_allclose(fuse(votes, "staple"), 1)
    votes[1, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 3 raters looked at a part"):
        fuse(votes, "staple")
    assert np.isnan(fuse(np.full((2, 1, 3), np.nan, np.float32), "staple")).all()


def test_real_raters_staple_decides(data):
    """On the nodules of four raters, what 1, 2 and 3 marked comes out as .02, .98 and 1.00 in the mean."""
    from aleaseg.readers.raters import open_raters

    folder = data / "lidc_4raters"
    if not folder.is_dir():
        pytest.skip("no real cases of several raters here")
    seen = {1: [], 2: [], 3: []}
    for case in open_raters(folder).cases[::10]:
        masks = case.read_raters().array[:, 0] > 0
        p, votes = staple(masks).probability, masks.sum(axis=0)
        for k, found in seen.items():
            found.append(p[votes == k])
    means = {k: float(np.concatenate(found).mean()) for k, found in seen.items()}
    assert means[1] < 0.1
    assert means[2] > 0.9
    assert means[3] > 0.99


# -- one scale for all raters -------------------------------------------------------------------------

REGIONS = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0]), min_size=20, max_size=60)
FEW = st.dictionaries(st.sampled_from("abc"), REGIONS, min_size=1)


@settings(deadline=None)
@given(REGIONS)
def test_one_rater_alone_keeps_his_confidences(regions):
    norm = RaterNorm.fit({"a": regions})
    q = np.array([0, np.nan, *regions], np.float32)
    np.testing.assert_allclose(norm.apply("a", q), q, rtol=1e-6)


@settings(deadline=None)
@given(FEW, st.lists(st.floats(0.0078125, 1, width=32), min_size=2, max_size=20))
def test_the_norm_is_monotone_and_stays_within_what_was_stated(fitted, numbers):
    norm = RaterNorm.fit(fitted)
    q = np.sort(np.array(numbers, np.float32))
    for rater in norm.regions:
        normed = norm.apply(rater, q)
        assert (np.diff(normed) >= 0).all()
        stated = [value for of_rater in norm.regions.values() for value in of_rater]
        assert normed.min() >= np.float32(min(stated))
        assert normed.max() <= np.float32(max(stated))


def test_two_raters_of_one_opinion_on_two_scales_say_the_same_afterwards():
    bold = [0.8] * 10 + [0.9] * 10 + [1.0] * 10
    shy = [0.2] * 10 + [0.3] * 10 + [0.4] * 10
    norm = RaterNorm.fit({"bold": bold, "shy": shy})
    np.testing.assert_allclose(
        norm.apply("bold", np.array([0.8, 0.9, 1], np.float32)),
        norm.apply("shy", np.array([0.2, 0.3, 0.4], np.float32)),
        rtol=1e-6,
    )


def test_masks_stay_masks_and_strangers_are_refused():
    norm = RaterNorm.fit({"a": [0.1] * 20 + [0.7] * 5, "masks": [1.0] * 30})
    assert "masks" not in norm.regions
    mask = np.array([0, 1, np.nan], np.float32)
    np.testing.assert_array_equal(norm.apply("masks", mask), mask)
    with pytest.raises(KeyError, match="stranger"):
        norm.apply("stranger", np.array([0.5], np.float32))
    assert RaterNorm.from_dict(norm.to_dict()) == norm


def test_too_few_regions_are_refused():
    with pytest.raises(UsageError, match="'a' has 19 regions; expected at least 20"):
        RaterNorm.fit({"a": [0.5] * 19})


def test_a_region_is_connected_and_has_one_confidence():
    q = np.zeros((2, 6, 6), np.float32)
    q[0, 0, :2] = 0.5
    q[0, 1, 2] = 0.5  # touches at a corner
    q[0, 0, 2:4] = 0.7  # touches, with another confidence
    q[0, 5, 5] = 0.5
    q[1] = 0.5
    assert region_confidences(q) == pytest.approx([0.5, 0.5, 0.5, 0.7])


def test_a_data_set_is_normed_by_what_was_fitted(tmp_path):
    from aleaseg.case import Geometry
    from aleaseg.errors import CaseError
    from aleaseg.readers import open_dataset
    from aleaseg.readers.rater_norm import fit_rater_norm, with_rater_norm
    from aleaseg.readers.voxels import write_nifti

    geometry = Geometry((3, 40, 40), (1, 1, 1))
    (tmp_path / "images").mkdir()
    dots = np.zeros((3, 40, 40), np.uint8)
    dots[1, ::4, ::4] = np.arange(100).reshape(10, 10) % 3 + 1
    for n in range(2):
        write_nifti(
            tmp_path / f"images/c{n}.nii.gz", np.random.default_rng(n).normal(size=dots.shape), geometry
        )
        for rater, numbers in (("ann", dots), ("bob", dots + 7 * (dots > 0).astype(np.uint8))):
            (tmp_path / f"raters/c{n}").mkdir(parents=True, exist_ok=True)
            write_nifti(tmp_path / f"raters/c{n}/{rater}.nii.gz", numbers, geometry)
    dataset = open_dataset(tmp_path, scale=10)
    norm = fit_rater_norm(dataset.cases[:1])
    case = with_rater_norm(dataset, norm).cases[1]
    ann, bob = case.read_raters().array
    np.testing.assert_allclose(ann, bob, rtol=1e-6)
    np.testing.assert_allclose(case.read_confidence().array, ann, rtol=1e-6)
    (tmp_path / "raters/c1/bob.nii.gz").rename(tmp_path / "raters/c1/eve.nii.gz")
    stranger = with_rater_norm(open_dataset(tmp_path, scale=10), norm)["c1"]
    with pytest.raises(CaseError, match="c1: found the rater 'eve'"):
        stranger.read_confidence()
