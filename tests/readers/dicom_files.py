"""DICOM files for tests, written with pydicom alone: slices, enhanced images, SEG and RTSTRUCT."""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

SEG, RTSTRUCT = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.3"
ACROSS = (1, 0, 0, 0, 1, 0)


def group(**fields):
    found = Dataset()
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def blank(sop, series, modality):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = Dataset()
    found.file_meta = meta
    found.SOPClassUID, found.SOPInstanceUID = sop, meta.MediaStorageSOPInstanceUID
    found.SeriesInstanceUID, found.StudyInstanceUID, found.Modality = series, "1.2", modality
    found.FrameOfReferenceUID = "1.2.9"
    return found


def voxels(found, array, bits=16):
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.Rows, found.Columns = array.shape[-2:]
    found.BitsAllocated = found.BitsStored = bits
    found.HighBit, found.PixelRepresentation = bits - 1, 0
    found.PixelData = (
        array.tobytes() if bits > 1 else np.packbits(array.ravel(), bitorder="little").tobytes()
    )
    if len(found.PixelData) % 2:
        found.PixelData += b"\0"


def save(found, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_as(path, enforce_file_format=True)
    return path


def write_slice(path, array, position, series, spacing=(1, 1), slope=1, intercept=0, **fields):
    """One CT slice, uint16 (H, W) stored."""
    found = blank(CTImageStorage, series, "CT")
    found.ImagePositionPatient, found.ImageOrientationPatient = list(position), list(ACROSS)
    found.PixelSpacing, found.SliceThickness = list(spacing), 2
    found.RescaleSlope, found.RescaleIntercept, found.InstanceNumber = (
        slope,
        intercept,
        int(position[2]) + 1,
    )
    voxels(found, array.astype(np.uint16))
    for name, value in fields.items():
        if value is None:
            delattr(found, name)
        else:
            setattr(found, name, value)
    return save(found, path)


def write_series(folder, array, series="1.2.3", step=2.0, **fields):
    """A series of slices, (D, H, W)."""
    for number, one in enumerate(array):
        write_slice(folder / f"IM{number}", one, (0, 0, step * number), series, **fields)
    return folder


def write_enhanced(path, array, positions, rescale, series="1.2.3", spacing=(0.5, 0.25)):
    """An enhanced multi-frame image: per frame a position and (slope, intercept)."""
    found = blank(EnhancedCTImageStorage, series, "CT")
    found.NumberOfFrames = len(array)
    voxels(found, array.astype(np.uint16))
    found.SharedFunctionalGroupsSequence = [
        group(
            PixelMeasuresSequence=[group(PixelSpacing=list(spacing), SliceThickness=3)],
            PlaneOrientationSequence=[group(ImageOrientationPatient=list(ACROSS))],
        )
    ]
    found.PerFrameFunctionalGroupsSequence = [
        group(
            PlanePositionSequence=[group(ImagePositionPatient=list(position))],
            PixelValueTransformationSequence=[
                group(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU")
            ],
        )
        for position, (slope, intercept) in zip(positions, rescale, strict=True)
    ]
    return save(found, path)


def write_segmentation(
    path,
    masks,
    series="1.2.3",
    step=2.0,
    spacing=(1, 1),
    kind="BINARY",
    orientation=ACROSS,
    origin=(0, 0, 0),
):
    """A SEG: name -> mask (D, H, W), or fractions of 255; frames without a voxel are left out, as programs do."""
    found = blank(SEG, generate_uid(), "SEG")
    found.SegmentationType = kind
    found.ReferencedSeriesSequence = [group(SeriesInstanceUID=series)]
    found.SegmentSequence = [
        group(SegmentNumber=number, SegmentLabel=name) for number, (name, _) in enumerate(masks, 1)
    ]
    frames, groups = [], []
    for number, (_, mask) in enumerate(masks, 1):
        for place, one in enumerate(mask):
            if one.any():
                frames.append(one)
                where = [origin[0], origin[1], origin[2] + step * place]
                groups.append(
                    group(
                        SegmentIdentificationSequence=[group(ReferencedSegmentNumber=number)],
                        PlanePositionSequence=[group(ImagePositionPatient=where)],
                    )
                )
    found.NumberOfFrames = len(frames)
    found.SharedFunctionalGroupsSequence = [
        group(
            PixelMeasuresSequence=[group(PixelSpacing=list(spacing), SliceThickness=step)],
            PlaneOrientationSequence=[group(ImageOrientationPatient=list(orientation))],
        )
    ]
    found.PerFrameFunctionalGroupsSequence = groups
    if kind == "FRACTIONAL":
        found.MaximumFractionalValue = 255
    voxels(found, np.stack(frames).astype(np.uint8), bits=1 if kind == "BINARY" else 8)
    return save(found, path)


def write_structures(path, contours, series="1.2.3", kind="CLOSED_PLANAR"):
    """An RTSTRUCT: (name, [points (n, 3) in mm, ...]) each."""
    found = blank(RTSTRUCT, generate_uid(), "RTSTRUCT")
    refers = group(RTReferencedSeriesSequence=[group(SeriesInstanceUID=series)])
    found.ReferencedFrameOfReferenceSequence = [
        group(FrameOfReferenceUID="1.2.9", RTReferencedStudySequence=[refers])
    ]
    found.StructureSetROISequence = [
        group(ROINumber=number, ROIName=name) for number, (name, _) in enumerate(contours, 1)
    ]
    found.ROIContourSequence = [
        group(
            ReferencedROINumber=number,
            ContourSequence=[
                group(
                    ContourGeometricType=kind,
                    NumberOfContourPoints=len(points),
                    ContourData=[f"{value:.4f}" for value in np.ravel(points)],
                )
                for points in drawn
            ],
        )
        for number, (_, drawn) in enumerate(contours, 1)
    ]
    return save(found, path)
