"""What all extractors through one released network share: its weights, its precision, the channel it sees."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aleaseg.case import Case, Geometry
from aleaseg.errors import BadVoxels, CaseError
from aleaseg.extractors.base import Extractor
from aleaseg.extractors.checkpoint import random_seed
from aleaseg.loaded import as_stored, usable_stored
from aleaseg.measures.percentiles import percentiles

__all__ = ["Released"]


class Released(Extractor):
    """An extractor through one network, with weights of the catalogue, of a file, or random ones.

    Final classes build the network in `_built`; it is loaded when it is first needed.
    """

    whole_numbers = False
    """Whether grey values are taken in the small whole numbers of a file that holds such, instead of float32."""

    @abstractmethod
    def _built(self) -> Any:
        """The network with its weights, in evaluation mode, on the CPU.

        Raises:
            WeightsRefused: they are not those of the model.
        """

    @cached_property
    def network(self) -> Any:
        """The network on its device."""
        return self._built().to(self.settings.device)

    def load(self) -> None:
        """The network."""
        assert self.network is not None

    @cached_property
    def seed(self) -> int | None:
        """Of random weights; None: they come from a file."""
        return random_seed(self.settings.weights)

    @cached_property
    def weights(self) -> Path:
        """The file of weights, made sure of.

        Raises:
            WeightsRefused: it is nowhere, is not what it should be, or its licence was not accepted.
        """
        from aleaseg.extractors.weights import locate

        assert self.traits.weights is not None
        return locate(
            self.traits.weights, self.settings.weights, accept_licence=self.settings.accept_licence
        )

    @property
    def source(self) -> str:
        """Where the weights come from, for whoever must be told that they do not fit."""
        return str(self.weights) if self.seed is None else f"random (seed {self.seed})"

    @property
    def channel(self) -> int:
        """The image channel that is looked at."""
        return self.settings.channel or 0

    @property
    def bfloat16(self) -> bool:
        """Whether it runs under autocast."""
        asked = self.settings.precision
        return asked == "bfloat16" or (asked == "auto" and self.settings.device != "cpu")

    def autocast(self) -> torch.autocast:
        """The context that the network runs in."""
        device = torch.device(self.settings.device).type
        return torch.autocast(device, torch.bfloat16, enabled=self.bfloat16)

    @property
    def window(self) -> tuple[float, float] | None:
        """Lowest and highest value of the raw image; None where each image has its own."""
        return self.settings.window

    def identity(self) -> dict[str, Any]:
        """Weights, prompt, normalisation, window, channel and precision."""
        from aleaseg.extractors.weights import known_sha256

        return {
            "name": self.name,
            "weights": known_sha256(self.weights) if self.seed is None else self.source,
            "prompt": self.settings.prompt,
            "normalize": self.settings.normalize,
            "window": None if self.window is None else list(self.window),
            "channel": self.channel,
            "precision": "bfloat16" if self.bfloat16 else "float32",
        }

    def grey(self, case: Case) -> tuple[NDArray, Geometry]:
        """The channel that is looked at, (D, H, W) or (H, W), and where its voxels lie.

        Raises:
            CaseError: the image cannot be used, or is none that the network can look at.
        """
        image = usable_stored(case)
        grey = as_stored(image, self.channel)
        if not self.whole_numbers:
            grey = grey.astype(np.float32, copy=False)
        if grey.ndim not in self.traits.dimensions:
            raise self.unfit(case, grey.shape)
        return grey, image.geometry

    def unfit(self, case: Case, shape: Iterable[int]) -> CaseError:
        """The error of an image that a network of volumes cannot look at."""
        return CaseError(
            case.id,
            f"an image of shape {tuple(shape)}",
            f"a volume: {self.name} works along all three axes",
            "use another extractor, such as medsam2",
        )

    def foreground(self, case: Case, grey: NDArray, label: NDArray | None) -> NDArray[np.bool_]:
        """Where some class is annotated: what `--normalize foreground` normalises by.

        Args:
            case: for the error.
            grey: (*spatial).
            label: (*spatial) label values; None: the case has none.

        Raises:
            CaseError: nothing is annotated, or all that is has one grey level, and an image
                normalised by it would be black.
        """
        inside = None if label is None else np.isin(label, self.dataset.values)
        if inside is None or not inside.any():
            raise CaseError(
                case.id,
                "no annotated voxel",
                "some, for --normalize foreground",
                "use --normalize raw, or leave the case out",
            )
        low, high = percentiles(grey[inside], [0.5, 99.5])
        if low == high:
            raise BadVoxels(
                case.id,
                f"the value {low:g} everywhere in the annotated foreground",
                "grey levels that differ, for --normalize foreground",
                "look at the image and its label; use --normalize raw, or leave the case out",
            )
        return inside
