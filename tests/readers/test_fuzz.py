"""Every format, its header or its bytes changed at random: the right value, a note, or an error; never unsaid.

The right value is SimpleITK's, read from the changed file: another program's opinion of the same bytes. Where
both read it and no note says that they differ, voxels and places have to be the same.
"""

import gzip
import re
import struct
import time

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

from aleaseg.checks import check
from aleaseg.errors import AleasegError, CaseError
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import read_geometry, read_image, read_label

SHAPE = (6, 9, 11)
FORMATS = (
    "nii",
    "nii.gz",
    "img",
    "nrrd",
    "nhdr",
    "mha",
    "mhd",
    "png",
    "tif",
    "jpg",
    "bmp",
    "dicom",
    "enhanced",
    "seg",
)
N_FEW, N_ALL = 42, 560


def volume(rng):
    return (1000 + rng.integers(0, 400, SHAPE)).astype(np.int16)


def write(folder, kind, rng, dicom):
    """One image, and the files that a change may strike; the path that is read, None for a folder of DICOM."""
    array = volume(rng)
    if kind in ("png", "tif", "jpg", "bmp"):
        path = folder / f"x.{kind}"
        Image.fromarray((array[0] % 251).astype(np.uint8)).save(path)
        return path
    if kind == "dicom":
        dicom.write_series(folder, array, spacing=(0.7, 0.8), slope=2, intercept=-1000)
        return None
    if kind == "enhanced":
        positions = [(1.0, 2.0, 3.0 * place) for place in range(SHAPE[0])]
        dicom.write_enhanced(
            folder / "IM0", array, positions, [(1 + place, -5.0) for place in range(SHAPE[0])]
        )
        return None
    if kind == "seg":
        dicom.write_series(folder / "ct", array)
        dicom.write_segmentation(folder / "seg.dcm", [("a", array > 1200)])
        return None
    path = folder / f"x.{kind}"
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.5, 30.0, 4.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    if kind == "img":
        turned = np.diag([-0.7, -0.8, 2.5, 1.0])
        nibabel.save(nibabel.Nifti1Pair(array.T, turned), path)
    else:
        SimpleITK.WriteImage(image, str(path), bool(rng.integers(2)) and kind != "nii.gz")
    return path


NIFTI_FIELDS = {  # offset, form, values
    "dim": (40, "<8h", [
        (3, 11, 9, 6, 1, 1, 1, 1), (2, 11, 9, 1, 1, 1, 1, 1), (4, 11, 9, 3, 2, 1, 1, 1), (9,) * 8, (0,) * 8,
    ]),
    "datatype": (70, "<2h", [(4, 16), (512, 16), (2, 8), (16, 32), (64, 64), (128, 24), (999, 16), (1536, 128)]),
    "pixdim": (76, "<8f", [
        (1, 2, 2, 2, 1, 1, 1, 1), (-1, 0.7, 0.8, 2.5, 1, 1, 1, 1), (1, 0, 0, 0, 1, 1, 1, 1),
        (1, np.nan, 1, 1, 1, 1, 1, 1),
    ]),
    "vox_offset": (108, "<f", [(352,), (0,), (400,), (1e9,), (-5,), (np.nan,)]),
    "scale": (112, "<2f", [(2, -5), (0, 7), (np.nan, 0), (np.inf, 0), (1e30, 0), (-1, 0)]),
    "units": (123, "<B", [(1,), (2,), (3,), (0,), (5,), (255,)]),
    "codes": (252, "<2h", [(0, 0), (1, 0), (0, 1), (2, 1), (1, 1), (1, 2), (-3, 7)]),
    "quatern": (256, "<6f", [(0, 0, 1, 5, 6, 7), (0.5, 0.5, 0.5, 0, 0, 0), (2, 2, 2, 0, 0, 0), (np.nan,) * 6]),
    "srow": (280, "<12f", [
        (1, 0, 0.3, 0, 0, 1, 0, 0, 0, 0, 1, 0), (2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0), (0,) * 12, (np.nan,) * 12,
    ]),
    "magic": (344, "<4s", [(b"n+1\0",), (b"ni1\0",), (b"\0\0\0\0",), (b"n+2\0",)]),
    "sizeof_hdr": (0, "<i", [(348,), (540,), (349,), (1543569408,)]),
}  # fmt: skip
NRRD_CHANGES = {
    "sizes": ["11 9 6", "11 9", "1 2 3", "-1 9 6", "999999 99999 99999"],
    "type": ["float", "uint8", "block", "short"],
    "space directions": [
        "(1,0,0) (0,1,0) (0.3,0,1)", "(nan,0,0) (0,1,0) (0,0,1)", "none none none", "(0,0,0) (0,0,0) (0,0,0)",
    ],
    "space": ["right-anterior-superior", "scanner-xyz", "nonsense"],
    "endian": ["big", "middle"],
    "kinds": [
        'domain domain domain\nspace units: "um" "um" "um"', 'domain domain domain\nspace units: "cm" "cm" "cm"',
        "list domain domain",
    ],
    "encoding": ["gzip", "raw", "ascii", "zrl"],
}  # fmt: skip
META_CHANGES = {
    "DimSize": ["11 9 6", "1 1 1", "-2 9 6", "9999999 9999999 9"],
    "ElementSpacing": [
        "2 2 2", "0 0 0", "1 2 3\nElementSize = 4 5 6", "1 1 1\nElementSpacing = 3 3 3",
        "1 1 1\nDistanceUnits = um", "a b c",
    ],
    "TransformMatrix": ["1 0 0 0 1 0 0.3 0 1", "0 0 0 0 0 0 0 0 0", "1 0 0 0 1 0 0 0 1\nRotation = 0 1 0 1 0 0 0 0 1"],
    "ElementType": ["MET_FLOAT", "MET_UCHAR", "MET_NONSENSE"],
    "BinaryDataByteOrderMSB": ["True", "False\nPosition = 9 9 9"],
}  # fmt: skip
TEXT_CHANGES = [
    (rf"(?m)^{name}{sign}.*$".encode(), [f"{name}{sign}{one}".encode() for one in those])
    for sign, changes in ((": ", NRRD_CHANGES), (" = ", META_CHANGES))
    for name, those in changes.items()
]
DICOM_CHANGES = {
    "ImagePositionPatient": [[0, 0, 999], [3, 3, 3], None, [0, 7, 2], [0, 0]],
    "ImageOrientationPatient": [[0, 1, 0, 1, 0, 0], [1, 0, 0, 0.3, 1, 0], None, [0, 0, 0, 0, 0, 0]],
    "PixelSpacing": [[2, 2], None, [0, 0], [-1, 1]],
    "RescaleSlope": [0.5, 0.001, None, 0, -1],
    "RescaleIntercept": [7, None, -30000],
    "Rows": [9, 3, 0, 9999],
    "BitsAllocated": [8, 32],
    "PixelRepresentation": [0, 1],
    "SeriesInstanceUID": ["9.9.9", None],
    "NumberOfFrames": [1, 3],
    "SamplesPerPixel": [3, 1],
    "PhotometricInterpretation": ["MONOCHROME1", "RGB"],
    "SpacingBetweenSlices": [2, 7],
    "GantryDetectorTilt": [0, 15],
    "SOPClassUID": ["1.2.840.10008.5.1.4.1.1.88.11", None, "1.2.3"],
    "SharedFunctionalGroupsSequence": [None],
    "PerFrameFunctionalGroupsSequence": [None],
    "SegmentSequence": [None],
    "ReferencedSeriesSequence": [None],
}


def spoil_nifti(content, rng):
    name = rng.choice(list(NIFTI_FIELDS))
    offset, form, values = NIFTI_FIELDS[name]
    value = values[rng.integers(len(values))]
    return content[:offset] + struct.pack(form, *value) + content[
        offset + struct.calcsize(form) :
    ], f"{name} {value}"


def spoil_text(content, rng):
    fitting = [one for one in TEXT_CHANGES if re.search(one[0], content[:2000])]
    pattern, values = fitting[rng.integers(len(fitting))]
    value = values[rng.integers(len(values))]
    return re.sub(pattern, value, content, count=1), value.decode()


def spoil_bytes(content, rng):
    """Cut off, or some bytes changed, or another kind of file."""
    match int(rng.integers(5)):
        case 0:
            return content[: int(rng.integers(len(content)))], "cut off"
        case 1:
            return b"", "empty"
        case 2:
            return b"<html>not found</html>" * 9, "a web page"
        case 3:
            return bytes(rng.integers(0, 256, len(content), dtype=np.uint8)), "noise"
    changed = bytearray(content)
    for _ in range(3):
        changed[int(rng.integers(min(len(changed), 400)))] = int(rng.integers(256))
    return bytes(changed), "bytes changed"


def spoil_dicom(path, rng):
    header = pydicom.dcmread(path)
    name = str(rng.choice([name for name in DICOM_CHANGES if name in header]))
    values = DICOM_CHANGES[name]
    value = values[rng.integers(len(values))]
    if value is None:
        delattr(header, name)
    else:
        setattr(header, name, value)
    header.save_as(path)
    return f"{name} {value}"


def spoil(path, kind, rng):
    """Change one file; what was done, in words."""
    if kind in ("dicom", "enhanced", "seg") and rng.random() < 0.7:
        return spoil_dicom(path, rng)
    content = path.read_bytes()
    fields = rng.random() < 0.8
    if kind in ("nii", "nii.gz", "img") and path.suffix != ".img" and fields:
        plain = gzip.decompress(content) if kind == "nii.gz" else content
        changed, what = spoil_nifti(plain, rng)
        path.write_bytes(gzip.compress(changed) if kind == "nii.gz" else changed)
    elif path.suffix in (".nrrd", ".nhdr", ".mha", ".mhd") and fields:
        changed, what = spoil_text(content, rng)
        path.write_bytes(changed)
    else:
        changed, what = spoil_bytes(content, rng)
        path.write_bytes(changed)
    return what


def by_itk(path):
    """(voxels, spacing of the array's axes, affine in RAS) as SimpleITK reads the file; None where it refuses."""
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = SimpleITK.ReadImage(str(path))
        array = SimpleITK.GetArrayFromImage(image)
    except RuntimeError:
        return None
    if image.GetNumberOfComponentsPerPixel() > 1 or image.GetDimension() != 3:
        return None
    affine = np.eye(4)
    spacing = np.array(image.GetSpacing())
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * spacing
    affine[:3, 3] = image.GetOrigin()
    return array, spacing[::-1], (np.diag([-1.0, -1, 1, 1]) @ affine)[:, [2, 1, 0, 3]]


def agree(ours, theirs, what):
    """That a reading without a note is the independent one."""
    array, spacing, affine = theirs
    geometry = ours.geometry
    if array.shape != ours.array.shape[1:]:
        return  # several channels, which ITK calls another axis
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(ours.array[0], array.astype(np.float32), err_msg=what)
    if geometry.affine is not None:
        np.testing.assert_allclose(geometry.spacing_mm, spacing, rtol=1e-3, err_msg=what)
        np.testing.assert_allclose(geometry.affine, affine, rtol=1e-3, atol=1e-2, err_msg=what)


def one_input(folder, seed, dicom):
    rng = np.random.default_rng(seed)
    kind = FORMATS[seed % len(FORMATS)]
    path = write(folder, kind, rng, dicom)
    # A `.nhdr`, `.mhd` or `.img` has a second file.
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    struck = files[rng.integers(len(files))] if rng.random() < 0.5 or path is None else path
    if kind == "img" and rng.random() < 0.7:
        struck = path.with_suffix(".hdr")
    return kind, path, struck, f"{kind}, seed {seed}, {struck.name}: {spoil(struck, kind, rng)}"


def judge(folder, seed, dicom):
    kind, path, struck, what = one_input(folder, seed, dicom)
    begun = time.monotonic()
    if path is None:
        judge_dicom(folder, kind, struck, what)
    else:
        try:
            ours = read_image([path], "x")
            assert read_geometry(path, "x").spacing_mm == ours.geometry.spacing_mm, what
        except CaseError as error:
            said = str(error)
            assert said.startswith("x: found"), what
        else:
            theirs = by_itk(path)
            if theirs is not None and not ours.notes:
                agree(ours, theirs, what)
        try:
            read_label(path, "x")
        except CaseError as error:
            said = str(error)
            assert "\n" not in said, what
    assert time.monotonic() - begun < 20, what


def judge_dicom(folder, kind, struck, what):
    try:
        dataset = open_dataset(folder)
    except AleasegError as error:
        said = str(error)
        assert str(folder) in said, what
        return
    found = check(dataset)
    assert "unforeseen" not in {one.check for one in found.findings}, (what, found.findings)
    used = {file for case in dataset.cases for file in (*case.image_files, *case.label_files)}
    told = " ".join(one.found for one in found.findings)
    # A slice that is struck out, or a label that is not linked, is named.
    assert struck in used or struck.name in told, (what, told)
    for case in dataset.cases:
        try:
            voxels = case.read_image()
        except CaseError:
            assert any(one.case == case.id and one.severity == "error" for one in found.findings), what
            continue
        if any(one.check == "turned_values" for one in voxels.notes):
            continue  # ITK turns the values of some slices round, and a note says so
        for name, value in slices_of(case.image_files):
            if value is not None and not np.isin(value, voxels.array).all():
                raise AssertionError(f"{what}: {name} has values that the volume lacks")


def slices_of(files):
    """Rescaled values at the corner of each slice, straight from pydicom; None where it is no plain slice."""
    for path in files:
        try:
            header = pydicom.dcmread(path)
            values = header.pixel_array.astype(np.float64)
            if values.ndim != 2:
                continue
            slope = header.get("RescaleSlope")
            values = values * float(1 if slope is None else slope) + float(
                header.get("RescaleIntercept") or 0
            )
        except Exception:  # whatever pydicom says of a damaged file
            continue
        yield path.name, values.astype(np.float32)


@pytest.mark.parametrize("seed", range(N_FEW))
def test_a_changed_file_is_read_right_or_named(tmp_path, seed, dicom, capfd):
    judge(tmp_path, seed, dicom)
    if FORMATS[seed % len(FORMATS)] != "tif":  # libtiff speaks for itself
        assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(N_FEW, N_ALL))
def test_hundreds_of_changed_files(tmp_path, seed, dicom, capfd):
    judge(tmp_path, seed, dicom)
    if FORMATS[seed % len(FORMATS)] != "tif":  # libtiff speaks for itself
        assert capfd.readouterr().err == ""
