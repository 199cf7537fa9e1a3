"""The package's own network: small, prompted, in the package, taught on synthetic shapes alone.

One and a half million numbers; it sees a square of 64 pixels about the thing, slice by
slice with the neighbours. It was never shown an image of a patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from aleaseg.extractors.boxes import Box, slice_boxes, tight_box
from aleaseg.extractors.checkpoint import file_sha256, load_strictly, read_state
from aleaseg.measures.label_agreement import dice_of_counts
from aleaseg.measures.regions import Window, slabs
from aleaseg.networks.prompted import Prompted, answer, on_square, pasted, square_about
from aleaseg.predictions.opinion import Opinion

__all__ = ["SHA256", "Own", "prompt_boxes"]

SHA256 = "14b848907b8808930e125e0c95628b16cfd5136b4d24724a3c2cdc9c9a93a293"
"""Of the weights in the package."""
Levels = Callable[[NDArray], NDArray[np.float32]]
# A slice on one core, and the network.
_SECONDS, _BYTES = 0.012, 50_000_000


def prompt_boxes(mask: NDArray[np.bool_], *, solid: bool) -> Mapping[int, Box]:
    """Slice -> the box that prompts there.

    Args:
        mask: (D, H, W), not empty.
        solid: one box for all slices from the first to the last that have something, in place of one each.
    """
    if not solid:
        return slice_boxes(mask)
    there = np.flatnonzero(mask.any((1, 2)))
    box = tight_box(np.asarray(mask.any(0)))
    assert box is not None
    return dict.fromkeys(range(int(there[0]), int(there[-1]) + 1), box)


def _filled(into: NDArray[np.float32], box: Box | None) -> None:
    """A slice (H, W) that is 1 inside a box, and 0 elsewhere."""
    into[...] = 0
    if box is not None:
        x0, y0, x1, y1 = map(int, box)
        into[y0 : y1 + 1, x0 : x1 + 1] = 1


class Own(Boxed):
    """Class maps of the package's own prompted network, 64 x 64 a slice about each class."""

    name = "own"
    whole_numbers = True
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
        shape = case.read_geometry().shape
        picture = len(shape) == 2
        labelled = self.settings.prompt.startswith("label_")
        for name, part, one in self._seen(case):
            if part is None or one is None:
                yield NoMap(name, self.why_none)
                continue
            values = one.logits
            yield ClassMap(
                name,
                values[0] if picture else values,
                "logit",
                (one.first, one.first + len(values)),
                self.settings.prompt,
                overlap=_overlap(one, *part, shape[-2:]) if labelled else None,
            )

    def opinions(self, case: Case) -> dict[str, Opinion | None]:
        """Class -> what the network sees there; None where there is nothing to prompt about.

        Raises:
            CaseError: the image, or the label that is looked at, cannot be used.
        """
        return {name: one for name, _, one in self._seen(case)}

    def _seen(
        self, case: Case
    ) -> Iterator[tuple[str, tuple[Window, NDArray[np.bool_]] | None, Opinion | None]]:
        """Class, the mask it is looked for about and the box that holds it, and what is seen."""
        volume, label, _ = self.stack(case)
        seen: Levels | None = None
        for name, part in self.cut_masks(case, volume, label):
            if part is None:
                yield name, None, None
                continue
            seen = seen or self.levels(case, volume, label)
            yield name, part, self._look(volume, seen, *part)

    def _look(self, volume: NDArray, seen: Levels, part: Window, mask: NDArray[np.bool_]) -> Opinion:
        down, right = part[1].start, part[2].start
        boxes = {
            part[0].start + k: (x0 + right, y0 + down, x1 + right, y1 + down)
            for k, (x0, y0, x1, y1) in prompt_boxes(mask, solid=self.settings.prompt == "label_box").items()
        }
        slices, plane = range(min(boxes), max(boxes) + 1), volume.shape[1:]
        least, most = np.min([*boxes.values()], axis=0), np.max([*boxes.values()], axis=0)
        x, y, half = window = square_about((*map(float, least[:2]), *map(float, most[2:])))  # type: ignore[arg-type]
        side = self.network.size.side
        # Nothing else of the slices is looked at, or normalised.
        taken = np.ix_(*(_taken(at, half, side, n) for at, n in ((y, plane[0]), (x, plane[1]))))

        def shown(into: NDArray[np.float32], k: int) -> None:
            into[taken] = seen(volume[k][taken])

        def prompted(into: NDArray[np.float32], k: int) -> None:
            _filled(into, boxes.get(k))

        with self.autocast():
            levels = on_square(_stacks(slices, plane, shown), window, side)
            region = on_square(_stacks(slices, plane, prompted), window, side, "nearest")
            logits = answer(self.network, levels, region)
        return Opinion(logits.numpy(), slices.start, window)


def _stacks(
    slices: range, plane: Sequence[int], write: Callable[[NDArray[np.float32], int], None]
) -> Iterator[torch.Tensor]:
    """Slices (d, H, W) as `write` makes them, a few at a time and in the same memory again."""
    parts = list(slabs((len(slices), *plane)))
    stack = np.zeros((len(slices[parts[0]]), *plane), np.float32)
    for part in parts:
        some = slices[part]
        for into, k in zip(stack, some, strict=False):
            write(into, k)
        yield torch.from_numpy(stack[: len(some)])


def _taken(middle: float, half: float, side: int, size: int) -> NDArray[np.intp]:
    """The pixels of a line that a window is interpolated from, whichever way rounding falls."""
    at = middle + half * ((np.arange(side) + 0.5) / side * 2 - 1)
    low = np.floor([at - 0.1, at + 0.1])
    return np.unique(np.clip([low, low + 1], 0, size - 1).astype(np.intp))


def _overlap(one: Opinion, part: Window, mask: NDArray[np.bool_], plane: Sequence[int]) -> float:
    """Dice of what the network says yes to and the mask that it was asked about, whose box the window holds."""
    slices, down, right = part
    both = said = 0
    for some in slabs((len(one.logits), *plane)):
        logits = torch.from_numpy(one.logits[some])
        rows, columns, found = pasted(logits, one.window, (plane[0], plane[1]))
        yes = (found > 0).numpy()
        said += int(np.count_nonzero(yes))
        first = one.first + some.start - slices.start  # in the mask
        there = mask[max(0, first) : max(0, first + len(yes))]
        top, left, begin = down.start - rows.start, right.start - columns.start, max(0, -first)
        window = tuple(
            slice(at, at + size) for at, size in zip((begin, top, left), there.shape, strict=True)
        )
        both += int(np.count_nonzero(there & yes[window]))
    return dice_of_counts(both, int(np.count_nonzero(mask)), said)


@cache
def _read(path: Path) -> Prompted:
    """The network of a file; once a process, whoever asks."""
    network = Prompted()
    state = {name: tensor.float() for name, tensor in read_state(path).items()}
    load_strictly(network, state, source=str(path))
    return network.eval()
