"""Segmentations of a DICOM series: SEG and RTSTRUCT on its grid, with their names; what does not fit is named."""

import numpy as np
import pytest

from aleaseg.checks import check
from aleaseg.errors import ShapeMismatch, UsageError
from aleaseg.readers import open_dataset

SHAPE = (5, 12, 14)


@pytest.fixture
def masks():
    rng = np.random.default_rng(0)
    liver = rng.random(SHAPE) > 0.6
    return [("liver", liver), ("tumour", ~liver & (rng.random(SHAPE) > 0.7))]


@pytest.fixture
def root(tmp_path, dicom):
    dicom.write_series(tmp_path / "p1" / "ct", np.random.default_rng(1).integers(0, 999, SHAPE))
    return tmp_path


def label_of(root, case="p1/ct"):
    dataset = open_dataset(root)
    return dataset, dataset[case].read_label()


def test_a_segmentation_is_the_label_of_the_series_it_refers_to(root, dicom, masks):
    dicom.write_segmentation(root / "p1" / "seg" / "1.dcm", masks)
    dataset, label = label_of(root)
    assert (dataset.layout, dict(dataset.classes)) == ("dicom", {"liver": (1,), "tumour": (2,)})
    assert [case.id for case in dataset.cases] == ["p1/ct"]
    np.testing.assert_array_equal(label.array == 1, masks[0][1])
    np.testing.assert_array_equal(label.array == 2, masks[1][1])
    assert label.notes == ()
    assert not check(dataset).errors


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        ((-1, 0, 0, 0, 1, 0), lambda mask: mask[:, :, ::-1]),
        ((1, 0, 0, 0, -1, 0), lambda mask: mask[:, ::-1]),
        ((0, 1, 0, 1, 0, 0), lambda mask: mask.transpose(0, 2, 1)),
    ],
)
def test_a_segmentation_stored_turned_lies_where_it_says(root, dicom, masks, orientation, turn):
    origin = (13 if orientation[0] < 0 else 0, 11 if orientation[4] < 0 else 0, 0)
    turned = [(name, turn(mask)) for name, mask in masks]
    dicom.write_segmentation(root / "p1" / "seg.dcm", turned, orientation=orientation, origin=origin)
    _, label = label_of(root)
    np.testing.assert_array_equal(label.array == 1, masks[0][1])
    np.testing.assert_array_equal(label.array == 2, masks[1][1])


def test_half_and_more_of_a_fraction_is_inside_and_said(root, dicom, masks):
    soft = (np.random.default_rng(2).random(SHAPE) * 255).astype(np.uint8)
    dicom.write_segmentation(root / "p1" / "seg.dcm", [("liver", soft)], kind="FRACTIONAL")
    _, label = label_of(root)
    np.testing.assert_array_equal(label.array == 1, soft >= 127.5)
    assert [note.check for note in label.notes] == ["soft_segmentation"]


def test_overlapping_segments_are_told(root, dicom, masks):
    both = [masks[0], ("tumour", masks[0][1])]
    dicom.write_segmentation(root / "p1" / "seg.dcm", both)
    _, label = label_of(root)
    assert not (label.array == 1).any()
    assert [note.check for note in label.notes] == ["overlap"]


@pytest.mark.parametrize("change", [{"spacing": (2, 2)}, {"origin": (0.4, 0, 0)}, {"origin": (0, 0, 0.7)}])
def test_a_segmentation_on_another_grid_is_refused(root, dicom, masks, change):
    dicom.write_segmentation(root / "p1" / "seg.dcm", masks, **change)
    with pytest.raises(ShapeMismatch, match="another grid"):
        label_of(root)


def test_a_segmentation_beyond_its_series_is_told(root, dicom, masks):
    dicom.write_segmentation(root / "p1" / "seg.dcm", masks, origin=(0, 0, 4.0))
    _, label = label_of(root)
    np.testing.assert_array_equal(label.array[2:] == 1, masks[0][1][:3])
    assert [note.check for note in label.notes] == ["outside"]


def test_two_segments_of_one_name_stay_two(root, dicom, masks):
    dicom.write_segmentation(root / "p1" / "seg.dcm", [masks[0], ("liver", masks[1][1])])
    dataset, label = label_of(root)
    assert list(dataset.classes) == ["liver", "liver (2)"]
    np.testing.assert_array_equal(label.array == 2, masks[1][1])
    assert [note.check for note in label.notes] == ["doubled_field"]


def test_two_segmentations_of_one_series_are_joined_or_refused(root, dicom, masks):
    dicom.write_segmentation(root / "p1" / "a.dcm", masks[:1])
    dicom.write_segmentation(root / "p1" / "b.dcm", masks[1:])
    _, label = label_of(root)
    assert set(np.unique(label.array)) == {0, 1, 2}
    dicom.write_segmentation(root / "p1" / "c.dcm", masks[1:])
    (finding,) = (one for one in open_dataset(root).findings if one.check == "same_id")
    assert "a.dcm" in finding.found
    assert "c.dcm" in finding.found


def test_of_two_series_the_one_referred_to_is_the_case(root, dicom, masks):
    said = {"SeriesDescription": "scout", "SeriesNumber": 1}
    dicom.write_slice(root / "p1" / "ct" / "scout", np.ones((4, 4)), (0, 0, 0), "9.9", **said)
    dicom.write_segmentation(root / "p1" / "seg.dcm", masks)
    dataset = open_dataset(root)
    (case,) = dataset.cases
    assert case.read_image().array.shape == (1, *SHAPE)
    np.testing.assert_array_equal(case.read_label().array == 1, masks[0][1])


def test_a_segmentation_of_a_series_that_is_not_here_is_named(root, dicom, masks):
    dicom.write_segmentation(root / "p1" / "seg.dcm", masks, series="7.7")
    other = open_dataset(root)
    (finding,) = (one for one in other.findings if one.check == "missing_image")
    assert "7.7" in finding.found


def test_classes_can_be_chosen(root, dicom, masks):
    dicom.write_segmentation(root / "p1" / "seg.dcm", masks)
    dataset = open_dataset(root, classes="tumour")
    assert dict(dataset.classes) == {"tumour": (1,)}
    np.testing.assert_array_equal(dataset["p1/ct"].read_label().array == 1, masks[1][1])
    with pytest.raises(UsageError, match="spleen"):
        open_dataset(root, classes="spleen")


def inside(polygon, point):
    """By the number of edges that a ray crosses, in plain Python."""
    (y, x), crossed = point, 0
    for (y0, x0), (y1, x1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
            crossed += 1
    return crossed % 2 == 1


def ring(centre, radius, z, points=17):
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False) + 0.1
    x, y = centre[1] + radius * np.cos(angle), centre[0] + radius * np.sin(angle)
    return np.stack([x, y, np.full(points, z)], axis=1)


def test_contours_are_filled_and_a_contour_inside_is_a_hole(root, dicom):
    outer, hole = [ring((5.2, 6.7), 4.1, 2.0 * k) for k in range(1, 4)], ring((5.2, 6.7), 1.9, 4.0)
    dicom.write_structures(root / "p1" / "RS.dcm", [("liver", [*outer, hole])])
    dataset, label = label_of(root)
    assert dict(dataset.classes) == {"liver": (1,)}
    wanted = np.zeros(SHAPE, bool)
    for contour in (*outer, hole):
        d = round(contour[0, 2] / 2)
        for h in range(SHAPE[1]):
            for w in range(SHAPE[2]):
                wanted[d, h, w] ^= inside(contour[:, [1, 0]], (h, w))
    np.testing.assert_array_equal(label.array == 1, wanted)
    assert label.array[2, 5, 7] == 0  # the hole
    assert label.notes == ()


def test_contours_of_another_grid_are_refused(root, dicom):
    dicom.write_structures(root / "p1" / "RS.dcm", [("liver", [ring((5, 6), 3, 2.9)])])
    with pytest.raises(ShapeMismatch, match="from the nearest slice"):
        label_of(root)


def test_contours_that_skip_slices_or_lie_outside_and_points_are_told(root, dicom):
    contours = [ring((5, 6), 3, z) for z in (0.0, 4.0, 8.0, 20.0)]
    dicom.write_structures(root / "p1" / "RS.dcm", [("liver", contours)])
    assert {note.check for note in label_of(root)[1].notes} == {"skipped_slices", "outside"}
    dicom.write_structures(root / "p1" / "RS.dcm", [("mark", contours[:1])], kind="POINT")
    assert [note.check for note in label_of(root)[1].notes] == ["no_area"]


def test_a_plan_without_structures_is_passed_over(root, dicom):
    dicom.write_structures(root / "p1" / "RS.dcm", [])
    dataset = open_dataset(root)
    assert not dataset.has_labels
    assert [(one.severity, one.check) for one in dataset.findings] == [("note", "passed_over")]
