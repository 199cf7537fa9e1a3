"""Distance from a boundary and strength of the gradient: against loops, and what has none."""

import numpy as np
import pytest

from aleaseg.cues import distance_map, gradient_map


def brute_distance(label, steps, ignored=None):
    """Each voxel, each neighbour, each boundary voxel."""
    cells = list(np.ndindex(label.shape))

    def counts(p):
        return label[p] != ignored

    edge = []
    for p in cells:
        around = [q for q in cells if max(abs(np.subtract(p, q))) == 1]
        if counts(p) and any(counts(q) and label[q] != label[p] for q in around):
            edge.append(p)
    found = np.full(label.shape, np.inf)
    for p in cells:
        if not counts(p):
            found[p] = np.nan
        elif edge:
            found[p] = min(np.linalg.norm(np.subtract(p, q) * steps) for q in edge)
    return found


@pytest.mark.parametrize("shape", [(7, 8), (4, 5, 4)])
@pytest.mark.parametrize("ignored", [None, 255])
@pytest.mark.parametrize("spaced", [False, True])
def test_distance_is_the_nearest_boundary_voxel(shape, ignored, spaced):
    rng = np.random.default_rng(0)
    label = np.zeros(shape, np.uint8)
    label[(slice(1, 3),) * len(shape)] = 1
    label[(slice(2, 4),) * len(shape)] = 2
    if ignored:
        label[rng.uniform(size=shape) > 0.7] = ignored
    spacing = (3.0, 1.5, 0.75)[-len(shape) :] if spaced else None
    steps = np.array(spacing or (1.0,) * len(shape)) / min(spacing or (1.0,))
    found = distance_map(label, spacing=spacing, ignore_index=ignored)
    assert found.dtype == np.float32
    assert found == pytest.approx(brute_distance(label, steps, ignored), rel=1e-6, nan_ok=True)


def test_what_has_no_boundary():
    assert np.isposinf(distance_map(np.zeros((3, 4), int))).all()
    assert np.isposinf(distance_map(np.full((3, 4), 2))).all()  # all of it inside
    assert np.isnan(distance_map(np.full((3, 4), 255), ignore_index=255)).all()
    apart = np.array([[0, 255, 1]])  # nobody knows where the border between them is
    assert distance_map(apart, ignore_index=255) == pytest.approx(
        np.array([[np.inf, np.nan, np.inf]]), nan_ok=True
    )
    assert not (distance_map(np.full((3, 4), 255), ignore_index=255, phantom=True) >= 0).any()


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_gradient_is_central_differences(shape, channels):
    image = np.random.default_rng(1).normal(size=(channels, *shape))
    spacing = (2.0, 1.0, 0.5)[: len(shape)]
    steps = np.array(spacing) / min(spacing)
    mixed = image
    if channels == 3 and len(shape) == 2:
        mixed = (0.2989 * image[0] + 0.587 * image[1] + 0.114 * image[2])[None]
    expected = np.zeros(shape)
    for p in np.ndindex(shape):
        for channel in mixed:
            square = 0.0
            for axis in range(len(shape)):
                low, high = list(p), list(p)
                low[axis], high[axis] = max(p[axis] - 1, 0), min(p[axis] + 1, shape[axis] - 1)
                run = (high[axis] - low[axis]) * steps[axis]
                square += ((channel[tuple(high)] - channel[tuple(low)]) / run) ** 2
            expected[p] += np.sqrt(square) / len(mixed)
    found = gradient_map(image, spacing=spacing)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected + 1e-8, rel=1e-5)
    if channels == 3:
        other = gradient_map(image, spacing=spacing, luminance=len(shape) == 3)
        assert not np.allclose(other, found)


def test_a_flat_axis_does_not_change():
    image = np.random.default_rng(2).normal(size=(1, 1, 5, 6)).astype(np.float32)
    assert np.array_equal(gradient_map(image)[0], gradient_map(image[:, 0]))
    assert gradient_map(np.full((1, 4, 4), 3.0)) == pytest.approx(1e-8)


def test_inputs_are_left_alone_and_bad_ones_refused():
    label = np.array([[0, 1], [255, 1]], np.uint8)
    kept = label.copy()
    distance_map(label, ignore_index=255)
    assert (label == kept).all()
    with pytest.raises(ValueError, match="whole numbers"):
        distance_map(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="spacing"):
        distance_map(label, spacing=(1.0, 0.0))
    with pytest.raises(ValueError, match="spacing"):
        gradient_map(np.zeros((1, 2, 2)), spacing=(1.0,))
    with pytest.raises(ValueError, match="channel"):
        gradient_map(np.zeros(4))
    with pytest.raises(ValueError, match="luminance"):
        gradient_map(np.zeros((2, 4, 4)), luminance=True)
