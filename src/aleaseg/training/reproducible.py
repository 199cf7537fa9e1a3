"""Whether torch does the same again, or what is fastest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["reproducible"]


@contextmanager
def reproducible(same: bool) -> Iterator[None]:
    """Within: the same numbers from the same seeds, or the fastest algorithms; afterwards all is as it was.

    Args:
        same: take deterministic algorithms, where an operation has one; else let cuDNN try which is fastest.
    """
    import torch

    memory: Any = torch.utils.deterministic
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, fill = torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(same, warn_only=True)
    torch.backends.cudnn.benchmark = not same
    # Filling new memory with NaN finds faults of operations, and takes a twentieth of a step.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory = benchmark, fill
