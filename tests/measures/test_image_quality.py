"""Statistics of an image: free of unit and scale, and each sees its own fault."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from aleaseg.corruption import images
from aleaseg.measures import image_quality, regions
from aleaseg.measures.image_quality import echo, image_statistics

SPACING = (3.0, 1.0, 1.0)


def scan(seed=0, shape=(20, 36, 40)):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    tissue = np.where(smooth > smooth.mean(), 100.0, 20.0)
    return (ndimage.gaussian_filter(tissue, 0.7) + rng.normal(0, 4, shape)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(0.01, 1000), offset=st.floats(-1000, 1000), seed=st.integers(0, 3))
def test_unit_and_offset_do_not_matter(factor, offset, seed):
    image = scan(seed)
    plain = image_statistics(image, SPACING)
    moved = image_statistics((image.astype(np.float64) * factor + offset).astype(np.float32), SPACING)
    assert set(moved) == set(plain)
    for name, value in plain.items():
        # Single precision at offset 1000 and factor 0.01 keeps about four digits of the contrast.
        assert moved[name] == pytest.approx(value, rel=2e-2, abs=2e-2), name


@pytest.mark.parametrize("shape", [(20, 36, 40), (36, 40)])
def test_every_axis_has_its_statistics(shape):
    found = image_statistics(scan(shape=shape), SPACING[-len(shape) :])
    axes = "dhw"[-len(shape) :]
    assert {f"{kind}_{axis}" for kind in ("sharp", "ghost", "fov") for axis in axes} <= set(found)
    assert len([name for name in found if name.startswith("fov")]) == len(shape)
    assert found["fov_w"] == pytest.approx(np.log(shape[-1] * 1.0))
    assert np.isfinite(list(found.values())).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 3, 50), (40, 2, 2), (1, 1, 1), (2, 2), (1, 30)])
def test_short_axes_are_missing_and_not_wrong(shape):
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = image_statistics(image, (1.0,) * len(shape))
    for axis, size in zip("dhw"[-len(shape) :], shape, strict=True):
        assert np.isnan(found[f"sharp_{axis}"]) == (size < 4)
        assert np.isnan(found[f"ghost_{axis}"]) == (size < 16)


def test_integers_and_clipped_air_are_like_floats():
    image = np.clip(scan(), 30, None)
    whole = image_statistics(np.round(image).astype(np.int16), SPACING)
    for name, value in image_statistics(image, SPACING).items():
        assert whole[name] == pytest.approx(value, abs=0.15), name


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [0.25, 1 / 3, 0.5])
def test_a_circular_echo_is_found_along_its_own_axis(axis, shift):
    image = scan(shape=(48, 48, 48))
    ghosted = 0.7 * image + 0.4 * np.roll(image, round(48 * shift), axis=axis)
    gain = [echo(ghosted, a) - echo(image, a) for a in range(3)]
    assert np.argmax(gain) == axis
    assert gain[axis] > 0.1
    assert max(gain[a] for a in range(3) if a != axis) < gain[axis] / 3


def test_a_stronger_echo_is_higher():
    image = scan(shape=(48, 48, 48))
    strength = [echo(image + a * np.roll(image, 16, axis=2), 2) for a in (0.0, 0.2, 0.4, 0.6)]
    assert (np.diff(strength) > 0).all()


def test_noise_and_blur_move_their_statistics_the_way_they_say():
    image = scan()
    rng = np.random.default_rng(5)
    plain = image_statistics(image, SPACING)
    noisy = image_statistics(images.noise(image[None], rng, sd=1.2)[0], SPACING)
    blurred = image_statistics(images.blur(image[None], rng, sd=2.0)[0], SPACING)
    assert noisy["noise"] > plain["noise"] + 0.5 > blurred["noise"] + 1
    for axis in "dhw":
        assert noisy[f"sharp_{axis}"] > plain[f"sharp_{axis}"] > blurred[f"sharp_{axis}"]


def test_the_noise_of_white_noise_is_its_standard_deviation():
    rng = np.random.default_rng(0)
    ramp = np.broadcast_to(np.linspace(0, 100, 60), (30, 60, 60))
    found = image_statistics(ramp + rng.normal(0, 2.0, ramp.shape), (1, 1, 1))
    # In units of the 1-99% range, which is 98 with a little noise at its ends.
    assert np.exp(found["noise"]) * 98.5 == pytest.approx(2.0, rel=0.05)


def test_a_body_that_is_cut_has_a_bright_border():
    disc = np.zeros((40, 40), np.float32)
    h, w = np.indices(disc.shape)
    disc[(h - 20) ** 2 + (w - 20) ** 2 < 150] = 100
    cut = np.roll(disc, 14, axis=1)
    inside, outside = (image_statistics(image, (1, 1))["border"] for image in (disc, cut))
    assert inside == 0 < outside


def test_an_image_that_is_needed_no_more_is_worked_in(monkeypatch):
    for name, few in (("_SAMPLE", 1000), ("_LINES", 20), ("_PART", 2**13)):
        monkeypatch.setattr(image_quality, name, few)
    monkeypatch.setattr(regions, "_SLAB", 2**13)
    image = np.random.default_rng(0).normal(300, 50, (40, 64, 64)).astype(np.float32)
    kept = image.copy()
    before = image_statistics(image, (1, 1, 1))
    np.testing.assert_array_equal(image, kept)
    tracemalloc.start()
    try:
        found = image_statistics(image, (1, 1, 1), overwrite_input=True)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == before
    # One array beside it at a time.
    assert most / image.size < 6


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 30), st.integers(3, 40), st.integers(3, 40)),
    st.integers(0, 99),
    st.sampled_from([200, 700, 2**19]),  # NumPy sums 128 numbers and fewer in a row
)
def test_a_part_at_a_time_gives_the_numbers_of_the_whole_to_the_digit(shape, seed, few):
    """Noise and sharpness as NumPy has them of whole volumes."""
    rng = np.random.default_rng(seed)
    image = rng.gamma(2, 50, shape if shape[0] > 2 else shape[1:]).astype(np.float32)
    image[image < 20] = 20  # air that was clipped
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_quality, "_PART", few)
        found = image_statistics(image, (1.0,) * image.ndim)
        scaled = image_quality._scaled(image, in_place=False)
    second = scaled[..., 2:, :] - 2 * scaled[..., 1:-1, :] + scaled[..., :-2, :]
    mixed = second[..., 2:] - 2 * second[..., 1:-1] + second[..., :-2]
    there = np.abs(mixed[scaled[..., 1:-1, 1:-1] > scaled.min()])
    if there.size:
        middle, high, highest = np.percentile(there, [50, 90, 99]) + 1e-4
        assert found["noise"] == float(np.log(1.4826 * (middle - 1e-4) / 6 + 1e-4))
        assert found["tail"] == float(np.log(high / middle))
        assert found["peaks"] == float(np.log(highest / middle))
    for axis, name in enumerate(image_quality.AXES[image.ndim]):
        if image.shape[axis] >= 4:
            moved = np.moveaxis(scaled, axis, 0)
            one, two = (float(np.mean(np.square(moved[step:] - moved[:-step]))) for step in (1, 2))
            assert found[f"sharp_{name}"] == float(np.log((one + 1e-8) / (two + 1e-8)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_echo_is_that_of_all_lines_laid_out_to_the_digit(axis, monkeypatch):
    monkeypatch.setattr(image_quality, "_LINES", 100)
    image = np.random.default_rng(0).normal(0, 1, (20, 31, 40)).astype(np.float32)
    moved = np.moveaxis(image, axis, -1)
    lines = moved.reshape(-1, image.shape[axis])
    expected = echo(lines[:: len(lines) // 100], 1)
    assert echo(image, axis) == expected
