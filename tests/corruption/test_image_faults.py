"""Laws that every known fault of an image keeps, and the physics of each against an independent reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.corruption import ImpossibleFault, images, kspace
from aleaseg.corruption.grey import as_dtype, grey_range
from aleaseg.corruption.image_faults import IMAGE_FAULTS

GRADED = [name for name, fault in IMAGE_FAULTS.items() if len(fault.strengths) == 3]
IN_2D = [name for name in IMAGE_FAULTS if name != "slice_order"]
SHAPES = st.sampled_from([(1, 12, 24, 20), (2, 6, 32, 30), (1, 40, 36), (3, 30, 32), (1, 5, 20, 7)])
# How it is stored, and where its values lie: Hounsfield, bytes, a unit range, millions.
SCALES = st.sampled_from(
    [
        (np.int16, 900, -1000),
        (np.uint8, 200, 20),
        (np.float16, 1.0, 0.0),
        (np.float32, 1.0, 0.0),
        (np.float32, 1e6, 0),
        (np.float64, 3.0, -7),
    ]
)


def scene(shape, dtype=np.float64, size=1.0, least=0.0):
    """Discs that change from slice to slice on a dark, slightly noisy ground, in least + [0, size]."""
    rng = np.random.default_rng(3)
    image = np.empty(shape)
    for channel in image:
        grid = np.indices(channel.shape)
        place = [(g - 0.45 * n) / n for g, n in zip(grid, channel.shape, strict=True)]
        radius = np.sqrt(place[-1] ** 2 + 1.3 * place[-2] ** 2)
        drift = place[0] if channel.ndim == 3 else 0.0
        channel[...] = 0.5 * (radius < 0.35 + 0.2 * drift) + 0.3 * (np.abs(place[-1] - 0.1 - drift) < 0.08)
        channel += 0.02 * rng.random(channel.shape)
    image = (image - image.min()) / np.ptp(image)
    return as_dtype(np.dtype(dtype), least + size * image)


def apply(name, image, seed=0, strength="medium"):
    return IMAGE_FAULTS[name].apply(image, np.random.default_rng(seed), strength)


def test_the_faults_are_named_as_they_are_kept_and_spoil_the_image():
    names = "noise rician blur low_resolution ghost motion bias_field spike gamma clipping streaks inverted"
    assert " ".join(IMAGE_FAULTS) == names + " slice_order"
    for name, fault in IMAGE_FAULTS.items():
        assert (fault.name, fault.axis, fault.needs_donor) == (name, "image", False)
        assert fault.text.endswith(".")
        strengths = list(fault.strengths.values())
        assert strengths == sorted(strengths)
    assert [name for name in IMAGE_FAULTS if name not in GRADED] == ["inverted"]


@pytest.mark.parametrize("name", IMAGE_FAULTS)
@settings(deadline=None, max_examples=25)
@given(shape=SHAPES, scale=SCALES, seed=st.integers(0, 2**32))
def test_laws(name, shape, scale, seed):
    image = scene(shape, *scale)
    before = image.copy()
    image.flags.writeable = False
    if name == "slice_order" and len(shape) == 3:
        with pytest.raises(ImpossibleFault, match="1 slices"):
            apply(name, image, seed)
        return
    bad = apply(name, image, seed)
    again = apply(name, image, seed)
    assert bad.array.dtype == image.dtype
    assert bad.array.shape == image.shape
    assert np.isfinite(bad.array).all()
    assert not np.shares_memory(bad.array, image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(bad.array, again.array)
    assert bad.changed == again.changed
    for channel in range(shape[0]):
        assert (bad.array[channel] != image[channel]).any()
    unspoilt = IMAGE_FAULTS[name].apply(image, np.random.default_rng(seed), 0)
    np.testing.assert_array_equal(unspoilt.array, image)


@pytest.mark.parametrize("name", [name for name in GRADED if name != "motion"])
@settings(deadline=None, max_examples=15)
@given(shape=st.sampled_from([(1, 16, 40, 36), (1, 64, 48)]), seed=st.integers(0, 2**32))
def test_a_stronger_level_is_further_from_the_clean_image(name, shape, seed):
    if name == "slice_order" and len(shape) == 3:
        return
    image = scene(shape)
    weak, medium, strong = (
        apply(name, image, seed, level).changed["psnr_db"] for level in IMAGE_FAULTS[name].strengths
    )
    assert weak > medium > strong


@pytest.mark.parametrize("shape", [(1, 8, 40, 36), (1, 64, 48)])
def test_stronger_motion_is_further_from_the_clean_image_on_average(shape):
    # In one draw of fifty a longer way leads to a place that looks more alike.
    image = scene(shape)
    levels = [
        [apply("motion", image, seed, level).changed["psnr_db"] for seed in range(12)]
        for level in IMAGE_FAULTS["motion"].strengths
    ]
    weak, medium, strong = np.mean(levels, axis=1)
    assert weak > medium + 2 > strong + 3


@pytest.mark.parametrize("name", IMAGE_FAULTS)
@settings(deadline=None, max_examples=15)
@given(
    factor=st.floats(1e-3, 1e6),
    offset=st.floats(-1e3, 1e3),
    seed=st.integers(0, 2**32),
)
def test_another_grey_scale_of_the_image_is_that_scale_of_the_fault(name, factor, offset, seed):
    image = scene((2, 8, 20, 24))
    moved = apply(name, factor * (image + offset), seed)
    still = apply(name, image, seed)
    # 1e-12 of an offset of 1e3 may be lost in the values themselves, and more under a root.
    np.testing.assert_allclose(moved.array / factor - offset, still.array, atol=1e-5)
    assert moved.changed["psnr_db"] == pytest.approx(still.changed["psnr_db"], abs=1e-3)


@pytest.mark.parametrize("name", IMAGE_FAULTS)
def test_a_constant_channel_stays_and_a_constant_image_is_impossible(name):
    image = scene((2, 8, 20, 24), np.float32)
    image[0] = 0.1
    bad = apply(name, image)
    np.testing.assert_array_equal(bad.array[0], image[0])
    assert (bad.array[1] != image[1]).any()
    assert bad.changed["psnr_db"] == np.inf
    with pytest.raises(ImpossibleFault, match="constant"):
        apply(name, image[:1])


@pytest.mark.parametrize("name", IMAGE_FAULTS)
@pytest.mark.parametrize(
    "image", [np.full((1, 8, 8, 8), np.nan), np.zeros((1, 8, 0, 8))], ids=["NaN", "empty"]
)
def test_without_finite_voxels_there_is_no_fault(name, image):
    with pytest.raises(ImpossibleFault, match="finite"):
        apply(name, image)


@pytest.mark.parametrize("name", ["clipping", "slice_order"])
def test_a_share_is_a_share(name):
    with pytest.raises(ValueError, match="the share is 2"):
        apply(name, scene((1, 8, 20, 24)), strength=2)


@pytest.mark.parametrize("name", IN_2D)
def test_bytes_stay_within_bytes_where_the_image_fills_them(name):
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 40), dtype=np.uint8)
    difference = apply(name, image, strength="medium").array.astype(float) - image
    # A value that wrapped round would have jumped by the whole range.
    least = -255 if name == "inverted" else -250
    assert difference.min() >= least
    assert difference.max() <= -least


def test_the_psnr_has_the_range_of_the_clean_first_channel_as_its_peak():
    image = scene((2, 12, 24, 20))
    bad = apply("noise", image)
    low, high = np.percentile(image[0], (1, 99))
    rms = np.sqrt(((bad.array[0] - image[0]) ** 2).mean())
    assert bad.changed["psnr_db"] == pytest.approx(20 * np.log10((high - low) / rms))


def test_the_range_of_a_nearly_empty_image_is_its_extent():
    image = np.zeros((2, 20, 20))
    image[0, 3, 3] = -5
    np.testing.assert_array_equal(grey_range(image).ravel(), [5, 0])


@pytest.mark.parametrize(
    ("level", "sd", "psnr"), [("weak", 0.05, 26), ("medium", 0.1, 20), ("strong", 0.2, 14)]
)
@pytest.mark.parametrize("name", ["noise", "spike", "streaks"])
def test_what_is_added_has_the_promised_sd(name, level, sd, psnr):
    image = scene((2, 16, 40, 36))
    image[1] *= 7
    bad = apply(name, image, strength=level)
    added = bad.array - image
    for channel in range(2):
        low, high = np.percentile(image[channel], (1, 99))
        assert added[channel].std() == pytest.approx(sd * (high - low), rel=0.02)
    assert bad.changed["psnr_db"] == pytest.approx(psnr, abs=0.2)


def test_rician_noise_has_the_rayleigh_floor_in_air_and_no_bias_in_bright_parts():
    image = np.zeros((1, 60, 60, 60))
    image[:, 30:] = 1.0
    bad = images.rician(image - 1000, np.random.default_rng(0), sd=0.1) + 1000
    air, bright = bad[:, :30], bad[:, 30:]
    # Rayleigh: mean sd sqrt(pi/2), sd sd sqrt(2 - pi/2). Rice at a high signal: 1 + sd^2 / 2.
    assert air.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.01)
    assert air.std() == pytest.approx(0.1 * np.sqrt(2 - np.pi / 2), rel=0.01)
    assert air.min() >= 0
    assert bright.mean() == pytest.approx(1.005, abs=0.001)
    assert bright.std() == pytest.approx(0.1, rel=0.01)


def test_blur_makes_a_gaussian_of_a_point():
    image = np.zeros((1, 21, 21, 21))
    image[0, 10, 10, 10] = 1
    bad = apply("blur", image, strength=1.5).array[0]
    square = ((np.indices(bad.shape) - 10) ** 2).sum(axis=0)
    expected = np.exp(-square / (2 * 1.5**2))
    np.testing.assert_allclose(bad, expected / expected.sum(), atol=2e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("strength", "factor"), [(1, 2), (2, 3), (3.5, 5), (4, 5)])
def test_low_resolution_takes_means_along_one_axis(seed, strength, factor):
    image = np.random.default_rng(1).random((1, 30, 30, 30))
    bad = apply("low_resolution", image, seed, strength)
    rows = np.moveaxis(image[0], bad.changed["axis"], -1)
    spoilt = np.moveaxis(bad.array[0], bad.changed["axis"], -1)
    means = rows.reshape(30, 30, -1, factor).mean(axis=-1)
    centres = np.arange(factor // 2, 30, factor)
    if factor % 2:
        np.testing.assert_allclose(spoilt[..., centres], means)
    else:  # a centre lies between two voxels
        np.testing.assert_allclose(spoilt[..., 1], 0.75 * means[..., 0] + 0.25 * means[..., 1])


@pytest.mark.parametrize("seed", range(8))
def test_low_resolution_spares_the_axis_of_a_thin_stack(seed):
    assert apply("low_resolution", scene((1, 6, 40, 40)), seed).changed["axis"] in (1, 2)


@pytest.mark.parametrize("axis", [1, 2])
def test_the_copies_of_a_ghost_lie_where_the_period_puts_them(axis):
    image = np.zeros((1, 3, 120, 120))
    image[0, 1, 60, 60] = 1
    copies = []
    for seed in range(40):
        bad = kspace.ghosting(image, np.random.default_rng(seed), modulation=0.3, period=5.0, axis=axis)
        line = np.moveaxis(bad[0, 1], axis - 1, 0)[:, 60]
        assert (bad[0] > 1e-9).sum() == (line > 1e-9).sum()  # one slice, one line of it
        copies.append(line**2)
    energy = np.mean(copies, axis=0)
    near = np.zeros(120, bool)
    for harmonic in (1, 2, 3):
        for side in (-1, 1):
            place = (60 + side * harmonic * 24) % 120
            # The wander smears a copy over a few voxels.
            near[(place + np.arange(-4, 5)) % 120] = True
    away = ~near
    away[56:65] = False
    assert energy[near].sum() == pytest.approx(0.3**2 / 2, rel=0.1)
    assert energy[away].sum() < 0.15 * energy[near].sum()


def test_a_ghost_keeps_the_mean_and_is_no_circular_copy():
    image = scene((1, 4, 40, 48)) + 0.5
    bad = apply("ghost", image)
    added = (bad.array - image)[0]
    along = bad.changed["axis"]
    fits = []
    for step in range(image.shape[along + 1]):
        copy = np.roll(image[0], step, axis=along)
        design = np.stack([np.ones(added.size), image.ravel(), copy.ravel()], axis=1)
        left = np.linalg.lstsq(design, added.ravel(), rcond=None)[1]
        fits.append(left[0] / ((added - added.mean()) ** 2).sum() if left.size else 1.0)
    assert min(fits) > 0.1
    assert bad.array.mean() == pytest.approx(image.mean(), rel=0.05)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_motion_leaves_the_middle_line_of_k_space_and_changes_the_outer_ones(axis, seed):
    grid = np.indices((60, 64))
    image = np.zeros((1, 2, 60, 64))
    image[0, 0] = np.exp(-((grid[0] - 28) ** 2 + (grid[1] - 33) ** 2) / 4)
    # Zero signal lies far below, in the other slice: the magnitude is then all but the real part.
    image[0, 1, 0, 0] = -1e6
    bad = kspace.motion(image, np.random.default_rng(seed), largest=3.0, moves=2, axis=axis)
    spectra = np.fft.fft2(np.stack([image[0, 0], bad[0, 0]]))
    clean, moved = np.moveaxis(spectra, axis, 1)
    changed = np.abs(moved - clean).max(axis=1)
    assert changed[0] < 1e-3
    # Past the middle third, all is from another place than the middle.
    outer = len(clean) // 6 + 1
    assert changed[outer] > 0.1 * np.abs(clean[outer]).max() > 0.05


def test_a_small_move_changes_no_voxel_by_more_than_the_move_over_the_steepest_slope():
    image = np.zeros((1, 64, 64))
    image[0, 20:44, 20:44] = np.outer(np.hanning(24), np.hanning(24))
    shift = 1e-3
    bad = kspace.motion(image, np.random.default_rng(5), largest=shift, moves=3, axis=-1)
    gradient = np.hypot(*np.gradient(image[0]))
    # Twice that, for the ringing at the borders of the stretches.
    assert 0 < np.abs(bad - image).max() < 2 * shift * gradient.max() + 1e-6


@pytest.mark.parametrize("name", ["ghost", "motion"])
def test_ghost_and_motion_stay_within_their_slice(name):
    image = np.zeros((1, 7, 30, 30))
    image[0, 3, 10:20, 12:18] = 1
    bad = apply(name, image).array
    assert np.abs(np.delete(bad, 3, axis=1)).max() < 1e-12


def test_a_bias_field_is_smooth_and_as_large_as_promised():
    image = 1 + np.random.default_rng(0).random((1, 20, 30, 40))
    image[0, 0, 0, 0] = 0
    for strength in (0.25, 0.5, 1.0):
        bad = apply("bias_field", image, strength=strength).array
        field = np.log(bad[0, 1:] / image[0, 1:])
        assert np.abs(field).max() == pytest.approx(strength, rel=0.2)
        assert np.abs(field).max() <= strength * (1 + 1e-9)
        # A polynomial of degree 3: its fourth difference is nothing.
        for axis in range(3):
            np.testing.assert_allclose(np.diff(field, 4, axis=axis), 0, atol=1e-12)


@pytest.mark.parametrize("shape", [(32, 40), (12, 32, 40)])
@pytest.mark.parametrize("spikes", [1, 2, 3])
def test_spikes_are_points_in_k_space(shape, spikes):
    image = scene((1, *shape))
    bad = kspace.spike(image, np.random.default_rng(4), sd=0.1, spikes=spikes)
    spectrum = np.abs(np.fft.fftn((bad - image)[0]))
    assert (spectrum > 1e-6 * spectrum.max()).sum() == 2 * spikes
    for place in np.argwhere(spectrum > 1e-6 * spectrum.max()):
        down, right = (np.fft.fftfreq(n)[k] for n, k in zip(shape[-2:], place[-2:], strict=True))
        assert 0.05 < np.hypot(down, right) < 0.38


def test_gamma_bends_either_way_between_least_and_largest():
    image = np.linspace(-1000, 1000, 101).reshape(1, 1, 101)
    exponents = set()
    for seed in range(10):
        bad = apply("gamma", image, seed, "medium")
        exponent = bad.changed["exponent"]
        exponents.add(round(exponent, 6))
        assert bad.array[0, 0, 50] == pytest.approx(-1000 + 2000 * 0.5**exponent)
        assert (bad.array.min(), bad.array.max()) == (-1000, 1000)
    assert exponents == {round(np.exp(0.6), 6), round(np.exp(-0.6), 6)}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_clipping_saturates_the_share(seed, share):
    image = np.random.default_rng(1).normal(size=(1, 100, 100))
    image[0, :60] = -9  # background
    bad = apply("clipping", image, seed, share)
    front = bad.array[0, 60:]
    top, bottom = (front == front.max()).mean(), (front == front.min()).mean()
    if bad.changed["ends"] == "both":
        assert (top, bottom) == pytest.approx((share / 2, share / 2), abs=1e-3)
    else:
        assert top == pytest.approx(share, abs=1e-3)
        assert (bad.array[0, :60] == -9).all()
    within = (front < front.max()) & (front > front.min())
    np.testing.assert_array_equal(front[within], image[0, 60:][within])


def test_clipping_comes_at_one_and_at_both_ends():
    assert {apply("clipping", scene((1, 20, 20)), seed).changed["ends"] for seed in range(20)} == {
        "upper",
        "both",
    }


def test_streaks_are_straight_rays_through_one_point_of_every_slice():
    image = scene((1, 5, 121, 121))
    added = (apply("streaks", image, 3).array - image)[0]
    energy = (added**2).mean(axis=0)
    point = np.array(np.unravel_index(energy.argmax(), energy.shape))
    assert (np.abs(point - 60) <= 31).all()
    # Along a ray from the point the sign stays; on a circle round it, it changes again and again.
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    profiles = []
    for radius in (20, 25):
        places = np.rint(point[:, None] + radius * np.array([np.cos(angles), np.sin(angles)])).astype(int)
        profiles.append(added[2][tuple(places)])
    assert np.corrcoef(profiles)[0, 1] > 0.8
    near = profiles[0] - np.median(profiles[0])
    bright = near > 0.3 * np.abs(near).max()
    dark = near < -0.3 * np.abs(near).max()
    for rays in (bright, dark):
        assert (np.diff(rays.astype(int)) == 1).sum() >= 3


def test_inverted_turns_the_order_round_and_keeps_the_range():
    image = scene((2, 6, 20, 20), np.int16, 900, -1000)
    bad = apply("inverted", image).array
    for channel in range(2):
        assert (bad[channel].min(), bad[channel].max()) == (image[channel].min(), image[channel].max())
        np.testing.assert_array_equal(
            np.diff(bad[channel].astype(int)), -np.diff(image[channel].astype(int))
        )
    np.testing.assert_array_equal(apply("inverted", bad).array, image)


@pytest.mark.parametrize(
    ("slices", "strength", "moved"), [(6, 0.25, 2), (8, 0.5, 4), (40, 0.25, 10), (11, 1.0, 11)]
)
def test_slice_order_takes_the_share_of_the_slices_out_of_their_place(slices, strength, moved):
    image = np.random.default_rng(0).random((2, slices, 5, 4))
    for seed in range(10):
        bad = apply("slice_order", image, seed, strength).array
        came_from = [
            int(np.flatnonzero((image == part[:, None]).all(axis=(0, 2, 3)))[0])
            for part in bad.swapaxes(0, 1)
        ]
        assert sorted(came_from) == list(range(slices))
        assert (np.array(came_from) != np.arange(slices)).sum() == moved


@pytest.mark.parametrize("shape", [(1, 20, 20), (1, 3, 20, 20)])
def test_too_few_slices_cannot_change_places(shape):
    with pytest.raises(ImpossibleFault, match="expected 4 or more"):
        apply("slice_order", scene(shape))
