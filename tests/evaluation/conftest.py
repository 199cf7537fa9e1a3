"""A small reference, and predictions of it that are wrong in known ways."""

import json
import sys

import numpy as np
import pytest
from scipy import ndimage

from aleaseg.case import Geometry
from aleaseg.readers.voxels import write_nifti, write_png

SPACING = (2.0, 1.0, 1.5)
SHAPE = (8, 14, 12)
CLASSES = {"left": (1,), "right": (2,)}


def geometry(shape=SHAPE, spacing=SPACING, origin=0.0):
    affine = np.zeros((4, 4))
    for axis, mm in enumerate(spacing[-3:]):
        affine[2 - axis, axis] = mm
    affine[:3, 3], affine[3, 3] = origin, 1
    return Geometry(shape, spacing, affine if len(shape) == 3 else None)


def label(seed=0, shape=SHAPE):
    """Two halves of a ball, label values 1 and 2."""
    rng = np.random.default_rng(seed)
    centre = np.array(shape) / 2 - 0.5 + rng.uniform(-0.6, 0.6, len(shape))
    apart = np.sqrt(sum((g - c) ** 2 for g, c in zip(np.indices(shape), centre, strict=True)))
    array = (apart < min(shape) / 2.4).astype(np.uint8)
    array[array.astype(bool) & (np.indices(shape)[-1] > centre[-1])] = 2
    return array


def label_of(case):
    """The label of a case, by its id."""
    return label(sum(map(ord, case)) % 97)


def shifted(array, voxels=1):
    """One voxel further along the last axis."""
    return np.roll(array, voxels, axis=-1)


def probabilities(array, seed=0, sharp=4.0, channels=3):
    """A softmax that mostly says what the array says."""
    soft = np.stack([ndimage.gaussian_filter((array == c).astype(float), 0.7) for c in range(channels)])
    soft += np.random.default_rng(seed).normal(0, 0.1, soft.shape)
    e = np.exp(sharp * soft)
    return (e / e.sum(axis=0)).astype(np.float32)


def write_dataset(folder, ids, labels=None):
    """An nnU-Net data set of those cases."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index, case in enumerate(ids):
        array = label_of(case) if labels is None else labels[index]
        image = (array * 50 + rng.normal(0, 5, array.shape)).astype(np.float32)
        write_nifti(folder / "imagesTr" / f"{case}_0000.nii.gz", image, geometry(array.shape))
        write_nifti(folder / "labelsTr" / f"{case}.nii.gz", array, geometry(array.shape))
    about = {
        "name": "Balls",
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "left": 1, "right": 2},
        "numTraining": len(ids),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


def write_predictions(folder, ids, change=shifted, soft=False):
    """A prediction of each case: its label, changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, case in enumerate(ids):
        array = change(label_of(case))
        write_nifti(folder / f"{case}.nii.gz", array, geometry())
        if soft:
            np.savez(folder / f"{case}.npz", probabilities=probabilities(array, index))
    return folder


def write_picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, array)


@pytest.fixture(scope="session")
def balls():
    """What this file makes; test files cannot import it."""
    return sys.modules[__name__]
