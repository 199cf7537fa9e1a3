"""Laws that every graded mask fault keeps, the Dice it is asked to lose, and where it is impossible."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.corruption import masks
from aleaseg.corruption.corruption import LEVELS, ImpossibleFault
from aleaseg.corruption.mask_faults import MASK_FAULTS

GRADED = [name for name, fault in MASK_FAULTS.items() if "strong" in fault.strengths]
WHOLE = [name for name in MASK_FAULTS if name not in GRADED]
IN_SLICES = ["drop_slices", "repeat_slices"]


def phantom(shape: tuple[int, ...], dtype: type = np.uint8, labels: tuple[int, int] = (3, 7)) -> np.ndarray:
    """An ellipsoid of two halves, off centre, and a small one of the second class beside it."""
    at = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij"))
    centre = np.array([0.5, 0.42, 0.4][-len(shape) :]).reshape(-1, *[1] * len(shape))
    radius = np.array([0.4, 0.25, 0.25][-len(shape) :]).reshape(centre.shape)
    mask = np.zeros(shape, dtype)
    mask[(((at - centre) / radius) ** 2).sum(axis=0) < 1] = labels[0]
    mask[(mask != 0) & (at[-1] > 0.42)] = labels[1]
    ball = np.array([0.5, 0.8, 0.8][-len(shape) :]).reshape(centre.shape)
    mask[(((at - ball) / radius / 0.44) ** 2).sum(axis=0) < 1] = labels[1]
    return mask


def dice(clean: np.ndarray, faulty: np.ndarray) -> float:
    """Voxel by voxel from the definition, with sets."""
    found = []
    for label in (set(clean.ravel().tolist()) | set(faulty.ravel().tolist())) - {0}:
        a, b = set(np.flatnonzero(clean == label).tolist()), set(np.flatnonzero(faulty == label).tolist())
        found.append(2 * len(a & b) / (len(a) + len(b)))
    return sum(found) / len(found)


def put(name, mask, level, seed=0):
    fault = MASK_FAULTS[name]
    donor = np.roll(mask, 3, axis=-1) if fault.needs_donor else None
    return fault.apply(mask, np.random.default_rng(seed), level, donor=donor)


SHAPES = [(24, 32, 30), (6, 40, 44), (48, 40)]
POSSIBLE = [
    (name, shape) for name in MASK_FAULTS for shape in SHAPES if name not in IN_SLICES or len(shape) == 3
]


def test_the_faults_come_in_their_order():
    assert list(MASK_FAULTS) == [
        "dilate",
        "erode",
        "warp",
        "shift",
        "drop_component",
        "drop_class",
        "false_component",
        "hole",
        "swap_classes",
        "drop_slices",
        "repeat_slices",
        "cut_off",
        "coarse",
        "other_case",
        "mirrored",
    ]
    for name, fault in MASK_FAULTS.items():
        assert fault.name == name
        assert fault.axis == "mask"
        assert fault.text.endswith(".")
    assert [name for name, fault in MASK_FAULTS.items() if fault.needs_donor] == ["other_case"]


@pytest.mark.parametrize(("name", "shape"), POSSIBLE)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_laws(name, shape, dtype):
    mask = phantom(shape, dtype, labels=(3, 255))
    before = mask.copy()
    for level in MASK_FAULTS[name].strengths:
        for seed in range(2):
            bad = put(name, mask, level, seed)
            assert bad.array.shape == mask.shape
            assert bad.array.dtype == mask.dtype
            assert not np.shares_memory(bad.array, mask)
            assert (bad.array != mask).any()
            assert set(np.unique(bad.array).tolist()) <= {0, 3, 255}
            assert bad.changed["dice"] == pytest.approx(dice(mask, bad.array), abs=5.1e-5)
            np.testing.assert_array_equal(bad.array, put(name, mask, level, seed).array)
    np.testing.assert_array_equal(mask, before)
    same = put(name, mask, 0.0)
    np.testing.assert_array_equal(same.array, mask)


@pytest.mark.parametrize("name", GRADED)
@pytest.mark.parametrize("shape", [(40, 44, 42), (10, 96, 100), (120, 110)])
def test_the_dice_asked_for_is_lost_and_grows_with_the_level(name, shape):
    if name in IN_SLICES and len(shape) == 2:
        pytest.skip("no slices in 2D")
    mask = phantom(shape)
    for seed in range(3):
        reached = [put(name, mask, level, seed).changed["dice"] for level in LEVELS]
        assert reached[0] > reached[1] > reached[2]
        # A shift by one voxel is the smallest there is.
        assert abs(reached[0] - 0.9) < 0.06
        assert abs(reached[1] - 0.75) < (0.06 if shape[0] == 10 else 0.03)


@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(list(MASK_FAULTS)),
    seed=st.integers(0, 2**32),
    level=st.sampled_from(LEVELS),
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    filled=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
)
def test_any_small_mask_gets_a_fault_or_a_reason(name, seed, level, shape, filled):
    rng = np.random.default_rng(seed)
    mask = np.where(rng.uniform(size=shape) < filled, rng.choice([2, 300], size=shape), 0).astype(np.int16)
    level = level if level in MASK_FAULTS[name].strengths else "medium"
    before = mask.copy()
    try:
        bad = put(name, mask, level, seed)
    except ImpossibleFault:
        assert (
            mask.all() or (mask != 0).sum() < 9 or name in (*WHOLE, *IN_SLICES, "false_component", "coarse")
        )
    else:
        assert (bad.array != mask).any()
        assert set(np.unique(bad.array).tolist()) <= {0, 2, 300}
        assert bad.changed["dice"] == pytest.approx(dice(mask, bad.array), abs=5.1e-5)
    np.testing.assert_array_equal(mask, before)


def test_dilate_only_adds_and_erode_only_takes():
    mask = phantom((24, 32, 30))
    grown, shrunk = put("dilate", mask, "medium").array, put("erode", mask, "medium").array
    np.testing.assert_array_equal(grown[mask != 0], mask[mask != 0])
    np.testing.assert_array_equal(shrunk[shrunk != 0], mask[shrunk != 0])


def test_a_stack_of_few_slices_is_over_drawn_within_its_slices():
    mask = phantom((6, 64, 64))
    grown = put("dilate", mask, "medium").array
    np.testing.assert_array_equal(grown.any(axis=(1, 2)), mask.any(axis=(1, 2)))


def test_erode_keeps_something_of_every_class_at_medium():
    mask = phantom((24, 32, 30))
    assert set(np.unique(put("erode", mask, "medium").array)) == {0, 3, 7}


def test_hole_takes_a_ball_out():
    mask = np.ones((30, 30, 30), np.uint8)
    bad = put("hole", mask, "weak")
    taken = np.argwhere(bad.array == 0)
    assert np.ptp(taken, axis=0).max() <= 2 * bad.changed["radius_voxels"]
    assert np.unique(bad.array).tolist() == [0, 1]


def test_shift_moves_every_voxel_alike():
    mask = np.zeros((40, 40, 40), np.uint8)
    mask[14:26, 14:26, 14:26] = 1
    bad = put("shift", mask, "medium")
    moved = np.argwhere(bad.array)[0] - np.argwhere(mask)[0]
    np.testing.assert_array_equal(np.roll(mask, moved, axis=(0, 1, 2)), bad.array)
    assert np.linalg.norm(moved) == pytest.approx(bad.changed["distance_voxels"], abs=0.9)


def test_drop_component_keeps_the_largest_of_each_class():
    mask = np.zeros((20, 20), np.uint8)
    mask[1:8, 1:8] = 1
    mask[12:15, 12:15] = 1
    mask[18, 18] = 1
    mask[1:4, 12:15] = 5
    bad = put("drop_component", mask, "medium").array
    lost = mask.copy()
    lost[12:15, 12:15] = 0
    np.testing.assert_array_equal(bad, lost)


def test_a_component_that_is_a_mere_speck_is_no_fault():
    mask = np.zeros((30, 30), np.uint8)
    mask[1:20, 1:20] = 1
    mask[25, 25:27] = 1
    with pytest.raises(ImpossibleFault, match=r"less than 0\.02"):
        put("drop_component", mask, "medium")


def test_false_component_touches_nothing_and_takes_nothing():
    from scipy.ndimage import label

    for shape in SHAPES:
        mask = phantom(shape)
        everywhere = np.ones((3,) * len(shape))
        for level in ("weak", "medium"):
            bad = put("false_component", mask, level).array
            np.testing.assert_array_equal(bad[mask != 0], mask[mask != 0])
            assert label(bad, everywhere)[1] > label(mask, everywhere)[1]


def test_drop_slices_empties_whole_slices_and_keeps_one():
    mask = phantom((24, 32, 30))
    bad = put("drop_slices", mask, 5.0)
    assert bad.array.any(axis=(1, 2)).sum() == 1
    bad = put("drop_slices", mask, "medium")
    gone = mask.any(axis=(1, 2)) & ~bad.array.any(axis=(1, 2))
    assert gone.sum() == bad.changed["slices"]
    np.testing.assert_array_equal(bad.array[~gone], mask[~gone])


def test_repeat_slices_copies_a_slice_over_its_neighbours():
    mask = phantom((24, 32, 30))
    bad = masks.repeat_slices(mask, np.random.default_rng(0), slices=4)
    other = np.flatnonzero((bad != mask).any(axis=(1, 2)))
    assert 0 < len(other) <= 4
    assert len(np.unique(bad[other], axis=0)) == 1
    assert any(np.array_equal(bad[other[0]], of) for of in mask)


def test_cut_off_empties_one_side():
    mask = phantom((24, 32, 30))
    for seed in range(6):
        bad = put("cut_off", mask, "strong", seed).array
        lost = np.argwhere((mask != 0) & (bad == 0))
        kept = np.argwhere(bad)
        assert any(
            lost[:, a].max() < kept[:, a].min() or lost[:, a].min() > kept[:, a].max() for a in range(3)
        )


def test_coarse_with_blocks_of_one_voxel_changes_nothing():
    mask = phantom((24, 32, 30))
    for seed in range(5):
        np.testing.assert_array_equal(masks.coarse(mask, np.random.default_rng(seed), block=1), mask)


def test_coarse_has_blocks_as_wide_as_said():
    mask = np.random.default_rng(0).integers(0, 9, (60, 60)).astype(np.uint8)
    bad = masks.coarse(mask, np.random.default_rng(1), block=5)
    edges = np.flatnonzero((np.diff(bad.astype(int), axis=0) != 0).any(axis=1))
    assert set(np.diff(edges)) == {5}


def test_other_case_stretches_the_donor_over_the_mask():
    mask = phantom((24, 32, 30))
    donor = mask[::2, ::2, ::2]
    bad = MASK_FAULTS["other_case"].apply(mask, np.random.default_rng(0), donor=donor)
    np.testing.assert_array_equal(bad.array, donor.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2))


def test_mirrored_takes_an_axis_that_shows():
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[5:15, 5:15, 2:9] = 1
    for seed in range(5):
        bad = put("mirrored", mask, "medium", seed)
        assert bad.changed == {"dice": 0.0, "axis": 2.0}
        np.testing.assert_array_equal(bad.array, mask[:, :, ::-1])


def test_dropping_the_only_class_empties_the_mask():
    bad = put("drop_class", np.ones((5, 5), np.uint8), "medium")
    assert not bad.array.any()
    assert bad.changed == {"dice": 0.0}


def test_the_smooth_field_has_mean_zero_and_variance_one_everywhere():
    rng = np.random.default_rng(0)
    drawn = np.stack([masks.smooth_field((7, 9), rng, 3.0) for _ in range(4000)])
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.08)
    np.testing.assert_allclose(drawn.std(axis=0), 1, atol=0.06)
    assert abs(np.diff(drawn, axis=2)).mean() < 0.3, "neighbours are alike"


ONE_CLASS = (phantom((24, 32, 30)) == 3).astype(np.uint8)
SYMMETRIC = np.pad(np.ones((6, 6), np.uint8), 4)


@pytest.mark.parametrize("name", MASK_FAULTS)
@pytest.mark.parametrize("shape", [(8, 8), (6, 8, 8)])
def test_an_empty_mask_cannot_have_any(name, shape):
    with pytest.raises(ImpossibleFault, match=r"empty|foreground|slices|no class"):
        put(name, np.zeros(shape, np.uint8), "medium")


@pytest.mark.parametrize(
    ("name", "mask", "reason"),
    [
        ("dilate", np.ones((8, 8), np.uint8), "fills the array"),
        ("erode", np.ones((8, 8), np.uint8), "fills the array"),
        ("false_component", np.ones((8, 8), np.uint8), "no room"),
        ("false_component", np.pad(np.ones((20, 20), np.uint8), 2), "no room"),
        ("swap_classes", ONE_CLASS, "found 1 foreground classes"),
        ("drop_slices", SYMMETRIC, "2 axes has no slices"),
        ("repeat_slices", SYMMETRIC, "2 axes has no slices"),
        ("drop_slices", np.ones((2, 8, 8), np.uint8), "2 slices have a label"),
        ("repeat_slices", np.ones((2, 8, 8), np.uint8), "2 slices have a label"),
        ("repeat_slices", np.ones((5, 8, 8), np.uint8), "at no size"),
        ("drop_component", ONE_CLASS, "two components"),
        ("cut_off", np.eye(1, 9, dtype=np.uint8), "single voxel"),
        ("coarse", np.ones((8, 8), np.uint8), "at no size"),
        ("mirrored", SYMMETRIC, "less than 0.05"),
    ],
)
def test_what_cannot_be_says_why(name, mask, reason):
    with pytest.raises(ImpossibleFault, match=reason):
        put(name, mask, "medium")


@pytest.mark.parametrize(
    ("donor", "reason"),
    [
        (np.zeros((9, 9), np.uint8), "empty"),
        (np.full((9, 9), 4, np.uint8), "no class of this mask"),
        (SYMMETRIC, "does not change"),
        (SYMMETRIC.astype(int) + 256 * (np.arange(14) > 9), "uint8 cannot hold"),
    ],
)
def test_a_donor_that_will_not_do_says_why(donor, reason):
    with pytest.raises(ImpossibleFault, match=reason):
        MASK_FAULTS["other_case"].apply(SYMMETRIC, np.random.default_rng(0), donor=donor)


def test_a_donor_with_other_axes_is_an_error():
    with pytest.raises(ValueError, match="3 axes and the mask 2"):
        MASK_FAULTS["other_case"].apply(SYMMETRIC, np.random.default_rng(0), donor=ONE_CLASS)


def test_a_fault_without_levels_has_medium_alone():
    for name in WHOLE:
        assert dict(MASK_FAULTS[name].strengths) == {"medium": 1.0}
        with pytest.raises(ValueError, match="expected one of: medium"):
            put(name, phantom((24, 32, 30)), "weak")
