"""A run of small cases with predictions on disk: label maps, one voxel beside their masks."""

import os

import numpy as np
import pytest

import aleaseg
from aleaseg.case import Geometry
from aleaseg.readers.voxels import read_image, read_label, write_nifti


@pytest.fixture(scope="session")
def mapped(tmp_path_factory, write_small):
    """24 cases that lie askew in the world, three of them spoilt."""
    folder = tmp_path_factory.mktemp("mapped")
    data = folder / "data"
    write_small(data, ids=[f"case <{number:02d}>" for number in range(24)])
    turn = np.array([[0.0, 0.8, -0.6], [0.0, 0.6, 0.8], [1.0, 0.0, 0.0]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * [2.0, 1.0, 1.0], (-7.0, 31.0, 4.5)
    for path in sorted((data / "labelsTr").iterdir()):
        label = read_label(path, path.name).array.astype(np.uint8)
        geometry = Geometry(label.shape, (2.0, 1.0, 1.0), affine)
        scan = data / "imagesTr" / path.name.replace(".nii.gz", "_0000.nii.gz")
        write_nifti(scan, read_image([scan], path.name).array[0], geometry)
        write_nifti(path, label, geometry)
        predicted = (
            np.roll(label, 1, axis=2) if "<03>" not in path.name else np.roll(label, (-5, -5), (1, 2))
        )
        write_nifti(folder / "predictions" / path.name, predicted, geometry)
    with pytest.MonkeyPatch.context() as alone:
        # In this process: workers would import everything again.
        alone.setattr(os, "cpu_count", lambda: 1)
        alone.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
        asked = {"extractor": "variance", "predictions": str(folder / "predictions")}
        return aleaseg.audit(data, folder / "run", **asked)
