"""What a step sees: patches of working copies, a function of seed and step alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.training.augment import augmentation, untracked
from aleaseg.training.copies import WorkingCopy
from aleaseg.training.preprocessing import IGNORE, of_looked
from aleaseg.training.schedule import Schedule
from aleaseg.training.targets import Strategy, targets

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "Batches", "Maps", "batch_at", "cases_at"]

Maps = Callable[[NDArray[np.float32], NDArray[np.uint8]], Mapping[str, NDArray[np.float32]]]
"""What an objective wants to know of a patch beside its voxels: of image (channel, *patch) and class indices
(*patch), after augmentation, maps (*patch) by their names in `Batch`."""
# Of what is drawn for targets: patches are the same whatever is learnt of them.
_DRAWN = 11


@dataclass(frozen=True)
class Batch:
    """What a step sees, and how far the training is.

    Attributes:
        image: (B, channel, *patch) float32, as the network sees it.
        target: (B, 1, *patch) class indices, `IGNORE` where nobody annotated; where confidences are learnt
            (B, channel, *patch) float32 in [0, 1], regions.
        weight: (B, channel, *patch) float32 >= 0, how much each voxel counts; None: all alike, or a label is learnt.
        confidence: (B, class, *patch) float32 in [0, 1] that the target was made of, NaN where nobody looked; None: a
            label is learnt.
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
    weight: torch.Tensor | None = None
    confidence: torch.Tensor | None = None

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


def _patch(
    case: WorkingCopy, shape: Sequence[int], rng: np.random.Generator, stated: int | None = None
) -> tuple[NDArray, NDArray]:
    """Cut or pad to the patch; every second patch of a larger case is about a foreground voxel.

    Args:
        case: on the working grid.
        shape: of the patch.
        rng: where it is cut.
        stated: which of the confidences; None: the label.

    Returns:
        The image (channel, *patch); and the label (1, *patch), or confidences (class, *patch).
    """
    if stated is None:
        image, label = case.arrays()
        known, unseen = label[None], float(IGNORE)
    else:
        image, every = case.confidences()
        known, unseen = every[stated], np.nan
    size = np.array(known.shape[1:])
    room = size - np.array(shape)
    start = np.array([rng.integers(0, r + 1) if r > 0 else 0 for r in room])
    if (room > 0).any() and rng.random() < 0.5:
        centre = _centre(case, rng)
        if centre is not None:
            start = np.clip(centre - np.array(shape) // 2, 0, np.maximum(room, 0))
    window = (slice(None), *(slice(s, s + n) for s, n in zip(start, shape, strict=True)))
    image, known = np.asarray(image[window]), np.asarray(known[window])
    # A smaller case lands anywhere in the patch: the network must not learn where the padding is.
    missing = [max(0, int(-r)) for r in room]
    before = [int(rng.integers(0, m + 1)) for m in missing]
    pad = [(0, 0), *((b, m - b) for b, m in zip(before, missing, strict=True))]
    return np.pad(image, pad, mode="edge"), np.pad(known, pad, constant_values=unseen)


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
    labels: Strategy | None = None,
) -> Batch:
    """The batch of a step: a function of seed and step alone, so that a resumed training sees the same.

    Args:
        step: 0, 1, ...
        cases: working copies.
        patch: its shape.
        schedule: of the training; its seed and batch count.
        augment: of `augmentation`; with `labels` one that interpolates labels linearly.
        maps: what an objective wants to know beside the voxels.
        labels: how confidences are learnt; None: the label is.
    """
    import torch

    rng = np.random.default_rng([schedule.seed, step])
    augment.set_random_state(seed=int(rng.integers(2**31)))
    picked = cases_at(step, cases, schedule)
    with untracked():
        if labels is None:
            found = [_of_label(case, patch, rng, augment, maps) for case in picked]
        else:
            lot = np.random.default_rng([schedule.seed, _DRAWN, step])
            found = [_of_confidence(case, patch, rng, augment, labels, lot) for case in picked]
    stacked: dict[str, Any] = {
        name: torch.as_tensor(np.stack([one[name] for one in found])) for name in found[0]
    }
    if labels is None:
        stacked["target"] = stacked["target"].long()
    elif bool((stacked["weight"] == 1).all()):
        del stacked["weight"]
    return Batch(**stacked, ids=tuple(case.id for case in picked), seed=(schedule.seed, step))


def _of_label(
    case: WorkingCopy, patch: Sequence[int], rng: np.random.Generator, augment: Any, maps: Maps | None
) -> dict[str, NDArray]:
    image, label = _patch(case, patch, rng)
    item = augment({"image": image.astype(np.float32), "label": label.astype(np.float32)})
    image, label = np.asarray(item["image"]), np.asarray(item["label"]).round().astype(np.uint8)
    return {"image": image, "target": label, **(maps(image, label[0]) if maps else {})}


def _of_confidence(
    case: WorkingCopy,
    patch: Sequence[int],
    rng: np.random.Generator,
    augment: Any,
    labels: Strategy,
    lot: np.random.Generator,
) -> dict[str, NDArray]:
    """Turned and scaled first and made a target afterwards; `lot` is for what the target draws."""
    raters = len(case.confidences()[1]) - 1 if labels.kind == "sample" else 0
    image, q = _patch(case, patch, rng, int(lot.integers(1, raters + 1)) if raters else 0)
    looked = ~np.isnan(q)
    # Beside a voxel that nobody looked at NaN would spread, so that its share is turned as well.
    label = np.concatenate([np.where(looked, q, 0), looked]) if not looked.all() else q
    item = augment({"image": image.astype(np.float32), "label": label.astype(np.float32)})
    label = np.asarray(item["label"])
    total, share = label[: len(q)], label[len(q) :]
    q = of_looked(total, share) if len(share) else np.clip(total, 0, 1)
    y, weight = targets(q, labels, lot)
    return {
        "image": np.asarray(item["image"]),
        "target": y,
        "weight": np.ones_like(y) if weight is None else weight,
        "confidence": q,
    }


@dataclass(frozen=True)
class Batches:
    """Batches by their step, made ahead of time by as many processes as the schedule says."""

    cases: Sequence[WorkingCopy]
    patch: Sequence[int]
    schedule: Schedule
    maps: Maps | None = None
    labels: Strategy | None = None

    @cached_property
    def augment(self) -> Any:
        """The transform, made once in each process."""
        return augmentation(
            self.schedule.augmentation,
            len(self.patch),
            label="nearest" if self.labels is None else "bilinear",
        )

    def __getitem__(self, step: int) -> Batch:
        return batch_at(step, self.cases, self.patch, self.schedule, self.augment, self.maps, self.labels)

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
        # Class indices fit into a byte.
        narrow = {"target": packed["target"].astype(np.uint8)} if self.batches.labels is None else {}
        return {**packed, **narrow}


def _unpacked(arrays: Mapping[str, Any]) -> Batch:
    import torch

    found: dict[str, Any] = {
        n: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for n, v in arrays.items()
    }
    if found["target"].dtype == torch.uint8:
        found["target"] = found["target"].long()
    return Batch(**found)


def _as_it_is(batch: Any) -> Any:
    return batch
