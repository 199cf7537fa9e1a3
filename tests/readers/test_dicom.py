"""A DICOM series: positions, rescaling, gaps, and folders of several."""

import shutil

import numpy as np
import pytest

from aleaseg.errors import Unreadable
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import read_geometry


def write_slice(path, number, z, value=0, series="1.2.3", size=(4, 5), slope=2, intercept=-1000):
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"{series}.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slices = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    slices.SOPClassUID, slices.SOPInstanceUID = CTImageStorage, f"{series}.{number}"
    slices.SeriesInstanceUID, slices.StudyInstanceUID = series, "1.2"
    slices.Modality, slices.InstanceNumber = "CT", number
    slices.ImagePositionPatient = [10.0, -20.0, z]
    slices.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slices.PixelSpacing, slices.SliceThickness = [0.5, 0.25], 3
    slices.Rows, slices.Columns = size
    slices.SamplesPerPixel, slices.PhotometricInterpretation = 1, "MONOCHROME2"
    slices.BitsAllocated, slices.BitsStored, slices.HighBit, slices.PixelRepresentation = 16, 16, 15, 1
    slices.RescaleSlope, slices.RescaleIntercept = slope, intercept
    slices.PixelData = (np.arange(size[0] * size[1], dtype=np.int16).reshape(size) + value).tobytes()
    slices.save_as(path, enforce_file_format=True)


@pytest.fixture
def series(tmp_path):
    # Names against the order of positions: 3, 0, 2, 1 from the top.
    for name, number, z in (("a", 4, 9.0), ("b", 1, 0.0), ("c", 3, 6.0), ("d", 2, 3.0)):
        write_slice(tmp_path / "scan" / name, number, z, value=100 * number)
    return tmp_path / "scan"


def test_one_series_is_one_case(series):
    dataset = open_dataset(series)
    assert (dataset.layout, dataset.channels, len(dataset), dataset.has_labels) == (
        "dicom",
        ("CT",),
        1,
        False,
    )
    case = dataset["scan"]
    voxels = case.read_image()
    assert voxels.array.dtype == np.float32
    assert voxels.array.shape == (1, 4, 4, 5)
    # In the order of positions, rescaled: 2 * (100 n + first voxel 0) - 1000.
    assert voxels.array[0, :, 0, 0].tolist() == [-800, -600, -400, -200]
    assert voxels.geometry.spacing_mm == (3.0, 0.5, 0.25)
    np.testing.assert_allclose(voxels.geometry.affine @ [1, 2, 4, 1], [-10 - 1, 20 - 1, 3, 1])
    assert voxels.notes == ()
    assert case.read_geometry() == voxels.geometry


def test_a_folder_of_series(series):
    shutil.copytree(series, series.parent / "patient 2" / "study")
    (series.parent / "LICENSE").write_text("free")
    (series / "notes.txt").write_text("fine")
    dataset = open_dataset(series.parent)
    assert [case.id for case in dataset.cases] == ["patient 2/study", "scan"]
    assert all(case.read_image().array.shape == (1, 4, 4, 5) for case in dataset.cases)


def test_missing_slices_are_told(series):
    (series / "c").unlink()
    write_slice(series / "e", 5, 12.0)
    (note,) = open_dataset(series)["scan"].read_image().notes
    assert (note.check, note.severity) == ("missing_slices", "note")
    assert note.found == "1 gaps of up to 6 mm among 4 slices"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda folder: write_slice(folder / "e", 5, 12.0, size=(3, 3)), "2 sizes of slices"),
        (lambda folder: write_slice(folder / "e", 5, 9.0), "two slices at one position"),
        (lambda folder: (folder / "e").write_bytes(b""), "0 bytes in"),
        (lambda folder: (folder / "e").write_text("no slice"), "which is no DICOM file"),
        (lambda folder: (folder / "c").write_bytes((folder / "c").read_bytes()[:200]), "DICOM"),
        (lambda folder: (folder / "c").write_bytes((folder / "c").read_bytes()[:-30]), "cannot be read"),
    ],
)
def test_series_that_cannot_be_read(series, change, match, capfd):
    change(series)
    with pytest.raises(Unreadable, match=match):
        open_dataset(series)["scan"].read_image()
    assert capfd.readouterr() == ("", "")


def test_two_series_in_a_folder_are_two_cases(series):
    write_slice(series / "e", 5, 12.0, series="9.9")
    cases = open_dataset(series).cases
    assert [case.read_image().array.shape[1] for case in cases] == [4, 1]
    assert [case.id for case in cases] == ["scan/series 1.2.3", "scan/series 9.9"]


def test_a_real_series(data):
    dataset = open_dataset(data / "totalseg" / "example_ct_dicom")
    voxels = dataset.cases[0].read_image()
    assert voxels.array.shape == (1, 20, 512, 512)
    assert voxels.array.min() == -1024
    assert voxels.notes == ()
    # The segmentation of the same scan, written by another tool, covers the same box (turned round).
    other = read_geometry(data / "totalseg" / "example_seg_dicom.nii.gz", "seg")
    centre = [9.5, 255.5, 255.5, 1]
    np.testing.assert_allclose(voxels.geometry.affine @ centre, other.affine @ centre, atol=0.01)
