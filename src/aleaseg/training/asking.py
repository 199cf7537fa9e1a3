"""Networks asked for one answer: a single one, an ensemble, passes with dropout, mirror images; under noise, too.

Of several answers the mean counts: of the probabilities (Lakshminarayanan et al. 2017 for ensembles, Gal and
Ghahramani 2016 for dropout, Wang et al. 2019 for mirror images), and for evidential networks of the raw logits.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aleaseg.training.inference import predict_logits
from aleaseg.training.prediction import Kind

if TYPE_CHECKING:
    import torch

__all__ = ["Asking", "add_noise", "dropouts"]


@dataclass(frozen=True)
class Asking:
    """How networks are asked.

    Attributes:
        networks: the members, trained.
        patch: what they saw in training.
        evidential: their logits stand for evidence.
        regions: their channels are regions, a sigmoid each.
        passes: with dropout, of each member; 0: one without.
        flips: also the image mirrored along every axis, and along any several of them.
        seed: of dropout.
        device: `cpu` or `cuda`.
    """

    networks: Sequence[torch.nn.Module]
    patch: Sequence[int]
    evidential: bool = False
    passes: int = 0
    flips: bool = False
    seed: int = 0
    device: str = "cpu"
    regions: bool = False

    def __call__(self, case_id: str, image: NDArray) -> tuple[NDArray[np.float32], Kind]:
        """What they say of a case.

        Args:
            case_id: dropout draws by it, so that no case depends on another.
            image: (channel, *working).

        Returns:
            (background and classes, or regions, *working) and what these are: of one answer raw logits (or
            evidence), of several the mean, of probabilities or of evidential logits.
        """
        from scipy.special import expit, softmax

        answers, total, count = self._answers(case_id, image), None, 0
        single = len(self.networks) == 1 and self.passes <= 1 and not self.flips
        normed = expit if self.regions else partial(softmax, axis=0)
        for logits in answers:
            answer = logits if single or self.evidential else normed(logits)
            total = answer if total is None else total + answer
            count += 1
        assert total is not None
        mean = np.asarray(total / np.float32(count), dtype=np.float32)
        return mean, "evidence" if self.evidential else "logit" if single else "probability"

    def _answers(self, case_id: str, image: NDArray) -> Iterator[NDArray[np.float32]]:
        import torch

        axes = range(1, image.ndim)
        mirrored = [m for n in range(image.ndim) for m in itertools.combinations(axes, n)]
        for member, network in enumerate(self.networks):
            for number in range(self.passes or 1):
                for flipped in mirrored if self.flips else [()]:
                    turned = np.flip(image, flipped)
                    if not self.passes:
                        yield np.flip(predict_logits(network, turned, self.patch, self.device), flipped)
                        continue
                    with torch.random.fork_rng():
                        torch.manual_seed(_number(case_id, self.seed, member, number))
                        said = predict_logits(
                            network, turned, self.patch, self.device, awake=dropouts(network)
                        )
                    yield np.flip(said, flipped)


def dropouts(network: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers of a network that drop at random."""
    from torch import nn

    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    return [layer for layer in network.modules() if isinstance(layer, kinds) and layer.p > 0]


def add_noise(
    image: NDArray, case_id: str, mean: float, sigma: float, seed: int = 0
) -> NDArray[np.float32]:
    """A normalised image with noise: mean + sigma z, with z ~ N(0, 1) the same at every level of a case.

    Args:
        image: (channel, *working), as the network sees it.
        case_id: z is drawn by it and the seed.
        mean: of the noise, in units of the normalised image.
        sigma: likewise.
        seed: of z.
    """
    z = np.random.default_rng(_number(case_id, seed)).standard_normal(image.shape, dtype=np.float32)
    return np.asarray(image, dtype=np.float32) + np.float32(mean) + np.float32(sigma) * z


def _number(case_id: str, *numbers: int) -> int:
    """A seed of text and numbers, the same on every machine."""
    return zlib.crc32("/".join([case_id, *map(str, numbers)]).encode())
