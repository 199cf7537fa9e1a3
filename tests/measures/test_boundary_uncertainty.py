"""Uncertainty along a boundary, against the distance map of the whole grid."""

import numpy as np
import pytest

from aleaseg.cues import distance_map
from aleaseg.measures.boundary_uncertainty import boundary_uncertainty


@pytest.mark.parametrize("shape", [(20, 24), (9, 20, 24)])
@pytest.mark.parametrize("place", [0, 7])
def test_it_is_the_mean_within_a_voxel_of_the_boundary(shape, place):
    label = np.zeros(shape, np.int32)
    label[tuple(slice(place, place + 2 + edge // 4) for edge in shape)] = 2
    label[tuple(slice(place, place + 2) for _ in shape)] = 1
    u = np.random.default_rng(0).random(shape)
    spacing = (3.0, 1.0, 1.0)[-len(shape) :]
    wanted = u[distance_map(label, spacing=spacing) <= 1].mean()
    assert boundary_uncertainty(u, label, spacing) == pytest.approx(wanted, rel=1e-12)


def test_the_size_of_the_structure_does_not_count():
    u = np.full((64, 64), 0.02)
    found = []
    for radius in (6, 20):
        disc = np.hypot(*(np.indices(u.shape) - 32)) <= radius
        found.append(boundary_uncertainty(np.where(distance_map(disc) <= 1, 0.5, u), disc))
    assert found == pytest.approx([0.5, 0.5])


def test_without_a_boundary_there_is_none():
    assert np.isnan(boundary_uncertainty(np.ones((5, 5)), np.zeros((5, 5), int)))
    assert np.isnan(boundary_uncertainty(np.ones((5, 5)), np.ones((5, 5), int)))
    with pytest.raises(ValueError, match="uncertainty of"):
        boundary_uncertainty(np.ones((5, 4)), np.ones((5, 5), int))
