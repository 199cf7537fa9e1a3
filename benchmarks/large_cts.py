"""CTs of 512 x 512 x 120 voxels with one class, for `benchmarks/audit.py`.

    python benchmarks/large_cts.py TOTALSEG FOLDER [--cases N]

TOTALSEG holds TotalSegmentator's small example (`example_ct_sm.nii.gz`, `example_seg.nii.gz`: an abdomen at 3 mm).
Every case is that scan enlarged, moved and stretched a little, with noise of its own; the class is the liver. A case
follows from its number alone, so more of them can be added later.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from aleaseg.case import Geometry
from aleaseg.readers.voxels import write_nifti
from aleaseg.run import write_json

SHAPE = (120, 512, 512)
LIVER = 5
NOISE_HU = 15.0


def enlarged(array: np.ndarray, field: np.ndarray, start: np.ndarray, order: int) -> np.ndarray:
    """The part of an array that begins at `start` and is `field` voxels long, on the grid of a case."""
    step = field / SHAPE
    taken: np.ndarray = ndimage.affine_transform(
        array.astype(np.float32),
        step,
        start + step / 2 - 0.5,
        output_shape=SHAPE,
        order=order,
        mode="nearest",
    )
    return taken


def make_case(scan: np.ndarray, liver: np.ndarray, number: int, folder: Path) -> None:
    """Write image and mask of one case, unless they are there."""
    name = f"ct_{number:03d}"
    image_file = folder / "imagesTr" / f"{name}_0000.nii.gz"
    if image_file.exists():
        return
    rng = np.random.default_rng(number)
    field = scan.shape * rng.uniform(0.9, 1.0, 3)
    start = (scan.shape - field) * rng.uniform(0, 1, 3)
    image = enlarged(scan, field, start, 1)
    image += rng.normal(0, NOISE_HU * rng.uniform(0.7, 1.3), SHAPE).astype(np.float32)
    mm = tuple(map(float, 3.0 * field / SHAPE))
    geometry = Geometry(SHAPE, mm, np.diag([*mm, 1.0])[[2, 1, 0, 3]])
    mask = enlarged(liver, field, start, 1) > 0.5
    write_nifti(folder / "labelsTr" / f"{name}.nii.gz", mask.astype(np.uint8), geometry)
    write_nifti(image_file, np.rint(image).astype(np.int16), geometry)


def main() -> None:
    """Make the data set."""
    import nibabel

    parser = argparse.ArgumentParser()
    parser.add_argument("totalseg", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=24)
    asked = parser.parse_args()
    scan, masks = (
        np.asarray(nibabel.load(asked.totalseg / f"example_{part}.nii.gz").dataobj).T
        for part in ("ct_sm", "seg")
    )
    for number in range(asked.cases):
        make_case(scan, masks == LIVER, number, asked.folder)
    about = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1},
        "numTraining": asked.cases,
        "file_ending": ".nii.gz",
    }
    write_json(asked.folder / "dataset.json", about)


if __name__ == "__main__":
    main()
