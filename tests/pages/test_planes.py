"""Slices hang as radiologists hang them."""

import numpy as np
import pytest

from aleaseg.case import Geometry
from aleaseg.pages.planes import planes_through, ways

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


def test_a_place_in_the_picture_is_a_voxel_again():
    for directions in ("SAR", "IPL", "ASR"):
        for plane in planes_through((1, 2, 3), geometry(directions)):
            for voxel in ((1, 2, 3), (0, 7, 9)):
                voxel = tuple(plane.index if axis == plane.axis else voxel[axis] for axis in range(3))
                assert plane.voxel(*plane.position(voxel, SHAPE), SHAPE) == voxel


def test_axes_are_called_as_the_patient_lies():
    assert ways(geometry("IPL")) == {
        "d": "in the head-foot direction",
        "h": "in the front-back direction",
        "w": "in the left-right direction",
    }
    assert ways(geometry("LSA"))["d"] == "in the left-right direction"
    assert ways(Geometry(SHAPE, (1, 1, 1))) == {}
