"""Known faults in an image that arise in k-space, where an MR scanner samples line by line.

A line of k-space is what remains after a Fourier transform along the phase-encode axis alone; the
lines are taken one after the other, from one end to the other, so what changes during the scan
changes from line to line. The reconstruction is a magnitude, |inverse transform|, above the
channel's least value, which is taken as zero signal.

Every function takes an image (channel, D, H, W) or (channel, H, W) and a seeded generator, and
returns a new array of the same shape and dtype, as those of `images` do. What is drawn is shared
by the channels.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from aleaseg.corruption.grey import as_dtype, grey_range, zero_signal

__all__ = ["ghosting", "motion", "spike"]

# Breathing is no clock: by how many radians its phase has wandered over a whole scan.
WANDER = 2.0


def ghosting(
    image: NDArray, rng: Generator, *, modulation: float = 0.3, period: float = 3.3, axis: int = -1
) -> NDArray:
    """Scale the lines of k-space periodically, as breathing or a pulse does.

    Line k is multiplied by 1 + m (w_k - w_0) with w_k = c_1 cos t_k + c_2 cos 2 t_k + c_3 cos 3 t_k,
    c_h ~ 1 / h, c_1^2 + c_2^2 + c_3^2 = 1 and t_k = 2 pi k / period + a slow random wander; k = 0 is
    the middle line, which keeps the brightness. Copies of the image appear N / period, 2 N / period and
    3 N / period voxels to either side, wrapped round the field of view, each with a phase of its own,
    interpolated by a sinc and smeared by the wander. Together they have m^2 / 2 of the energy of the
    signal, on average.

    Args:
        image: (channel, *spatial).
        rng: draws the phases and the wander.
        modulation: m; 0 changes nothing.
        period: in lines.
        axis: of phase encoding, counted without the channel axis.
    """
    from scipy import fft

    along = axis % (image.ndim - 1) + 1
    lines = image.shape[along]
    wander = np.cumsum(rng.standard_normal(lines)) * WANDER / np.sqrt(lines)
    clock = 2 * np.pi * np.arange(lines) / period + wander
    harmonics = np.arange(1, 4)
    phases = rng.uniform(0, 2 * np.pi, len(harmonics))
    weights = (1 / harmonics) / np.linalg.norm(1 / harmonics)
    wave = (weights * np.cos(np.outer(clock, harmonics) + phases)).sum(axis=1)
    factors = 1 + modulation * (wave - wave[lines // 2])

    zero = zero_signal(image)
    spectrum = fft.fft(image - zero, axis=along)
    spectrum *= fft.ifftshift(factors).reshape([-1 if each == along else 1 for each in range(image.ndim)])
    return as_dtype(image.dtype, zero + np.abs(fft.ifft(spectrum, axis=along, overwrite_x=True)))


def motion(
    image: NDArray, rng: Generator, *, largest: float = 2.5, moves: int = 4, axis: int = -1
) -> NDArray:
    """Move the object a few times during the scan, rigidly and within its slices.

    Each stretch of lines between two movements is taken from a copy in another place. The place
    while the middle of k-space is taken counts as unmoved, so that the mask still fits.

    Args:
        image: (channel, *spatial).
        rng: draws when it moves (once in each of `moves` equal parts of the middle third of the
            scan: what comes earlier or later leaves little to see) and where to.
        largest: a place is at most so many voxels and degrees away, and at least half of that;
            0 changes nothing.
        moves: how often it moves.
        axis: of phase encoding, one of the last two, counted without the channel axis.
    """
    from scipy import fft
    from scipy.ndimage import affine_transform, spline_filter

    along = axis % (image.ndim - 1) - (image.ndim - 1)
    lines = image.shape[along]
    times = 1 / 3 + (np.arange(moves) + rng.uniform(0, 1, moves)) / moves / 3
    towards, far, turned = rng.uniform((0, 0.5, 0.5), (2 * np.pi, 1, 1), (moves + 1, 3)).T
    shifts = largest * far * np.array([np.cos(towards), np.sin(towards)])
    turns = np.deg2rad(largest) * turned * rng.choice((-1, 1), moves + 1)
    place = fft.ifftshift(np.searchsorted(times, (np.arange(lines) + 0.5) / lines))
    still = place[0]
    rotations = [np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]) for t in turns]

    zero = zero_signal(image)
    signal = image - zero
    centre = (np.array(image.shape[-2:]) - 1) / 2
    for plane in signal.reshape(-1, *image.shape[-2:]):  # views: written in place
        spline = spline_filter(plane, mode="nearest")
        spectrum = fft.fft(plane, axis=along)
        for number, (turn, shift) in enumerate(zip(rotations, shifts.T, strict=True)):
            taken = place == number
            if number == still or not taken.any():
                continue
            offset = centre - turn @ (centre + shift)
            copy = affine_transform(spline, turn, offset, mode="nearest", prefilter=False)
            moved = fft.fft(copy, axis=along)
            np.copyto(spectrum, moved, where=taken if along == -1 else taken[:, None])
        plane[...] = np.abs(fft.ifft(spectrum, axis=along))
    return as_dtype(image.dtype, zero + signal)


def spike(image: NDArray, rng: Generator, *, sd: float = 0.1, spikes: int = 1) -> NDArray:
    """Add stripes, as from a discharge that puts a spike into k-space.

    A spike and its mirror at frequency f are a wave cos(2 pi f . x + phase), a whole number of
    periods along every axis; several spikes of one size are added.

    Args:
        image: (channel, *spatial).
        rng: draws where the spikes lie, between 0.08 and 0.35 periods per voxel within a slice and
            anywhere across, and their phases.
        sd: of the stripes, in parts of the channel's `grey_range`; 0 changes nothing.
        spikes: how many.
    """
    spatial = image.shape[1:]
    stripes = np.zeros(spatial)
    for _ in range(spikes):
        direction, radius, phase = rng.uniform((0, 0.08, 0), (2 * np.pi, 0.35, 2 * np.pi))
        across = rng.uniform(-0.5, 0.5, len(spatial) - 2)
        wave = np.exp(1j * phase)
        for size, frequency in zip(
            spatial, (*across, radius * np.cos(direction), radius * np.sin(direction)), strict=True
        ):
            periods = np.rint(frequency * size)
            wave = wave[..., None] * np.exp(2j * np.pi * periods * np.arange(size) / size)
        stripes += wave.real
    return as_dtype(image.dtype, image + sd * grey_range(image) * stripes / (stripes.std() or 1.0))
