"""The CLIP-Driven Universal Model as the extractor: the class by its name, one head a class, CT only.

Liu et al., ICCV 2023, arXiv 2301.00785; the third extractor of arXiv 2604.10963. The text
embeddings of its 32 classes are part of the weights, so no text encoder is needed. The volume is
read as upstream reads it: RAS, 1.5 mm, -175 to 250 HU, cropped to what is above that, windows of
96^3 voxels that overlap by half. Weights: CC BY-NC-ND 4.0.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache, cached_property, partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, find_objects

from aleaseg.case import Case, Dataset, usable_label
from aleaseg.errors import BadVoxels, CaseError, UsageError
from aleaseg.extractors.base import ClassMap, Cost, ExtractorSettings, NoMap, Traits
from aleaseg.extractors.checkpoint import load_strictly, read_state, strip_prefix
from aleaseg.extractors.normalize import percentile_range, unit
from aleaseg.extractors.orient import depth_first, to_ras
from aleaseg.extractors.released import Released
from aleaseg.extractors.universal_names import KNOWN, rows_of
from aleaseg.networks.universal import (
    RELEASED,
    Configuration,
    UniversalModel,
    from_released,
    random_checkpoint,
)
from aleaseg.predictions import Predictions

__all__ = ["SPACING_MM", "WINDOW_HU", "Universal", "resampled"]

SPACING_MM = 1.5
WINDOW_HU = (-175.0, 250.0)
_OVERLAP = 0.5


class Universal(Released):
    """Class maps of the Universal Model: raw logits on a grid of 1.5 mm, depth first, feet to head."""

    name = "universal"
    traits = Traits(
        "CLIP-Driven Universal Model: 25 organs, tumours and cysts of CT, by what they are called",
        dimensions=(3,),
        prompts=("class",),
        normalizations=("raw", "foreground"),
        modality="CT",
        channels=1,
        class_names=True,
        weights="universal",
        licence="CC BY-NC-ND 4.0",
    )
    size: ClassVar[Configuration] = RELEASED

    def __init__(
        self, settings: ExtractorSettings, dataset: Dataset, predictions: Predictions | None = None
    ) -> None:
        super().__init__(settings, dataset, predictions)
        names = list(self.classes)
        self._rows = {name: rows_of(name, [other for other in names if other != name]) for name in names}
        if not any(self._rows.values()):
            raise UsageError(
                f"extractor `universal` knows none of the classes of {dataset.name} ({', '.join(names)}); it knows: "
                f"{', '.join(KNOWN)}; name them so with --classes, such as liver=1,liver_tumour=2"
            )

    def _built(self) -> UniversalModel:
        if self.seed is not None:
            state = random_checkpoint(self.seed, self.size)["net"]
        else:
            state = read_state(self.weights, "net")
        model = UniversalModel(self.size)
        load_strictly(model, from_released(strip_prefix(state)), source=self.source)
        return model.eval()

    @property
    def window(self) -> tuple[float, float] | None:
        """Of the raw image, in Hounsfield units; None: each case's foreground gives it."""
        return (self.settings.window or WINDOW_HU) if self.settings.normalize == "raw" else None

    def identity(self) -> dict[str, Any]:
        """Also sizes, and what every class was taken for; a note where it is no CT."""
        return {
            **super().identity(),
            "spacing_mm": SPACING_MM,
            "overlap": _OVERLAP,
            "classes": {name: [KNOWN[row] for row in rows] for name, rows in self._rows.items()},
            "configuration": asdict(self.size),
            **({"note": note} if (note := self._not_ct()) else {}),
        }

    def _not_ct(self) -> str | None:
        """What to say where the channel is declared to be something else than CT."""
        channel = self.dataset.channels[self.channel]
        words = re.split(r"[^a-z]+", channel.lower())
        # What readers call channels of which nothing is declared.
        if "ct" in words or channel == "image" or words[0] == "channel":
            return None
        return (
            f"made for CT; the images are declared to be {channel}, and what it makes of them is not known"
        )

    def cost(self, shape: tuple[int, ...], classes: int) -> Cost:
        """Windows, each as long as a convolution that is timed here lets expect.

        How large the voxels are is taken from the first case.
        """
        patch, step = self.size.patch, int(self.size.patch * (1 - _OVERLAP))
        edges = [
            max(patch, n * mm / SPACING_MM) for n, mm in zip(shape, self._first_spacing_mm, strict=False)
        ]
        windows = math.prod(1 + math.ceil((edge - patch) / step) for edge in edges)
        seconds = _PROBES_PER_WINDOW * _probe_seconds(self.settings.device, self.bfloat16)
        held = 4 * math.prod(edges) * (4 + classes)
        return Cost(windows * seconds, int(_NETWORK_BYTES + _WINDOW_BYTES + held))

    @cached_property
    def _first_spacing_mm(self) -> tuple[float, ...]:
        try:
            return self.dataset.cases[0].read_geometry().spacing_mm
        except (IndexError, CaseError):
            return (SPACING_MM,) * 3

    def class_maps(self, case: Case) -> Iterator[ClassMap | NoMap]:
        """One map a class; the windows run once for all classes.

        Classes that the case lacks have maps too: nothing here knows what it has. A class of
        both sides (`kidney`) is the greater of the two logits.

        Raises:
            CaseError: the image is no volume, or it or the label that is looked at cannot be used.
        """
        asked = sorted({row for rows in self._rows.values() for row in rows})
        logits = self._logits(self._volume(case), asked)
        for name, rows in self._rows.items():
            if not rows:
                yield NoMap(name, "unknown_class")
                continue
            both = logits[[asked.index(row) for row in rows]]
            values = depth_first(both.max(axis=0))
            yield ClassMap(name, values, "logit", (0, len(values)), self.settings.prompt)

    def _volume(self, case: Case) -> NDArray[np.float32]:
        """The image as the network reads it: (x, y, z) in [0, 1], 1.5 mm, cropped to what is above 0."""
        grey, geometry = self.grey(case)
        if self.window is None:
            # The network reads [0, 1], so that mean and deviation of the paper's X fall out again.
            label = usable_label(case, grey.shape)
            low, high = percentile_range(grey[self.foreground(case, grey, label)])
        else:
            low, high = self.window
        volume = unit(resampled(*to_ras(grey, geometry)), low, high)
        above = find_objects((volume > 0).astype(np.uint8))
        if not above:
            raise BadVoxels(
                case.id,
                f"nothing above {low:g}, the window's lower end",
                "a CT in Hounsfield units, or another --window",
                "look at the image and its label; export them again, or leave the case out",
            )
        return volume[above[0]]

    @torch.inference_mode()
    def _logits(self, volume: NDArray[np.float32], rows: list[int]) -> NDArray[np.float32]:
        """(x, y, z) -> (len(rows), x, y, z), stitched on the CPU in float32."""
        from monai.inferers import sliding_window_inference

        network = self.network

        def look(window: torch.Tensor) -> torch.Tensor:
            with self.autocast():
                return network(window, rows).float()

        stitched = sliding_window_inference(
            torch.from_numpy(np.ascontiguousarray(volume))[None, None],
            roi_size=(self.size.patch,) * 3,
            sw_batch_size=1,
            predictor=look,
            overlap=_OVERLAP,
            mode="gaussian",
            sw_device=self.settings.device,
            device="cpu",
        )
        return stitched[0].numpy()


def resampled(
    volume: NDArray, spacing_mm: tuple[float, float, float], to_mm: float = SPACING_MM
) -> NDArray[np.float32]:
    """Voxels of `to_mm` along every axis, linear; the first voxel's centre stays where it is.

    Args:
        volume: (x, y, z).
        spacing_mm: along x, y, z.
        to_mm: the same along all three.
    """
    step = np.divide(to_mm, spacing_mm)
    shape = tuple(round((edge - 1) / each) + 1 for edge, each in zip(volume.shape, step, strict=True))
    return affine_transform(volume.astype(np.float32), step, output_shape=shape, order=1, mode="nearest")


# Measured with one thread on a CPU in float32: 20 s a window and 0.063 s a probe, 1.2 GB beside the network.
_PROBES_PER_WINDOW = 320
_WINDOW_BYTES = 1_200_000_000
_NETWORK_BYTES = 260_000_000


@cache
def _probe_seconds(device: str, bfloat16: bool) -> float:
    """How long one convolution of the network's kind takes on this machine, 48 channels of 32^3 voxels."""
    kind = torch.bfloat16 if bfloat16 else torch.float32
    full = partial(torch.full, fill_value=0.5, device=device, dtype=kind)
    image, kernel = full((1, 48, 32, 32, 32)), full((48, 48, 3, 3, 3))
    best = math.inf
    with torch.inference_mode():
        for _ in range(3):
            started = time.perf_counter()
            float(torch.conv3d(image, kernel, padding=1)[0, 0, 0, 0, 0])  # waits for the device
            best = min(best, time.perf_counter() - started)
    return best
