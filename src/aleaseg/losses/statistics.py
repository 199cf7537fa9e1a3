"""Running statistics of a network are left alone for a while: batch and instance norms of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["kept_statistics"]


@contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """Within, a network in training mode normalises by its batch, and its running statistics do not move.

    What is passed through it (noise, say) then teaches it nothing about the data. In evaluation mode nothing
    changes. Works through wrappers (DDP, `torch.compile`), since it goes by the modules inside.

    Args:
        network: any; left as it was, whatever happens within.
    """
    tracking = [
        (module, name, buffer)
        for module in network.modules()
        if module.training and getattr(module, "track_running_stats", False)
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        for module, name, buffer in tracking:
            setattr(module, name, buffer.clone())  # this one moves, and is thrown away
        yield
    finally:
        for module, name, buffer in tracking:
            setattr(module, name, buffer)
