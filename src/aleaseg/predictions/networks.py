"""The networks of the folds, and what they say of a case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aleaseg.errors import UsageError
from aleaseg.predictions.inside import Units, image_part, mask_part
from aleaseg.run import Run, read_json, write_aside
from aleaseg.training.foldplan import FoldPlan, fold_file, plan_file
from aleaseg.training.inference import predict_logits
from aleaseg.training.model import read_weights

if TYPE_CHECKING:
    import torch

__all__ = ["fold_network", "fold_units", "predict_case", "write_prediction"]


def fold_network(run: Run, plan: FoldPlan, fold: int) -> torch.nn.Module:
    """The trained network of a fold.

    Raises:
        UsageError: its weights were deleted, or are damaged.
    """
    weights = fold_file(run, fold, ".safetensors")
    if not weights.exists():
        raise UsageError(
            f"{weights} does not exist; a run whose models were deleted can predict no other case"
        )
    return read_weights(weights, plan.training(fold).build(train=False), plan_file(run))


def fold_units(run: Run, fold: int) -> Units | None:
    """What the fold found the foreground to be like; None in a run without `inside`."""
    path = fold_file(run, fold, ".json")
    units: Units | None = read_json(path).get("units") if path.exists() else None
    return units


def predict_case(
    network: torch.nn.Module, image: NDArray, label: NDArray, plan: FoldPlan, units: Units | None
) -> dict[str, NDArray]:
    """What a fold's network says of a case that it never saw, as the prediction's file keeps it.

    Args:
        network: trained.
        image: (channel, *working).
        label: class indices (*working).
        plan: of the run; with `inside` there is more than the logits.
        units: of `foreground_units`, for `inside`.
    """
    patch, device = plan.preprocessing.grid.patch, plan.device
    if not plan.inside:
        return {"logits": predict_logits(network, image, patch, device)}
    return {
        **image_part(network, image, patch, device),
        **mask_part(network, image, np.asarray(label), patch, units or (), device),
    }


def write_prediction(run: Run, case_id: str, arrays: Mapping[str, NDArray]) -> None:
    """Keep what was predicted of a case; large maps in half precision."""
    from safetensors.numpy import save

    # Half precision moves S by less than 1e-6 and halves the disk.
    content = {
        name: array.clip(-6e4, 6e4).astype("float16")
        if name.startswith("logits")
        else np.asarray(array, dtype=np.float32)
        for name, array in arrays.items()
    }
    write_aside(run.prediction_file(case_id), save(content))
