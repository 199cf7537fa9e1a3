"""A small sound data set in every layout that is read."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from aleaseg.case import Geometry
from aleaseg.readers.voxels import write_nifti

SHAPE = (4, 5, 6)
_AFFINE = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]])
GEOMETRY = Geometry(SHAPE, (2.0, 1.0, 1.0), _AFFINE)
CASES = 4


def image(path, seed):
    """A volume, or a picture, by the ending; the same seed gives the same voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    if path.suffix in (".png", ".jpg"):
        Image.fromarray(rng.integers(0, 255, (8, 9), dtype=np.uint8)).save(path)
    else:
        write_nifti(path, rng.normal(size=SHAPE).astype(np.float32), GEOMETRY)


def label(path, seed=0):
    """A small block, a little elsewhere for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        mask = np.zeros((8, 9), np.uint8)
        mask[2:5, 2 + seed % 3 : 6] = 255
        Image.fromarray(mask).save(path)
    else:
        mask = np.zeros(SHAPE, np.uint8)
        mask[1:3, 1:4, 1 + seed % 3 : 5] = 1
        write_nifti(path, mask, GEOMETRY)


def nnunet(root: Path) -> None:
    for n in range(CASES):
        image(root / f"imagesTr/c{n}_0000.nii.gz", n)
        label(root / f"labelsTr/c{n}.nii.gz", n)
    declared = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "a": 1},
        "numTraining": CASES,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(declared))


def decathlon(root: Path) -> None:
    for n in range(CASES):
        image(root / f"imagesTr/la_{n}.nii.gz", n)
        label(root / f"labelsTr/la_{n}.nii.gz", n)
    listed = [
        {"image": f"./imagesTr/la_{n}.nii.gz", "label": f"./labelsTr/la_{n}.nii.gz"} for n in range(CASES)
    ]
    declared = {
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "a"},
        "numTraining": CASES,
        "training": listed,
        "test": [],
    }
    (root / "dataset.json").write_text(json.dumps(declared))


def pair(root: Path) -> None:
    for n in range(CASES):
        image(root / f"images/p{n}.png", n)
        label(root / f"masks/p{n}_mask.png", n)


def nested(root: Path) -> None:
    for part in ("train", "val"):
        for n in range(CASES // 2):
            image(root / part / f"images/p{n}.nii.gz", n + 10 * (part == "val"))
            label(root / part / f"labels/p{n}.nii.gz", n)


def side_by_side(root: Path) -> None:
    for n in range(CASES):
        image(root / f"c{n}.nii.gz", n)
        label(root / f"c{n}_seg.nii.gz", n)


def per_case(root: Path) -> None:
    for n in range(CASES):
        image(root / f"patient{n}/image.nii.gz", n)
        label(root / f"patient{n}/label.nii.gz", n)


def brats(root: Path) -> None:
    for n in range(CASES):
        for kind, contrast in enumerate(("t1c", "t1n", "t2f", "t2w")):
            image(root / f"BraTS-{n}/BraTS-{n}-{contrast}.nii.gz", 10 * n + kind)
        label(root / f"BraTS-{n}/BraTS-{n}-seg.nii.gz", n)


def structures(root: Path) -> None:
    for n in range(CASES):
        image(root / f"s{n:04d}/ct.nii.gz", n)
        label(root / f"s{n:04d}/segmentations/liver.nii.gz", n)


def bids(root: Path) -> None:
    for n in range(CASES):
        image(root / f"sub-{n:02d}/anat/sub-{n:02d}_T1w.nii.gz", n)
        label(root / f"derivatives/labels/sub-{n:02d}/anat/sub-{n:02d}_T1w_seg.nii.gz", n)
    (root / "dataset_description.json").write_text("{}")


def datalist(root: Path) -> None:
    for n in range(CASES):
        image(root / f"ct/a{n}.nii.gz", n)
        label(root / f"seg/a{n}.nii.gz", n)
    listed = [{"image": f"ct/a{n}.nii.gz", "label": f"seg/a{n}.nii.gz"} for n in range(CASES)]
    (root / "datalist.json").write_text(json.dumps({"training": listed}))


def medsam(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for n in range(CASES):
        mask = np.zeros((4, 8, 9), np.uint8)
        mask[1:3, 2:5, 2:6] = 1
        voxels = np.random.default_rng(n).integers(0, 255, mask.shape, dtype=np.uint8)
        np.savez_compressed(root / f"CT_{n}.npz", imgs=voxels, gts=mask, spacing=(0.5, 0.6, 2.0))


def raters(root: Path) -> None:
    (root / "npz").mkdir(parents=True)
    for n in range(CASES):
        masks = np.zeros((4, 3, 8, 9), np.uint8)
        masks[:3, 1, 2:5, 2:6] = 1
        voxels = np.random.default_rng(n).normal(size=(3, 8, 9)).astype(np.float32)
        np.savez_compressed(root / f"npz/n{n}.npz", image=voxels, raters=masks)


def lits(root: Path) -> None:
    for n in range(CASES):
        image(root / f"Training Batch {1 + n % 2}/volume-{n}.nii", n)
        label(root / f"Training Batch {1 + n % 2}/segmentation-{n}.nii", n)


def kits(root: Path) -> None:
    for n in range(CASES):
        image(root / f"case_{n:05d}/imaging.nii.gz", n)
        label(root / f"case_{n:05d}/segmentation.nii.gz", n)


def word(root: Path) -> None:
    for n in range(CASES):
        part = "Tr" if n else "Val"
        image(root / f"images{part}/word_{n:04d}.nii.gz", n)
        label(root / f"labels{part}/word_{n:04d}.nii.gz", n)


def feta(root: Path) -> None:
    for n in range(1, CASES + 1):
        image(root / f"sub-{n:03d}/anat/sub-{n:03d}_rec-mial_T2w.nii.gz", n)
        label(root / f"sub-{n:03d}/anat/sub-{n:03d}_rec-mial_dseg.nii.gz", n)


def images_alone(root: Path) -> None:
    for n in range(CASES):
        image(root / f"p{n}.png", n)


LAYOUTS = {
    made.__name__: made
    for made in (
        *(
            nnunet,
            decathlon,
            pair,
            nested,
            side_by_side,
            per_case,
            brats,
            structures,
            bids,
            datalist,
            medsam,
        ),
        *(raters, lits, kits, word, feta, images_alone),
    )
}
