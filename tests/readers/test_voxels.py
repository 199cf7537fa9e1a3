"""Every format there and back, with its geometry; scaling; whole numbers; channels."""

import pickle

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aleaseg.case import Geometry
from aleaseg.errors import BadVoxels, ShapeMismatch, Unreadable
from aleaseg.readers import nifti
from aleaseg.readers.fit import differs_in_world
from aleaseg.readers.voxels import (
    count_channels,
    lazy_case,
    read_geometry,
    read_image,
    read_label,
    write_nifti,
    write_png,
)


def as_itk(array, geometry):
    """The same voxels at the same place, as ITK sees them (LPS)."""
    image = SimpleITK.GetImageFromArray(array)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine[:, [2, 1, 0, 3]]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("packed", [False, True])
def test_formats_agree_with_itk(tmp_path, image, geometry, ending, packed):
    path = tmp_path / f"x.{ending}"
    SimpleITK.WriteImage(as_itk(image[0], geometry), str(path), packed)
    voxels = read_image([path], "x")
    np.testing.assert_array_equal(voxels.array, image)
    assert voxels.array.dtype == np.float32
    assert voxels.geometry.shape == geometry.shape
    np.testing.assert_allclose(voxels.geometry.spacing_mm, geometry.spacing_mm, rtol=1e-6)
    np.testing.assert_allclose(voxels.geometry.affine, geometry.affine, atol=1e-5)
    assert differs_in_world(voxels.geometry, geometry) is None
    header = read_geometry(path, "x")
    assert header == voxels.geometry
    np.testing.assert_array_equal(header.affine, voxels.geometry.affine)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_nifti_there_and_back(tmp_path, image, label, geometry, ending):
    write_nifti(tmp_path / f"i.{ending}", image[0], geometry)
    write_nifti(tmp_path / f"l.{ending}", label, geometry)
    voxels, mask = read_image([tmp_path / f"i.{ending}"], "x"), read_label(tmp_path / f"l.{ending}", "x")
    np.testing.assert_array_equal(voxels.array, image)
    np.testing.assert_array_equal(mask.array, label)
    assert mask.array.dtype == np.int16
    np.testing.assert_allclose(voxels.geometry.affine, geometry.affine, atol=1e-6)
    # nibabel, asked in its own axes, sees the same.
    seen = nibabel.load(tmp_path / f"i.{ending}")
    np.testing.assert_array_equal(np.asarray(seen.dataobj).T, image[0])
    first = (tmp_path / f"i.{ending}").read_bytes()
    write_nifti(tmp_path / f"i.{ending}", image[0], geometry)
    assert (tmp_path / f"i.{ending}").read_bytes() == first


def test_world_point_of_a_voxel(tmp_path, image, geometry):
    write_nifti(tmp_path / "i.nii.gz", image[0], geometry)
    ours = read_geometry(tmp_path / "i.nii.gz", "x").affine @ [1, 2, 3, 1]
    theirs = nibabel.load(tmp_path / "i.nii.gz").affine @ [3, 2, 1, 1]
    np.testing.assert_allclose(ours, theirs)
    itk = SimpleITK.ReadImage(str(tmp_path / "i.nii.gz")).TransformIndexToPhysicalPoint((3, 2, 1))
    np.testing.assert_allclose(ours[:3], np.array(itk) * [-1, -1, 1], atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    kind=st.sampled_from(["u1", "i1", "i2", "u2", "i4", "f4", "f8", ">i2", ">f4"]),
    slope=st.sampled_from([1.0, 0.5, 2.0]),
    intercept=st.sampled_from([0.0, -1024.0]),
)
def test_scaling_as_nibabel_does(tmp_path_factory, shape, kind, slope, intercept):
    array = np.arange(np.prod(shape)).reshape(shape).astype(np.dtype(kind)) % 100
    image = nibabel.Nifti1Image(array.T, np.eye(4), dtype=array.dtype)
    image.header.set_slope_inter(slope, intercept)
    if np.dtype(kind).byteorder == ">":
        image = nibabel.Nifti1Image(array.T, np.eye(4), image.header.as_byteswapped(">"))
        image.header.set_slope_inter(slope, intercept)
    path = tmp_path_factory.mktemp("scaling") / "x.nii.gz"
    image.to_filename(path)
    wanted = np.asarray(nibabel.load(path).dataobj).T
    np.testing.assert_allclose(read_image([path], "x").array[0], wanted, rtol=1e-6)


def test_scaling_is_applied_to_what_lies_on_disk(tmp_path):
    image = nibabel.Nifti1Image(np.full((2, 2, 2), 1000, np.int16), np.eye(4))
    image.to_filename(tmp_path / "x.nii")
    content = bytearray((tmp_path / "x.nii").read_bytes())
    content[112:120] = np.array([0.5, -24], "<f4").tobytes()
    (tmp_path / "x.nii").write_bytes(content)
    assert set(read_image([tmp_path / "x.nii"], "x").array.ravel()) == {476.0}


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    "tail", [b"", b"\0" * 100, b"rubbish behind the stream"], ids=["none", "zeros", "rubbish"]
)
def test_gzip_members_and_tails(tmp_path, geometry, members, tail):
    import gzip

    array = np.zeros((8, 512, 512), np.uint8)  # packs 1000 to 1: pieces leave the inflater half-way
    array[7, 511, 511] = 1
    write_nifti(tmp_path / "x.nii", array, Geometry(array.shape, (1, 1, 1), np.eye(4)))
    content = (tmp_path / "x.nii").read_bytes()
    step = len(content) // members + 1
    packed = b"".join(gzip.compress(content[at : at + step]) for at in range(0, len(content), step))
    (tmp_path / "x.nii.gz").write_bytes(packed + tail)
    np.testing.assert_array_equal(read_label(tmp_path / "x.nii.gz", "x").array, array)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_nothing_is_left_inside_the_inflater(tmp_path, monkeypatch, chunk):
    # Where a piece is full and all input is eaten, the end of the voxels is still inside.
    monkeypatch.setattr(nifti, "_CHUNK", chunk)
    for width in range(1, 300, 13):
        array = np.zeros((1, 2, width), np.uint8)
        write_nifti(tmp_path / "x.nii.gz", array, Geometry(array.shape, (1, 1, 1), np.eye(4)))
        np.testing.assert_array_equal(read_label(tmp_path / "x.nii.gz", "x").array, array)


def test_nifti2_and_plain_file_named_gz(tmp_path, image, geometry):
    nibabel.Nifti2Image(image[0].T, np.eye(4)).to_filename(tmp_path / "two.nii.gz")
    np.testing.assert_array_equal(read_image([tmp_path / "two.nii.gz"], "x").array, image)
    write_nifti(tmp_path / "a.nii", image[0], geometry)
    (tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_image([tmp_path / "a.nii.gz"], "x").array, image)


def test_nifti_without_a_world_has_no_affine(tmp_path, image):
    bare = Geometry(image.shape[1:], (3.0, 2.0, 1.0), None)
    write_nifti(tmp_path / "x.nii.gz", image[0], bare)
    found = read_geometry(tmp_path / "x.nii.gz", "x")
    assert found == bare
    assert found.affine is None


def test_trailing_axis_is_squeezed_and_channels_come_first(tmp_path, image, geometry):
    nibabel.Nifti1Image(image[0].T[..., None], np.eye(4)).to_filename(tmp_path / "one.nii.gz")
    assert read_image([tmp_path / "one.nii.gz"], "x").array.shape == image.shape
    two = np.concatenate([image, image + 1])
    write_nifti(tmp_path / "two.nii.gz", two, geometry)
    np.testing.assert_array_equal(read_image([tmp_path / "two.nii.gz"], "x").array, two)
    assert count_channels(tmp_path / "two.nii.gz", "x") == 2
    with pytest.raises(Unreadable, match="2 channels that differ"):
        read_label(tmp_path / "two.nii.gz", "x")
    with pytest.raises(ShapeMismatch, match=r"2 channel\(s\).*expected 1 channel"):
        read_image([tmp_path / "two.nii.gz"], "x", 1)


def test_four_axes_in_nrrd(tmp_path, image):
    two = np.concatenate([image, image + 1])
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(two, isVector=False), str(tmp_path / "x.nrrd"))
    np.testing.assert_array_equal(read_image([tmp_path / "x.nrrd"], "x").array, two)
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.moveaxis(two, 0, -1), isVector=True), str(tmp_path / "v.mha")
    )
    np.testing.assert_array_equal(read_image([tmp_path / "v.mha"], "x").array, two)


def test_two_dimensional_nifti(tmp_path):
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    nibabel.Nifti1Image(array.T, np.diag([0.5, 0.25, 1, 1])).to_filename(tmp_path / "x.nii.gz")
    voxels = read_image([tmp_path / "x.nii.gz"], "x")
    np.testing.assert_array_equal(voxels.array[0], array)
    assert voxels.geometry.spacing_mm == (0.25, 0.5)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_flat_pictures(tmp_path, ending):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (5, 7), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / f"g.{ending}", dpi=(300, 300))
    voxels = read_image([tmp_path / f"g.{ending}"], "x")
    np.testing.assert_array_equal(voxels.array[0], grey)
    assert voxels.geometry == Geometry((5, 7), (1.0, 1.0))
    assert voxels.geometry.affine is None
    colour = rng.integers(0, 255, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / f"c.{ending}")
    np.testing.assert_array_equal(
        read_image([tmp_path / f"c.{ending}"], "x").array, np.moveaxis(colour, -1, 0)
    )
    # A gray picture stored as colour is one channel, unless the others are coloured.
    Image.fromarray(np.repeat(grey[..., None], 3, -1)).save(tmp_path / f"gg.{ending}")
    assert read_image([tmp_path / f"gg.{ending}"], "x").array.shape == (1, 5, 7)
    assert read_image([tmp_path / f"gg.{ending}"], "x", 3).array.shape == (3, 5, 7)
    assert read_image([tmp_path / f"g.{ending}"], "x", 3).array.shape == (3, 5, 7)
    assert count_channels(tmp_path / f"gg.{ending}", "x") == 1
    assert count_channels(tmp_path / f"c.{ending}", "x") == 3


def test_alpha_palette_and_depth(tmp_path):
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7)
    rgba = np.dstack([grey, grey + 1, grey + 2, np.full_like(grey, 9)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert read_image([tmp_path / "a.png"], "x").array.shape == (3, 5, 7)
    Image.fromarray(grey).convert("LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image([tmp_path / "la.png"], "x").array[0], grey)
    palette = Image.new("P", (7, 5))
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [0] * 759)
    palette.putdata((grey % 3).ravel().tolist())
    palette.save(tmp_path / "p.png")
    # The index is the label, whatever its colour.
    np.testing.assert_array_equal(read_label(tmp_path / "p.png", "x").array, grey % 3)
    write_png(tmp_path / "deep.png", grey.astype(np.uint16) * 1000)
    assert read_image([tmp_path / "deep.png"], "x").array.max() == 34000
    write_png(tmp_path / "b.png", grey > 3)
    assert set(np.unique(read_label(tmp_path / "b.png", "x").array)) == {0, 1}
    Image.fromarray(rgba[..., :3]).save(tmp_path / "colour.png")
    with pytest.raises(Unreadable, match="not a colour"):
        read_label(tmp_path / "colour.png", "x")


def test_labels_are_whole(tmp_path, label, geometry):
    write_nifti(tmp_path / "f.nii.gz", label.astype(np.float32), geometry)
    np.testing.assert_array_equal(read_label(tmp_path / "f.nii.gz", "x").array, label)
    broken = label.astype(np.float32)
    broken[0, 0, 0] = 0.5
    for value in (0.5, np.nan, np.inf):
        broken[0, 0, 0] = value
        write_nifti(tmp_path / "f.nii.gz", broken, geometry)
        with pytest.raises(BadVoxels, match=r"no whole numbers \((0.5|nan|inf)\) at 1 voxels"):
            read_label(tmp_path / "f.nii.gz", "x")
    big = label.astype(np.int32)
    big[0, 0, 0] = 100_000
    write_nifti(tmp_path / "b.nii.gz", big, geometry)
    assert read_label(tmp_path / "b.nii.gz", "x").array.dtype == np.int32
    write_nifti(tmp_path / "huge.nii.gz", label * 1e12, geometry)
    with pytest.raises(BadVoxels, match="2\\^31"):
        read_label(tmp_path / "huge.nii.gz", "x")


def test_values_that_mean_one_and_values_left_out(tmp_path, label, geometry):
    write_nifti(tmp_path / "l.nii.gz", label, geometry)
    one = read_label(tmp_path / "l.nii.gz", "x", (2, 255)).array
    np.testing.assert_array_equal(one, label > 0)
    dropped = read_label(tmp_path / "l.nii.gz", "x", (), (2,)).array
    np.testing.assert_array_equal(dropped, label == 1)


def test_channels_in_several_files(tmp_path, image, geometry):
    write_nifti(tmp_path / "a.nii.gz", image[0], geometry)
    write_nifti(tmp_path / "b.nii.gz", image[0] + 1, geometry)
    paths = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    voxels = read_image(paths, "x", 2)
    np.testing.assert_array_equal(voxels.array, np.concatenate([image, image + 1]))
    assert voxels.notes == ()
    moved = geometry.affine.copy()
    moved[0, 3] += 5
    write_nifti(paths[1], image[0], Geometry(geometry.shape, geometry.spacing_mm, moved))
    (note,) = read_image(paths, "x", 2).notes
    assert (note.check, note.severity) == ("channel_geometry", "error")
    assert "up to 5 mm away" in note.found
    write_nifti(paths[1], image[0, 1:], Geometry((3, 5, 6), geometry.spacing_mm, geometry.affine))
    with pytest.raises(ShapeMismatch, match=r"shape \(3, 5, 6\) in b.nii.gz and \(4, 5, 6\)"):
        read_image(paths, "x", 2)


def test_geometry_is_compared_with_sense(geometry):
    def moved(by):
        affine = geometry.affine.copy()
        affine[1, 3] += by
        return Geometry(geometry.shape, geometry.spacing_mm, affine)

    assert differs_in_world(geometry, moved(0.06)) is None
    assert "mm away" in differs_in_world(geometry, moved(0.08))
    flipped = geometry.affine * np.array([1, -1, 1, 1])
    assert differs_in_world(geometry, Geometry(geometry.shape, geometry.spacing_mm, flipped))
    finer = Geometry(geometry.shape, (2.5, 0.8, 0.72), geometry.affine)
    assert differs_in_world(geometry, finer) == "spacing 2.5 x 0.8 x 0.72 mm instead of 2.5 x 0.8 x 0.7 mm"
    assert differs_in_world(geometry, Geometry(geometry.shape, (1.0, 1.0, 1.0), None)) is None


def test_a_case_can_be_pickled_and_read(tmp_path, image, label, geometry):
    write_nifti(tmp_path / "i.nii.gz", image[0], geometry)
    write_nifti(tmp_path / "l.nii.gz", label, geometry)
    case = lazy_case("x", [tmp_path / "i.nii.gz"], tmp_path / "l.nii.gz", channels=1)
    again = pickle.loads(pickle.dumps(case))
    np.testing.assert_array_equal(again.read_image().array, image)
    np.testing.assert_array_equal(again.read_label().array, label)
    assert again.read_geometry() == case.read_geometry()
