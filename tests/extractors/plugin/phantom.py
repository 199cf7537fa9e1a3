"""What the eyes that are told by boxes where to look are shown: a case of two things, and predictions of the first."""

from pathlib import Path

import numpy as np

from aleaseg.case import Case, Dataset, Geometry, Voxels

SHAPE = (12, 30, 40)


def phantom(*, label=True, classes=("left", "right")):
    """A box on slices 3 to 7, but not on 6, and one voxel on slice 5, in noise; and their data set."""
    rng = np.random.default_rng(0)
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:8, 5:15, 6:20] = 1
    mask[6] = 0
    mask[5, 20, 30] = 2
    image = (mask * 50 + rng.normal(0, 10, SHAPE)).astype(np.float32)
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0))
    case = Case(
        "c",
        (),
        (),
        lambda: Voxels(image[None], geometry),
        (lambda: Voxels(mask, geometry)) if label else None,
        lambda: geometry,
    )
    values = {name: (index + 1,) for index, name in enumerate(classes)}
    return case, Dataset("d", Path("."), "nnunet", (case,), values, ("MRI",))


class Three:
    """What three networks predicted of the left thing: one sees slices 2 to 4, two of them 2 and 3."""

    source = "folder"

    def read(self, case):
        most = np.zeros(SHAPE, bool)
        most[2:4, 3:9, 4:12] = True
        more = most.copy()
        more[4] = more[3]
        return [_One(more), _One(most), _One(most)]


class _One:
    def __init__(self, mask):
        self._mask = mask

    def mask(self, name):
        return self._mask if name == "left" else np.zeros_like(self._mask)
