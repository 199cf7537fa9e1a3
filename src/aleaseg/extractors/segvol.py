"""SegVol: the class's name in a sentence, and the whole volume at once; no label is looked at.

SegVol (Du et al., NeurIPS 2024, arXiv 2311.13385) is one of the paper's extractors
(arXiv 2604.10963, Table 1). The volume is brought to 32 x 256 x 256 voxels whatever its
size, and the logits of a class come on a grid of 32 x 64 x 64, depth first. Upstream
then looks again at what it found, closer ("zoom in"): that would put two scales into one
map, and is not done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache, cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from torch import Tensor
from torch.nn.functional import interpolate

from aleaseg.case import Case, Dataset, usable_label
from aleaseg.errors import BadVoxels, UsageError
from aleaseg.extractors.base import ClassMap, Cost, ExtractorSettings, NoMap, Traits
from aleaseg.extractors.checkpoint import read_state
from aleaseg.extractors.normalize import foreground_normalized, unit
from aleaseg.extractors.orient import depth_first, to_ras
from aleaseg.extractors.released import Released
from aleaseg.extractors.segvol_keys import network_from, random_checkpoint
from aleaseg.extractors.segvol_text import SENTENCE, RandomWords, Vocabulary, Words, spoken
from aleaseg.networks.segvol import RELEASED, Network, Size
from aleaseg.predictions import Predictions

__all__ = ["SegVol", "model_input", "range_above_mean"]


def range_above_mean(image: NDArray) -> tuple[float, float]:
    """The 0.05% and 99.95% percentiles of the voxels above the mean: SegVol's grey range.

    Args:
        image: any shape, finite, not one value everywhere.
    """
    low, high = np.percentile(image[image > image.mean(dtype=np.float64)], [0.05, 99.95])
    return float(low), float(high)


def model_input(
    image: NDArray, size: tuple[int, int, int], window: tuple[float, float] | None = None
) -> Tensor:
    """A volume as SegVol reads it: clipped, in [0, 1], cropped to what is not black, resized.

    Upstream takes mean and deviation out between clipping and scaling to [0, 1]; the
    scaling undoes that, so it is left out. What is fed does not change with the image's
    offset and scale.

    Args:
        image: (D, H, W) finite, upwards, to the front and to the right.
        size: of the network's input.
        window: what becomes 0 and 1; None: `range_above_mean`.

    Returns:
        (1, 1, *size) float32.

    Raises:
        ValueError: the image has one value, or nothing of it is above the range's lower end.
    """
    if image.min() == image.max():
        raise ValueError(f"the value {image.flat[0]:g} everywhere")
    low, high = window or range_above_mean(image)
    scaled = unit(image, low, high)
    boxes = find_objects((scaled > 0).astype(np.uint8))
    if not boxes:
        raise ValueError(f"nothing above {low:g}")
    cropped = torch.from_numpy(np.ascontiguousarray(scaled[boxes[0]]))
    return interpolate(cropped[None, None], size=size, mode="nearest-exact")


class SegVol(Released):
    """Class maps of SegVol, prompted by what a class is called."""

    name = "segvol"
    traits = Traits(
        "SegVol, prompted by the class's name: looks at no label",
        dimensions=(3,),
        prompts=("text",),
        normalizations=("raw", "foreground"),
        modality="CT",
        channels=1,
        class_names=True,
        weights="segvol",
        licence="none named on the weights' page; the code is MIT",
    )
    size: ClassVar[Size] = RELEASED

    def __init__(
        self, settings: ExtractorSettings, dataset: Dataset, predictions: Predictions | None = None
    ) -> None:
        super().__init__(settings, dataset, predictions)
        self._spoken = {name: spoken(name) for name in self.classes}
        if not any(self._spoken.values()):
            raise UsageError(
                f"extractor `segvol` asks for a structure by its name, and the classes of {dataset.name} are "
                f"called {', '.join(self.classes)}; name them with --classes, such as liver=1,tumour=2"
            )
        self._words: Words = (
            RandomWords(self.seed, self.size.words)
            if self.seed is not None
            else Vocabulary(self.weights.parent, self.size.words)
        )

    def _built(self) -> Network:
        if self.seed is not None:
            state = random_checkpoint(self.seed, self.size)["model"]
        else:
            state = read_state(self.weights, "model")
        return network_from(state, self.size, source=self.source)

    def identity(self) -> dict[str, Any]:
        """Also the vocabulary, the sentence and the network's size."""
        return {
            **super().identity(),
            "vocabulary": self._words.identity(),
            "sentence": SENTENCE,
            "size": asdict(self.size),
        }

    def cost(self, shape: tuple[int, ...], classes: int) -> Cost:
        """The network's multiplications at the speed of one matrix product, which is timed here."""
        one = self.size
        tokens, width = math.prod(one.grid), one.width
        encoder = one.layers * tokens * width * (4 * width + 2 * one.hidden + 2 * tokens)
        decoder = tokens * width**2 * (2 * one.decoder_layers + 5)
        seconds = (encoder + classes * decoder) / _products_per_second(self.settings.device, self.bfloat16)
        voxels = math.prod(shape)
        return Cost(
            _OVERHEAD * seconds + _SECONDS_PER_VOXEL * voxels,
            int(_NETWORK_BYTES + _BYTES_PER_VOXEL * voxels),
        )

    def class_maps(self, case: Case) -> Iterator[ClassMap | NoMap]:
        """One map a class, (32, 64, 64), bottom to top; the image is looked at once for all of them.

        Classes that the case lacks have maps too: nothing here knows what it has.

        Raises:
            CaseError: the image is no volume, or it or the label that is looked at cannot be used.
        """
        given = self._input(case)
        image = self._encoded(given)
        for name in self.classes:
            if name not in self._texts:
                yield NoMap(name, "no_name")
                continue
            values = self._decoded(image, self._texts[name])
            yield ClassMap(name, values, "logit", (0, len(values)), self.settings.prompt)

    def _input(self, case: Case) -> Tensor:
        volume, geometry = self.grey(case)
        if 1 in volume.shape:
            raise self.unfit(case, volume.shape)
        if self.settings.normalize == "foreground":
            label = usable_label(case, volume.shape)
            volume = foreground_normalized(volume, self.foreground(case, volume, label))
        upright = depth_first(to_ras(volume, geometry)[0])
        try:
            return model_input(upright, self.size.image, self.window)
        except ValueError as error:
            raise BadVoxels(
                case.id,
                f"an image with {error}",
                "grey levels that differ",
                "look at the image; export it again, or leave the case out",
            ) from error

    @cached_property
    def _texts(self) -> Mapping[str, Tensor]:
        """Class -> its text as the decoder's token (1, C); none where its name is unusable or too long."""
        names = [name for name, said in self._spoken.items() if said is not None]
        words, mask = self._words([SENTENCE.format(self._spoken[name]) for name in names])
        fits = mask.sum(dim=1) <= self.size.text_length
        if not fits.any():
            return {}
        longest = int(mask[fits].sum(dim=1).max())
        words, mask = (each[fits, :longest].to(self.settings.device) for each in (words, mask))
        with torch.inference_mode():
            texts = self.network.encode_text(words, mask)
        kept = [name for name, fit in zip(names, fits.tolist(), strict=True) if fit]
        return {name: text[None] for name, text in zip(kept, texts, strict=True)}

    @torch.inference_mode()
    def _encoded(self, given: Tensor) -> Tensor:
        with self.autocast():
            return self.network.encode_image(given.to(self.settings.device))

    @torch.inference_mode()
    def _decoded(self, image: Tensor, text: Tensor) -> NDArray[np.float32]:
        with self.autocast():
            return self.network.decode(image, text)[0].cpu().numpy()


# Measured with one thread on a CPU: what a case takes over what its matrix products would, and what
# reading grey levels takes; how much memory the network takes while it is loaded.
_OVERHEAD = 1.5
_SECONDS_PER_VOXEL = 6e-8
_NETWORK_BYTES = 2_000_000_000
_BYTES_PER_VOXEL = 30


@cache
def _products_per_second(device: str, bfloat16: bool) -> float:
    """Multiplications a second of a matrix product of the encoder's shape, on this machine."""
    kind = torch.bfloat16 if bfloat16 else torch.float32
    tokens = torch.ones(1024, 768, device=device, dtype=kind)
    layer = torch.ones(768, 3072, device=device, dtype=kind)
    best = math.inf
    for _ in range(3):
        started = time.perf_counter()
        float((tokens @ layer)[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - started)
    return tokens.shape[0] * 768 * 3072 / best
