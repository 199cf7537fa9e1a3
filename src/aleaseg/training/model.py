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
    """

    path: Path
    plan: TrainingPlan

    @cached_property
    def sha256(self) -> str:
        """Of the weights."""
        return hashlib.sha256((self.path / WEIGHTS).read_bytes()).hexdigest()

    def network(self) -> torch.nn.Module:
        """The network with its weights, on the CPU.

        Raises:
            UsageError: the weights are damaged, or those of another network.
        """
        return read_weights(self.path / WEIGHTS, self.plan.build(train=False), self.path / PLAN)


def open_model(path: str | Path) -> Model:
    """Open the folder of a finished training.

    Raises:
        UsageError: it is none, or not finished.
    """
    run = Run(path)
    if not run.manifest_file.is_file() or run.manifest.get("kind") != KIND:
        raise UsageError(f"{path} is no trained model; expected a folder made by `aleaseg train`")
    if not (run.path / WEIGHTS).is_file():
        raise UsageError(
            f"the training in {path} is not finished; run the same `aleaseg train` again, and it goes on"
        )
    return Model(run.path, TrainingPlan.read(run.path / PLAN))


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
