"""The CLIP-Driven Universal Model: one Swin UNETR, and a small head that the class's name makes.

Written from Section 3 of Liu et al., CLIP-Driven Universal Model for Organ Segmentation and
Tumor Detection (ICCV 2023, arXiv 2301.00785), on MONAI's Swin UNETR. For a class k with the CLIP
embedding w_k of `A computerized tomography of a [class]`:

    theta_k = MLP(w_k (+) GAP(f)),    P_k = Sigmoid(((F * theta_k1) * theta_k2) * theta_k3)

f is the deepest and F the finest feature map; the three convolutions are 1x1x1. Here the
logits are what comes out: no sigmoid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

__all__ = [
    "RELEASED",
    "Configuration",
    "LegacyMerging",
    "UniversalModel",
    "dynamic_head",
    "from_released",
    "random_checkpoint",
]

CLASSES = 32
"""Rows of the table of text embeddings, one a class."""

_TEXT = 512  # length of a CLIP text embedding
_JOINT = 256  # length of what the image, and of what the text, gives to the controller
_HEAD = 8  # channels inside a class's head
_PARAMETERS = (_HEAD * _HEAD, _HEAD * _HEAD, _HEAD, _HEAD, _HEAD, 1)  # three weights, three biases: 153


@dataclass(frozen=True)
class Configuration:
    """Sizes of the network; the default is the released one.

    Attributes:
        feature_size: channels of the finest feature map; a multiple of 12.
        depths: Swin blocks of each of the four stages.
        attention: edge of a window of attention, in tokens.
        groups: of the two group normalisations; divides `feature_size`.
        patch: edge in voxels of what it was trained on and looks at; a multiple of 32, 64 at least.
    """

    feature_size: int = 48
    depths: tuple[int, int, int, int] = (2, 2, 2, 2)
    attention: int = 7
    groups: int = 16
    patch: int = 96


RELEASED = Configuration()


class LegacyMerging(nn.Module):
    """Patch merging as MONAI had it until 1.4: eight corners, two of them twice and two never.

    Weights trained with this order load into the later class without a word, and give something else.

    Args:
        dim: channels of what comes in; twice as many go out.
        norm_layer: makes the normalisation of 8 `dim` channels.
        spatial_dims: 3.
    """

    CORNERS = (
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (1, 0, 1),
        (0, 1, 0),
        (0, 0, 1),
        (1, 1, 1),
    )

    def __init__(
        self, dim: int, norm_layer: type[nn.LayerNorm] = nn.LayerNorm, spatial_dims: int = 3
    ) -> None:
        super().__init__()
        if spatial_dims != 3:
            raise ValueError(f"the legacy merging is for 3 spatial axes, not {spatial_dims}")
        self.reduction = nn.Linear(8 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(8 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W, C) with even D, H, W -> (B, D/2, H/2, W/2, 2C)."""
        corners = torch.cat([x[:, i::2, j::2, k::2] for i, j, k in self.CORNERS], dim=-1)
        merged: Tensor = self.reduction(self.norm(corners))
        return merged


class UniversalModel(nn.Module):
    """Image and class indices to logits. The names of its parts are those of the released weights.

    Args:
        configuration: sizes.
    """

    organ_embedding: Tensor

    def __init__(self, configuration: Configuration = RELEASED) -> None:
        from monai.networks.nets import SwinUNETR

        super().__init__()
        size, groups = configuration.feature_size, configuration.groups
        self.backbone: Any = SwinUNETR(
            in_channels=1,
            out_channels=CLASSES,
            feature_size=size,
            depths=configuration.depths,
            window_size=configuration.attention,
            downsample=LegacyMerging,
        )
        self.backbone.out = nn.Identity()  # the heads take its place
        self.precls_conv = nn.Sequential(
            nn.GroupNorm(groups, size), nn.ReLU(), nn.Conv3d(size, _HEAD, kernel_size=1)
        )
        self.GAP = nn.Sequential(
            nn.GroupNorm(groups, 16 * size),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d(1),
            nn.Conv3d(16 * size, _JOINT, kernel_size=1),
        )
        self.text_to_vision = nn.Linear(_TEXT, _JOINT)
        self.controller = nn.Conv3d(2 * _JOINT, sum(_PARAMETERS), kernel_size=1)
        self.register_buffer("organ_embedding", torch.zeros(CLASSES, _TEXT))

    def forward(self, image: Tensor, classes: Sequence[int] = range(CLASSES)) -> Tensor:
        """Logits of the classes that are asked for; no other class's head is computed.

        Args:
            image: (B, 1, X, Y, Z) in [0, 1], axes to the right, to the front and upwards; each
                edge a multiple of 32.
            classes: rows of the table of text embeddings.

        Returns:
            (B, len(classes), X, Y, Z).

        Raises:
            ValueError: an edge is no multiple of 32.
        """
        if any(edge % 32 for edge in image.shape[2:]):
            raise ValueError(f"edges of {tuple(image.shape[2:])} must be multiples of 32")
        deepest, finest = self._features(image)
        seen = self.GAP(deepest).flatten(1)
        asked = torch.relu(self.text_to_vision(self.organ_embedding[list(classes)]))
        pairs = torch.cat(
            [
                repeat(seen, "b c -> (b k) c 1 1 1", k=len(asked)),
                repeat(asked, "k c -> (b k) c 1 1 1", b=len(seen)),
            ],
            dim=1,
        )
        parameters = rearrange(self.controller(pairs), "(b k) p 1 1 1 -> b k p", k=len(asked))
        return dynamic_head(self.precls_conv(finest), parameters)

    def _features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The deepest feature map (B, 16 size, X/32, ...) and the finest (B, size, X, ...)."""
        parts = self.backbone
        tokens = parts.swinViT(image)  # strides 2, 4, 8, 16, 32
        deepest = parts.encoder10(tokens[4])
        x = parts.decoder5(deepest, tokens[3])
        for decoder, encoder, skipped in (
            (parts.decoder4, parts.encoder4, tokens[2]),
            (parts.decoder3, parts.encoder3, tokens[1]),
            (parts.decoder2, parts.encoder2, tokens[0]),
            (parts.decoder1, parts.encoder1, image),
        ):
            x = decoder(x, encoder(skipped))
        return deepest, x


def dynamic_head(features: Tensor, parameters: Tensor) -> Tensor:
    """Three 1x1x1 convolutions, 8 -> 8 -> 8 -> 1 channels with ReLU between, different for every class.

    Args:
        features: (B, 8, *spatial).
        parameters: (B, K, 153): weights of the three, out before in (64, 64, 8), then biases (8, 8, 1).

    Returns:
        (B, K, *spatial).
    """
    voxels = features.flatten(2)
    logits = []
    for of_class in parameters.unbind(1):  # one after the other: K times the features need not be held
        w1, w2, w3, b1, b2, b3 = torch.split_with_sizes(of_class, _PARAMETERS, dim=1)
        x = torch.baddbmm(b1[..., None], w1.reshape(-1, _HEAD, _HEAD), voxels).relu()
        x = torch.baddbmm(b2[..., None], w2.reshape(-1, _HEAD, _HEAD), x).relu()
        logits.append(torch.baddbmm(b3[..., None], w3.reshape(-1, 1, _HEAD), x))
    return torch.cat(logits, dim=1).reshape(len(features), -1, *features.shape[2:])


_OF_BACKBONE = ("swinViT.", "encoder", "decoder")


def from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of the released weights, without `module.`, to those of `UniversalModel`."""
    return {
        f"backbone.{name}" if name.startswith(_OF_BACKBONE) else name: tensor
        for name, tensor in state.items()
    }


def random_checkpoint(seed: int, configuration: Configuration = RELEASED) -> dict[str, dict[str, Tensor]]:
    """Untrained weights in the released form: `{"net": {"module....": tensor}}`.

    Args:
        seed: of every random number; the global generator is left as it was.
        configuration: sizes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = UniversalModel(configuration)
        model.organ_embedding.normal_()
    return {
        "net": {f"module.{name.removeprefix('backbone.')}": t for name, t in model.state_dict().items()}
    }
