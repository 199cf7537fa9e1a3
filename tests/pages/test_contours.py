"""Outlines lie between the voxels."""

import re

import numpy as np
from scipy.ndimage import binary_dilation
from skimage.draw import polygon

from aleaseg.pages.contours import outline


def points(path):
    """The absolute points of each closed line."""
    lines = []
    for part in path.split("z")[:-1]:
        start, *steps = re.split("[Ml]", part)[1:]
        numbers = [tuple(int(value) for value in re.findall(r"-?\d+", text)) for text in (start, *steps)]
        lines.append(np.cumsum(numbers, axis=0))
    return lines


def test_nothing_has_no_outline():
    assert outline(np.zeros((4, 5), dtype=bool)) == ""


def test_one_voxel_is_a_diamond_around_its_centre():
    mask = np.zeros((4, 5), dtype=bool)
    mask[1, 3] = True
    (line,) = points(outline(mask))
    assert sorted(map(tuple, line)) == [(6, 3), (7, 2), (7, 4), (8, 3)]  # (x, y) in half voxels


def test_a_mask_at_the_border_is_closed_within_the_picture():
    (line,) = points(outline(np.ones((3, 4), dtype=bool)))
    assert line.min(axis=0).tolist() == [0, 0]
    assert line.max(axis=0).tolist() == [8, 6]


def test_straight_stretches_have_no_points_within():
    mask = np.zeros((30, 40), dtype=bool)
    mask[5:25, 5:35] = True
    (line,) = points(outline(mask))
    assert len(line) == 8  # four sides, four cut corners


def test_a_hole_and_a_second_part_have_their_own_lines():
    mask = np.zeros((12, 12), dtype=bool)
    mask[1:6, 1:6] = True
    mask[3, 3] = False
    mask[9:11, 9:11] = True
    assert len(points(outline(mask))) == 3


def test_the_outline_encloses_the_mask():
    rng = np.random.default_rng(0)
    mask = binary_dilation(rng.random((20, 20)) > 0.96, iterations=2)
    drawn = np.zeros((20, 20), dtype=int)
    for line in points(outline(mask)):
        # Even-odd: a hole's line takes out what is within it.
        inside = np.zeros((20, 20), dtype=int)
        inside[polygon(line[:, 1] / 2 - 0.5, line[:, 0] / 2 - 0.5, mask.shape)] = 1
        drawn += inside
    np.testing.assert_array_equal(drawn % 2 == 1, mask)
