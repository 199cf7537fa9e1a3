"""Checkpoints of our trainers: read safely, and made plain for the stock trainer.

A checkpoint of theirs is nnU-Net's own with one key more, such as `aleaseg_duo`: the options, and what
stands beside the network (DUO's noise head, and its noise of every case). Nothing of it is needed to predict.
"""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from aleaseg.errors import UsageError
from aleaseg.extractors.checkpoint import read_state
from aleaseg.extractors.nnunet_model import numpy_numbers
from aleaseg.plugins.nnunet.options import ConfidenceOptions, DuoOptions, SureOptions
from aleaseg.run import write_aside

__all__ = ["export_plain", "read_checkpoint", "save_with"]

_KEYS = (DuoOptions.key, SureOptions.key, ConfidenceOptions.key)
_STOCK = "nnUNetTrainer"
_TRAINERS = ", ".join(
    f"nnUNetTrainer{name}" for name in ("DUO", "DUO_EN", "DUO_RW", "EDL", "SURE", "Confidence")
)
# Trainers whose network is not the one that the plans name, with and without DUO.
_OWN_NETWORKS = ("nnUNetTrainerSwinUNETR", "nnUNetTrainerUMambaBot")
_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
_MODEL_FILES = ("plans.json", "dataset.json", "dataset_fingerprint.json")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of nnU-Net, on the CPU: tensors, plain values and NumPy's numbers; no code is run.

    Raises:
        WeightsRefused: it is missing, damaged, would run code, or holds no network.
    """
    with torch.serialization.safe_globals(numpy_numbers()):
        read_state(path, "network_weights")  # for its errors, which say what is wrong with the file
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def save_with(save: Callable[[io.BytesIO], None], path: Path, key: str, kept: Mapping[str, Any]) -> None:
    """Write what nnU-Net's own way saves and, under a key of ours, tensors and plain values; aside and renamed."""
    whole = io.BytesIO()
    save(whole)
    whole.seek(0)
    # Read back as any reader of ours will: what could not be read safely later must not be written.
    with torch.serialization.safe_globals(numpy_numbers()):
        checkpoint = torch.load(whole, map_location="cpu", weights_only=True)
    _write(path, {**checkpoint, key: dict(kept)})


def export_plain(path: str | Path, out: str | Path | None = None) -> list[Path]:
    """Copies of checkpoints that stock nnU-Net predicts with: its own trainer's name, and no key of ours.

    Args:
        path: a checkpoint, or the folder of a model (DatasetXXX_NAME/TRAINER__PLANS__CONFIGURATION).
        out: the checkpoint or folder to write; default: beside `path`, `_plain` after its name.

    Returns:
        The files that were written, checkpoints first. Of a model: its plans, its dataset.json and
        the final and best checkpoints of each fold. What was given is not changed.

    Raises:
        UsageError: there is nothing to export, or something lies where it would be written.
        WeightsRefused: a checkpoint is damaged or unsafe.
    """
    source = Path(path)
    ending = source.suffix if source.is_file() else ""
    target = (
        source.with_name(f"{source.name.removesuffix(ending)}_plain{ending}") if out is None else Path(out)
    )
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already, and nothing is overwritten; give another -o")
    if source.is_dir():
        return _export_model(source, target)
    _write(target, _plain(source))
    return [target]


def _export_model(source: Path, target: Path) -> list[Path]:
    missing = [name for name in _MODEL_FILES[:2] if not (source / name).is_file()]
    found = [place for name in _CHECKPOINTS for place in sorted(source.glob(f"fold_*/{name}"))]
    if missing or not found:
        what = " and ".join(missing) or f"fold_*/{' or '.join(_CHECKPOINTS)}"
        raise UsageError(
            f"{source} has no {what}; expected a trained model, nnUNet_results/DatasetXXX_NAME/"
            "TRAINER__PLANS__CONFIGURATION, or one of its checkpoints"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=".plain.") as aside:
        whole = Path(aside) / target.name
        for place in found:
            _write(whole / place.relative_to(source), _plain(place))
        for name in _MODEL_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, whole / name)
        whole.rename(target)
    return [
        *(target / place.relative_to(source) for place in found),
        *(target / name for name in _MODEL_FILES if (target / name).is_file()),
    ]


def _write(path: Path, checkpoint: Mapping[str, Any]) -> None:
    whole = io.BytesIO()
    torch.save(dict(checkpoint), whole)
    write_aside(path, whole.getvalue())


def _plain(path: Path) -> dict[str, Any]:
    checkpoint = read_checkpoint(path)
    kept = next((checkpoint.pop(key) for key in _KEYS if key in checkpoint), None)
    trainer = str(checkpoint.get("trainer_name", "something else"))
    if trainer.startswith(_OWN_NETWORKS):
        raise UsageError(
            f"{path} was written by {trainer}, whose network stock nnU-Net cannot build; expected one of the plans' "
            f"own network ({_TRAINERS}); predict with it as it is, where "
            'aleaseg is installed and nnUNet_extTrainer="$(aleaseg nnunet path)" is exported'
        )
    if kept is None:
        raise UsageError(
            f"{path} was written by {trainer} and has no {' or '.join(map(repr, _KEYS))}; "
            f"expected a checkpoint of one of {_TRAINERS}; any other needs the trainer it came from"
        )
    return {
        **checkpoint,
        "trainer_name": _STOCK,
        "optimizer_state": _network_alone(checkpoint["optimizer_state"], kept["parameter_groups"]),
    }


def _network_alone(state: Mapping[str, Any], ours: int) -> dict[str, Any]:
    """An optimiser's state without its last groups, so that the stock trainer could go on with it."""
    groups = list(state["param_groups"])[: len(state["param_groups"]) - ours]
    numbers = {number for group in groups for number in group["params"]}
    kept = {number: moments for number, moments in state["state"].items() if number in numbers}
    return {**state, "state": kept, "param_groups": groups}
