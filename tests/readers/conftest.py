"""Small images and data sets on disk."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from aleaseg.case import Geometry
from aleaseg.readers.voxels import write_nifti

SHAPE = (4, 5, 6)


@pytest.fixture
def geometry() -> Geometry:
    """Sheared nowhere, turned and flipped somewhat: nothing that a mix-up of axes could survive."""
    affine = np.array(
        [[0.0, 0.0, -0.7, 12.5], [0.0, 0.8, 0.0, -30.0], [2.5, 0.0, 0.0, 4.0], [0.0, 0.0, 0.0, 1.0]]
    )
    return Geometry(SHAPE, (2.5, 0.8, 0.7), affine)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)


@pytest.fixture
def label() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[1:3, 1:4, 2:5] = 1
    label[2, 2, 3] = 2
    return label


@pytest.fixture
def write(geometry):
    """write(path, array): a NIfTI with the fixture's geometry, folders made."""

    def _write(path, array):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, array, geometry)
        return path

    return _write


@pytest.fixture(scope="session")
def dicom():
    """The module `dicom_files`: writes slices, enhanced images, SEG and RTSTRUCT."""
    spec = importlib.util.spec_from_file_location("dicom_files", Path(__file__).with_name("dicom_files.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
