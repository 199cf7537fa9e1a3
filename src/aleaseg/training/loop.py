"""One training loop: resumable at any step, the same numbers from the same seed."""

from __future__ import annotations

import io
import pickle
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from aleaseg.errors import AleasegError, UsageError
from aleaseg.run import write_aside
from aleaseg.training.augment import Augmentation, augmentation
from aleaseg.training.prepare import IGNORE

if TYPE_CHECKING:
    import torch

    from aleaseg.training.objective import Objective

__all__ = [
    "Epoch",
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
    """A case on the working grid, on disk: memory-mapped when it is used.

    Attributes:
        id: of the case.
        image, label: files of the arrays.
        places: file of foreground voxels, (n, 1 + axes) with the class first; None: they are looked for
            in the label, which takes long in a large one.
    """

    id: str
    image: Path
    label: Path
    places: Path | None = None

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
        optimizer: `adamw`, or `sgd` as nnU-Net has it (Nesterov momentum 0.99, weight decay 3e-5).
        epoch_steps: steps of an epoch; None: an epoch is a pass over the cases.
        augmentation: `light`, or `strong` as nnU-Net changes its patches.
        precision: `float32`, or `bfloat16` where an operation bears it.
        workers: processes that make batches ahead of time; they change no number.
    """

    steps: int
    batch: int
    learning_rate: float = 3e-3
    seed: int = 0
    seconds: float | None = None
    checkpoint_every: int = 25
    optimizer: Literal["adamw", "sgd"] = "adamw"
    epoch_steps: int | None = None
    augmentation: Augmentation = "light"
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: int = 0

    def decide(self) -> dict[str, Any]:
        """What decides the numbers."""
        free = ("seconds", "checkpoint_every", "workers")
        return {name: value for name, value in asdict(self).items() if name not in free}

    def epochs_at(self, step: int, cases: int) -> int:
        """How many epochs have ended after so many steps; a last, shorter one ends with the training."""
        if self.epoch_steps is None:
            return step * self.batch // cases
        return -(-step // self.epoch_steps) if step == self.steps else step // self.epoch_steps


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes:
        number: 1, 2, ...
        step: steps done.
        loss: mean over its steps.
        learning_rate: of its last step.
        seconds: of the whole training so far.
        seen: (2, classes) weights and scales, means over its steps, where the objective has them.
    """

    number: int
    step: int
    loss: float
    learning_rate: float
    seconds: float
    seen: NDArray[np.float64] | None


def _centre(case: Prepared, label: NDArray, rng: np.random.Generator) -> NDArray | None:
    """A foreground voxel of a class that the case has, classes alike; None where it has none."""
    if case.places is not None:
        known = np.load(case.places, mmap_mode="r")
        if not len(known):
            return None
        first, last = np.searchsorted(known[:, 0], rng.choice(np.unique(known[:, 0])) + np.arange(2))
        return known[rng.integers(first, last), 1:]
    present = [index for index in np.unique(label) if index not in (0, IGNORE)]
    if not present:
        return None
    places = np.argwhere(np.asarray(label) == rng.choice(present))
    return places[rng.integers(len(places))]


def _patch(case: Prepared, shape: Sequence[int], rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Cut or pad to the patch; every second patch of a larger case is about a foreground voxel."""
    image, label = case.arrays()
    size = np.array(label.shape)
    room = size - np.array(shape)
    start = np.array([rng.integers(0, r + 1) if r > 0 else 0 for r in room])
    if (room > 0).any() and rng.random() < 0.5:
        centre = _centre(case, label, rng)
        if centre is not None:
            start = np.clip(centre - np.array(shape) // 2, 0, np.maximum(room, 0))
    window = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    image, label = np.asarray(image[(slice(None), *window)]), np.asarray(label[window])
    # A smaller case lands anywhere in the patch: the network must not learn where the padding is.
    missing = [max(0, int(-r)) for r in room]
    before = [int(rng.integers(0, m + 1)) for m in missing]
    pad = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    return np.pad(image, [(0, 0), *pad], mode="edge"), np.pad(label, pad, constant_values=IGNORE)


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
        image, label = _patch(case, patch, rng)
        item = augment({"image": image.astype(np.float32), "label": label[None].astype(np.float32)})
        images.append(torch.as_tensor(np.asarray(item["image"])))
        labels.append(torch.as_tensor(np.asarray(item["label"])))
    return torch.stack(images), torch.stack(labels).round().long()


@dataclass(frozen=True)
class _Batches:
    """Batches by their step, as arrays: what processes can make ahead of time and hand over by a pipe."""

    cases: Sequence[Prepared]
    patch: Sequence[int]
    settings: TrainSettings

    @cached_property
    def augment(self) -> Any:
        return augmentation(self.settings.augmentation, len(self.patch))

    def __getitem__(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        image, target = batch_at(step, self.cases, self.patch, self.settings, self.augment)
        return image.numpy(), target.numpy().astype(np.uint8)

    def after(self, step: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """The batches from that step on."""
        steps = range(step, self.settings.steps)
        if not self.settings.workers:
            return map(self.__getitem__, steps)
        import torch

        loader: Any = torch.utils.data.DataLoader(
            self,  # type: ignore[arg-type]
            sampler=steps,
            batch_size=None,
            # As arrays: tensors would go through shared memory, of which a container may have little.
            collate_fn=_as_it_is,
            num_workers=self.settings.workers,
            generator=torch.Generator(),
        )
        return iter(loader)


def _as_it_is(batch: Any) -> Any:
    return batch


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
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> dict[str, Any]:
    """Train, from the checkpoint if there is one.

    Args:
        network: trained in place; gives logits, or in training a list of them, finest first.
        cases: on the working grid.
        patch: what the network sees.
        settings: how.
        checkpoint: where the state is kept on the way; removed by nobody.
        device: `cpu` or `cuda`.
        objective: what is made small, made for this network; None: the plain one.
        on_step: called with the steps done and the loss.
        on_epoch: called at the end of each epoch.

    Returns:
        steps (done), stopped_by_budget, seconds, loss (mean of the last tenth).

    Raises:
        AleasegError: loss or weights are no finite numbers, or a checkpoint cannot be written; the last one is kept.
        UsageError: the checkpoint is damaged, or that of another network or training.
    """
    import torch

    from aleaseg.training.objective import make_objective

    torch.manual_seed(settings.seed)
    network.to(device).train()
    objective = make_objective(None, network, (), 0) if objective is None else objective
    objective.to(device).train()
    trained = [*network.parameters(), *objective.parameters()]
    optimizer = _optimizer(trained, settings)
    step, before = 0, 0.0
    losses: list[float] = []
    seen: list[torch.Tensor | None] = []  # of the steps of this epoch
    if checkpoint.exists():
        state = _load(checkpoint, device, settings, patch)
        try:
            network.load_state_dict(state["network"])
            objective.load_state_dict(state.get("objective", {}))  # none in older checkpoints
            optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{checkpoint} is the checkpoint of another network ({' '.join(str(error).split())[:200]}); "
                "give another folder, or delete it to begin anew"
            ) from error
        step, before, losses = state["step"], state["seconds"], state["losses"]
        seen = state.get("seen", [])
    started = time.monotonic()
    kept = step

    def spent() -> float:
        return before + time.monotonic() - started

    def save() -> None:
        nonlocal kept
        # A finite loss may have a gradient that is not; such weights must not take the place of whole ones.
        if not all(bool(torch.isfinite(parameter).all()) for parameter in trained):
            raise AleasegError(
                f"the weights are no finite numbers after step {step}; the checkpoint of step {kept} stays; look for "
                "images of another unit or modality than the others, or lower the learning rate"
            )
        buffer = io.BytesIO()
        torch.save(
            {
                "network": network.state_dict(),
                "objective": objective.state_dict(),
                "optimizer": optimizer.state_dict(),
                "settings": settings.decide(),
                "patch": list(patch),
                "step": step,
                "seconds": spent(),
                "losses": losses,
                "seen": seen,
            },
            buffer,
        )
        try:
            write_aside(checkpoint, buffer.getvalue())
        except OSError as error:
            raise AleasegError(
                f"the checkpoint of step {step} could not be written to {checkpoint} ({error.strerror or error}); "
                f"that of step {kept} is whole: make room, run the same command again, and it goes on from there"
            ) from error
        kept = step

    batches = _Batches(cases, patch, settings).after(step)
    out_of_time = False
    while step < settings.steps:
        progress = step / settings.steps
        if settings.seconds is not None:
            progress = max(progress, spent() / settings.seconds)
            # The first steps show nothing yet; a fold that saw no step at all would be random.
            out_of_time = progress >= 1 and step >= 10
            if out_of_time:
                break
        rate = settings.learning_rate * max(1 - progress, 0.01) ** 0.9
        for group in optimizer.param_groups:
            group["lr"] = rate
        image, target = (torch.as_tensor(array).to(device) for array in next(batches))
        ids = [case.id for case in cases_at(step, cases, settings)]
        # What a network draws (dropout) is the step's own, as its batch is.
        torch.manual_seed(settings.seed * 1_000_003 + step)
        with torch.autocast(image.device.type, torch.bfloat16, settings.precision == "bfloat16"):
            loss = objective(network(image), target.long(), ids)
        losses.append(float(loss.detach()))
        seen.append(objective.seen())
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
        epochs = settings.epochs_at(step, len(cases))
        ended = epochs > settings.epochs_at(step - 1, len(cases))
        if ended:
            objective.end_epoch()
        # Before the checkpoint: what is killed while it looks at a step comes to that step again.
        on_step(step, losses[-1])
        if ended:
            on_epoch(Epoch(epochs, step, float(np.mean(losses[-len(seen) :])), rate, spent(), _mean(seen)))
            network.train()
            seen = []
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


def _optimizer(trained: Sequence[torch.nn.Parameter], settings: TrainSettings) -> torch.optim.Optimizer:
    import torch

    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            trained, lr=settings.learning_rate, momentum=0.99, nesterov=True, weight_decay=3e-5
        )
    return torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=1e-4)


def _load(checkpoint: Path, device: str, settings: TrainSettings, patch: Sequence[int]) -> dict[str, Any]:
    """A checkpoint, made sure to be one of this training."""
    import torch

    try:
        state: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
        made = state.get("settings"), state.get("patch")
        state["network"], state["optimizer"], state["step"]
    except (OSError, RuntimeError, EOFError, LookupError, AttributeError, TypeError) as error:
        raise UsageError(_damaged(checkpoint, error)) from error
    except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise UsageError(_damaged(checkpoint, error)) from error
    # None in older checkpoints.
    if made[0] is not None:
        asked = {**settings.decide(), "patch": list(patch)}
        then = {**made[0], "patch": made[1]}
        differing = [
            f"{name}: {then.get(name)!r} then, {value!r} now"
            for name, value in asked.items()
            if then.get(name) != value
        ]
        if differing:
            raise UsageError(
                f"{checkpoint} was made with other settings ({'; '.join(differing)}); give another folder, or "
                "delete it to begin anew"
            )
    return state


def _damaged(checkpoint: Path, error: Exception) -> str:
    return (
        f"{checkpoint} is no whole checkpoint ({' '.join(str(error).split())[:120]}); delete it, and the training "
        "begins anew"
    )


def _mean(seen: Sequence[torch.Tensor | None]) -> NDArray[np.float64] | None:
    """Means over the steps that know; NaN where none does."""
    # After a kill they come from a checkpoint, and lie where the network does.
    known = [one.cpu().numpy() for one in seen if one is not None]
    if not known:
        return None
    rows = np.stack(known).astype(np.float64)
    count = np.isfinite(rows).sum(axis=0)
    return np.where(count > 0, np.nansum(rows, axis=0) / np.maximum(count, 1), np.nan)


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
    # A window no longer than the case, but for what the halvings ask, and two voxels of the deepest level
    # to take a norm over: padding a thin stack to the whole patch takes time and tells the network nothing.
    strides = getattr(network, "strides", None)  # of MONAI's UNet; others say what edges must divide by
    halvings: Any = network.divisor if strides is None else np.prod(strides, axis=0, dtype=int)
    window = [min(p, max(2, -(-n // k)) * int(k)) for p, n, k in zip(patch, size, halvings, strict=True)]
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
