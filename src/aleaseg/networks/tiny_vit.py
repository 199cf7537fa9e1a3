"""TinyViT: a small hierarchical image encoder, convolutions first, attention in windows later.

Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers" (ECCV 2022,
arXiv 2207.10666), with the neck of SAM's encoder and its last stage kept at a stride of 16, as MobileSAM
has it (Zhang et al. 2023, arXiv 2306.14289). Written from the papers, and from the names and shapes of
the released parameters, which the modules here keep.

Batch norms are part of the convolutions (`fuse_batch_norms`): in evaluation they are the same map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

__all__ = ["NORM_EPSILON", "TinyViT", "TinyViTSize", "fuse_batch_norms"]

NORM_EPSILON = 1e-5
"""Of the batch norms that are fused: PyTorch's own, which TinyViT was trained with."""
_NORM, _COUNT = ("weight", "bias", "running_mean", "running_var"), "num_batches_tracked"


@dataclass(frozen=True)
class TinyViTSize:
    """How large it is; the default is TinyViT-5M as MobileSAM has it.

    Attributes:
        widths: channels of each of the four stages.
        depths: blocks of each stage.
        heads: of attention, of each stage; the first has none.
        windows: side of the windows that attend, of each stage.
        strides: by which each of the three steps between stages shrinks the map.
        expansion: of the blocks' hidden width.
        made: channels of the embedding.
    """

    widths: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (2, 4, 5, 10)
    windows: tuple[int, ...] = (7, 7, 14, 7)
    strides: tuple[int, ...] = (2, 2, 1)
    expansion: int = 4
    made: int = 256


def fuse_batch_norms(state: Mapping[str, Tensor], epsilon: float = NORM_EPSILON) -> dict[str, Tensor]:
    """Convolutions `X.c` and the batch norms `X.bn` behind them as one convolution `X` with a bias.

    With w the weight, g and b the norm's scale and shift, m and v its running mean and variance: weight
    w g / sqrt(v + epsilon), bias b - m g / sqrt(v + epsilon). Computed in double precision.

    Args:
        state: a state dict; names of other tensors pass through, and so does one without such pairs.
        epsilon: of the norms.

    Returns:
        A new dict; the tensors that are not fused are the same.
    """
    fused: dict[str, Tensor] = {}
    for key, tensor in state.items():
        place, _, part = key.rpartition(".bn.")
        if place and part in (*_NORM, _COUNT) and f"{place}.c.weight" in state:
            continue  # with its convolution
        stem = key.removesuffix(".c.weight")
        norm = [f"{stem}.bn.{name}" for name in _NORM]
        if stem == key or not all(name in state for name in norm):
            fused[key] = tensor
            continue
        scale, shift, mean, variance = (state[name].double() for name in norm)
        scale = scale / torch.sqrt(variance + epsilon)
        weight = tensor.double() * scale.reshape(-1, *[1] * (tensor.ndim - 1))
        fused[f"{stem}.weight"] = weight.to(tensor.dtype)
        fused[f"{stem}.bias"] = (shift - mean * scale).to(tensor.dtype)
    return fused


def _depthwise(width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width, width, 3, stride, padding=1, groups=width)


class _Bottleneck(nn.Module):
    """Wide inside: 1x1, 3x3 of each channel by itself, 1x1 (MBConv).

    Args:
        given: channels.
        inside: channels.
        made: channels.
        stride: of the 3x3.
        residual: the input is added, and the sum activated.
    """

    def __init__(self, given: int, inside: int, made: int, stride: int = 1, *, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.conv1 = nn.Conv2d(given, inside, 1)
        self.conv2 = _depthwise(inside, stride)
        self.conv3 = nn.Conv2d(inside, made, 1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv3(gelu(self.conv2(gelu(self.conv1(x)))))
        return gelu(x + made) if self.residual else made


class _WindowAttention(nn.Module):
    """Attention among the pixels of a window, with a bias for each distance along y and x and head."""

    bias_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        line = torch.arange(window)
        apart = (line[:, None] - line).abs()
        index = apart[:, None, :, None] * window + apart[None, :, None, :]
        self.register_buffer("bias_index", index.reshape(window**2, window**2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, window^2, C) -> the same."""
        count, pixels, width = x.shape
        # Each head's query, key and value lie side by side.
        each = self.qkv(self.norm(x)).reshape(count, pixels, self.heads, 3, width // self.heads)
        query, key, value = each.permute(3, 0, 2, 1, 4)
        bias = self.attention_biases[:, self.bias_index].to(query.dtype)
        # Written out: PyTorch's own function with a bias is slower on a CPU.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + bias
        seen = scores.softmax(dim=-1) @ value
        projected: Tensor = self.proj(seen.transpose(1, 2).reshape(count, pixels, width))
        return projected


class _Perceptron(nn.Module):
    def __init__(self, width: int, inside: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inside)
        self.fc2 = nn.Linear(inside, width)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.fc2(gelu(self.fc1(self.norm(x))))
        return made


class _AttentionBlock(nn.Module):
    """Attention in windows, a 3x3 convolution of each channel, a perceptron."""

    def __init__(self, width: int, heads: int, window: int, expansion: int) -> None:
        super().__init__()
        self.window = window
        self.attn = _WindowAttention(width, heads, window)
        self.local_conv = _depthwise(width)
        self.mlp = _Perceptron(width, expansion * width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        x = x + self._attended(x)
        x = self.local_conv(x)
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _attended(self, x: Tensor) -> Tensor:
        count, width, height, across = x.shape
        side = self.window
        # Zeros at the bottom and at the right take part, as they did in training.
        x = pad(x, (0, -across % side, 0, -height % side))
        down, right = x.shape[2] // side, x.shape[3] // side
        windows = x.reshape(count, width, down, side, right, side).permute(0, 2, 4, 3, 5, 1)
        seen = self.attn(windows.reshape(-1, side * side, width))
        seen = seen.reshape(count, down, right, side, side, width).permute(0, 5, 1, 3, 2, 4)
        return seen.reshape(count, width, down * side, right * side)[:, :, :height, :across]


class _Stage(nn.Module):
    """Blocks, then the step to the next stage."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(x)
        return x if self.downsample is None else self.downsample(x)


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _PatchEmbedding(nn.Module):
    """(B, 3, H, W) -> (B, made, H/4, W/4)."""

    def __init__(self, made: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            nn.Conv2d(3, made // 2, 3, 2, padding=1),
            nn.GELU(),
            nn.Conv2d(made // 2, made, 3, 2, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.seq(image)
        return found


class TinyViT(nn.Module):
    """An image (B, 3, H, W), edges a multiple of 16 -> its embedding (B, `made`, H/16, W/16)."""

    def __init__(self, size: TinyViTSize | None = None) -> None:
        super().__init__()
        size = size or TinyViTSize()
        self.size = size
        self.patch_embed = _PatchEmbedding(size.widths[0])
        self.layers = nn.Sequential(*(_stage(size, number) for number in range(len(size.widths))))
        self.neck = nn.Sequential(
            nn.Conv2d(size.widths[-1], size.made, 1, bias=False),
            _ChannelNorm(size.made),
            nn.Conv2d(size.made, size.made, 3, padding=1, bias=False),
            _ChannelNorm(size.made),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Embed it."""
        embedding: Tensor = self.neck(self.layers(self.patch_embed(image)))
        return embedding


def _stage(size: TinyViTSize, number: int) -> _Stage:
    width, depth = size.widths[number], size.depths[number]
    blocks: list[nn.Module] = [
        _AttentionBlock(width, size.heads[number], size.windows[number], size.expansion)
        if number
        else _Bottleneck(width, size.expansion * width, width, residual=True)
        for _ in range(depth)
    ]
    if number + 1 == len(size.widths):
        return _Stage(blocks, None)
    after = size.widths[number + 1]
    return _Stage(blocks, _Bottleneck(width, after, after, size.strides[number], residual=False))
