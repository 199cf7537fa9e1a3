"""Weights from a file, safely and strictly: nothing runs, nothing is missing, nothing is left over."""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.errors import WeightsRefused

if TYPE_CHECKING:
    import torch

__all__ = ["file_sha256", "load_strictly", "random_seed", "read_state", "strip_prefix"]


def read_state(path: str | Path, key: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file or a PyTorch checkpoint, on the CPU, mapped where the format allows it.

    Args:
        path: `.safetensors`, or anything `torch.load` reads with `weights_only=True`.
        key: where in the checkpoint the tensors are, such as `model`; empty, or absent from the
            file: at its top.

    Raises:
        WeightsRefused: there is no such file, it is damaged, it would run code, or something in
            it is no tensor.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsRefused(
            f"{path} is not a file; expected weights: a .safetensors file or a PyTorch checkpoint"
        )
    found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    inner = found.get(key, found) if key else found
    if not isinstance(inner, Mapping) or not inner:
        raise WeightsRefused(f"{path} holds no table of tensors{f' under {key!r}' if key else ''}")
    return _only_tensors(path, inner)


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise WeightsRefused(f"{path} is damaged ({error}); fetch it again") from error


def _read_pickle(path: Path) -> dict[str, Any]:
    import torch

    def load(mmap: bool) -> Any:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)

    try:
        # The format before torch 1.6 is no zip archive and cannot be mapped.
        found = load(zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        # torch's text tells how to load it unsafely: nothing of it is repeated but what the file would call.
        called = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise WeightsRefused(
            f"{path} cannot be read as tensors alone: it is damaged, or reading it would run code"
            f"{f' ({called[1]})' if called else ''}; "
            "fetch it again, or have its tensors saved as .safetensors by somebody who trusts it"
        ) from error
    except Exception as error:  # a damaged file makes the reader trip over anything
        raise WeightsRefused(
            f"{path} is damaged ({type(error).__name__}: {' '.join(str(error).split())[:200]}); fetch it again"
        ) from error
    if not isinstance(found, dict):
        raise WeightsRefused(f"{path} holds a {type(found).__name__}; expected a table of tensors")
    return found


def _only_tensors(path: Path, found: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    import torch

    for name, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise WeightsRefused(
                f"{path}: entry {name!r} is a {type(value).__name__}; expected tensors only"
            )
    return dict(found)


def strip_prefix(state: Mapping[str, torch.Tensor], prefix: str = "module.") -> dict[str, torch.Tensor]:
    """Keys without a prefix that a parallel wrapper left; those that lack it stay as they are."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def load_strictly(
    module: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    *,
    source: str,
    may_lack: Collection[str] = (),
) -> None:
    """Load a state dict; every key must be there, none too many, each of the right shape.

    Args:
        module: changed in place.
        state: names as the module has them.
        source: what the weights came from, for the error.
        may_lack: keys of the module that the state may lack.

    Raises:
        WeightsRefused: the message names the keys.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state and name not in may_lack]
    extra = [name for name in state if name not in own]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    faults = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for what, names in (
            ("missing", missing),
            ("not of this model", extra),
            ("of another shape", shapes),
        )
        if names
    ]
    if faults:
        raise WeightsRefused(
            f"{source} does not fit {type(module).__name__}: {'; '.join(faults)}; give the weights of this model"
        )
    module.load_state_dict(dict(state), strict=not may_lack)


def random_seed(weights: str | None) -> int | None:
    """The seed of `random` or `random:SEED`; None for anything else.

    >>> random_seed("random"), random_seed("random:7"), random_seed("model.pt")
    (0, 7, None)
    """
    head, _, seed = (weights or "").partition(":")
    if head != "random":
        return None
    if seed and not seed.isdecimal():
        raise WeightsRefused(
            f"--weights {weights}: expected random or random:SEED, the seed a whole number"
        )
    return int(seed or 0)


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
