"""From a case to what a network sees: on the working grid, normalised; of its label, class indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aleaseg.case import Case, Dataset, Voxels, usable_image, usable_label
from aleaseg.errors import ShapeMismatch, UsageError
from aleaseg.training.grid import WorkingGrid, working_shape

__all__ = [
    "IGNORE",
    "Preprocessing",
    "check_values",
    "fit_normalisation",
    "nearest",
    "normalise",
    "of_looked",
    "prepare_label",
    "resize",
]

Rules = Sequence[Mapping[str, float] | None]

# The class index of voxels that nobody annotated.
IGNORE = 255
_SAMPLED_CASES = 32


@dataclass(frozen=True)
class Preprocessing:
    """How a case becomes what a network sees.

    Attributes:
        grid: the working grid.
        normalisation: a rule per channel, of `fit_normalisation`.
        values: foreground label values, in the order of the network's channels after background.
        ignore: the label value of what nobody annotated; None: there is none.
        usual_voxels: working voxels of a usual case, see `working_shape`; None: those of a small grid.
    """

    grid: WorkingGrid
    normalisation: Rules
    values: tuple[int, ...]
    ignore: int | None = None
    usual_voxels: float | None = None

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Preprocessing:
        """From what `asdict` made of one."""
        grid, values = WorkingGrid.from_dict(kept["grid"]), tuple(kept["values"])
        return cls(grid, kept["normalisation"], values, kept.get("ignore"), kept.get("usual_voxels"))

    def image(self, case: Case, image: Voxels) -> NDArray[np.float16]:
        """An image on the working grid, (channel, *working).

        Args:
            case: for the error's text.
            image: as it was read.

        Raises:
            ShapeMismatch: it has other channels or axes than the cases that the grid was chosen from.
            CaseError: it would be far larger than they are.
        """
        channels, dims = len(self.normalisation), len(self.grid.patch)
        if image.array.shape[0] != channels or len(image.geometry.shape) != dims:
            raise ShapeMismatch(
                case.id,
                f"an image (channel, *spatial) of shape {image.array.shape}",
                f"{channels} channels in {dims}D as the other cases have",
                "convert the images to the same channels and axes, or leave the case out",
            )
        shape = working_shape(self.grid, case.id, image.geometry, self.usual_voxels)
        return resize(normalise(image.array, self.normalisation), shape).astype(np.float16)

    def label(self, label: NDArray, shape: Sequence[int]) -> NDArray[np.uint8]:
        """Class indices of a label on a working shape; see `prepare_label`."""
        return prepare_label(label, shape, self.values, self.ignore)

    def confidence(self, q: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
        """Confidences (C, *spatial) on a working shape, linearly as images; NaN where nobody looked."""
        if tuple(q.shape[1:]) == tuple(shape):
            return np.asarray(q, dtype=np.float32)
        looked = ~np.isnan(q)
        total = resize(np.where(looked, q, 0).astype(np.float32), shape)
        if looked.all():
            return np.clip(total, 0, 1).astype(np.float32)
        return of_looked(total, resize(looked.astype(np.float32), shape))


def check_values(dataset: Dataset, instead: str = "") -> None:
    """Refuse more label values than class indices have room for.

    Args:
        dataset: with classes.
        instead: what else could be done, for the error.

    Raises:
        UsageError: there are more than 254.
    """
    if len(dataset.values) >= IGNORE:
        raise UsageError(
            f"{dataset.name} has {len(dataset.values)} label values; at most {IGNORE - 1} can be trained; name those "
            f"that matter with `--classes`{instead}"
        )


def fit_normalisation(
    cases: Sequence[Case], channels: Sequence[str], values: Sequence[int]
) -> list[dict[str, float] | None]:
    """One rule per channel, as nnU-Net has them: CT by the data set's foreground, the rest by case.

    Args:
        cases: with labels; an evenly spaced sample of them is read, the unusable ones passed over.
        channels: names; `CT` (any case) asks for Hounsfield units.
        values: foreground label values.

    Returns:
        Per channel None (z-score of the case) or low, high, mean, std.
    """
    if not any(name.upper() == "CT" for name in channels):
        return [None] * len(channels)
    picked = [cases[i] for i in np.unique(np.linspace(0, len(cases) - 1, _SAMPLED_CASES).astype(int))]
    foreground: list[list[NDArray]] = [[] for _ in channels]
    for case in picked:
        try:
            image = usable_image(case)
            label = usable_label(case, image.geometry.shape)
        except Exception:
            continue  # preparing the case names it; the others are enough for a percentile
        if len(image.array) != len(channels):
            continue  # preparing names it
        inside = np.isin(label, list(values)) if label is not None else ...
        for channel, values_seen in enumerate(foreground):
            found = image.array[channel][inside].ravel()
            values_seen.append(found[:: max(1, found.size // 20_000)])
    rules: list[dict[str, float] | None] = []
    for name, seen in zip(channels, foreground, strict=True):
        every = np.concatenate(seen) if seen else np.zeros(0)
        if name.upper() != "CT" or every.size < 2:
            rules.append(None)
            continue
        low, high = np.percentile(every, [0.5, 99.5])
        clipped = np.clip(every, low, high)
        rules.append(
            {
                "low": float(low),
                "high": float(high),
                "mean": float(clipped.mean()),
                "std": float(max(clipped.std(), 1e-8)),
            }
        )
    return rules


def normalise(image: NDArray, rules: Rules) -> NDArray[np.float32]:
    """Normalise (channel, *spatial) by the rules of `fit_normalisation`.

    Values beyond ten standard deviations are cut: they would overflow half precision.
    """
    out = np.empty(image.shape, dtype=np.float32)
    for channel, rule in enumerate(rules):
        plane = image[channel]
        if rule is None:
            low, high = np.percentile(plane, [0.1, 99.9])
            clipped = np.clip(plane, low, high)
            out[channel] = (plane - clipped.mean()) / max(float(clipped.std()), 1e-8)
        else:
            np.clip(plane, rule["low"], rule["high"], out=out[channel])
            out[channel] -= rule["mean"]
            out[channel] /= rule["std"]
    return np.clip(out, -10, 10, out=out)


def resize(image: NDArray, shape: Sequence[int]) -> NDArray:
    """Resample (channel, *spatial) linearly to another shape over the same field of view.

    Where it is made smaller it is smoothed before, against aliasing, as skimage does it: by a Gaussian of
    (factor - 1) / 2 voxels, the border going on. Both are linear and separable, so each axis is one sparse matrix, and
    nothing as large as the image is made.

    Args:
        image: float.
        shape: (*working).

    Returns:
        float32, or the image itself where it has the shape.
    """
    if tuple(image.shape[1:]) == tuple(shape):
        return image
    return np.stack([_resampled(channel, shape) for channel in image])


def _resampled(channel: NDArray, shape: Sequence[int]) -> NDArray[np.float32]:
    found = np.asarray(channel, np.float32)
    # From the slowest axis: the last ones are turned round to be first, and there is less to turn by then.
    for axis, size in enumerate(shape):
        old = found.shape[axis]
        if old == size:
            continue
        first = np.moveaxis(found, axis, 0)
        flat = _along(old, size) @ np.ascontiguousarray(first).reshape(old, -1)
        found = np.moveaxis(flat.reshape(size, *first.shape[1:]), 0, axis)
    return np.ascontiguousarray(found, np.float32)


@lru_cache(maxsize=64)
def _along(old: int, new: int) -> Any:
    """(new, old): smoothing and linear interpolation along one axis."""
    from scipy import sparse

    places = _places(old, new)
    low = np.minimum(places.astype(int), old - 1)
    part = places - low
    rows = np.zeros((new, old))
    rows[np.arange(new), low] = 1 - part
    rows[np.arange(new), np.minimum(low + 1, old - 1)] += part
    sigma = (old / new - 1) / 2
    if sigma > 0:
        # Column by column what smoothing makes of one voxel.
        rows = rows @ ndimage.gaussian_filter1d(np.eye(old), sigma, axis=0, mode="nearest")
    return sparse.csr_array(rows.astype(np.float32))


def nearest(array: NDArray, shape: Sequence[int]) -> NDArray:
    """The voxels (*spatial) nearest to those of another shape over the same field of view; no value is made."""
    at = []
    for old, new in zip(array.shape, shape, strict=True):
        at.append(np.minimum((_places(old, new) + np.float32(0.5)).astype(int), old - 1))
    return array[np.ix_(*at)]


def _places(old: int, new: int) -> NDArray[np.float32]:
    """Where voxels of a new grid lie on an old one, to the bit as torch's `interpolate` has it: networks were
    trained on what it gave.
    """
    places = np.float64(np.float32(old / new)) * (np.arange(new) + 0.5) - 0.5
    return np.maximum(places.astype(np.float32), np.float32(0))


def of_looked(total: NDArray, share: NDArray) -> NDArray[np.float32]:
    """Confidences of what was looked at, where that is at least half of a voxel; NaN elsewhere.

    Args:
        total: confidences, 0 where nobody looked, interpolated.
        share: 1 where somebody looked and 0 elsewhere, interpolated alike.
    """
    known = share >= 0.5
    q = np.clip(total / np.where(known, share, 1), 0, 1)
    return np.where(known, q, np.nan).astype(np.float32)


def prepare_label(
    label: NDArray, shape: Sequence[int], values: Sequence[int], ignore: int | None
) -> NDArray[np.uint8]:
    """Class indices on the working grid: 0 background, k the k-th label value, `IGNORE` not annotated.

    Raises:
        ValueError: more than 254 label values.
    """
    if len(values) > IGNORE - 1:
        raise ValueError(f"{len(values)} label values; at most {IGNORE - 1} can be trained")
    small = nearest(label, shape)
    indices = np.zeros(small.shape, dtype=np.uint8)
    for index, value in enumerate(values, start=1):
        indices[small == value] = index
    if ignore is not None:
        indices[small == ignore] = IGNORE
    return indices
