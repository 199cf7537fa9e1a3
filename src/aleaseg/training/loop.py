"""One training loop: resumable at any step, the same numbers from the same seed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.errors import AleasegError
from aleaseg.run import write_aside
from aleaseg.training.prepare import IGNORE

if TYPE_CHECKING:
    import torch

    from aleaseg.training.objective import Objective

__all__ = [
    "Prepared",
    "TrainSettings",
    "batch_at",
    "cases_at",
    "fit",
    "predict_features",
    "predict_logits",
]


@dataclass(frozen=True)
class Prepared:
    """A case on the working grid, on disk: memory-mapped when it is used."""

    id: str
    image: Path
    label: Path

    def arrays(self) -> tuple[NDArray, NDArray]:
        """(channel, *working) float16 and (*working) uint8."""
        return np.load(self.image, mmap_mode="r"), np.load(self.label, mmap_mode="r")


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained.

    Attributes:
        steps: of the optimiser.
        batch: patches a step.
        learning_rate: at the start; falls as (1 - progress)^0.9.
        seed: of everything random.
        seconds: the most that training may take; None: no limit. Where it bites
            the learning rate still reaches its end, but numbers depend on the machine.
        checkpoint_every: steps between checkpoints.
    """

    steps: int
    batch: int
    learning_rate: float = 3e-3
    seed: int = 0
    seconds: float | None = None
    checkpoint_every: int = 25


def _patch(
    arrays: tuple[NDArray, NDArray], shape: Sequence[int], rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Cut or pad to the patch; every second patch of a larger case is about a foreground voxel."""
    image, label = arrays
    size = np.array(label.shape)
    room = size - np.array(shape)
    start = np.array([rng.integers(0, r + 1) if r > 0 else 0 for r in room])
    if (room > 0).any() and rng.random() < 0.5:
        present = [index for index in np.unique(label) if index not in (0, IGNORE)]
        if present:
            places = np.argwhere(np.asarray(label) == rng.choice(present))
            centre = places[rng.integers(len(places))] - np.array(shape) // 2
            start = np.clip(centre, 0, np.maximum(room, 0))
    window = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    image, label = np.asarray(image[(slice(None), *window)]), np.asarray(label[window])
    # A smaller case lands anywhere in the patch: the network must not learn where the padding is.
    missing = [max(0, int(-r)) for r in room]
    before = [int(rng.integers(0, m + 1)) for m in missing]
    pad = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    return np.pad(image, [(0, 0), *pad], mode="edge"), np.pad(label, pad, constant_values=IGNORE)


def _augmentation(dims: int) -> Any:
    """Small turns, scales, contrast and noise: enough not to learn cases by heart."""
    from monai.transforms import (
        Compose,
        RandAffined,
        RandGaussianNoised,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )

    return Compose(
        [
            RandAffined(
                keys=("image", "label"),
                prob=0.5,
                rotate_range=(0.15,) * (3 if dims == 3 else 1),
                scale_range=(0.1,) * dims,
                translate_range=(3,) * dims,
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            RandScaleIntensityd(keys="image", factors=0.2, prob=0.5),
            RandShiftIntensityd(keys="image", offsets=0.2, prob=0.5),
            RandGaussianNoised(keys="image", prob=0.2, std=0.2),
        ]
    )


def cases_at(step: int, cases: Sequence[Prepared], settings: TrainSettings) -> list[Prepared]:
    """The cases of a step: each pass over the data is one shuffle of it, and every case is seen equally often."""
    first = step * settings.batch
    picked = []
    for place in range(first, first + settings.batch):
        epoch, index = divmod(place, len(cases))
        order = np.random.default_rng([settings.seed, 7, epoch]).permutation(len(cases))
        picked.append(cases[order[index]])
    return picked


def batch_at(
    step: int, cases: Sequence[Prepared], patch: Sequence[int], settings: TrainSettings, augment: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """The batch of a step: a function of seed and step alone, so that a resumed training sees the same.

    Returns:
        image (batch, channel, *patch) float32, class indices (batch, 1, *patch).
    """
    import torch

    rng = np.random.default_rng([settings.seed, step])
    augment.set_random_state(seed=int(rng.integers(2**31)))
    images, labels = [], []
    for case in cases_at(step, cases, settings):
        image, label = _patch(case.arrays(), patch, rng)
        item = augment({"image": image.astype(np.float32), "label": label[None].astype(np.float32)})
        images.append(torch.as_tensor(np.asarray(item["image"])))
        labels.append(torch.as_tensor(np.asarray(item["label"])))
    return torch.stack(images), torch.stack(labels).round().long()


def fit(
    network: torch.nn.Module,
    cases: Sequence[Prepared],
    patch: Sequence[int],
    settings: TrainSettings,
    *,
    checkpoint: Path,
    device: str = "cpu",
    objective: Objective | None = None,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> dict[str, Any]:
    """Train, from the checkpoint if there is one.

    Args:
        network: trained in place.
        cases: on the working grid.
        patch: what the network sees.
        settings: how.
        checkpoint: where the state is kept on the way; removed by nobody.
        device: `cpu` or `cuda`.
        objective: what is made small, made for this network; None: the plain one.
        on_step: called with the steps done and the loss.

    Returns:
        steps (done), stopped_by_budget, seconds, loss (mean of the last tenth).

    Raises:
        AleasegError: the loss is no finite number; the weights of the last checkpoint are kept.
    """
    import torch

    from aleaseg.training.objective import make_objective

    torch.manual_seed(settings.seed)
    network.to(device).train()
    objective = make_objective(None, network, (), 0) if objective is None else objective
    objective.to(device).train()
    trained = [*network.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=1e-4)
    step, before, losses = 0, 0.0, []
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        objective.load_state_dict(state.get("objective", {}))  # none in older checkpoints
        optimizer.load_state_dict(state["optimizer"])
        step, before, losses = state["step"], state["seconds"], state["losses"]
    started = time.monotonic()
    augment = _augmentation(len(patch))

    def spent() -> float:
        return before + time.monotonic() - started

    def save() -> None:
        buffer = io.BytesIO()
        torch.save(
            {
                "network": network.state_dict(),
                "objective": objective.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "seconds": spent(),
                "losses": losses,
            },
            buffer,
        )
        write_aside(checkpoint, buffer.getvalue())

    out_of_time = False
    while step < settings.steps:
        progress = step / settings.steps
        if settings.seconds is not None:
            progress = max(progress, spent() / settings.seconds)
            # The first steps show nothing yet; a fold that saw no step at all would be random.
            out_of_time = progress >= 1 and step >= 10
            if out_of_time:
                break
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * max(1 - progress, 0.01) ** 0.9
        image, target = batch_at(step, cases, patch, settings, augment)
        ids = [case.id for case in cases_at(step, cases, settings)]
        loss = objective(network(image.to(device)), target.to(device), ids)
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            raise AleasegError(
                f"the loss became {losses[-1]} at step {step + 1}; expected a finite number; look for images "
                "of another unit or modality than the others, and leave them out"
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 12.0)
        optimizer.step()
        step += 1
        # The step that sees the last case of a pass ends it.
        if step * settings.batch // len(cases) > (step - 1) * settings.batch // len(cases):
            objective.end_epoch()
        # Before the checkpoint: what is killed while it looks at a step comes to that step again.
        on_step(step, losses[-1])
        if step % settings.checkpoint_every == 0:
            save()
    save()
    tail = losses[-max(1, len(losses) // 10) :]
    return {
        "steps": step,
        "stopped_by_budget": out_of_time,
        "seconds": round(spent(), 1),
        "loss": float(np.mean(tail)) if tail else None,
    }


def predict_logits(
    network: torch.nn.Module, image: NDArray, patch: Sequence[int], device: str = "cpu"
) -> NDArray[np.float32]:
    """Raw logits of a whole case: in one go, or in sliding windows where it is larger than the patch.

    Args:
        network: of `build_network`, trained.
        image: (channel, *working).
        patch: what the network saw in training.
        device: `cpu` or `cuda`.

    Returns:
        (background and classes, *working).
    """
    return _predict(network, network, image, patch, device)[0]


def predict_features(
    network: torch.nn.Module, image: NDArray, patch: Sequence[int], device: str = "cpu"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Raw logits, and what the network's last layer makes them from.

    Args:
        network: of `build_network`, trained.
        image: (channel, *working).
        patch: what the network saw in training.
        device: `cpu` or `cuda`.

    Returns:
        (background and classes, *working), and features (F, *coarse): half the working grid along
        every axis that the last layer doubles, rounded up, or down where the case is larger than
        the patch.
    """
    seen: list[torch.Tensor] = []
    # The last of the three parts of MONAI's UNet is the layer that gives the logits.
    last = network.model[-1]  # type: ignore[index]
    hook = last.register_forward_pre_hook(lambda module, given: seen.append(given[0]))  # type: ignore[union-attr]

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
) -> list[NDArray[np.float32]]:
    """Every output of the predictor over a whole case, cut back to the case's own field."""
    import torch
    from monai.inferers import sliding_window_inference

    network.to(device).eval()
    size = image.shape[1:]
    # A window no longer than the case, but for what the strides ask, and two voxels of the deepest level
    # to take a norm over: padding a thin stack to the whole patch takes time and tells the network nothing.
    halvings = np.prod(network.strides, axis=0, dtype=int)  # type: ignore[arg-type]
    window = [min(p, max(2, -(-n // k)) * int(k)) for p, n, k in zip(patch, size, halvings, strict=True)]
    missing = [max(0, w - n) for w, n in zip(window, size, strict=True)]
    before = [m // 2 for m in missing]
    padded = np.pad(
        np.asarray(image, dtype=np.float32),
        [(0, 0), *((b, m - b) for b, m in zip(before, missing, strict=True))],
        mode="edge",
    )
    with torch.inference_mode():
        outputs = sliding_window_inference(
            torch.as_tensor(padded)[None].to(device),
            window,
            1,
            predictor,
            overlap=0.5,
            mode="gaussian",
        )
    found = []
    for output in outputs if isinstance(outputs, tuple | list) else (outputs,):
        coarser = [max(1, round(n / m)) for n, m in zip(padded.shape[1:], output.shape[2:], strict=True)]
        inside = tuple(
            slice(b // c, b // c + -(-n // c)) for b, n, c in zip(before, size, coarser, strict=True)
        )
        found.append(output[0].float().cpu().numpy()[(slice(None), *inside)])
    return found
