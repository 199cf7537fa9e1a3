"""Headers that say a thing twice, or in a way that programs read differently: as the standard has it, and said."""

import json
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from aleaseg.checks import check
from aleaseg.errors import BadVoxels, CaseError, NotADataset, Unreadable
from aleaseg.readers import open_dataset
from aleaseg.readers.headers import corners_apart
from aleaseg.readers.voxels import read_geometry, read_image, read_label

ARRAY = np.arange(4 * 5 * 6, dtype=np.int16).reshape(6, 5, 4)  # (x, y, z)


def nifti(path, sform=None, qform=None, change=None):
    """A NIfTI whose two affines are given with their codes, or absent."""
    image = nibabel.Nifti1Image(ARRAY, None)
    if sform:
        image.header.set_zooms(np.linalg.norm(sform[0][:3, :3], axis=0))
    image.set_sform(*(sform or (None, 0)))
    image.set_qform(*(qform or (None, 0)))
    if change:
        change(image.header)
    nibabel.save(image, path)
    return path


def checks(path):
    return [note.check for note in read_image([path], "x").notes]


def itk_affine(path):
    """Affine in array order and RAS, as SimpleITK has it."""
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return (np.diag([-1.0, -1, 1, 1]) @ affine)[:, [2, 1, 0, 3]]


def affine(spacing=(2.0, 2.0, 3.0), origin=(10.0, 20.0, 30.0), turn=1):
    found = np.diag([*spacing, 1.0]) @ np.diag([turn, turn, 1, 1])
    found[:3, 3] = origin
    return found


class TestTwoPositions:
    def test_a_qform_that_differs_is_told_with_both_codes(self, tmp_path):
        path = nifti(tmp_path / "a.nii.gz", (affine(), 2), (affine(turn=-1), 1))
        (note,) = read_image([path], "x").notes
        assert note.check == "two_positions"
        assert "sform (code 2, read here)" in note.found
        assert "qform (code 1)" in note.found
        np.testing.assert_allclose(read_geometry(path, "x").affine[:, [2, 1, 0, 3]], affine())

    @pytest.mark.parametrize("codes", [(1, 1), (1, 2), (2, 1), (4, 1)])
    def test_two_that_agree_are_one(self, tmp_path, codes):
        path = nifti(tmp_path / "a.nii", (affine(), codes[0]), (affine(), codes[1]))
        assert checks(path) == []
        np.testing.assert_allclose(read_geometry(path, "x").affine, itk_affine(path), atol=1e-4)

    def test_a_broken_qform_beside_an_sform_is_told_and_alone_an_error(self, tmp_path):
        def broken(path):  # a quaternion longer than 1
            content = bytearray(path.read_bytes())
            content[252:254], content[256:264] = struct.pack("<h", 1), struct.pack("<2f", 2, 2)
            path.write_bytes(content)
            return path

        assert checks(broken(nifti(tmp_path / "a.nii", (affine(), 1)))) == ["two_positions"]
        with pytest.raises(Unreadable, match="qform is none"):
            read_image([broken(nifti(tmp_path / "b.nii"))], "x")

    def test_check_names_the_case(self, tmp_path):
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir()
            nifti(tmp_path / folder / "a.nii.gz", (affine(), 1))
        label = nibabel.Nifti1Image((ARRAY > 60).astype(np.uint8), affine())
        label.set_qform(affine(turn=-1), 1)
        label.set_sform(affine(), 2)
        nibabel.save(label, tmp_path / "labels" / "a.nii.gz")
        found = check(open_dataset(tmp_path)).findings
        assert [(one.case, one.severity, one.check) for one in found] == [("a", "note", "two_positions")]


@pytest.mark.parametrize("shear", [5e-5, 1e-4, 1e-3, 0.01, 0.3])
def test_what_itk_refuses_as_skewed_is_told(tmp_path, shear):
    skewed = np.eye(4)
    skewed[0, 2] = shear
    path = nifti(tmp_path / "a.nii", (skewed, 1))
    try:
        SimpleITK.ReadImage(str(path))
        refused = False
    except RuntimeError:
        refused = True
    assert (checks(path) == ["skewed_axes"]) == refused


@pytest.mark.parametrize(("unit", "mm"), [("meter", 1000.0), ("mm", 1.0), ("micron", 1e-3)])
def test_units_of_length_are_read_as_itk_reads_them(tmp_path, unit, mm):
    path = nifti(tmp_path / "a.nii", (affine(), 1), change=lambda header: header.set_xyzt_units(unit))
    geometry = read_geometry(path, "x")
    np.testing.assert_allclose(geometry.spacing_mm, np.array([3, 2, 2]) * mm)
    np.testing.assert_allclose(geometry.affine, itk_affine(path), atol=1e-4 * mm)
    assert checks(path) == ([] if mm == 1 else ["length_unit"])


def test_spacing_that_differs_from_the_affine_is_told_with_both(tmp_path):
    def change(header):
        header["pixdim"][1:4] = 1

    (note,) = read_image([nifti(tmp_path / "a.nii", (affine(), 1), change=change)], "x").notes
    assert note.check == "two_spacings"
    assert "3 x 2 x 2 mm" in note.found
    assert "1 x 1 x 1 mm" in note.found


def nrrd(path, *lines):
    text = ["NRRD0004", "type: uint8", "dimension: 3", "sizes: 4 5 6", "encoding: raw", *lines]
    path.write_bytes("\n".join(text).encode() + b"\n\n" + bytes(range(120)))
    return path


PLACED = ("space: left-posterior-superior", "space origin: (1,2,3)")


def test_nrrd_units_and_skew(tmp_path):
    plain = nrrd(tmp_path / "a.nrrd", *PLACED, "space directions: (2,0,0) (0,2,0) (0,0,3)")
    assert checks(plain) == []
    small = nrrd(
        tmp_path / "b.nrrd",
        *PLACED,
        "space directions: (2,0,0) (0,2,0) (0,0,3)",
        'space units: "um" "um" "um"',
    )
    assert checks(small) == ["length_unit"]
    np.testing.assert_allclose(read_geometry(small, "x").spacing_mm, (0.003, 0.002, 0.002))
    np.testing.assert_allclose(
        read_geometry(small, "x").affine[:3], read_geometry(plain, "x").affine[:3] / 1000
    )
    skewed = nrrd(tmp_path / "c.nrrd", *PLACED, "space directions: (1,0,0) (0,1,0) (0.3,0,1)")
    assert checks(skewed) == ["skewed_axes"]
    np.testing.assert_allclose(read_geometry(skewed, "x").affine, itk_affine(skewed), atol=1e-6)


def mha(path, *lines, data=bytes(range(120))):
    text = ["ObjectType = Image", "NDims = 3", "BinaryData = True", *lines, "DimSize = 4 5 6"]
    text += ["ElementType = MET_UCHAR", "ElementDataFile = LOCAL", ""]
    path.write_bytes("\n".join(text).encode() + data)
    return path


@pytest.mark.parametrize(
    ("lines", "wanted", "read"),
    [
        (("ElementSpacing = 1 2 3",), [], (3, 2, 1)),
        (("ElementSpacing = 1 2 3", "ElementSize = 1 2 3"), [], (3, 2, 1)),
        (("ElementSpacing = 1 2 3", "ElementSize = 5 5 5"), ["two_spacings"], (3, 2, 1)),
        (("ElementSpacing = 1 2 3", "ElementSpacing = 4 4 4"), ["doubled_field"], (4, 4, 4)),
        (("ElementSpacing = 1 2 3", "Offset = 1 1 1", "Position = 5 5 5"), ["doubled_field"], (3, 2, 1)),
        (("ElementSpacing = 1 2 3", "DistanceUnits = um"), ["length_unit"], (0.003, 0.002, 0.001)),
        (("ElementSpacing = 1 1 1", "TransformMatrix = 1 0 0 0 1 0 0.3 0 1"), ["skewed_axes"], None),
    ],
)
def test_metaimage_fields(tmp_path, lines, wanted, read):
    path = mha(tmp_path / "a.mha", *lines)
    assert checks(path) == wanted
    if read:
        np.testing.assert_allclose(read_geometry(path, "x").spacing_mm, read)
    if "length_unit" not in wanted:
        np.testing.assert_allclose(read_geometry(path, "x").affine, itk_affine(path), atol=1e-6)


def test_bytes_to_spare_are_told_and_packed_ones_that_lack_are_an_error(tmp_path):
    assert checks(mha(tmp_path / "a.mha", data=bytes(121))) == ["spare_bytes"]
    assert checks(nrrd(tmp_path / "b.nrrd", *PLACED, "space directions: (2,0,0) (0,2,0) (0,0,3)")) == []
    image = SimpleITK.GetImageFromArray(ARRAY)
    SimpleITK.WriteImage(image, str(tmp_path / "c.mha"), True)
    content = (tmp_path / "c.mha").read_bytes().replace(b"MET_SHORT", b"MET_FLOAT")
    (tmp_path / "c.mha").write_bytes(content)
    with pytest.raises(Unreadable, match="at most 240 bytes of voxels"):
        read_image([tmp_path / "c.mha"], "x")


class TestPairs:
    def test_a_nifti_pair_is_read_by_its_img(self, tmp_path):
        nibabel.save(nibabel.Nifti1Pair(ARRAY, affine()), tmp_path / "a.img")
        voxels = read_image([tmp_path / "a.img"], "x")
        np.testing.assert_array_equal(voxels.array[0], ARRAY.T)
        np.testing.assert_allclose(voxels.geometry.affine, itk_affine(tmp_path / "a.img"), atol=1e-5)
        assert voxels.notes == ()

    def test_analyze_knows_no_side(self, tmp_path):
        nibabel.AnalyzeImage(ARRAY, np.diag([-2, 2, 3, 1.0])).to_filename(tmp_path / "a.img")
        voxels = read_image([tmp_path / "a.img"], "x")
        np.testing.assert_array_equal(voxels.array[0], ARRAY.T)
        assert voxels.geometry.spacing_mm == (3.0, 2.0, 2.0)
        assert voxels.geometry.affine is None
        assert [note.check for note in voxels.notes] == ["no_position"]

    def test_a_header_is_missed(self, tmp_path):
        nibabel.save(nibabel.Nifti1Pair(ARRAY, affine()), tmp_path / "a.img")
        (tmp_path / "a.hdr").unlink()
        with pytest.raises(Unreadable, match=r"a\.hdr beside it"):
            read_image([tmp_path / "a.img"], "x")

    def test_a_data_set_of_pairs(self, tmp_path):
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir()
            for case in ("a", "b"):
                array = ARRAY + ord(case) if folder == "images" else (ARRAY > 60).astype(np.int16)
                nibabel.save(nibabel.Nifti1Pair(array, affine()), tmp_path / folder / f"{case}.img")
        dataset = open_dataset(tmp_path)
        assert [case.id for case in dataset.cases] == ["a", "b"]
        (note,) = check(dataset).findings
        assert (note.check, "images/a.img, images/b.img" in note.found) == ("two_files", True)


def stack(path, array):
    frames = [Image.fromarray(one) for one in array]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


class TestPictures:
    array = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)

    @pytest.mark.parametrize("name", ["c_0000.tif", "c.tif"])
    def test_nnunets_json_states_the_spacing_of_a_tiff(self, tmp_path, name):
        path = stack(tmp_path / name, self.array)
        (tmp_path / "c.json").write_text('{"spacing": [5.0, 0.5, 0.25]}')
        assert read_geometry(path, "x").spacing_mm == (5.0, 0.5, 0.25)
        assert read_label(path, "x").geometry.spacing_mm == (5.0, 0.5, 0.25)
        assert checks(path) == []

    @pytest.mark.parametrize("said", [[1, 2], "wide", [1, 0, 1], [1, None, 1], [1, 2, 3, 4]])
    def test_a_spacing_that_is_none_is_an_error(self, tmp_path, said):
        path = stack(tmp_path / "c.tif", self.array)
        (tmp_path / "c.json").write_text(json.dumps({"spacing": said}))
        with pytest.raises(Unreadable, match=r"c\.json"):
            read_geometry(path, "x")

    def test_imagej_and_a_json_that_differ_are_told(self, tmp_path):
        frames = [Image.fromarray(one) for one in self.array]
        said = "ImageJ=1.53\nimages=3\nunit=micron\nspacing=500.0\n"
        tags = {270: said, 282: 0.002, 283: 0.001}  # pixels per micron
        frames[0].save(tmp_path / "c.tif", save_all=True, append_images=frames[1:], tiffinfo=tags)
        np.testing.assert_allclose(
            read_geometry(tmp_path / "c.tif", "x").spacing_mm, (0.5, 1.0, 0.5), rtol=1e-5
        )
        (tmp_path / "c.json").write_text('{"spacing": [5, 1, 0.5]}')
        (note,) = read_image([tmp_path / "c.tif"], "x").notes
        assert note.check == "two_spacings"
        assert "5 x 1 x 0.5 mm in c.json" in note.found

    def test_a_json_against_a_header_is_told(self, tmp_path):
        path = nifti(tmp_path / "c.nii.gz", (affine(), 1))
        (tmp_path / "c.json").write_text('{"spacing": [2, 2, 3]}')  # x, y, z: the same
        assert checks(path) == []
        (tmp_path / "c.json").write_text('{"spacing": [1, 1, 1]}')
        assert checks(path) == ["two_spacings"]
        assert read_geometry(path, "x").spacing_mm == (3.0, 2.0, 2.0)

    @pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
    def test_exif_orientation_is_told(self, tmp_path, ending):
        exif = Image.Exif()
        exif[274] = 6
        Image.fromarray(self.array[0]).save(tmp_path / f"a.{ending}", exif=exif)
        (note,) = read_image([tmp_path / f"a.{ending}"], "x").notes
        assert note.check == "exif_orientation"
        assert "90 degrees" in note.found
        exif[274] = 1
        Image.fromarray(self.array[0]).save(tmp_path / f"b.{ending}", exif=exif)
        assert checks(tmp_path / f"b.{ending}") == []


def test_a_position_that_only_the_image_knows_is_told(tmp_path, write, image, label):
    write(tmp_path / "images" / "a.nii.gz", image[0])
    (tmp_path / "labels").mkdir()
    plain = nibabel.Nifti1Image(label.T, None)
    plain.header.set_zooms((0.7, 0.8, 2.5))
    plain.header["sform_code"] = plain.header["qform_code"] = 0
    nibabel.save(plain, tmp_path / "labels" / "a.nii.gz")
    notes = [one.check for one in check(open_dataset(tmp_path)).findings]
    assert notes == ["one_geometry"]


def test_corners_apart_is_the_farthest_corner():
    moved, turned = np.eye(4), np.diag([-1.0, 1, 1, 1])
    moved[0, 3] = 2
    assert corners_apart((3, 4, 5), np.eye(4), moved) == 2
    assert corners_apart((3, 4, 5), np.eye(4), turned) == 4
    assert corners_apart((4, 5), np.eye(4)[:, [2, 1, 0, 3]], np.eye(4)[:, [2, 1, 0, 3]]) == 0


def test_the_masks_of_one_case_lie_on_one_grid(tmp_path, write, image, label, geometry):
    from dataclasses import replace

    from aleaseg.readers.voxels import write_nifti

    write(tmp_path / "s1" / "ct.nii.gz", image[0])
    write(tmp_path / "s1" / "segmentations" / "a.nii.gz", label > 0)
    moved = geometry.affine.copy()
    moved[0, 3] += 5
    write_nifti(tmp_path / "s1" / "segmentations" / "b.nii.gz", label > 1, replace(geometry, affine=moved))
    (finding,) = (one for one in check(open_dataset(tmp_path)).errors)
    assert finding.check == "mask_geometry"
    assert "a.nii.gz" in finding.expected
    assert "b.nii.gz" in finding.found


def test_damage_is_an_error_in_one_line(tmp_path):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[20] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(CaseError, match="damaged at byte 8"):
        read_image([tmp_path / "a.png"], "x")


class TestDeclaredTwice:
    def declared(self, root, labels):
        (root / "dataset.json").write_text(
            '{"channel_names": {"0": "CT"}, "file_ending": ".nii.gz", "labels": ' + labels + "}"
        )
        return root

    @pytest.mark.parametrize(
        "labels",
        ['{"background": 0, "liver": 1, "liver": 2}', '{"0": "background", "1": "liver", "2": "liver"}'],
    )
    def test_two_values_of_one_name_are_an_error_with_both(self, tmp_path, labels):
        with pytest.raises(NotADataset, match="'liver' has two values, 1 and 2"):
            open_dataset(self.declared(tmp_path, labels))

    def test_said_twice_alike_is_once(self, tmp_path, write, image, label):
        write(tmp_path / "imagesTr" / "a_0000.nii.gz", image[0])
        write(tmp_path / "labelsTr" / "a.nii.gz", label)
        same = '{"background": 0, "liver": 1, "liver": 1, "cyst": 2}'
        assert dict(open_dataset(self.declared(tmp_path, same)).classes) == {"liver": (1,), "cyst": (2,)}


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_mask_in_the_opacity_is_an_error(tmp_path, mode):
    alpha = np.zeros((9, 12), np.uint8)
    alpha[2:5, 3:7] = 255
    picture = Image.new(mode, (12, 9))
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "a.png")
    with pytest.raises(BadVoxels, match="an opacity that varies"):
        read_label(tmp_path / "a.png", "x")
    picture.putalpha(255)
    picture.save(tmp_path / "b.png")
    assert not read_label(tmp_path / "b.png", "x").array.any()
