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
    before = torch.get_deterministic_debug_mode()
    benchmark, fill = torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory
    # What `use_deterministic_algorithms` does, without importing torch's compiler: that takes over a second.
    torch.set_deterministic_debug_mode("warn" if same else "default")
    torch.backends.cudnn.benchmark = not same
    # Filling new memory with NaN finds faults of operations, and takes a twentieth of a step.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory = benchmark, fill
