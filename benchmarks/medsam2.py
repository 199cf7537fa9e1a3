"""Where MedSAM2's time goes, at full size with random weights: encoder, propagation, everything else.

    python benchmarks/medsam2.py [--slices 8] [--classes 1 4 16] [--device cpu] [--write]

V is the encoder's time a slice, P the propagation's a slice and class, each measured by
itself in transformers' own network, in the same process as the extraction. The bound of
an extraction is V x slices + P x slices x classes over the slices that must be seen.
Upstream's way is one object at a time, the encoder again for each, all slices, the
prompted slice in both directions; it
is run for one object, and multiplied for several. Each number of classes has a process
of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

from aleaseg.bench.benching import machine

HERE = Path(__file__).parent
SIZE = 512
DEEP = 2
"""Slices of each object; the extractor follows it two slices beyond on either side."""


def phantom(slices: int, classes: int):
    """Objects of a few slices in the middle of the stack, side by side."""
    from aleaseg.case import Case, Dataset, Geometry, Voxels

    rng = np.random.default_rng(0)
    label = np.zeros((slices, SIZE, SIZE), np.uint8)
    first = slices // 2 - DEEP // 2
    side = SIZE // 4
    for number in range(classes):
        row, column = divmod(number, 4)
        place = slice(row * side + 20, row * side + 100), slice(column * side + 20, column * side + 100)
        label[(slice(first, first + DEEP), *place)] = number + 1
    image = (label * 10 + rng.normal(0, 20, label.shape)).astype(np.float32)
    geometry = Geometry(label.shape, (5.0, 1.0, 1.0))
    case = Case(
        "phantom",
        (),
        (),
        lambda: Voxels(image[None], geometry),
        lambda: Voxels(label, geometry),
        lambda: geometry,
    )
    names = {f"class {number + 1}": (number + 1,) for number in range(classes)}
    return case, Dataset("phantom", HERE, "nnunet", (case,), names, ("MRI",))


class Timed:
    """Seconds spent in a function of the network, the device waited for."""

    def __init__(self, network, name: str, device: str) -> None:
        self.seconds: list[float] = []
        inner = getattr(network, name)

        def run(*words, **more):
            started = now(device)
            found = inner(*words, **more)
            self.seconds.append(now(device) - started)
            return found

        setattr(network, name, run)


def now(device: str) -> float:
    if device != "cpu":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def extractor(dataset, device: str):
    from aleaseg.extractors import ExtractorSettings, make_extractor

    return make_extractor(ExtractorSettings("medsam2", weights="random", device=device), dataset)


def extract(slices: int, classes: int, device: str) -> dict:
    """One extraction, its parts and its peak; V and P before and after, so that a busy machine hits both."""
    case, dataset = phantom(slices, classes)
    eye = extractor(dataset, device)
    next(iter(eye.class_maps(case)))  # a first call has costs of its own
    before = peak(device)
    encoder, steps = Timed(eye.network, "get_image_features", device), Timed(eye.network, "forward", device)
    started = now(device)
    maps = list(eye.class_maps(case))
    total = now(device) - started
    most = peak(device)
    parts = sum(encoder.seconds), sum(steps.seconds)
    v, p = alone(eye, case, device)
    seen = maps[0].z_range[1] - maps[0].z_range[0]
    return {
        "seen": seen,
        "total": total,
        "encoder": parts[0],
        "propagation": parts[1],
        "V": v,
        "P": p,
        "bound": v * seen + p * seen * classes,
        "peak_mb": (most - before) / 1e6,
    }


def peak(device: str) -> float:
    if device != "cpu":
        import torch

        found = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return float(found)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def alone(eye, case, device: str) -> tuple[float, float]:
    """V, seconds a slice, and P, seconds a slice and class: each part by itself, medians."""
    import torch

    from aleaseg.extractors.medsam2 import Volume

    frames, batch = frames_of(case, device), 1 if device == "cpu" else 8
    volume = Volume(eye.network, len(frames), device=device, bfloat16=device != "cpu")
    seconds = []
    precision = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=device != "cpu")
    for first in range(0, len(frames), batch):
        piece = frames[first : first + batch]
        started = now(device)
        with torch.inference_mode(), precision:
            eye.network.get_image_features(piece, return_dict=True)
        seconds.append((now(device) - started) / len(piece))
        volume.encode(first, piece)
    steps = Timed(eye.network, "forward", device)
    volume.look({len(frames) // 2: (20.0, 20.0, 100.0, 100.0)}, 0, len(frames))
    return statistics.median(seconds), statistics.median(steps.seconds)


def frames_of(case, device: str):
    from aleaseg.extractors.medsam2 import model_frames

    image = case.read_image().array[0]
    return model_frames(((image - image.min()) / (image.max() - image.min())).astype(np.float32)).to(device)


def upstream(slices: int, device: str) -> dict:
    """One object the way upstream does it: all slices, both directions, a frame encoded when it comes."""
    import torch

    case, dataset = phantom(slices, 1)
    network, frames = extractor(dataset, device).network, frames_of(case, device)
    sam2 = sys.modules["transformers.models.sam2_video.modeling_sam2_video"]
    key = slices // 2

    def both() -> None:
        for reverse in (False, True):
            # Its features are kept for the last frame alone, as upstream's are.
            session = sam2.Sam2VideoInferenceSession(
                video=frames,
                video_height=SIZE,
                video_width=SIZE,
                dtype=torch.float32,
                inference_device=device,
            )
            index = session.obj_id_to_idx(1)
            corners = torch.tensor([[[[20.0, 20.0], [100.0, 100.0]]]])
            labels = torch.tensor([[[2, 3]]], dtype=torch.int32)
            session.add_point_inputs(index, key, {"point_coords": corners, "point_labels": labels})
            session.obj_with_new_inputs = [1]
            network(session, frame_idx=key)
            for _ in network.propagate_in_video_iterator(session, start_frame_idx=key, reverse=reverse):
                pass

    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=device != "cpu"):
        started = now(device)
        both()
    return {"seconds": now(device) - started}


def child(*words: str) -> dict:
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(slices: int, every: list[int], device: str) -> list[str]:
    theirs = child("--upstream", "--slices", str(slices), "--device", device)["seconds"]
    lines = [
        "| classes | V, s | P, s | total, s | encoder | propagation | everything else | of the bound | "
        "upstream's way, s | beyond the model, MB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for classes in every:
        one = child("--one", str(classes), "--slices", str(slices), "--device", device)
        rest = one["total"] - one["encoder"] - one["propagation"]
        lines.append(
            f"| {classes} | {one['V']:.2f} | {one['P']:.2f} | {one['total']:.1f} | "
            f"{one['encoder'] / one['total']:.0%} | {one['propagation'] / one['total']:.0%} | "
            f"{rest / one['total']:.1%} | {one['bound'] / one['total']:.0%} | {theirs * classes:.0f} | "
            f"{one['peak_mb']:.0f} |"
        )
    about = (
        f"{slices} slices of {SIZE} x {SIZE}, objects on {DEEP}, each followed on {one['seen']}. "
        f"{machine()}, one thread, {device}, {date.today()}."
    )
    return [about, "", *lines]


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--classes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", action="store_true", help="the table into medsam2.md")
    parser.add_argument("--upstream", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.upstream:
        print(json.dumps(upstream(given.slices, given.device)))
    elif given.one:
        print(json.dumps(extract(given.slices, given.one, given.device)))
    else:
        lines = table(given.slices, given.classes, given.device)
        print("\n".join(lines))
        if given.write:
            path = HERE / "medsam2.md"
            head, _, tail = path.read_text().partition("<!-- table -->\n")
            rest = tail.partition("<!-- end -->\n")[2]
            path.write_text(head + "<!-- table -->\n" + "\n".join(lines) + "\n<!-- end -->\n" + rest)


if __name__ == "__main__":
    main()
