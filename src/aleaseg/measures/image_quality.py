"""What an image alone tells about its quality: no label, no network.

Each statistic is free of the image's unit and scale (data sets mix uint8 with
float of any range), so that cases can be compared. None of them is good or bad
in itself: `doubt` asks how far a case lies from its population.

Sources: noise after Immerkaer (1996), the mixed second difference; ghosting by
the cepstrum (Bogert, Healy and Tukey 1963), in which an echo at distance t is a
peak at t; focus is the entropy focus criterion (Atkinson et al. 1997); the rest are
moments and quantiles, as in MRIQC's image quality metrics, and a parabola through
the grey values for what a receiver coil adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aleaseg.measures.percentiles import percentiles_of_parts
from aleaseg.measures.regions import slabs

__all__ = ["AXES", "echo", "image_statistics"]

AXES = {2: ("h", "w"), 3: ("d", "h", "w")}
_SAMPLE = 400_000
_LINES = 4096
# Voxels that are worked on at a time: what is made of them stays in the processor's cache.
_PART = 2**19
_FEW = 8


def _scaled(image: NDArray, *, in_place: bool) -> NDArray[np.float32]:
    """The image in units of its own 1-99% range, its median at zero; in the image's own memory if that may be."""
    step = max(1, image.size // _SAMPLE)
    sample = image.ravel()[::step]
    sample = sample.astype(np.float32) if sample.dtype.kind in "iu" else sample
    low, middle, high = np.percentile(sample, [1, 50, 99])
    span = high - low
    if not span > 0:
        span = float(image.max()) - float(image.min()) or 1.0
    scaled = image if in_place and image.dtype == np.float32 else np.empty(image.shape, np.float32)
    for part in slabs(image.shape, _PART):
        scaled[part] = (image[part] - np.float32(middle)) / np.float32(span)
    return scaled


def _mixed_differences(slices: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Absolute mixed second differences of the last two axes, flat.

    Air that was clipped to one value, the least, has no noise and says nothing about the scanner: it is left out.
    """
    second = _second_difference(slices, slices.ndim - 2)
    mixed = _second_difference(second, slices.ndim - 1)
    inside: NDArray[np.float32] = mixed[slices[..., 1:-1, 1:-1] > least]
    return np.abs(inside, out=inside)


def _second_difference(array: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    others = (slice(None),) * axis
    found: NDArray[np.float32] = np.multiply(array[(*others, slice(1, -1))], np.float32(2))
    np.subtract(array[(*others, slice(2, None))], found, out=found)
    found += array[(*others, slice(None, -2))]
    return found


def _noise(image: NDArray[np.float32], least: float) -> dict[str, float]:
    """Ln of the noise's standard deviation, and how far the largest differences lie above the median."""
    if min(image.shape[-2:]) < 3:
        return dict.fromkeys(("noise", "tail", "peaks"), float("nan"))
    volume = image if image.ndim == 3 else image[None]

    def parts() -> Iterator[NDArray]:
        return (_mixed_differences(volume[part], least) for part in slabs(volume.shape, _PART))

    # A few slices tell about where the percentiles lie.
    some = _mixed_differences(volume[:: -(-len(volume) // _FEW)], least)
    sample = some[:: 1 + len(some) // _SAMPLE]
    middle, high, highest = percentiles_of_parts(parts, sample, [50, 90, 99]) + 1e-4
    return {
        # The kernel's weights have the square sum 36.
        "noise": float(np.log(1.4826 * (middle - 1e-4) / 6 + 1e-4)),
        "tail": float(np.log(high / middle)),
        "peaks": float(np.log(highest / middle)),
    }


def _focus(sample: NDArray) -> float:
    """Entropy focus criterion of grey values >= 0: 1 where all are alike, low where few voxels are bright."""
    sample = sample.astype(np.float64)
    energy = float(np.sqrt((sample**2).sum()))
    n = sample.size
    if n < 2 or not energy > 0:
        return float("nan")
    x = sample[sample > 0] / energy
    return float(-(x * np.log(x)).sum() / (np.sqrt(n) * np.log(np.sqrt(n))))


def _parabola(scaled: NDArray[np.float32], axes: Sequence[str]) -> dict[str, float]:
    """Least squares of the grey values on position and its square along each axis, -1 to 1 over the field."""
    step = max(1, scaled.size // _SAMPLE)
    where = np.unravel_index(np.arange(0, scaled.size, step), scaled.shape)
    position = [2 * index / max(size - 1, 1) - 1 for index, size in zip(where, scaled.shape, strict=True)]
    columns = np.stack([np.ones(len(where[0])), *position, *(x**2 for x in position)], axis=1)
    values = np.clip(scaled.ravel()[::step], -2, 2).astype(np.float64)
    # A few columns that are far from collinear: the normal equations are exact enough, and quick. An axis of
    # one or two slices makes them singular, hence the pseudo-inverse.
    weights = np.linalg.pinv(columns.T @ columns, hermitian=True) @ (columns.T @ values)
    found: dict[str, float] = {}
    for number, (name, size) in enumerate(zip(axes, scaled.shape, strict=True), start=1):
        found[f"tilt_{name}"] = float(weights[number]) if size > 1 else float("nan")
        found[f"bend_{name}"] = float(weights[number + len(axes)]) if size > 2 else float("nan")
    return found


def _unevenness(image: NDArray, axis: int) -> float:
    """Ln of how much the change from slice to slice varies: its standard deviation over its mean."""
    if image.shape[axis] < 6:
        return float("nan")
    moved = np.moveaxis(image, axis, 0)
    # A part at a time, two changes at least: what is made on the way stays small, and each mean is the same number.
    parts = min((len(moved) - 1) // 2, -(-image.size // _PART))
    ends = np.linspace(0, len(moved) - 1, parts + 1).astype(int)
    change = np.concatenate([_mean_changes(moved[first : last + 1]) for first, last in pairwise(ends)])
    return float(np.log(1e-3 + change.std() / max(float(change.mean()), 1e-6)))


def _mean_changes(slices: NDArray) -> NDArray:
    change = np.diff(slices, axis=0)
    return np.abs(change, out=change).reshape(len(change), -1).mean(axis=1)


def _sharpness(image: NDArray, axis: int) -> float:
    """Ln of the squared differences one voxel apart over two apart: 0 for white noise, -ln 4 for a slope."""
    if image.shape[axis] < 4:
        return float("nan")
    one, two = (_mean_square(image, axis, step) for step in (1, 2))
    return float(np.log((one + 1e-8) / (two + 1e-8)))


def _mean_square(image: NDArray, axis: int, step: int) -> float:
    """Mean of the squared differences of voxels so many steps apart along an axis."""
    others = (slice(None),) * axis
    there, here = image[(*others, slice(step, None))], image[(*others, slice(None, -step))]
    return float(image.dtype.type(_squares(there, here, 0, there.size) / there.size))


def _squares(there: NDArray, here: NDArray, start: int, count: int) -> np.floating:
    """Sum of the squared differences of `count` voxels from the `start`-th on.

    NumPy sums pairwise: of halves, and of the halves of those. So the sum of a part at a time is the same number.
    """
    if count > _PART:
        half = count // 2 - count // 2 % 8
        return _squares(there, here, start, half) + _squares(there, here, start + half, count - half)
    each = there.size // len(there)
    first, end = start // each, -(-(start + count) // each)
    change = (there[first:end] - here[first:end]).reshape(-1)[start - first * each :][:count]
    total: np.floating = np.add.reduce(np.square(change, out=change))
    return total


def echo(image: NDArray, axis: int) -> float:
    """Strength of the strongest echo along an axis: the highest peak of the cepstrum.

    Lines along the axis are Fourier transformed, the mean of their log power is
    transformed back: x(t) + a x(t - s) has a peak of about a at s. Echoes nearer
    than an eighth of the field are anatomy's own and are not looked at.

    Args:
        image: (*spatial).
        axis: along which.

    Returns:
        Height of the peak over the median of its neighbours, >= 0; NaN for fewer than 16 voxels.
    """
    n = image.shape[axis]
    if n < 16:
        return float("nan")
    moved = np.moveaxis(image, axis, -1)
    places = np.arange(0, moved.size // n, max(1, moved.size // n // _LINES))
    if 0 < axis < image.ndim - 1:  # the middle one: laid out as lines, the whole volume would be copied
        lines = np.ascontiguousarray(moved[np.unravel_index(places, moved.shape[:-1])])
    else:
        lines = moved.reshape(-1, n)[:: places[1] if len(places) > 1 else 1]
    lines = lines - lines.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(lines, axis=1)) ** 2
    alive = power.sum(axis=1) > 0
    if not alive.any():
        return float("nan")
    power = power[alive]
    # A floor: an empty band would have a log of minus infinity and ring through the cepstrum.
    spectrum = np.log(power + 1e-6 * power.mean(axis=1, keepdims=True)).mean(axis=0)
    # What is smooth in frequency is anatomy and point spread; the echo ripples on it.
    trend = ndimage.gaussian_filter1d(spectrum[1:], max(2.0, n / 24), mode="nearest")
    ripple = np.concatenate([[0.0], spectrum[1:] - trend])
    cepstrum = np.abs(np.fft.irfft(ripple, n=n))
    seen = cepstrum[n // 8 : n // 2 + 1]
    return float(seen.max() - np.median(seen))


def image_statistics(
    image: NDArray, spacing_mm: Sequence[float], *, overwrite_input: bool = False
) -> dict[str, float]:
    """All statistics of one channel.

    Args:
        image: (*spatial), finite.
        spacing_mm: per axis.
        overwrite_input: whether the image, of float32, is needed no more: its memory is worked in.

    Returns:
        name -> value; NaN where an axis is too short:
        `noise` (ln of its standard deviation in the image's range), `tail`, `peaks` (ln of
        how far the 90% and 99% largest local differences lie above the median one),
        `contrast` (distance of dark and bright mean, Otsu), `dark`, `middle`, `bright`
        (where the 10%, 50%, 90% quantiles lie between the 1% and 99% ones), `skew`, `focus`
        (entropy focus criterion), `border` (share of the border that is bright: how much
        of the body is cut), and for each axis a of d, h, w: `sharp_a`, `ghost_a`, `fov_a`
        (ln mm), `tilt_a`, `bend_a` (slope and curvature of the grey values over the field),
        `uneven_a` (ln of how unevenly slices change).
    """
    from skimage.filters import threshold_otsu

    axes = AXES[image.ndim]
    scaled = _scaled(image, in_place=overwrite_input)
    least = scaled.min()
    step = max(1, scaled.size // _SAMPLE)
    sample = np.clip(scaled.ravel()[::step], -2, 2).astype(np.float64)
    threshold = float(threshold_otsu(sample)) if sample.min() < sample.max() else float(sample[0])
    bright = sample > threshold
    q01, q10, q50, q90, q99 = np.percentile(sample, [1, 10, 50, 90, 99])
    span = max(q99 - q01, 1e-6)
    spread = float(sample.std()) or 1.0
    statistics = {
        **_noise(scaled, least),
        "contrast": float(sample[bright].mean() - sample[~bright].mean()) if 0 < bright.mean() < 1 else 0.0,
        "dark": float((q10 - q01) / span),
        "middle": float((q50 - q01) / span),
        "bright": float((q90 - q01) / span),
        "skew": float(np.mean(((sample - sample.mean()) / spread) ** 3)),
        "focus": _focus(scaled.ravel()[::step] - least),
        **_parabola(scaled, axes),
    }
    faces = [
        np.take(scaled, index, axis=axis).ravel()
        for axis in range(image.ndim)
        if image.shape[axis] > 1
        for index in (0, -1)
    ]
    statistics["border"] = float(np.mean(np.concatenate(faces) > threshold)) if faces else float("nan")
    for axis, name in enumerate(axes):
        statistics[f"sharp_{name}"] = _sharpness(scaled, axis)
        statistics[f"ghost_{name}"] = echo(scaled, axis)
        statistics[f"uneven_{name}"] = _unevenness(scaled, axis)
        statistics[f"fov_{name}"] = float(np.log(image.shape[axis] * spacing_mm[axis]))
    return statistics
