"""What the statistics of the border cost, beside the scoring of a case, in one process on one thread.

    python benchmarks/boundary.py DATASET [DATASET ...] [--commit]

A case is scored as `aleaseg audit` does with its default eye, the package's prompted network, but without
a prediction, which would make it cost more. Processor time, medians over the cases. The last row is a
synthetic volume of 100 slices of 512 x 512 with three structures.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from aleaseg.case import Geometry, usable_image, usable_label
from aleaseg.extractors import make_extractor
from aleaseg.measures.boundary import boundary_contrast, boundary_shape
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import write_nifti
from aleaseg.scoring.record import score_case


def row(data: Path, cases: int) -> str:
    dataset = open_dataset(data)
    eye = make_extractor("own", dataset)
    seconds = []
    for case in dataset.cases[: cases + 1]:
        image = usable_image(case)
        label = usable_label(case, image.geometry.shape)
        started = time.process_time()
        for values in dataset.classes.values():
            mask = np.isin(label, values)
            if mask.any():
                boundary_shape(mask)
                boundary_contrast(mask, image.array[0])
        border = time.process_time() - started
        started = time.process_time()
        score_case(case, dataset, None, eye)
        seconds.append((border, time.process_time() - started))
    # The first case warms up.
    border, whole = np.median(seconds[1:], axis=0)
    share = float(np.median([one / other for one, other in seconds[1:]]))
    shape = "x".join(map(str, dataset.cases[1].read_geometry().shape))
    return (
        f"| {dataset.name} | {shape}, {len(dataset.classes)} | {border:.4f} | {whole:.3f} | {share:.1%} |"
    )


def large(folder: Path) -> Path:
    """Two cases of an organ, a smaller one and a lesion, as ellipsoids in noise."""
    data, shape = folder / "synthetic", (100, 512, 512)
    at = np.ogrid[:100, :512, :512]
    label = np.zeros(shape, np.uint8)
    ellipsoids = [
        ((50, 250, 180), (40, 110, 90)),
        ((50, 300, 360), (18, 30, 30)),
        ((60, 200, 330), (10, 14, 14)),
    ]
    for value, (centre, radii) in enumerate(ellipsoids, 1):
        label[sum(((at[i] - centre[i]) / radii[i]) ** 2 for i in range(3)) < 1] = value
    image = (label * 100 + np.random.default_rng(0).normal(0, 30, shape)).astype(np.int16)
    geometry = Geometry(shape, (3.0, 0.8, 0.8), None)
    for case in ("a", "b"):
        write_nifti(data / "imagesTr" / f"{case}_0000.nii.gz", image, geometry)
        write_nifti(data / "labelsTr" / f"{case}.nii.gz", label, geometry)
    about = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "organ": 1, "small": 2, "lesion": 3},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    (data / "dataset.json").write_text(json.dumps(about))
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(data, given.cases) for data in [*given.datasets, large(Path(folder))]]
    lines = [
        "# What the border of a mask costs",
        "",
        f"`python benchmarks/boundary.py DATASET ...`, {platform.machine()}, one process, one thread "
        f"(`OMP_NUM_THREADS=1`), median of at most {given.cases} cases, seconds of the processor a case. The whole is "
        "the scoring of a case with the package's prompted network, without a prediction.",
        "",
        "| data set | a case, classes | border | whole | share |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]
    print("\n".join(lines))
    if given.commit:
        (Path(__file__).parent / "boundary.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
