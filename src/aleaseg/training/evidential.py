"""Evidential objectives: L_seg at every level of deep supervision, what SURE adds to it at the finest alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from aleaseg.cues import distance_map, gradient_map
from aleaseg.losses.evidential import evidential_loss
from aleaseg.losses.sure import SureSettings, sure_terms
from aleaseg.training.batches import Batch
from aleaseg.training.objective import Objective, finest
from aleaseg.training.preprocessing import IGNORE

__all__ = ["Evidential", "cue_maps"]


def cue_maps(
    image: NDArray[np.float32],
    label: NDArray[np.uint8],
    spacing: Sequence[float] | None = None,
    phantom: bool = False,
) -> dict[str, NDArray[np.float32]]:
    """`distance` and `gradient` of a patch, see `aleaseg.cues`."""
    return {
        "distance": distance_map(label, spacing=spacing, ignore_index=IGNORE, phantom=phantom),
        "gradient": gradient_map(image, spacing=spacing),
    }


class Evidential(Objective):
    """EDL, and SURE on top of it.

    Args:
        settings: of `aleaseg.losses.sure`.
        spacing_mm: of the patch's voxels; None: the same along all axes.
    """

    def __init__(self, settings: SureSettings, spacing_mm: Sequence[float] | None = None) -> None:
        super().__init__()
        self.settings = settings
        if settings.ordered:
            self.maps = partial(cue_maps, spacing=spacing_mm, phantom=settings.phantom)

    def at(self, logits: Tensor, batch: Batch, noise: Tensor | None) -> Tensor:
        """See `Objective.at`."""
        return evidential_loss(
            logits,
            batch.target[:, 0],
            batch.progress,
            form=self.settings.form,
            kind=self.settings.kind,
            ignore_index=IGNORE,
        )

    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        """See `Objective.forward`."""
        outputs = network(batch.image)
        loss = self.of(outputs, batch)
        if not self.settings.ordered:
            return loss
        assert batch.distance is not None
        assert batch.gradient is not None
        more, _ = sure_terms(
            network,
            batch.image,
            finest(outputs),
            batch.target[:, 0],
            batch.distance,
            batch.gradient,
            batch.progress,
            batch.seed,
            self.settings,
        )
        return loss + more
