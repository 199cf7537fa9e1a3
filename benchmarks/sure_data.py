"""The two data sets of benchmarks/sure.py: pictures in the layout of nnU-Net, with the part that is tested on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aleaseg.readers.voxels import read_image, read_label, write_png

# The first fold of the public code's split by disease group: four patients of each block of twenty.
ACDC_TEST = (4, 7, 11, 17, 24, 27, 31, 37, 44, 47, 51, 57, 64, 67, 71, 77, 84, 87, 91, 97)
TWICE = {"benign_433"}  # the same picture as malignant_145


def acdc(data: Path, out: Path) -> None:
    """Slices of the first frame of every patient; those of twenty patients are tested on."""
    test = {f"patient{number:03d}" for number in ACDC_TEST}
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    parts: dict[str, list[str]] = {"train": [], "val": []}
    for folder in ("imagesTr", "labelsTr"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for path in sorted((data / "Dataset027_ACDC" / "imagesTr").glob("*_0000.nii.gz")):
        case = path.name.removesuffix("_0000.nii.gz")
        held = case.split("_")[1] in test
        frame = int(case.split("frame")[1])
        if frame != 1:
            continue
        image = read_image([path], case).array[0]
        mask = read_label(data / "Dataset027_ACDC" / "labelsTr" / f"{case}.nii.gz", case).array
        low, high = np.percentile(image, [0.5, 99.5])
        grey = np.round(255 * np.clip((image - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)
        for number, (picture, label) in enumerate(zip(grey, mask, strict=True)):
            name = f"{case}_s{number:02d}"
            write_png(out / "imagesTr" / f"{name}_0000.png", picture)
            write_png(out / "labelsTr" / f"{name}.png", label.astype(np.uint8))
            parts["val" if held else "train"].append(name)
    _finish(out, labels, parts)


def busi(data: Path, out: Path) -> None:
    """The lesions; every fifth is tested on."""
    parts: dict[str, list[str]] = {"train": [], "val": []}
    for folder in ("imagesTr", "labelsTr"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    names = sorted(path.stem for path in (data / "busi_256" / "images").glob("*.png"))
    lesions = [name for name in names if not name.startswith("normal") and name not in TWICE]
    for number, name in enumerate(lesions):
        shutil.copy(data / "busi_256" / "images" / f"{name}.png", out / "imagesTr" / f"{name}_0000.png")
        mask = read_label(data / "busi_256" / "masks" / f"{name}.png", name).array
        write_png(out / "labelsTr" / f"{name}.png", (mask > 0).astype(np.uint8))
        parts["val" if number % 5 == 0 else "train"].append(name)
    _finish(out, {"background": 0, "lesion": 1}, parts)


def _finish(out: Path, labels: dict[str, int], parts: dict[str, list[str]]) -> None:
    about = {
        "channel_names": {"0": "grey"},
        "labels": labels,
        "numTraining": sum(map(len, parts.values())),
        "file_ending": ".png",
    }
    (out / "splits_final.json").write_text(json.dumps([parts]))
    (out / "dataset.json").write_text(json.dumps(about))  # last: where it is, the data set is whole


DATA: dict[str, Callable[[Path, Path], None]] = {"acdc": acdc, "busi": busi}
