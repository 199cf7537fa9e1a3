"""The few things that NumPy and PyTorch spell differently. `xp` is one of the two modules."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def namespace(maps: Any) -> tuple[Any, Any]:
    """The module, NumPy or PyTorch, and the maps as its own plain array."""
    torch = sys.modules.get("torch")  # a tensor can only come from a torch that is loaded
    if torch is not None and isinstance(maps, torch.Tensor):
        if maps.is_complex():
            raise TypeError("maps are complex; expected real numbers")
        # A subclass such as MONAI's MetaTensor would carry its own rules into every product.
        return torch, maps.as_subclass(torch.Tensor)
    array = np.asarray(maps)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"maps are of type {array.dtype}; expected real numbers")
    return np, array


def is_floating(xp: Any, maps: Any) -> bool:
    """Whether the type has fractions."""
    return bool(maps.dtype.kind == "f" if xp is np else maps.is_floating_point())


def is_single(xp: Any, maps: Any) -> bool:
    """Whether float32 holds every value: float32 itself and the halves."""
    return is_floating(xp, maps) and maps.dtype.itemsize <= 4


def double(x: Any) -> Any:
    """As float64."""
    return x.astype(np.float64) if isinstance(x, (np.ndarray, np.generic)) else x.double()


def cast(x: Any, dtype: Any) -> Any:
    """As that type; no copy where it is of that type."""
    return x.astype(dtype, copy=False) if isinstance(x, (np.ndarray, np.generic)) else x.to(dtype)


def transposed(x: Any) -> Any:
    """The last two axes exchanged, a view."""
    return x.swapaxes(-1, -2)


def zeros(xp: Any, like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Zeros on the device of `like`."""
    return np.zeros(shape, dtype) if xp is np else like.new_zeros(shape, dtype=dtype)
