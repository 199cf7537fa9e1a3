"""Whatever is wrong with a file, one line says case, what came, what was expected, what to do."""

import contextlib
import os
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aleaseg.errors import CaseError, Unreadable
from aleaseg.readers.voxels import read_geometry, read_image, read_label, write_nifti

VOLUMES = ["nii", "nii.gz", "nrrd", "mha"]
FLAT = ["png", "jpg", "bmp"]


@pytest.fixture
def whole(tmp_path, geometry):
    """whole(ending): a sound file in that format."""

    def _whole(ending):
        path = tmp_path / f"case.{ending}"
        rng = np.random.default_rng(0)
        if ending in ("png", "jpg", "bmp", "tif"):
            Image.fromarray(rng.integers(0, 255, (40, 50), dtype=np.uint8)).save(path)
        elif ending.startswith("nii"):
            array = rng.normal(size=geometry.shape).astype(np.float32)
            write_nifti(path, array, geometry)
        else:
            array = rng.normal(size=(8, 9, 10)).astype(np.float32)
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(path), True)
        return path

    return _whole


def refused(path, match, read=lambda path: read_image([path], "ct 7")):
    with pytest.raises(Unreadable, match=match) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith("ct 7: found ")
    assert "\n" not in text
    assert str(path) in text
    assert caught.value.advice
    return text


@pytest.mark.parametrize("ending", VOLUMES + FLAT)
@pytest.mark.parametrize("part", [0.5, 0.95])
def test_truncated(whole, ending, part, capfd):
    path = whole(ending)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    refused(path, "cut off|ends inside|bytes of voxels|expected \\d+ bytes")
    assert capfd.readouterr() == ("", "")


def test_truncated_says_how_much_there_is(whole):
    path = whole("nii.gz")
    path.write_bytes(path.read_bytes()[:-30])
    refused(path, r"cut off: \d+ of 480 bytes of voxels")
    path = whole("nii.gz")
    path.write_bytes(path.read_bytes()[:-4])  # the checksum and nothing else
    refused(path, r"cut off: its checksum is missing")
    path = whole("nii")
    path.write_bytes(path.read_bytes()[:-30])
    refused(path, r"found 450 bytes of voxels .*expected 480 bytes, .*shape \(6, 5, 4\) of float32")


@pytest.mark.parametrize("ending", [*VOLUMES, *FLAT, "tif", "mhd"])
def test_zero_bytes(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(b"")
    refused(path, "found 0 bytes in")
    refused(path, "found 0 bytes in", lambda path: read_label(path, "ct 7"))
    refused(path, "found 0 bytes in", lambda path: read_geometry(path, "ct 7"))


@pytest.mark.parametrize("ending", [*VOLUMES, *FLAT, "tif", "mhd"])
@pytest.mark.parametrize(
    "text",
    ["<!DOCTYPE html>\n<html>Not found</html>", "version https://git-lfs.github.com/spec\noid ä" * 40],
)
def test_text_in_disguise(tmp_path, ending, text):
    path = tmp_path / f"x.{ending}"
    path.write_text(text, encoding="utf-8")
    assert "text ('" in refused(path, "text|header without")


def test_five_axes(tmp_path, geometry):
    nibabel.Nifti1Image(np.zeros((4, 5, 6, 2, 3), np.uint8), np.eye(4)).to_filename(tmp_path / "x.nii.gz")
    refused(tmp_path / "x.nii.gz", r"an array with 5 axes, \(4, 5, 6, 2, 3\)")


def damage(path, at, form, *values):
    content = bytearray(path.read_bytes())
    content[at : at + struct.calcsize(form)] = struct.pack(form, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("at", "form", "values", "match"),
    [
        (0, "<i", (7,), "begins with 7 where 348 or 540"),
        (42, "<3h", (30000, 30000, 30000), "expected 108000000000000 bytes"),
        (42, "<3h", (-4, 5, 6), r"the shape is \(-4, 5, 6\)"),
        (42, "<3h", (4, 0, 6), r"the shape is \(4, 0, 6\)"),
        (70, "<h", (999,), "data code 999"),
        (70, "<h", (32,), "voxels of type complex64"),
        (108, "<f", (float("nan"),), "damaged header"),
        (108, "<f", (1e30,), "0 bytes of voxels"),
        (280, "<4f", (float("nan"),) * 4, "affine is not finite"),
        (280, "<12f", (0.0,) * 12, "voxel spacing is"),
        (280, "<8f", (1.0, 0, 0, 0) * 2, "voxel spacing is|one direction"),
        (344, "<4s", (b"zzzz",), "damaged header"),
    ],
)
def test_damaged_nifti_header(whole, at, form, values, match, caplog, capfd):
    path = damage(whole("nii"), at, form, *values)
    refused(path, match)
    refused(path, match, lambda path: read_geometry(path, "ct 7"))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_absurd_size_is_refused_before_memory_is_asked_for(tmp_path, whole, geometry):
    import gzip

    packed = gzip.compress(damage(whole("nii"), 42, "<3h", 30000, 30000, 30000).read_bytes())
    path = tmp_path / "big.nii.gz"
    path.write_bytes(packed)
    refused(path, r"at most \d+ bytes of voxels")
    for ending, old, new in (
        ("mha", b"DimSize = 10 9 8", b"DimSize = 30000 30000 30000"),
        ("nrrd", b"sizes: 10 9 8", b"sizes: 30000 30000 30000"),
    ):
        path = whole(ending)
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))
        refused(path, "108000000000000 bytes")


def test_checksum_is_compared(whole):
    path = whole("nii.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF  # in the CRC: all the voxels are there
    path.write_bytes(content)
    refused(path, "damaged .*check")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_escapes_as_anything_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    ending = data.draw(st.sampled_from(["nii", "nii.gz", "mha", "nrrd", "png"]))
    path = folder / f"x.{ending}"
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array[0] if ending == "png" else array), str(path))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for read in (lambda path, case: read_image([path], case), read_label, read_geometry):
        with contextlib.suppress(CaseError):
            read(path, "x")


def test_mhd_without_its_voxels(tmp_path, capfd):
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.zeros((3, 4, 5), np.uint8)), str(tmp_path / "x.mhd")
    )
    (tmp_path / "x.raw").unlink()
    refused(tmp_path / "x.mhd", "whose voxels are in x.raw")
    (tmp_path / "x.mhd").write_text("ObjectType = Image\nNDims = 3\n")
    refused(tmp_path / "x.mhd", "text|header without DimSize")
    assert capfd.readouterr() == ("", "")


def test_missing_folder_and_unknown_ending(tmp_path):
    refused(tmp_path / "none.nii.gz", "no file at")
    (tmp_path / "folder.nii.gz").mkdir()
    refused(tmp_path / "folder.nii.gz", "a folder at")
    (tmp_path / "x.npy").write_bytes(b"123")
    refused(tmp_path / "x.npy", "ending is not known")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(whole):
    path = whole("nii.gz")
    path.chmod(0)
    refused(path, "no permission to read")


def test_no_permission_as_anybody_sees_it(whole, monkeypatch):
    path = whole("nii.gz")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    refused(path, "no permission to read .*; change its permissions")


def test_names_that_are_no_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"case_\xff\xfe.mha")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((3, 4, 5), np.uint8)), str(tmp_path / "a.mha"))
    (tmp_path / "a.mha").rename(path)
    assert read_image([path], "x").array.shape == (1, 3, 4, 5)
