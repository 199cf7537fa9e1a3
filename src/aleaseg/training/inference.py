"""What a network says of a whole case: in one go, or in sliding windows where it is larger than the patch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["predict_features", "predict_logits"]


def predict_logits(
    network: torch.nn.Module,
    image: NDArray,
    patch: Sequence[int],
    device: str = "cpu",
    *,
    awake: Sequence[torch.nn.Module] = (),
) -> NDArray[np.float32]:
    """Raw logits of a whole case: in one go, or in sliding windows where it is larger than the patch.

    Args:
        network: of `aleaseg.networks.build`, trained.
        image: (channel, *working).
        patch: what the network saw in training.
        device: `cpu` or `cuda`.
        awake: layers that do as in training: dropout, where it is asked to drop.

    Returns:
        (background and classes, *working).
    """
    return _predict(network, network, image, patch, device, awake)[0]


def predict_features(
    network: torch.nn.Module, image: NDArray, patch: Sequence[int], device: str = "cpu"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Raw logits, and the features that the network's head makes them from; arguments as of `predict_logits`.

    Returns:
        (background and classes, *working), and features (F, *coarse): the working grid, or half of it along
        every axis that the head doubles, rounded up, or down where the case is larger than the patch.
    """
    seen: list[torch.Tensor] = []
    head: Any = network.head
    hook = head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))

    def both(window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.clear()
        return network(window), seen[0]

    try:
        logits, features = _predict(network, both, image, patch, device)
    finally:
        hook.remove()
    return logits, features


def _predict(
    network: torch.nn.Module,
    predictor: Callable[..., Any],
    image: NDArray,
    patch: Sequence[int],
    device: str,
    awake: Sequence[torch.nn.Module] = (),
) -> list[NDArray[np.float32]]:
    """Every output of the predictor over a whole case, cut back to the case's own field."""
    import torch
    from monai.inferers import sliding_window_inference

    network.to(device).eval()
    for layer in awake:
        layer.train()
    size = image.shape[1:]
    # A window no longer than the case, but for what the halvings ask, and two voxels of the deepest level
    # to take a norm over: padding a thin stack to the whole patch takes time and tells the network nothing.
    divisor: Any = network.divisor
    window = [min(p, max(2, -(-n // k)) * int(k)) for p, n, k in zip(patch, size, divisor, strict=True)]
    missing = [max(0, w - n) for w, n in zip(window, size, strict=True)]
    before = [m // 2 for m in missing]
    padded = np.pad(
        np.asarray(image, dtype=np.float32),
        [(0, 0), *((b, m - b) for b, m in zip(before, missing, strict=True))],
        mode="edge",
    )
    whole = torch.as_tensor(padded)[None]
    with torch.inference_mode():
        windows = partial(sliding_window_inference, overlap=0.5, mode="gaussian", sw_device=device)
        try:
            outputs = windows(whole.to(device), window, 1, predictor)
        except torch.OutOfMemoryError:
            # Many classes of a large case fill a GPU: windows stay on it, what they add up to does not.
            outputs = windows(whole, window, 1, predictor, device="cpu")
    found = []
    for output in outputs if isinstance(outputs, tuple | list) else (outputs,):
        coarser = [max(1, round(n / m)) for n, m in zip(padded.shape[1:], output.shape[2:], strict=True)]
        inside = tuple(
            slice(b // c, b // c + -(-n // c)) for b, n, c in zip(before, size, coarser, strict=True)
        )
        found.append(output[0].float().cpu().numpy()[(slice(None), *inside)])
    return found
