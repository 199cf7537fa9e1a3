"""The folder of a training: what is in it, and the network that came out.

manifest.json        what was asked, of which data, with which code
plan.json            grid, normalisation, network: all that predicting needs beside the weights
splits_final.json    which cases were trained on and which held out, as nnU-Net writes it
training.csv         a row per epoch; with DUO also duo_classes.csv
training.html        the same as curves
model.safetensors    the weights of the last epoch
checkpoint.pt, prepared/      only while it trains
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from aleaseg.errors import UsageError
from aleaseg.run import Run, write_aside
from aleaseg.training.foldplan import FoldPlan, fold_file, plan_file
from aleaseg.training.plan import TrainingPlan

if TYPE_CHECKING:
    import torch

__all__ = [
    "CHECKPOINT",
    "COPIES",
    "KIND",
    "PLAN",
    "WEIGHTS",
    "Model",
    "open_model",
    "open_models",
    "read_weights",
    "write_weights",
]

KIND = "training"
PLAN, COPIES = "plan.json", "prepared"
WEIGHTS, CHECKPOINT = "model.safetensors", "checkpoint.pt"


@dataclass(frozen=True)
class Model:
    """A finished training, opened.

    Attributes:
        path: its folder.
        plan: what predicting needs.
        weights: their file; None: the one of a training of its own.
    """

    path: Path
    plan: TrainingPlan
    weights: Path | None = None

    @property
    def _weights(self) -> Path:
        return self.path / WEIGHTS if self.weights is None else self.weights

    @cached_property
    def sha256(self) -> str:
        """Of the weights."""
        return hashlib.sha256(self._weights.read_bytes()).hexdigest()

    def network(self) -> torch.nn.Module:
        """The network with its weights, on the CPU.

        Raises:
            UsageError: the weights are damaged, or those of another network.
        """
        return read_weights(self._weights, self.plan.build(train=False), self.path / PLAN)


def open_model(path: str | Path) -> Model:
    """Open the folder of a finished training.

    Raises:
        UsageError: it is none, or not finished.
    """
    run = Run(path)
    if not run.manifest_file.is_file() or run.manifest.get("kind") != KIND:
        raise UsageError(f"{path} is not a trained model; expected a folder made by `aleaseg train`")
    if not (run.path / WEIGHTS).is_file():
        raise UsageError(
            f"the training in {path} is not finished; run the same `aleaseg train` again to resume"
        )
    return Model(run.path, TrainingPlan.read(run.path / PLAN))


def open_models(path: str | Path) -> list[Model]:
    """Open a finished training, or what cross-fitting trained in a run: a network for each fold.

    Raises:
        UsageError: it is neither, not finished, or its networks were deleted.
    """
    run = Run(path)
    if not plan_file(run).is_file():
        return [open_model(path)]
    plan = FoldPlan.read(run)
    files = [fold_file(run, fold, ".safetensors") for fold in range(len(plan.folds))]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UsageError(
            f"{missing[0]} does not exist; a run whose networks were deleted, or are not finished, can predict nothing"
        )
    return [Model(plan_file(run).parent, plan.training(fold), file) for fold, file in enumerate(files)]


def write_weights(path: Path, network: torch.nn.Module) -> None:
    """Keep the weights of a network."""
    from safetensors.torch import save

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_aside(path, save(weights))


def read_weights(path: Path, network: torch.nn.Module, plan: Path) -> torch.nn.Module:
    """The network with the weights that were kept.

    Args:
        path: of the weights.
        network: of the plan.
        plan: its file, for the error.

    Raises:
        UsageError: the weights are damaged, or those of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path} is damaged ({error}); train again") from error
    except RuntimeError as error:
        raise UsageError(
            f"{path} holds the weights of another network than {plan} names "
            f"({' '.join(str(error).split())[:200]}); keep the files of one training together"
        ) from error
    return network
