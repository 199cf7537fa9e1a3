"""A DICOM series: positions, rescaling, gaps, and folders of several."""

import shutil

import numpy as np
import pytest

from aleaseg.checks import check
from aleaseg.errors import Unreadable, UsageError
from aleaseg.readers import open_dataset
from aleaseg.readers.dicom import find_series, open_dicom
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
    assert note.found == "1 gap of up to 6 mm among 4 slices"


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


def values(case):
    return np.unique(case.read_image().array[0, 1]).tolist()


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"intercept": -1024}, [-924, 100]),
        ({"slope": 0.5}, [50, 562]),
        ({"slope": 0.001}, [0.1, 1.124]),
        ({"BitsStored": 12, "HighBit": 11}, [100, 1124]),
    ],
)
def test_every_slice_is_rescaled_by_its_own_header(tmp_path, dicom, fields, wanted):
    array = np.full((8, 8), 100)
    array[2:5, 2:5] = 1124
    for number in range(4):
        own = fields if number else {}
        dicom.write_slice(tmp_path / "p" / f"IM{number}", array, (0, 0, 2.0 * number), "1.2.3", **own)
    (case,) = open_dataset(tmp_path).cases
    np.testing.assert_allclose(values(case), wanted, rtol=1e-6)
    assert np.unique(case.read_image().array[0, 0]).tolist() == [100, 1124]


def test_a_modality_table_is_applied(tmp_path, dicom):
    table = dicom.group(
        LUTDescriptor=[4, 0, 16],
        ModalityLUTType="US",
        LUTData=np.array([0, 10, 40, 90], np.uint16).tobytes(),
    )
    array = np.array([[0, 1], [2, 3]])
    path = dicom.write_slice(tmp_path / "p" / "IM0", array, (0, 0, 0), "1.2.3", ModalityLUTSequence=[table])
    assert path.exists()
    (case,) = open_dataset(tmp_path).cases
    assert case.read_image().array[0, 0].tolist() == [[0, 10], [40, 90]]


class TestTilt:
    def test_slices_that_lean_are_told_and_lie_where_they_say(self, tmp_path, dicom):
        import SimpleITK

        files = [
            dicom.write_slice(
                tmp_path / "p" / f"IM{number:02d}",
                np.eye(8) * number,
                (0, 0.6 * number, 2.0 * number),
                "1.2.3",
            )
            for number in range(12)
        ]
        (case,) = open_dataset(tmp_path).cases
        (note,) = case.read_image().notes
        assert note.check == "gantry_tilt"
        assert "0 x 0.6 x 0 mm across per slice" in note.found
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames([str(file) for file in files])
        image = reader.Execute()
        geometry = case.read_geometry()
        np.testing.assert_allclose(geometry.spacing_mm, image.GetSpacing()[::-1], rtol=1e-6)
        # ITK keeps the length of the step and forgets that it leans; the positions say where voxels are.
        where = np.array([5, 6.6 + 3, 22, 1]) * [-1, -1, 1, 1]
        np.testing.assert_allclose(geometry.affine @ [11, 3, 5, 1], where, atol=1e-6)

    def test_slices_that_jump_are_told(self, tmp_path, dicom):
        for number in range(6):
            position = (0, 3.0 * (number == 2), 2.0 * number)
            dicom.write_slice(tmp_path / "p" / f"IM{number}", np.eye(8), position, "1.2.3")
        assert [note.check for note in open_dataset(tmp_path)["p"].read_image().notes] == ["shifted_slices"]

    def test_a_tilt_that_positions_do_not_show_is_told(self, tmp_path, dicom):
        dicom.write_series(tmp_path / "p", np.ones((4, 8, 8)), GantryDetectorTilt=15)
        assert [note.check for note in open_dataset(tmp_path)["p"].read_image().notes] == ["two_tilts"]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"SpacingBetweenSlices": 5}, ["two_spacings"]),
        ({"SpacingBetweenSlices": 2}, []),
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.3, 0.3]}, ["no_spacing"]),
        ({"PixelSpacing": None}, ["no_spacing"]),
        ({"PhotometricInterpretation": "MONOCHROME1"}, ["turned_values"]),
        ({"ImagePositionPatient": None}, ["no_position"]),
        ({"ImageOrientationPatient": [1, 0, 0, 0.3, 0.954, 0]}, ["skewed_axes"]),
    ],
)
def test_what_headers_lack_or_say_twice_is_told(tmp_path, dicom, fields, wanted):
    dicom.write_series(tmp_path / "p", np.random.default_rng(0).integers(0, 99, (4, 8, 8)), **fields)
    assert [note.check for note in open_dataset(tmp_path)["p"].read_image().notes] == wanted


class TestEnhanced:
    def test_frames_are_ordered_and_rescaled_each_by_its_own(self, tmp_path, dicom):
        array = np.arange(4 * 3 * 5).reshape(4, 3, 5)
        heights, rescale = (6.0, 0.0, 9.0, 3.0), ((1, 0), (2, -1000), (0.5, 7), (-1, 0))
        positions = [(10.0, -20.0, z) for z in heights]
        dicom.write_enhanced(tmp_path / "p" / "IM0", array, positions, rescale)
        (case,) = open_dataset(tmp_path).cases
        voxels = case.read_image()
        order = np.argsort(heights)
        wanted = [array[k] * rescale[k][0] + rescale[k][1] for k in order]
        np.testing.assert_allclose(voxels.array[0], wanted)
        assert voxels.geometry.spacing_mm == (3.0, 0.5, 0.25)
        np.testing.assert_allclose(voxels.geometry.affine @ [1, 2, 4, 1], [-10 - 1, 20 - 1, 3, 1])
        assert voxels.notes == ()

    def test_two_frames_at_one_position_are_named(self, tmp_path, dicom):
        dicom.write_enhanced(
            tmp_path / "p" / "IM0", np.ones((2, 3, 4)), [(0, 0, 1), (0, 0, 1)], [(1, 0)] * 2
        )
        with pytest.raises(Unreadable, match="frame 1 of IM0 and frame 2 of IM0"):
            open_dataset(tmp_path)["p"].read_image()

    def test_a_film_is_an_error(self, tmp_path, dicom):
        dicom.write_slice(tmp_path / "p" / "IM0", np.ones((2, 3, 4)), (0, 0, 0), "1.2.3", NumberOfFrames=2)
        with pytest.raises(Unreadable, match="frames have no positions"):
            open_dataset(tmp_path)["p"].read_image()


class TestForeignFiles:
    """A CD as hospitals burn it."""

    @pytest.fixture
    def disc(self, tmp_path, dicom):
        for patient in range(3):
            array = np.random.default_rng(patient).integers(0, 99, (5, 8, 8))
            dicom.write_series(tmp_path / f"pat{patient}", array, series=f"1.2.{patient}")
        return tmp_path

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("viewer.exe", b"MZ" + bytes(600)),
            ("pat0/AUTORUN.INF", b"[autorun]"),
            ("pat1/Thumbs.db", b"\xd0\xcf\x11\xe0" + bytes(600)),
            ("pat1/viewer", b"\x7fELF" + bytes(600)),
            ("pat1/INDEX.HTM", b"<html>"),
            ("pat1/thumb.jpg", b"\xff\xd8" + bytes(90)),
            ("preview.jpg", b"\xff\xd8" + bytes(90)),
            ("DICOMDIR", b"index"),
            ("pat2/a_note", b"left kidney"),
            ("IMAGES/readme", b"see the folders"),
        ],
    )
    def test_what_is_no_slice_takes_nobody_with_it(self, disc, name, content):
        (disc / name).parent.mkdir(exist_ok=True)
        (disc / name).write_bytes(content)
        (disc / "DICOMDIR").write_bytes(b"index")
        dataset = open_dataset(disc)
        assert [case.id for case in dataset.cases] == ["pat0", "pat1", "pat2"]
        result = check(dataset)
        assert result.errors == ()
        known = (".exe", ".INF", ".db", ".HTM", ".jpg", "DICOMDIR", "readme")
        assert name.endswith(known) or name.rpartition("/")[2] in " ".join(
            one.found for one in result.notes
        )

    @pytest.mark.parametrize("sop", ["1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.481.2"])
    def test_reports_and_doses_are_passed_over_and_named(self, disc, dicom, sop):
        dicom.save(dicom.blank(sop, "5.5", "SR"), disc / "pat1" / "report")
        dataset = open_dataset(disc)
        assert len(dataset.cases) == 3
        (note,) = check(dataset).findings
        assert (note.case, note.check) == ("pat1", "passed_over")
        assert "report (SR)" in note.found

    @pytest.mark.parametrize("content", [b"", b"<html>not found", b"\0" * 500])
    def test_a_slice_that_is_none_any_more_is_an_error_of_its_case(self, disc, content):
        (disc / "pat1" / "IM3").write_bytes(content)
        assert {(one.case, one.check) for one in check(open_dataset(disc)).errors} == {
            ("pat1", "unreadable_image")
        }

    def test_a_series_can_be_chosen_by_name(self, disc, dicom):
        said = {"SeriesDescription": "scout", "SeriesNumber": 1}
        dicom.write_slice(disc / "pat0" / "scout", np.eye(8), (0, 0, 0), "7.7", **said)
        dataset = open_dataset(disc)
        assert [case.id for case in dataset.cases] == ["pat0/1 scout", "pat0/series 1.2.0", "pat1", "pat2"]
        chosen = open_dicom(disc, find_series(disc), image="*scout*")
        assert [case.id for case in chosen.cases] == ["pat0/1 scout"]
        with pytest.raises(UsageError, match=r"no series matches 'x'.*1 scout"):
            open_dicom(disc, find_series(disc), image="x")

    def test_colour_pictures_of_a_report_are_passed_over(self, disc, dicom):
        found = dicom.blank("1.2.840.10008.5.1.4.1.1.7", "8.8", "OT")
        found.SamplesPerPixel, found.PhotometricInterpretation, found.PlanarConfiguration = 3, "RGB", 0
        found.Rows = found.Columns = 4
        found.BitsAllocated = found.BitsStored = 8
        found.HighBit, found.PixelRepresentation, found.PixelData = 7, 0, bytes(48)
        dicom.save(found, disc / "pat1" / "dose report")
        (note,) = check(open_dataset(disc)).findings
        assert "dose report (a colour picture)" in note.found

    def test_a_series_spread_over_folders_is_told(self, disc):
        (disc / "pat1" / "more").mkdir()
        (disc / "pat1" / "IM4").rename(disc / "pat1" / "more" / "IM4")
        (note,) = (one for one in check(open_dataset(disc)).findings if one.check == "spread_series")
        assert "pat1, pat1/more" in note.found

    def test_slices_may_end_in_img(self, disc):
        for path in list((disc / "pat1").iterdir()):
            path.rename(path.with_suffix(".img"))
        assert check(open_dataset(disc)).findings == ()
        assert check(open_dataset(disc / "pat1")).findings == ()

    def test_few_files_are_opened_where_names_are_alike(self, tmp_path, dicom, monkeypatch):
        from aleaseg.readers import dicom as reader

        dicom.write_series(tmp_path / "p", np.ones((40, 2, 2)))
        looked = []
        real = reader.peek
        monkeypatch.setattr(reader, "peek", lambda path: looked.append(path) or real(path))
        assert len(open_dataset(tmp_path)) == 1
        assert len(looked) == 2


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
