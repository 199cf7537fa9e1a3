"""The package's own network: small, prompted, in the package, taught on synthetic shapes alone.

One and a half million numbers; it sees a square of 64 pixels about the thing, slice by
slice with the neighbours. It was never shown an image of a patient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aleaseg.case import Case
from aleaseg.errors import WeightsRefused
from aleaseg.extractors.base import ClassMap, Cost, NoMap, Traits
from aleaseg.extractors.boxed import Boxed
from aleaseg.extractors.boxes import slice_boxes
from aleaseg.extractors.checkpoint import file_sha256, load_strictly, read_state
from aleaseg.measures.label_agreement import dice
from aleaseg.networks.prompted import Prompted, look, pasted, window_about
from aleaseg.predictions.opinion import Opinion

__all__ = ["SHA256", "Own", "filled_boxes"]

SHA256 = "14b848907b8808930e125e0c95628b16cfd5136b4d24724a3c2cdc9c9a93a293"
"""Of the weights in the package."""
Levels = Callable[[NDArray], NDArray[np.float32]]
# A slice on one core, and the network.
_SECONDS, _BYTES = 0.012, 50_000_000


def filled_boxes(mask: NDArray[np.bool_], *, solid: bool) -> NDArray[np.float32]:
    """(D, H, W): 1 inside the boxes about a mask.

    Args:
        mask: (D, H, W), not empty.
        solid: one box for all slices that have something, in place of one each.
    """
    region = np.zeros(mask.shape, np.float32)
    if solid:
        there = np.flatnonzero(mask.any((1, 2)))
        shadow, mask = mask.any(0), np.zeros_like(mask)
        mask[there[0] : there[-1] + 1] = shadow
    for z, (x0, y0, x1, y1) in slice_boxes(mask).items():
        region[z, int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = 1
    return region


class Own(Boxed):
    """Class maps of the package's own prompted network, 64 x 64 a slice about each class."""

    name = "own"
    traits = Traits(
        "a small prompted network in the package, taught on synthetic shapes alone",
        prompts=("label_slice_boxes", "label_box", "pseudo"),
        normalizations=("foreground", "raw"),
        channels=1,
        weights="own",
        licence="Apache-2.0",
        bundled=True,
        caution="AUV is taken from the package's small prompted network: with known faults it found wrong masks at "
        "best a little better than chance, and bad images no better. Doubt is the better guide.",
    )

    @property
    def weights(self) -> Path:
        """Those of the package, or a file of the same form.

        Raises:
            WeightsRefused: the package's file is not what it should be.
        """
        if self.settings.weights is not None:
            return Path(self.settings.weights)
        path = Path(str(files("aleaseg.networks") / "prompted.safetensors"))
        if not path.is_file() or file_sha256(path) != SHA256:
            raise WeightsRefused(f"{path} is not the file that came with the package; install it again")
        return path

    def _built(self) -> Prompted:
        if self.seed is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                return Prompted().eval()
        return _read(self.weights)

    def identity(self) -> dict[str, Any]:
        """Also the network's square."""
        return {**super().identity(), "side": Prompted().size.side}

    def cost(self, shape: tuple[int, ...], classes: int) -> Cost:
        """At most: every class on every slice."""
        depth = shape[0] if len(shape) == 3 else 1
        return Cost(_SECONDS * depth * classes, _BYTES)

    def class_maps(self, case: Case) -> Iterator[ClassMap | NoMap]:
        """One map a class on its slices, (D', 64, 64); (64, 64) for a 2D image.

        Raises:
            CaseError: the image, or the label that is looked at, cannot be used.
        """
        picture = len(case.read_geometry().shape) == 2
        labelled = self.settings.prompt.startswith("label_")
        for name, mask, one in self._seen(case):
            if mask is None or one is None:
                yield NoMap(name, self.why_none)
                continue
            values = one.logits
            yield ClassMap(
                name,
                values[0] if picture else values,
                "logit",
                (one.first, one.first + len(values)),
                self.settings.prompt,
                overlap=dice(mask, _outline(one, mask.shape)) if labelled else None,
            )

    def opinions(self, case: Case) -> dict[str, Opinion | None]:
        """Class -> what the network sees there; None where there is nothing to prompt about.

        Raises:
            CaseError: the image, or the label that is looked at, cannot be used.
        """
        return {name: one for name, _, one in self._seen(case)}

    def _seen(self, case: Case) -> Iterator[tuple[str, NDArray[np.bool_] | None, Opinion | None]]:
        """Class, the mask (D, H, W) it is looked for about, and what is seen."""
        volume, label, _ = self.stack(case)
        seen: Levels | None = None
        for name, mask in self.masks(case, volume, label):
            if mask is None:
                yield name, None, None
                continue
            seen = seen or self.levels(case, volume, label)
            yield name, mask, self._look(volume, seen, mask)

    def _look(self, volume: NDArray, seen: Levels, mask: NDArray[np.bool_]) -> Opinion:
        there = np.flatnonzero(mask.any((1, 2)))
        part = slice(int(there[0]), int(there[-1]) + 1)
        region = torch.from_numpy(filled_boxes(mask[part], solid=self.settings.prompt == "label_box"))
        window = window_about(region)
        x, y, half = window
        # Nothing else of the slices is looked at, or normalised.
        rows, columns = (_pixels(middle, half) for middle in (y, x))
        image = np.zeros(region.shape, np.float32)
        for into, flat in zip(image, volume[part], strict=True):
            into[rows, columns] = seen(flat[rows, columns])
        with self.autocast():
            logits, window = look(self.network, torch.from_numpy(image), region, window=window)
        return Opinion(logits.numpy(), part.start, window)


def _pixels(middle: float, half: float) -> slice:
    """Every pixel of a line that a window takes from, its neighbours for the interpolation among them."""
    return slice(max(0, math.floor(middle - half) - 2), math.ceil(middle + half) + 3)


def _outline(one: Opinion, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(D, H, W): where the network says yes."""
    found = np.zeros(shape, dtype=bool)
    rows, columns, logits = pasted(torch.from_numpy(one.logits), one.window, (shape[1], shape[2]))
    found[one.first : one.first + len(logits), rows, columns] = (logits > 0).numpy()
    return found


@cache
def _read(path: Path) -> Prompted:
    """The network of a file; once a process, whoever asks."""
    network = Prompted()
    state = {name: tensor.float() for name, tensor in read_state(path).items()}
    load_strictly(network, state, source=str(path))
    return network.eval()
