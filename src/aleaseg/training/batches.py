"""What a step sees: patches of working copies, a function of seed and step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.training.augment import augmentation
from aleaseg.training.copies import WorkingCopy
from aleaseg.training.preprocessing import IGNORE
from aleaseg.training.schedule import Schedule

if TYPE_CHECKING:
    import torch

__all__ = ["Batches", "batch_at", "cases_at"]


def _centre(case: WorkingCopy, rng: np.random.Generator) -> NDArray | None:
    """A foreground voxel of a class that the case has, classes alike; None where it has none."""
    known = np.load(case.places, mmap_mode="r")
    if not len(known):
        return None
    first, last = np.searchsorted(known[:, 0], rng.choice(np.unique(known[:, 0])) + np.arange(2))
    return known[rng.integers(first, last), 1:]


def _patch(case: WorkingCopy, shape: Sequence[int], rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Cut or pad to the patch; every second patch of a larger case is about a foreground voxel."""
    image, label = case.arrays()
    size = np.array(label.shape)
    room = size - np.array(shape)
    start = np.array([rng.integers(0, r + 1) if r > 0 else 0 for r in room])
    if (room > 0).any() and rng.random() < 0.5:
        centre = _centre(case, rng)
        if centre is not None:
            start = np.clip(centre - np.array(shape) // 2, 0, np.maximum(room, 0))
    window = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    image, label = np.asarray(image[(slice(None), *window)]), np.asarray(label[window])
    # A smaller case lands anywhere in the patch: the network must not learn where the padding is.
    missing = [max(0, int(-r)) for r in room]
    before = [int(rng.integers(0, m + 1)) for m in missing]
    pad = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    return np.pad(image, [(0, 0), *pad], mode="edge"), np.pad(label, pad, constant_values=IGNORE)


def cases_at(step: int, cases: Sequence[WorkingCopy], schedule: Schedule) -> list[WorkingCopy]:
    """The cases of a step: each pass over the data is one shuffle of it, and every case is seen equally often."""
    first = step * schedule.batch
    picked = []
    for place in range(first, first + schedule.batch):
        epoch, index = divmod(place, len(cases))
        order = np.random.default_rng([schedule.seed, 7, epoch]).permutation(len(cases))
        picked.append(cases[order[index]])
    return picked


def batch_at(
    step: int, cases: Sequence[WorkingCopy], patch: Sequence[int], schedule: Schedule, augment: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """The batch of a step: a function of seed and step alone, so that a resumed training sees the same.

    Returns:
        image (batch, channel, *patch) float32, class indices (batch, 1, *patch).
    """
    import torch

    rng = np.random.default_rng([schedule.seed, step])
    augment.set_random_state(seed=int(rng.integers(2**31)))
    images, labels = [], []
    for case in cases_at(step, cases, schedule):
        image, label = _patch(case, patch, rng)
        item = augment({"image": image.astype(np.float32), "label": label[None].astype(np.float32)})
        images.append(torch.as_tensor(np.asarray(item["image"])))
        labels.append(torch.as_tensor(np.asarray(item["label"])))
    return torch.stack(images), torch.stack(labels).round().long()


@dataclass(frozen=True)
class Batches:
    """Batches by their step, as arrays: what processes can make ahead of time and hand over by a pipe."""

    cases: Sequence[WorkingCopy]
    patch: Sequence[int]
    schedule: Schedule

    @cached_property
    def augment(self) -> Any:
        """The transform, made once in each process."""
        return augmentation(self.schedule.augmentation, len(self.patch))

    def __getitem__(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        image, target = batch_at(step, self.cases, self.patch, self.schedule, self.augment)
        return image.numpy(), target.numpy().astype(np.uint8)

    def after(self, step: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """The batches from that step on."""
        steps = range(step, self.schedule.steps)
        if not self.schedule.workers:
            return map(self.__getitem__, steps)
        import torch

        loader: Any = torch.utils.data.DataLoader(
            self,  # type: ignore[arg-type]
            sampler=steps,
            batch_size=None,
            # As arrays: tensors would go through shared memory, of which a container may have little.
            collate_fn=_as_it_is,
            num_workers=self.schedule.workers,
            generator=torch.Generator(),
        )
        return iter(loader)


def _as_it_is(batch: Any) -> Any:
    return batch
