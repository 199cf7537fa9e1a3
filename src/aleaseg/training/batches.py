"""What a step sees: patches of working copies, a function of seed and step alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
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

__all__ = ["Batch", "Batches", "Maps", "batch_at", "cases_at"]

Maps = Callable[[NDArray[np.float32], NDArray[np.uint8]], Mapping[str, NDArray[np.float32]]]
"""What an objective wants to know of a patch beside its voxels: of image (channel, *patch) and class indices
(*patch), after augmentation, maps (*patch) by their names in `Batch`."""


@dataclass(frozen=True)
class Batch:
    """What a step sees, and how far the training is.

    Attributes:
        image: (B, channel, *patch) float32, as the network sees it.
        target: (B, 1, *patch) class indices, `IGNORE` where nobody annotated.
        ids: of the B cases.
        seed: of the training, and the step: what an objective draws is a function of both, so that a
            resumed training draws the same.
        progress: share of the training that is done, in [0, 1].
        distance: (B, *patch) to the nearest boundary of a class, infinite where there is none; None: not asked for.
        gradient: (B, *patch) magnitude of the image's gradient; likewise.
    """

    image: torch.Tensor
    target: torch.Tensor
    ids: tuple[str, ...] = ()
    seed: tuple[int, int] = (0, 0)
    progress: float = 0.0
    distance: torch.Tensor | None = None
    gradient: torch.Tensor | None = None

    def on(self, device: str) -> Batch:
        """The same batch where the network is."""
        import torch

        moved: dict[str, Any] = {
            n: v.to(device) for n, v in _named(self).items() if isinstance(v, torch.Tensor)
        }
        return replace(self, **moved)


def _named(batch: Batch) -> dict[str, Any]:
    return {one.name: getattr(batch, one.name) for one in fields(batch)}


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
    step: int,
    cases: Sequence[WorkingCopy],
    patch: Sequence[int],
    schedule: Schedule,
    augment: Any,
    maps: Maps | None = None,
) -> Batch:
    """The batch of a step: a function of seed and step alone, so that a resumed training sees the same."""
    import torch

    rng = np.random.default_rng([schedule.seed, step])
    augment.set_random_state(seed=int(rng.integers(2**31)))
    picked, found = cases_at(step, cases, schedule), []
    for case in picked:
        image, label = _patch(case, patch, rng)
        item = augment({"image": image.astype(np.float32), "label": label[None].astype(np.float32)})
        image, label = np.asarray(item["image"]), np.asarray(item["label"]).round().astype(np.uint8)
        beside = maps(image, label[0]) if maps else {}
        found.append({"image": image, "target": label, **beside})
    stacked: dict[str, Any] = {
        name: torch.as_tensor(np.stack([one[name] for one in found])) for name in found[0]
    }
    stacked["target"] = stacked["target"].long()
    return Batch(**stacked, ids=tuple(case.id for case in picked), seed=(schedule.seed, step))


@dataclass(frozen=True)
class Batches:
    """Batches by their step, made ahead of time by as many processes as the schedule says."""

    cases: Sequence[WorkingCopy]
    patch: Sequence[int]
    schedule: Schedule
    maps: Maps | None = None

    @cached_property
    def augment(self) -> Any:
        """The transform, made once in each process."""
        return augmentation(self.schedule.augmentation, len(self.patch))

    def __getitem__(self, step: int) -> Batch:
        return batch_at(step, self.cases, self.patch, self.schedule, self.augment, self.maps)

    def after(self, step: int) -> Iterator[Batch]:
        """The batches from that step on."""
        steps = range(step, self.schedule.steps)
        if not self.schedule.workers:
            return map(self.__getitem__, steps)
        import torch

        loader: Any = torch.utils.data.DataLoader(
            _Packed(self),  # type: ignore[arg-type]
            sampler=steps,
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=self.schedule.workers,
            generator=torch.Generator(),
        )
        return map(_unpacked, loader)


@dataclass(frozen=True)
class _Packed:
    """Batches as arrays, which go through a pipe: tensors would go through shared memory, of which a container
    may have little.
    """

    batches: Batches

    def __getitem__(self, step: int) -> dict[str, Any]:
        import torch

        values = _named(self.batches[step])
        packed = {n: v.numpy() if isinstance(v, torch.Tensor) else v for n, v in values.items()}
        return {**packed, "target": packed["target"].astype(np.uint8)}


def _unpacked(arrays: Mapping[str, Any]) -> Batch:
    import torch

    found: dict[str, Any] = {
        n: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for n, v in arrays.items()
    }
    return Batch(**{**found, "target": found["target"].long()})


def _as_it_is(batch: Any) -> Any:
    return batch
