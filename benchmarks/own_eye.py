"""The prompted network of our own on real data that it never saw: Dice with boxes about the labels.

    python benchmarks/own_eye.py DATA [--weights FILE.safetensors] [--most 40] [--normalize raw] [--only NAME ...]

DATA is the folder of real data. Boxes are one on every slice that has the structure, each side one
to three pixels beyond it, by seed. Beside the network: the filled box, and Otsu's threshold inside
the box (the brighter or the darker side, whichever holds the box's middle). Dice of whole volumes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from skimage.filters import threshold_otsu

from aleaseg.extractors.boxes import slice_boxes
from aleaseg.extractors.normalize import foreground_normalized, percentile_range, unit
from aleaseg.networks.prompted import Prompted, look, paste
from aleaseg.readers import open_dataset


def normalized(volume, foreground, how):
    if how == "raw":
        return unit(volume, *percentile_range(volume))
    found = foreground_normalized(volume, foreground)
    return unit(found, float(found.min()), float(found.max()))


def boxes(mask, rng):
    region = np.zeros(mask.shape, np.float32)
    for z, (x0, y0, x1, y1) in slice_boxes(mask).items():
        a, b, c, d = rng.integers(1, 4, 4)
        region[z, max(0, int(y0) - a) : int(y1) + 1 + b, max(0, int(x0) - c) : int(x1) + 1 + d] = 1
    return region


def otsu(image, region):
    found = np.zeros(region.shape, bool)
    for z in np.flatnonzero(region.any((1, 2))):
        inside = region[z] > 0
        values = image[z][inside]
        if values.min() == values.max():
            found[z] = inside
            continue
        bright = (image[z] > threshold_otsu(values)) & inside
        rows, columns = np.nonzero(inside)
        y, x = int(rows.mean()), int(columns.mean())
        middle = bright[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].mean() > 0.5
        found[z] = bright if middle else inside & ~bright
    return found


def dice(one, other):
    total = one.sum() + other.sum()
    return float(2 * (one & other).sum() / total) if total else float("nan")


def cases_of(name, data):
    """Image (D, H, W), label, classes, of each case."""
    if name == "totalseg":
        import nibabel

        for image, label in (("example_ct_sm", "example_seg"), ("example_mr_sm", "example_seg_mr")):
            volume = np.asarray(
                nibabel.load(data / name / f"{image}.nii.gz").dataobj, np.float32
            ).transpose(2, 1, 0)
            mask = (
                np.asarray(nibabel.load(data / name / f"{label}.nii.gz").dataobj)
                .astype(int)
                .transpose(2, 1, 0)
            )
            values = [v for v in np.unique(mask) if v]
            yield image, volume, mask, {f"{image} structures": [[v] for v in values]}
        return
    dataset = open_dataset(data / name)
    for case in dataset.cases:
        if case.read_label is None:
            continue
        volume, label = case.read_image().array[0], case.read_label().array
        if volume.ndim == 2:
            volume, label = volume[None], label[None]
        yield case.id, volume, label, {c: [list(v)] for c, v in dataset.classes.items()}


def load(path):
    from safetensors.torch import load_file

    network = Prompted()
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--most", type=int, default=40)
    parser.add_argument("--normalize", default="raw")
    parser.add_argument(
        "--only",
        nargs="+",
        default=["Dataset004_Hippocampus", "Dataset027_ACDC", "ct_lesions", "busi_256", "totalseg"],
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    network = load(given.weights)
    print(
        "| data | class | n | network | filled box | Otsu in the box | s a case |\n|---|---|---:|---:|---:|---:|---:|"
    )
    for name in given.only:
        found: dict[str, list[tuple[float, float, float]]] = {}
        rng, seconds, count = np.random.default_rng(0), 0.0, 0
        every = list(cases_of(name, given.data))
        chosen = np.random.default_rng(1).permutation(len(every))[: given.most]
        for index in sorted(chosen):
            _, volume, label, classes = every[index]
            foreground = label > 0
            if not foreground.any():
                continue
            image = normalized(volume, foreground, given.normalize)
            count += 1
            for class_name, groups in classes.items():
                for values in groups:
                    mask = np.isin(label, values)
                    if mask.sum() < 10:
                        continue
                    region = boxes(mask, rng)
                    started = time.perf_counter()
                    there = np.flatnonzero(region.any((1, 2)))
                    part = slice(there[0], there[-1] + 1)
                    logits, window = look(
                        network, torch.from_numpy(image[part]), torch.from_numpy(region[part])
                    )
                    mine = np.zeros(mask.shape, bool)
                    mine[part] = (paste(logits, window, mask.shape[1:]) > 0).numpy()
                    mine &= region.any((1, 2))[:, None, None]
                    seconds += time.perf_counter() - started
                    found.setdefault(class_name, []).append(
                        (dice(mine, mask), dice(region > 0, mask), dice(otsu(image, region), mask))
                    )
        for class_name, rows in found.items():
            a, b, c = np.nanmean(rows, axis=0)
            print(
                f"| {name} | {class_name} | {len(rows)} | {a:.3f} | {b:.3f} | {c:.3f} | {seconds / count:.2f} |"
            )


if __name__ == "__main__":
    main()
