"""What a whole training step costs in `aleaseg train` and in nnU-Net, in turn in one process.

    python benchmarks/native_step.py DATASET [--write]

DATASET is Dataset004_Hippocampus in nnU-Net's layout. Twenty of its cases are preprocessed by nnU-Net; both
sides learn the same arrays with the same network (nnU-Net's PlainConvUNet, deep supervision), patch and batch.
nnU-Net's step: its loader and augmentation without worker processes, `train_step` of its trainer. The native
step: `fit` as `aleaseg train --preset paper` calls it, with its augmentation and deterministic algorithms. One
thread; seconds are those of the process, so that what else runs on the machine hardly counts; the smallest and
the median of the repeats. What makes batches and what learns from them are told apart.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from aleaseg.training import batches
from aleaseg.training.copies import WorkingCopy, copy_of, write_copy
from aleaseg.training.loop import fit
from aleaseg.training.objectives import make_objective, settings_of
from aleaseg.training.preprocessing import IGNORE
from aleaseg.training.reproducible import reproducible
from aleaseg.training.schedule import Schedule
from page import processor, replace_between

PAGE = Path(__file__).with_suffix(".md")
NAME = "Dataset004_Hippocampus"
CASES = 20
# Of the plans of nnU-Net: patch, batch, edges halved, widths.
SIZES: dict[str, tuple[tuple[int, int, int], int, tuple[int, ...]]] = {
    "small": ((32, 64, 32), 2, (16, 32, 64, 64)),
    "paper": ((96, 96, 96), 2, (32, 64, 128, 256, 320, 320)),
}
REPEATS = {"small": 20, "paper": 3}


def preprocess(dataset: Path, place: Path) -> Path:
    """Twenty cases as nnU-Net keeps them; its folders are told by the environment from here on."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(place / f"nnUNet_{name}")
    raw = place / "nnUNet_raw" / NAME
    ids = sorted(path.name.removesuffix(".nii.gz") for path in (dataset / "labelsTr").glob("*.nii.gz"))
    for folder, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (raw / folder).mkdir(parents=True)
        for case in ids[:CASES]:
            shutil.copy(dataset / folder / f"{case}{ending}", raw / folder)
    about = json.loads((dataset / "dataset.json").read_text()) | {"numTraining": CASES}
    (raw / "dataset.json").write_text(json.dumps(about))
    command = Path(sys.executable).with_name("nnUNetv2_plan_and_preprocess")
    asked = ["-d", "4", "-c", "3d_fullres", "-npfp", "1", "-np", "1"]
    subprocess.run([command, *asked], check=True, stdout=subprocess.DEVNULL)
    # Batches are made in this process; planning does not bear it.
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112
    return place / "nnUNet_preprocessed" / NAME


def plans_of(folder: Path, size: str) -> dict[str, Any]:
    """nnU-Net's plans with this patch, batch and network."""
    patch, batch, widths = SIZES[size]
    stages = len(widths)
    plans: dict[str, Any] = json.loads((folder / "nnUNetPlans.json").read_text())
    one = plans["configurations"]["3d_fullres"]
    one |= {"patch_size": list(patch), "batch_size": batch}
    one["architecture"]["arch_kwargs"] |= {
        "n_stages": stages,
        "features_per_stage": list(widths),
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * (stages - 1)],
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }
    return {**plans, "continue_training": False}


class Theirs:
    """nnU-Net's trainer, step by step."""

    def __init__(self, trainer: type, folder: Path, size: str) -> None:
        about = json.loads((folder / "dataset.json").read_text())
        with contextlib.redirect_stdout(None):
            self.trainer: Any = trainer(
                plans_of(folder, size), "3d_fullres", "all", about, torch.device("cpu")
            )
            self.trainer.initialize()
            self.batches, _ = self.trainer.get_dataloaders()
            self.trainer.network.train()
        self.network = copy.deepcopy(self.trainer.network)

    def step(self) -> tuple[float, float]:
        """Seconds that making the batch took, and learning from it."""
        started = time.process_time()
        batch = next(self.batches)
        made = time.process_time()
        self.trainer.train_step(batch)
        return made - started, time.process_time() - made

    def prepared(self, place: Path) -> list[WorkingCopy]:
        """Its cases as the native trainer keeps them."""
        cases = []
        data = self.trainer.dataset_class(self.trainer.preprocessed_dataset_folder)
        for case in data.identifiers:
            image, label = (np.asarray(array) for array in data.load_case(case)[:2])
            label = np.where(label[0] < 0, IGNORE, label[0]).astype(np.uint8)
            kept = copy_of(place, case)
            write_copy(kept, image.astype(np.float16), label, 10_000)
            cases.append(kept)
        return cases


def race(
    theirs: Theirs, objective: str, cases: Sequence[WorkingCopy], size: str, place: Path
) -> np.ndarray:
    """(repeats, 4) seconds: native batch and learning, nnU-Net's batch and learning."""
    patch, batch, _ = SIZES[size]
    repeats = REPEATS[size]
    settings = Schedule(
        1 + repeats,
        batch,
        0.01,
        optimizer="sgd",
        augmentation="strong",
        epoch_steps=250,
        checkpoint_every=10**9,
    )
    made, rows, begun = 0.0, [], 0.0
    batch_at = batches.batch_at

    def timed(*given: Any) -> Any:
        nonlocal made
        started = time.process_time()
        found = batch_at(*given)
        made = time.process_time() - started
        return found

    def on_step(step: int, loss: float) -> None:
        nonlocal begun
        native = time.process_time() - begun
        with reproducible(False):  # nnU-Net's way
            rows.append((made, native - made, *theirs.step()))
        begun = time.process_time()

    network = copy.deepcopy(theirs.network)
    loss = make_objective(settings_of(objective), network, [case.id for case in cases], 2)
    batches.batch_at = timed
    try:
        with reproducible(True):
            begun = time.process_time()
            fit(
                network,
                cases,
                patch,
                settings,
                checkpoint=place / f"{size}_{objective}.pt",
                objective=loss,
                on_step=on_step,
            )
    finally:
        batches.batch_at = batch_at
    return np.array(rows[1:])  # libraries wake up in the first


def table(size: str, folder: Path, place: Path) -> list[str]:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from aleaseg.plugins.nnunet.trainers import nnUNetTrainerDUO

    patch, batch, _ = SIZES[size]
    lines, cases, million = [], None, 0.0
    for objective, trainer in (("plain", nnUNetTrainer), ("duo", nnUNetTrainerDUO)):
        theirs = Theirs(trainer, folder, size)
        million = sum(one.numel() for one in theirs.network.parameters()) / 1e6
        if cases is None:
            (place / size).mkdir()
            cases = theirs.prepared(place / size)
        seconds = race(theirs, objective, cases, size, place)
        ours, nnunets = seconds[:, :2].sum(1), seconds[:, 2:].sum(1)
        for who, part, whole in (
            (f"native, `{objective}`", seconds[:, :2], ours),
            (f"nnU-Net, `{trainer.__name__}`", seconds[:, 2:], nnunets),
        ):
            cells = [
                f"{min(part[:, 0]):.2f}",
                f"{min(part[:, 1]):.2f}",
                f"{min(whole):.2f}",
                f"{median(whole):.2f}",
            ]
            lines.append(f"| {who} | {' | '.join(cells)} | {min(whole) / min(nnunets):.2f} |")
        print(*lines[-2:], sep="\n", flush=True)
    return [
        f"`{size}`: patches of {' x '.join(map(str, patch))}, batch {batch}, {million:.1f} M parameters, "
        f"{REPEATS[size]} steps of each:",
        "",
        "| step | batch, s | learning, s | both, s | both, median, s | times nnU-Net's |",
        "|---|---:|---:|---:|---:|---:|",
        *lines,
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--write", action="store_true", help=f"replace the tables of {PAGE.name}")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of operations that know no deterministic way
        folder = preprocess(given.dataset.resolve(), Path(name))
        versions = f"Python {platform.python_version()}, torch {torch.__version__}"
        text = [f"{datetime.date.today()}, {processor()}, one thread, {versions}.", ""]
        for size in SIZES:
            text += table(size, folder, Path(name))
    print("\n".join(text))
    if given.write:
        replace_between(PAGE, "tables", "\n".join(text))


if __name__ == "__main__":
    main()
