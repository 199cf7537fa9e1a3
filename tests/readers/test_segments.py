"""Slicer's segmentations: classes by name, whatever their numbers; layers; what no name covers."""

import numpy as np
import pytest

from aleaseg.checks import check
from aleaseg.errors import Unreadable, UsageError
from aleaseg.readers import open_dataset
from aleaseg.readers.segments import read_segments, segments_of

SHAPE = (4, 5, 6)


def seg(path, segments, layers):
    """A .seg.nrrd as Slicer writes it: (name, value, layer), and (L, D, H, W)."""
    layers = np.asarray(layers, np.uint8)
    several = len(layers) > 1
    lines = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {3 + several}",
        "space: left-posterior-superior",
    ]
    sizes = [*layers.shape[:0:-1]]
    directions = "(0.7,0,0) (0,0.8,0) (0,0,2.5)"
    lines.append("sizes: " + " ".join(map(str, [len(layers), *sizes] if several else sizes)))
    lines.append(f"space directions: {'none ' if several else ''}{directions}")
    lines.append(f"kinds: {'list ' if several else ''}domain domain domain")
    lines += ["encoding: raw", "space origin: (12,-3,4)"]
    for number, (name, value, layer) in enumerate(segments):
        lines += [f"Segment{number}_Name:={name}", f"Segment{number}_LabelValue:={value}"]
        lines += [f"Segment{number}_Layer:={layer}", f"Segment{number}_ID:=Segment_{number}"]
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.moveaxis(layers, 0, -1) if several else layers[0]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + stored.tobytes())
    return path


@pytest.fixture
def masks():
    rng = np.random.default_rng(0)
    liver = rng.random(SHAPE) > 0.5
    return liver, ~liver & (rng.random(SHAPE) > 0.5)


def test_the_header_names_segments(tmp_path, masks):
    path = seg(tmp_path / "a.seg.nrrd", [("liver", 7, 0), ("tumour", 3, 0)], [masks[0] * 7 + masks[1] * 3])
    assert [(one.name, one.value, one.layer) for one in segments_of(path, "a")] == [
        ("liver", 7, 0),
        ("tumour", 3, 0),
    ]


def test_classes_follow_names_not_numbers(tmp_path, masks, write, image):
    """Slicer numbers segments by their order in each file."""
    liver, tumour = masks
    for case, (a, b) in {"p1": (1, 2), "p2": (2, 1)}.items():
        write(tmp_path / "images" / f"{case}.nii.gz", image[0] + a)
        named = sorted([("liver", a, 0), ("tumour", b, 0)], key=lambda one: one[1])
        seg(tmp_path / "labels" / f"{case}.seg.nrrd", named, [liver * a + tumour * b])
    dataset = open_dataset(tmp_path)
    assert dict(dataset.classes) == {"liver": (1,), "tumour": (2,)}
    for case in ("p1", "p2"):
        np.testing.assert_array_equal(dataset[case].read_label().array, liver + 2 * tumour)
    chosen = open_dataset(tmp_path, classes="tumour")
    np.testing.assert_array_equal(chosen["p2"].read_label().array, tumour)
    with pytest.raises(UsageError, match="spleen"):
        open_dataset(tmp_path, classes="spleen")


def test_layers_may_overlap_and_that_is_told(tmp_path, masks):
    liver, _ = masks
    path = seg(
        tmp_path / "a.seg.nrrd", [("liver", 1, 0), ("tumour", 1, 1)], [liver, liver & (np.arange(6) > 2)]
    )
    voxels = read_segments(path, "a", {"liver": 1, "tumour": 2})
    np.testing.assert_array_equal(voxels.array == 2, liver & (np.arange(6) > 2))
    np.testing.assert_array_equal(voxels.array > 0, liver)
    assert [note.check for note in voxels.notes] == ["overlap"]
    assert voxels.geometry.spacing_mm == (2.5, 0.8, 0.7)


def test_two_segments_of_one_name_and_values_of_none_are_told(tmp_path, masks):
    liver, tumour = masks
    path = seg(tmp_path / "a.seg.nrrd", [("liver", 1, 0), ("liver", 2, 0)], [liver + 2 * tumour])
    voxels = read_segments(path, "a", {"liver": 1, "liver (2)": 2})
    np.testing.assert_array_equal(voxels.array, liver + 2 * tumour)
    assert [note.check for note in voxels.notes] == ["doubled_field"]
    path = seg(tmp_path / "b.seg.nrrd", [("liver", 1, 0)], [liver + 9 * tumour])
    assert [note.check for note in read_segments(path, "b", {"liver": 1}).notes] == ["nameless"]


@pytest.mark.parametrize(
    ("segments", "match"),
    [([], "no named segment"), ([("liver", 1, 4)], "layer"), ([("liver", "x", 0)], "value")],
)
def test_a_segmentation_that_cannot_be_understood_is_an_error(tmp_path, masks, segments, match):
    path = seg(tmp_path / "a.seg.nrrd", segments, [masks[0]])
    with pytest.raises(Unreadable, match=match):
        read_segments(path, "a", {"liver": 1})


def test_a_plain_mask_among_segmentations_says_so(tmp_path, masks, write, image):
    for case in ("p1", "p2"):
        write(tmp_path / "images" / f"{case}.nii.gz", image[0])
        named = [("liver", 1, 0)] if case == "p1" else []
        seg(tmp_path / "labels" / f"{case}.seg.nrrd", named, [masks[0]])
    errors = check(open_dataset(tmp_path)).errors
    assert {(one.case, one.check) for one in errors} >= {("p2", "unreadable_label")}


def test_a_name_with_another_number_than_declared_is_told(tmp_path, masks):
    declared = (
        '{"channel_names": {"0": "CT"}, "file_ending": ".nrrd", "labels": {"background": 0, "liver": 1}}'
    )
    (tmp_path / "dataset.json").write_text(declared)
    seg(tmp_path / "imagesTr" / "a.seg_0000.nrrd", [], [np.random.default_rng(0).integers(0, 99, SHAPE)])
    seg(tmp_path / "labelsTr" / "a.seg.nrrd", [("liver", 2, 0)], [masks[0]])
    (note,) = (one for one in check(open_dataset(tmp_path)).findings if one.check == "two_values")
    assert "liver is 2 in a.seg.nrrd and 1 as declared" in note.found
