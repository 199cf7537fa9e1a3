"""Where noise goes: small patches at places where the network does not grow less sure, and the noise itself.

Section 5 of SURE: where noise over the whole image left the uncertainty as it was, or made it
fall, patches are noised at two levels, three for each class, so that the network learns that
more noise is more uncertainty. Places are chosen on the CPU, all draws come from one NumPy
generator: the same seed gives the same patches on every device.

The official code looks for free places by trying, without end where there are none; here a place is
drawn among the free ones, which is the same choice, and there are fewer patches where no room is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

__all__ = [
    "Noise",
    "Patches",
    "add_patches",
    "choose_places",
    "draw_patch_noise",
    "draw_whole_noise",
    "hard_patches",
]

Noise = Literal["sigma", "mu"]

SIGMA = 0.3  # of the noise over the whole image; of patches whose mean varies
_MU = 0.5


class Patches(NamedTuple):
    """Patches of a batch, none overlapping another of its sample.

    Attributes:
        starts: (B, P, axes) int64, first voxel of each; padded with 0.
        there: (B, P) bool, False where a sample has fewer than P.
        edge: k; a patch has k voxels along each axis.
    """

    starts: Tensor
    there: Tensor
    edge: int

    def at_centres(self, maps: Tensor) -> Tensor:
        """What maps (B, *spatial) hold at the centre of each patch, (B, P)."""
        index = _flat(self.starts + self.edge // 2, maps.shape[1:])
        return maps.flatten(1).gather(1, torch.where(self.there, index, 0))


def patch_edge(shape: Sequence[int]) -> int:
    """How long a patch is in an image (*spatial): 3 voxels, from an edge of 256 on 7.

    >>> patch_edge((128, 300)), patch_edge((512, 512))
    (3, 7)
    """
    return 7 if min(shape) >= 256 else 3


def choose_places(
    candidates: ArrayLike,
    label: ArrayLike,
    distance: ArrayLike,
    classes: int,
    edge: int,
    rng: np.random.Generator | None,
    *,
    per_class: int = 3,
    near: float = 4.0,
    top_up: ArrayLike = (),
) -> NDArray[np.int64]:
    """Places of the patches of one sample.

    First `per_class` for each class whose centre is a candidate with that label, in random order, the
    background only where d < near; then places of any kind until there are `per_class` times K. A patch lies
    wholly in the image and overlaps no other.

    Args:
        candidates: (*spatial) bool, where the uncertainty did not rise.
        label: (*spatial) label values; those beyond K - 1 are of no class.
        distance: (*spatial) d.
        classes: K, with the background.
        edge: k, voxels along each axis of a patch.
        rng: of all choices. None: candidates in raster order, and the places of `top_up` alone.
        per_class: patches for each class.
        near: of the background.
        top_up: (n, axes) first voxels to be tried in turn; only without `rng`.

    Returns:
        (P, axes) first voxels in the order of their choice, P <= per_class K; none where no patch fits.

    >>> everywhere, d = np.ones((3, 7), bool), np.zeros((3, 7))
    >>> choose_places(everywhere, np.zeros((3, 7), int), d, 1, 3, None).tolist()
    [[0, 0], [0, 3]]
    """
    candidates, label, distance = np.asarray(candidates), np.asarray(label), np.asarray(distance)
    shape = tuple(length - edge + 1 for length in label.shape)  # of the places
    if min(shape) < 1:
        return np.zeros((0, label.ndim), np.int64)
    # From here on a place is named by its first voxel, and a map is looked at through the centres.
    centres = tuple(slice(edge // 2, edge // 2 + length) for length in shape)
    candidates, label, distance = candidates[centres], label[centres], distance[centres]
    free = np.ones(shape, bool)
    chosen: list[tuple[int, ...]] = []

    def take(place: Iterable[int]) -> None:
        chosen.append(tuple(int(x) for x in place))
        free[tuple(slice(max(0, x - edge + 1), x + edge) for x in chosen[-1])] = False

    def take_among(places: NDArray, most: int) -> None:
        for _ in range(most):
            places = places[free.ravel()[places]]
            if not places.size:
                return
            pick = places[0 if rng is None else rng.integers(places.size)]
            take(np.unravel_index(pick, shape))

    for c in range(classes):
        wanted = candidates & (label == c)
        if c == 0:
            wanted &= distance < near
        take_among(np.flatnonzero(wanted), per_class)
    missing = per_class * classes - len(chosen)
    if rng is not None:
        take_among(np.arange(free.size), missing)
    else:
        for place in np.asarray(top_up, np.int64).reshape(-1, label.ndim):
            inside = ((place >= 0) & (place < shape)).all()
            if len(chosen) < per_class * classes and inside and free[tuple(place)]:
                take(place)
    return np.asarray(chosen, np.int64).reshape(-1, label.ndim)


def hard_patches(
    candidates: Tensor,
    target: Tensor,
    distance: Tensor,
    classes: int,
    edge: int,
    rng: np.random.Generator,
    *,
    per_class: int = 3,
    near: float = 4.0,
) -> Patches:
    """`choose_places` for each sample of a batch (B, *spatial), on the device of the candidates."""
    maps = [each.detach().cpu().numpy() for each in (candidates, target, distance)]
    found = [
        choose_places(where, label, d, classes, edge, rng, per_class=per_class, near=near)
        for where, label, d in zip(*maps, strict=True)
    ]
    starts = np.zeros((len(found), max(map(len, found), default=0), target.ndim - 1), np.int64)
    there = np.zeros(starts.shape[:2], bool)
    for sample, places in enumerate(found):
        starts[sample, : len(places)] = places
        there[sample, : len(places)] = True
    device = candidates.device
    return Patches(torch.from_numpy(starts).to(device), torch.from_numpy(there).to(device), edge)


def add_patches(image: Tensor, patches: Patches, noise: Tensor) -> Tensor:
    """The image with the same patch of noise at each place; the image itself stays as it is.

    Args:
        image: (B, C, *spatial).
        patches: of the batch.
        noise: (C, k, ...).

    Returns:
        (B, C, *spatial), not clipped.
    """
    batch, channels, *shape = image.shape
    axes = len(shape)
    grids = torch.meshgrid(*[torch.arange(patches.edge, device=image.device)] * axes, indexing="ij")
    offsets = torch.stack(grids, -1).view(-1, axes)
    index = _flat(patches.starts[:, :, None] + offsets, shape)  # (B, P, k^n)
    # What pads a sample adds nothing to the first voxel.
    index = torch.where(patches.there[..., None], index, 0).flatten(1)[:, None].expand(-1, channels, -1)
    added = noise.to(image.dtype).view(1, channels, 1, -1) * patches.there[:, None, :, None]
    return image.flatten(2).scatter_add(2, index, added.flatten(2)).view(batch, channels, *shape)


def draw_whole_noise(shape: Sequence[int], noise: Noise, rng: np.random.Generator) -> NDArray[np.float32]:
    """One field of noise for a whole image: .3 z, z ~ N(0, 1); `mu`: N(.5, .3).

    Args:
        shape: *spatial.
        noise: what varies between levels.
        rng: of the draw.

    Returns:
        (*spatial), the same for all samples and channels.
    """
    field = SIGMA * rng.standard_normal(shape, np.float32)
    return field + np.float32(_MU) if noise == "mu" else field


def draw_patch_noise(
    channels: int, edge: int, axes: int, noise: Noise, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Two levels in (0, 1), and a patch of noise for each.

    Args:
        channels: C of the image.
        edge: k.
        axes: of the image.
        noise: `sigma`: the level is the standard deviation, and both have the same z; `mu`: it is the mean
            of N(mu, .3), and each is a draw of its own.
        rng: of the draw.

    Returns:
        (2,) levels and (2, C, k, ...).
    """
    levels = rng.uniform(0, 1, 2)
    patch = (channels, *[edge] * axes)
    column = levels.reshape(2, *[1] * len(patch))
    if noise == "sigma":
        drawn = column * rng.standard_normal(patch)
    else:
        drawn = column + SIGMA * rng.standard_normal((2, *patch))
    return levels, drawn.astype(np.float32)


def _flat(index: Tensor, shape: Sequence[int]) -> Tensor:
    """Indices (..., axes) into an array of this shape as indices (...) into its raster order."""
    found = index[..., 0]
    for axis, length in enumerate(shape[1:], 1):
        found = found * length + index[..., axis]
    return found
