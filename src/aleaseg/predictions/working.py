"""What cross-fitting works on: cases on the working grid, and the networks of the folds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Voxels, usable_image, usable_label
from aleaseg.errors import CaseError, ShapeMismatch, UsageError
from aleaseg.predictions.inside import Units, image_part, mask_part
from aleaseg.run import Run, file_name, read_json, write_aside
from aleaseg.training.grid import Grid, working_shape
from aleaseg.training.loop import Prepared, predict_logits
from aleaseg.training.network import build_network
from aleaseg.training.prepare import prepare_image, prepare_label

if TYPE_CHECKING:
    import torch

__all__ = [
    "fold_units",
    "fold_weights",
    "grid_of",
    "load_fold",
    "one_line",
    "predict_case",
    "prepare_case",
    "prepared_file",
    "small_image",
    "write_prediction",
]

Rules = Sequence[Mapping[str, float] | None]


def prepared_file(run: Run, case_id: str) -> Prepared:
    """Where the working copy of a case lies while the folds train."""
    stem = run.path / "models" / "prepared" / file_name(case_id)
    return Prepared(case_id, stem.with_suffix(".image.npy"), stem.with_suffix(".label.npy"))


def _save_array(path: Path, array: NDArray) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.npy")
    np.save(aside, array, allow_pickle=False)
    os.replace(aside, path)


def one_line(case: Case, error: Exception) -> str:
    """What went wrong with a case, whatever it was."""
    if isinstance(error, CaseError):
        return str(error)
    return f"{case.id}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def small_image(
    case: Case, image: Voxels, grid: Grid, rules: Rules, usual: float | None = None
) -> NDArray[np.float16]:
    """An image on the working grid, (channel, *working).

    Args:
        case: for the error's text.
        image: as it was read.
        grid: the working grid.
        rules: of `fit_normalisation`.
        usual: see `working_shape`.

    Raises:
        ShapeMismatch: it has other channels or axes than the cases that the grid was chosen from.
        CaseError: it would be far larger than they are.
    """
    if image.array.shape[0] != len(rules) or len(image.geometry.shape) != len(grid.patch):
        raise ShapeMismatch(
            case.id,
            f"an image (channel, *spatial) of shape {image.array.shape}",
            f"{len(rules)} channels in {len(grid.patch)}D as the other cases have",
            "convert the images to the same channels and axes, or leave the case out",
        )
    return prepare_image(image.array, working_shape(grid, case.id, image.geometry, usual), rules)


def prepare_case(
    case: Case, target: Prepared, grid: Grid, rules: Rules, values: Sequence[int], ignore: int | None
) -> str | None:
    """Write the working copy of one case; returns why it cannot be trained on, or None."""
    if target.label.exists():
        return None
    try:
        image = usable_image(case)
        label = usable_label(case, image.geometry.shape)
        if label is None:
            return f"{case.id}: has no label"
        small = small_image(case, image, grid, rules)
        _save_array(target.image, small)
        _save_array(target.label, prepare_label(label, small.shape[1:], values, ignore))
    except Exception as error:  # whatever one case does, the others go on; the text names it
        return one_line(case, error)
    return None


def grid_of(plan: Mapping[str, Any]) -> Grid:
    """The working grid of a plan."""
    return Grid(**{name: tuple(value) for name, value in plan["grid"].items()})


def load_fold(folder: Path, plan: Mapping[str, Any], fold: int) -> torch.nn.Module:
    """The network of a fold, with its weights where it is finished."""
    import torch

    torch.manual_seed(int(plan["seed"]) * 1000 + fold)
    network = build_network(grid_of(plan), plan["channels"], 1 + len(plan["values"]))
    weights = folder / f"fold_{fold}.safetensors"
    if weights.exists():
        from safetensors.torch import load_file

        network.load_state_dict(load_file(weights))
    return network


def fold_weights(run: Run, plan: Mapping[str, Any], fold: int) -> torch.nn.Module:
    """The trained network of a fold.

    Raises:
        UsageError: its weights were deleted.
    """
    weights = run.path / "models" / f"fold_{fold}.safetensors"
    if not weights.exists():
        raise UsageError(
            f"{weights} does not exist; a run whose models were deleted can predict no other case"
        )
    return load_fold(run.path / "models", plan, fold)


def fold_units(run: Run, fold: int) -> Units | None:
    """What the fold found the foreground to be like; None in a run without `inside`."""
    path = run.path / "models" / f"fold_{fold}.json"
    units: Units | None = read_json(path).get("units") if path.exists() else None
    return units


def predict_case(
    network: torch.nn.Module,
    image: NDArray,
    label: NDArray,
    plan: Mapping[str, Any],
    units: Units | None,
) -> dict[str, NDArray]:
    """What a fold's network says of a case that it never saw, as the prediction's file keeps it.

    Args:
        network: trained.
        image: (channel, *working).
        label: class indices (*working).
        plan: of the run; with `inside` there is more than the logits.
        units: of `foreground_units`, for `inside`.
    """
    patch, device = plan["grid"]["patch"], plan["device"]
    if not plan.get("inside"):
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
