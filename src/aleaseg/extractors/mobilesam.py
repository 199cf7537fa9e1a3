"""MobileSAM: a vision foundation model of photographs, asked slice by slice with a box about each class.

Zhang et al. 2023, arXiv 2306.14289: SAM with a small image encoder. It knows slices, not volumes: each is
embedded once, all classes are looked for in it, and the embedding is let go before the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from aleaseg.case import Case
from aleaseg.extractors.base import ClassMap, Cost, NoMap, Traits
from aleaseg.extractors.boxed import Boxed
from aleaseg.extractors.boxes import Box, body_box, checked_box, slice_boxes
from aleaseg.extractors.checkpoint import read_state
from aleaseg.extractors.mobilesam_keys import build, random_network
from aleaseg.measures.label_agreement import dice
from aleaseg.networks.mobile_sam import DECODED, model_input
from aleaseg.networks.mobile_sam import MobileSAM as Network
from aleaseg.networks.tiny_vit import TinyViTSize

__all__ = ["PIXELS", "MobileSAM", "Placed", "outline"]

PIXELS = (512, 256, 1024)
"""Sides of the network's input that may be asked for, the default first; it was trained at 1024."""
_BYTES = 40_000_000

_Looked = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""The logits that show a slice, and the outline on its pixels."""


def outline(
    state_dict: Mapping[str, Tensor],
    image: NDArray[np.uint8] | Tensor,
    box: Tensor | NDArray | tuple[float, float, float, float] | None = None,
    *,
    points: Tensor | NDArray | None = None,
    labels: Tensor | NDArray | None = None,
    mask: Tensor | NDArray | None = None,
    pixels: int = 1024,
) -> Tensor:
    """MobileSAM as a function of tensors: the mask of its single-mask token for one prompt.

    Args:
        state_dict: in the names of the released checkpoint; its batch norms may be fused.
        image: (H, W, 3) uint8, its longest side `pixels`.
        box: x0, y0, x1, y1 in pixels of the image, of which the first is 0.
        points: (P, 2) x, y in pixels of the image.
        labels: (P,), 1: on the thing, 0: not on it; with points.
        mask: (pixels/4, pixels/4) logits of an earlier look.
        pixels: side of the network's input, a multiple of 16.

    Returns:
        Raw logits (pixels/4, pixels/4), > 0: inside; what lies beyond the image at the right or at the bottom
        is padding.

    Raises:
        WeightsRefused: the state dict is not that of the network.
        ValueError: image, box, points or mask cannot be, or there is no prompt.
    """
    seen = torch.as_tensor(image)
    if seen.ndim != 3 or seen.shape[2] != 3 or seen.dtype != torch.uint8 or max(seen.shape[:2]) != pixels:
        raise ValueError(
            f"image is {tuple(seen.shape)} {seen.dtype}; expected (H, W, 3) uint8 with a longest side of {pixels}"
        )
    if pixels % 16:
        raise ValueError(f"pixels is {pixels}; expected a multiple of 16")
    boxes = None if box is None else torch.tensor([checked_box(box)])
    if mask is not None and tuple(mask.shape) != (pixels // DECODED, pixels // DECODED):
        raise ValueError(f"mask is {tuple(mask.shape)}; expected {(pixels // DECODED, pixels // DECODED)}")
    if points is not None and labels is not None and tuple(points.shape) != (len(labels), 2):
        raise ValueError(
            f"points are {tuple(points.shape)} with {len(labels)} labels; expected (P, 2), x and y, with P labels"
        )
    network = build(state_dict, pixels)
    with torch.inference_mode():
        embedding = network.embed(model_input(seen.permute(2, 0, 1)[None], pixels))
        logits, _ = network.look(
            embedding,
            boxes,
            None if points is None else torch.as_tensor(points)[None],
            None if labels is None else torch.as_tensor(labels)[None],
            None if mask is None else torch.as_tensor(mask)[None],
        )
    return logits[0]


@dataclass(frozen=True)
class Placed:
    """A slice on the network's square input: scaled to its longest side, at the upper left.

    Attributes:
        height: of the slice, pixels.
        width: of the slice.
        pixels: side of the input.
    """

    height: int
    width: int
    pixels: int

    @property
    def scaled(self) -> tuple[int, int]:
        """Height and width on the input."""
        scale = self.pixels / max(self.height, self.width)
        return max(1, int(self.height * scale + 0.5)), max(1, int(self.width * scale + 0.5))

    @property
    def decoded(self) -> tuple[int, int]:
        """Height and width of the part of the logits that shows the slice."""
        height, width = self.scaled
        return -(-height // DECODED), -(-width // DECODED)

    def frame(self, image: NDArray[np.float32]) -> Tensor:
        """(H, W) in [0, 1] -> the network's input (1, 3, pixels, pixels), on whole grey levels."""
        grey = torch.from_numpy(np.round(image * 255).astype(np.uint8))[None, None]
        resized = interpolate(grey, size=self.scaled, mode="bilinear", antialias=True, align_corners=False)
        return model_input(resized.expand(-1, 3, -1, -1), self.pixels)

    def box(self, box: Box) -> list[float]:
        """A box of whole pixels, ends included, as its outer edges on the input."""
        height, width = self.scaled
        down, across = height / self.height, width / self.width
        x0, y0, x1, y1 = box
        # The network takes the middle of its first pixel for 0.
        return [x0 * across - 0.5, y0 * down - 0.5, (x1 + 1) * across - 0.5, (y1 + 1) * down - 0.5]

    def inside(self, logits: Tensor) -> NDArray[np.bool_]:
        """Logits (N, pixels/4, pixels/4) -> where they say yes, on the slice: (N, H, W)."""
        height, width = self.scaled
        y = (torch.arange(self.height) + 0.5) * height / self.height / self.pixels * 2 - 1
        x = (torch.arange(self.width) + 0.5) * width / self.width / self.pixels * 2 - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
        found = grid_sample(logits[None], grid, padding_mode="border", align_corners=False)[0]
        return (found > 0).numpy()


class MobileSAM(Boxed):
    """Class maps of MobileSAM: a box about each class on every slice, the logits of its single-mask token."""

    name = "mobilesam"
    traits = Traits(
        "MobileSAM, prompted by a box about each class on every slice",
        prompts=("label_slice_boxes", "label_box", "pseudo", "auto_box"),
        normalizations=("foreground", "raw"),
        channels=1,
        weights="mobilesam",
        licence="Apache-2.0",
        pixels=PIXELS,
        caution="AUV is taken from MobileSAM: on breast ultrasound with known faults it followed the size of what was "
        "drawn, and found wrong masks no better than chance. Doubt is the better guide.",
    )
    size: TinyViTSize | None = None
    decoder: dict[str, Any] | None = None

    def _built(self) -> Network:
        if self.seed is not None:
            return random_network(self.seed, self._pixels, self.size, self.decoder)
        return build(read_state(self.weights), self._pixels, self.size, self.decoder, source=self.source)

    @property
    def _pixels(self) -> int:
        return self.settings.pixels or self.traits.pixels[0]

    def identity(self) -> dict[str, Any]:
        """Also the side of the network's input."""
        return {**super().identity(), "pixels": self._pixels}

    def cost(self, shape: tuple[int, ...], classes: int) -> Cost:
        """At most: every class on every slice."""
        depth = shape[0] if len(shape) == 3 else 1
        encoder, decoder = (0.6, 0.04) if self.settings.device == "cpu" else (0.02, 0.003)
        share = (self._pixels / 512) ** 2
        # Of each class a map, and on the image's pixels mask and outline.
        kept = classes * (depth * (self._pixels // DECODED) ** 2 * 4 + 2 * math.prod(shape))
        return Cost(share * depth * (encoder + decoder * classes), int(_BYTES + 300e6 * share + kept))

    def class_maps(self, case: Case) -> Iterator[ClassMap | NoMap]:
        """One map a class on its slices, (D', h, w), h and w a quarter of the slice on the network's input.

        A 2D image has (h, w). On a slice between two of the class's that lacks it, the box of the nearest is used.

        Raises:
            CaseError: the image, or the label that is looked at, cannot be used.
        """
        volume, label, picture = self.stack(case)
        masks = dict(self._masks(case, volume, label))
        boxes = {name: self._boxes(volume, mask) for name, mask in masks.items()}
        if not any(boxes.values()):
            yield from (NoMap(name, self.why_none) for name in masks)
            return
        found = self._looked(self.normalized(case, volume, label), boxes)
        for name, mask in masks.items():
            if not boxes[name]:
                yield NoMap(name, self.why_none)
                continue
            first, last = min(boxes[name]), max(boxes[name]) + 1
            values = np.stack([found[name][z][0] for z in range(first, last)])
            agreed = None
            if mask is not None and self.settings.prompt.startswith("label_"):
                drawn = np.zeros(mask.shape, dtype=bool)
                for z in np.flatnonzero(mask.any((1, 2))).tolist():
                    drawn[z] = found[name][z][1]
                agreed = dice(mask, drawn)
            yield ClassMap(
                name,
                values[0] if picture else values,
                "logit",
                (first, last),
                self.settings.prompt,
                overlap=agreed,
            )

    def _masks(
        self, case: Case, volume: NDArray, label: NDArray | None
    ) -> Iterator[tuple[str, NDArray[np.bool_] | None]]:
        if self.settings.prompt == "auto_box":
            yield "", None
            return
        yield from self.masks(case, volume, label)

    def _boxes(self, volume: NDArray, mask: NDArray[np.bool_] | None) -> dict[int, Box]:
        """Slice -> box, for every slice between the first and the last that is looked at; empty: none."""
        if self.settings.prompt == "auto_box":
            (box,) = body_box(volume).values()
            return dict.fromkeys(range(len(volume)), box)
        if mask is None:
            return {}
        each = dict(slice_boxes(mask))
        between = range(min(each), max(each) + 1)
        if self.settings.prompt == "label_box":
            (box,) = slice_boxes(np.any(mask, axis=0)[None]).values()
            return dict.fromkeys(between, box)
        return {z: each[min(each, key=lambda other: abs(other - z))] for z in between}

    @torch.inference_mode()
    def _looked(
        self, image: NDArray[np.float32], boxes: Mapping[str, Mapping[int, Box]]
    ) -> dict[str, dict[int, _Looked]]:
        """Class -> slice -> what was seen there."""
        place = Placed(image.shape[1], image.shape[2], self._pixels)
        height, width = place.decoded
        found: dict[str, dict[int, _Looked]] = {name: {} for name in boxes}
        device = self.settings.device
        for z in sorted({z for each in boxes.values() for z in each}):
            names = [name for name, each in boxes.items() if z in each]
            corners = torch.tensor([place.box(boxes[name][z]) for name in names])
            with self.autocast():
                embedding = self.network.embed(place.frame(image[z]).to(device))
                logits, _ = self.network.look(embedding, corners.to(device))
            logits = logits.float().cpu()
            for name, one, drawn in zip(names, logits, place.inside(logits), strict=True):
                found[name][z] = one[:height, :width].numpy().copy(), drawn
        return found
