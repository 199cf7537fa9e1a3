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
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.errors import UsageError
from aleaseg.predictions.working import grid_of
from aleaseg.run import Run, read_json, write_aside
from aleaseg.trainer.network import build
from aleaseg.trainer.plan import PLAN
from aleaseg.training.grid import Grid

if TYPE_CHECKING:
    import torch

__all__ = ["CHECKPOINT", "KIND", "WEIGHTS", "Model", "open_model", "write_weights"]

KIND = "training"
WEIGHTS, CHECKPOINT = "model.safetensors", "checkpoint.pt"


@dataclass(frozen=True)
class Model:
    """A finished training, opened.

    Attributes:
        path: its folder.
        plan: what predicting needs.
    """

    path: Path
    plan: Mapping[str, Any]

    @property
    def grid(self) -> Grid:
        """Where the network works."""
        return grid_of(self.plan)

    @property
    def classes(self) -> dict[str, tuple[int, ...]]:
        """Name -> label values."""
        return {name: tuple(values) for name, values in self.plan["classes"].items()}

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the image's channels."""
        return tuple(self.plan["channels"])

    @cached_property
    def sha256(self) -> str:
        """Of the weights."""
        return hashlib.sha256((self.path / WEIGHTS).read_bytes()).hexdigest()

    def network(self) -> torch.nn.Module:
        """The network with its weights, on the CPU.

        Raises:
            UsageError: the weights are damaged, or those of another network.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        made = build(
            self.plan["network"], self.grid, len(self.channels), len(self.plan["values"]), train=False
        )
        weights = self.path / WEIGHTS
        try:
            made.load_state_dict(load_file(weights))
        except (SafetensorError, OSError) as error:
            raise UsageError(f"{weights} is damaged ({error}); train again") from error
        except RuntimeError as error:
            raise UsageError(
                f"{weights} holds the weights of another network than {self.path / PLAN} names "
                f"({' '.join(str(error).split())[:200]}); keep the files of one training together"
            ) from error
        return made


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
    return Model(run.path, read_json(run.path / PLAN))


def write_weights(folder: Path, network: torch.nn.Module) -> None:
    """Keep the weights of a network."""
    from safetensors.torch import save

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_aside(folder / WEIGHTS, save(weights))
