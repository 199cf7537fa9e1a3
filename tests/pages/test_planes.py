"""Slices hang as radiologists hang them, at the place that tells most."""

import numpy as np
import pytest

from aleaseg.case import Geometry
from aleaseg.pages.planes import planes_through, telling_voxel

SHAPE = (6, 8, 10)


def geometry(directions, spacing=(3.0, 2.0, 1.0)):
    """directions: for each array axis the world letter it grows towards."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, letter in enumerate(directions):
        world = next(place for place, pair in enumerate(("LR", "PA", "IS")) if letter in pair)
        affine[world, axis] = spacing[axis] * (1 if letter in "RAS" else -1)
    return Geometry(SHAPE, spacing, affine)


@pytest.mark.parametrize("directions", ["SAR", "IPL", "RAS", "LSA", "ASR", "PIL"])
def test_what_lies_right_front_and_above_is_shown_left_and_at_the_top(directions):
    # The corner voxel that lies furthest to the right, front and top of the patient.
    corner = tuple(SHAPE[i] - 1 if directions[i] in "RAS" else 0 for i in range(3))
    volume = np.zeros(SHAPE)
    volume[corner] = 1
    for plane in planes_through(corner, geometry(directions)):
        picture = plane.cut(volume)
        row, column = np.argwhere(picture == 1)[0]
        assert (row, column) == (0, 0)
        assert plane.position(corner, SHAPE) == (0, 0)
        assert (
            plane.letters
            == {
                "axial": ("R", "L", "A", "P"),
                "coronal": ("R", "L", "S", "I"),
                "sagittal": ("A", "P", "S", "I"),
            }[plane.name]
        )


def test_names_and_spacings_follow_the_world():
    axial, coronal, sagittal = planes_through((1, 2, 3), geometry("SAR"))
    assert [axial.name, coronal.name, sagittal.name] == ["axial", "coronal", "sagittal"]
    assert axial.spacing_mm == (2.0, 1.0)
    assert coronal.spacing_mm == (3.0, 1.0)
    assert sagittal.spacing_mm == (3.0, 2.0)
    assert planes_through((1, 2, 3), geometry("RAS"))[0].name == "sagittal"


def test_without_a_world_slices_stay_as_stored():
    volume = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    planes = planes_through((1, 2, 3), Geometry(SHAPE, (1, 1, 1)))
    np.testing.assert_array_equal(planes[0].cut(volume), volume[1])
    np.testing.assert_array_equal(planes[1].cut(volume), volume[:, 2])
    assert planes[2].name == "axis 2"
    assert planes[2].letters == ("", "", "", "")


def test_the_slice_with_most_disagreement_tells_most():
    label = np.zeros(SHAPE, dtype=int)
    label[1:4, 2:6, 2:6] = 1
    predicted = label.copy()
    predicted[3, 2:6, 2:6] = 0
    predicted[1, 2, 2] = 2
    (d, h, w), why = telling_voxel(SHAPE, label, predicted)
    assert (d, why) == (3, "disagreement")
    assert 2 <= h < 6
    assert 2 <= w < 6


def test_what_is_not_annotated_cannot_disagree():
    label = np.zeros(SHAPE, dtype=int)
    label[0] = 9
    predicted = np.zeros(SHAPE, dtype=int)
    predicted[0] = 1
    predicted[4, 4, 4] = 1
    assert telling_voxel(SHAPE, label, predicted, ignore=9) == ((4, 4, 4), "disagreement")


def test_without_disagreement_the_largest_slice_of_the_mask_then_the_middle():
    label = np.zeros(SHAPE, dtype=int)
    label[2, 1:7, 1:7] = 1
    label[3, 1, 1] = 1
    assert telling_voxel(SHAPE, label, label)[0][0] == 2
    assert telling_voxel(SHAPE, label, label)[1] == "mask"
    assert telling_voxel(SHAPE, None, label)[1] == "prediction"
    assert telling_voxel(SHAPE, np.zeros(SHAPE, dtype=int), None) == ((3, 4, 5), "middle")
