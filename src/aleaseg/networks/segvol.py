"""SegVol: a volume and the name of a structure, to the logits of that structure.

Du et al., "SegVol: Universal and Interactive Volumetric Medical Image Segmentation",
NeurIPS 2024, arXiv 2311.13385. The image goes through a 3D vision transformer (MONAI's),
the name through CLIP's text encoder (transformers'), and the two meet in a decoder as
in Segment Anything (Kirillov et al. 2023, arXiv 2304.02643), one dimension up. Written
from the paper and the shapes and arithmetic of the released model. Text is the only
prompt here; what boxes, points and masks need is there, since the checkpoint has it,
and is not used.

Shapes. B images, N texts; an image of (D, H, W) voxels is cut into (d, h, w) patches of
which each becomes a token of C numbers; logits come on a grid of (4d, 4h, 4w).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from aleaseg.extras import need

__all__ = ["RELEASED", "MaskDecoder", "Network", "PositionEncoding", "Size", "TwoWayBlock", "build"]


@dataclass(frozen=True)
class Size:
    """How large the network is; the defaults are the released model's (180.9 million numbers).

    Attributes:
        image: voxels that it looks at, (D, H, W).
        patch: voxels of a token.
        width: C, numbers of a token.
        layers: of the image encoder, with so many `heads`, and `hidden` numbers inside.
        decoder_layers: of the decoder, with `decoder_heads` and `decoder_hidden`.
        quality_hidden: inside the head that predicts how good a mask is; not used.
        mask_hidden: inside the encoder of mask prompts; not used.
        masks: that the decoder can tell apart; only the first is used.
        words: tokens that the text encoder knows, the last of them the end of a text.
        text_length: tokens of a text at most.
        text_width: of the text encoder, with `text_layers`, `text_heads` and `text_hidden`.
    """

    image: tuple[int, int, int] = (32, 256, 256)
    patch: tuple[int, int, int] = (4, 16, 16)
    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    decoder_layers: int = 2
    decoder_heads: int = 8
    decoder_hidden: int = 2048
    quality_hidden: int = 256
    mask_hidden: int = 16
    masks: int = 4
    words: int = 49408
    text_length: int = 77
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    text_hidden: int = 2048

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along each axis, (d, h, w)."""
        d, h, w = (voxels // edge for voxels, edge in zip(self.image, self.patch, strict=True))
        return d, h, w

    @property
    def logits(self) -> tuple[int, int, int]:
        """The grid of the logits, (4d, 4h, 4w)."""
        return 4 * self.grid[0], 4 * self.grid[1], 4 * self.grid[2]


RELEASED = Size()


class PositionEncoding(nn.Module):
    """Where a token lies, as sines and cosines of random frequencies (Tancik et al. 2020, arXiv 2006.10739).

    Args:
        width: C, of a token.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(3, width // 2))

    def forward(self, grid: tuple[int, int, int]) -> Tensor:
        """Of every token of a (d, h, w) grid: (C, d, h, w), in [-1, 1]."""
        frequencies = self.positional_encoding_gaussian_matrix
        centres = [(torch.arange(n, device=frequencies.device) + 0.5) / n for n in grid]
        d, h, w = torch.meshgrid(*centres, indexing="ij")
        # The released model has the first two axes in this order.
        place = 2 * torch.stack([h, d, w], dim=-1) - 1
        # A sum and no matrix product, which half precision would round before the sine.
        angle = 2 * math.pi * (place[..., None] * frequencies).sum(dim=-2)
        return rearrange(torch.cat([angle.sin(), angle.cos()], dim=-1), "d h w c -> c d h w")


class PromptEncoder(nn.Module):
    """What the decoder is asked for: a text as one token, and "no mask" on every token of the image."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        width, hidden = size.width, size.mask_hidden
        self.pe_layer = PositionEncoding(width)
        self.no_mask_embed = nn.Embedding(1, width)
        # The rest belongs to points, boxes and masks.
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, hidden // 4, kernel_size=2, stride=2),
            nn.LayerNorm(hidden // 4),
            nn.GELU(),
            nn.Conv2d(hidden // 4, hidden, kernel_size=2, stride=2),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, width, kernel_size=1),
        )

    def forward(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Texts (N, C) -> prompts (N, 1, C), and what is added to the image (1, C, 1, 1, 1)."""
        return text[:, None], self.no_mask_embed.weight[..., None, None, None]


class Attention(nn.Module):
    """Attention with several heads, on fewer numbers than a token has.

    Args:
        width: C, of a token.
        heads: among which `inner` is shared out.
        inner: numbers of queries, keys and values.
    """

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(N, Q, C), (N, K, C), (N, K, C) -> (N, Q, C)."""
        q, k, v = (
            rearrange(projected, "n t (heads c) -> n heads t c", heads=self.heads)
            for projected in (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        )
        seen = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(rearrange(seen, "n heads t c -> n t (heads c)"))


class Perceptron(nn.Module):
    """Two layers, with a rectifier between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.lin2(F.relu(self.lin1(x)))


class TwoWayBlock(nn.Module):
    """Prompts look at one another and at the image; then the image looks at the prompts.

    Args:
        size: of the network.
        first: the first block has no use for where prompts lie, and replaces instead of adding.
    """

    def __init__(self, size: Size, first: bool) -> None:
        super().__init__()
        width, heads = size.width, size.decoder_heads
        self.first = first
        self.self_attn = Attention(width, heads, width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Perceptron(width, size.decoder_hidden)
        self.norm3 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, width // 2)
        self.norm4 = nn.LayerNorm(width)

    def forward(
        self, tokens: Tensor, image: Tensor, prompt: Tensor, place: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One exchange between prompts and image.

        Args:
            tokens: (N, T, C).
            image: (N, dhw, C).
            prompt: tokens as they came in, (N, T, C): added where tokens are compared.
            place: the encoding of the image's tokens, (1, dhw, C): likewise.

        Returns:
            Tokens and image, changed.
        """
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            query = tokens + prompt
            tokens = tokens + self.self_attn(query, query, tokens)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + prompt, image + place, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(image + place, tokens + prompt, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Blocks of exchange, and a last look of the prompts at the image."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.width
        self.layers = nn.ModuleList(TwoWayBlock(size, index == 0) for index in range(size.decoder_layers))
        self.final_attn_token_to_image = Attention(width, size.decoder_heads, width // 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, image: Tensor, place: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Image (N, dhw, C), its encoding (1, dhw, C), prompts (N, T, C) -> prompts and image, changed."""
        tokens = prompt
        for block in self.layers:
            tokens, image = block(tokens, image, prompt, place)
        seen = self.final_attn_token_to_image(tokens + prompt, image + place, image)
        return self.norm_final_attn(tokens + seen), image


class Filter(nn.Module):
    """Three layers that turn a token into the numbers a head needs."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, out)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) -> (N, out)."""
        first, second, last = self.layers
        return last(F.relu(second(F.relu(first(x)))))


class MaskDecoder(nn.Module):
    """Image and text to logits: the mask's token and the text each give a filter of the enlarged image."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.width
        doubled = tuple(2 * n for n in size.grid)
        self.transformer = TwoWayTransformer(size)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(size.masks, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose3d(width, width // 4, kernel_size=2, stride=2),
            # Over channels and places at once: the model knows this one image size.
            nn.LayerNorm((width // 4, *doubled)),
            nn.GELU(),
            nn.ConvTranspose3d(width // 4, width // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            Filter(width, width, width // 8) for _ in range(size.masks)
        )
        self.txt_align_upscaled_embedding = nn.Linear(width, width // 8)
        self.iou_prediction_head = Filter(width, size.quality_hidden, size.masks)

    def forward(self, image: Tensor, place: Tensor, prompts: Tensor, text: Tensor) -> Tensor:
        """Logits of the first mask; the others are the model's guesses at an ambiguous click.

        Args:
            image: (N, C, d, h, w), what mask prompts say added.
            place: (C, d, h, w), the encoding of its tokens.
            prompts: (N, T, C).
            text: (N, C).

        Returns:
            (N, 4d, 4h, 4w) float32, in whatever precision the rest runs.
        """
        d, h, w = image.shape[2:]
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens, seen = self.transformer(
            rearrange(image, "n c d h w -> n (d h w) c"),
            rearrange(place, "c d h w -> 1 (d h w) c"),
            torch.cat([own.expand(len(prompts), -1, -1), prompts], dim=1),
        )
        enlarged = self.output_upscaling(rearrange(seen, "n (d h w) c -> n c d h w", d=d, h=h, w=w))
        # Token 0 is that of the masks' quality.
        wanted = self.output_hypernetworks_mlps[0](tokens[:, 1]) + self.txt_align_upscaled_embedding(text)
        with torch.autocast(enlarged.device.type, enabled=False):
            return torch.einsum("nc,ncdhw->ndhw", wanted.float(), enlarged.float())


class TextEncoder(nn.Module):
    """A text to one token: what CLIP makes of it at its end, brought to the decoder's width.

    Args:
        clip: transformers' `CLIPTextModel`, or anything that returns a `pooler_output`.
        size: of the network.
    """

    def __init__(self, clip: nn.Module, size: Size) -> None:
        super().__init__()
        self.clip_text_model = clip
        self.dim_align = nn.Linear(size.text_width, size.width)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """Token numbers and where they are no padding, (N, L) each -> (N, C)."""
        return self.dim_align(self.clip_text_model(input_ids=words, attention_mask=mask).pooler_output)


class Network(nn.Module):
    """The whole of SegVol, for text prompts.

    Args:
        image_encoder: MONAI's `ViT`, or anything that gives (B, dhw, C) as the first of a tuple.
        clip: transformers' `CLIPTextModel`.
        size: of the network.
    """

    def __init__(self, image_encoder: nn.Module, clip: nn.Module, size: Size = RELEASED) -> None:
        super().__init__()
        self.size = size
        self.image_encoder = image_encoder
        self.prompt_encoder = PromptEncoder(size)
        self.mask_decoder = MaskDecoder(size)
        self.text_encoder = TextEncoder(clip, size)

    def encode_image(self, image: Tensor) -> Tensor:
        """(B, 1, D, H, W) in [0, 1] -> (B, C, d, h, w)."""
        d, h, w = self.size.grid
        return rearrange(self.image_encoder(image)[0], "b (d h w) c -> b c d h w", d=d, h=h, w=w)

    def encode_text(self, words: Tensor, mask: Tensor) -> Tensor:
        """Token numbers and where they are no padding, (N, L) each -> (N, C)."""
        return self.text_encoder(words, mask)

    def decode(self, image: Tensor, text: Tensor) -> Tensor:
        """An encoded image (1, C, d, h, w) and texts (N, C) -> logits (N, 4d, 4h, 4w) float32."""
        prompts, no_mask = self.prompt_encoder(text)
        place = self.prompt_encoder.pe_layer(self.size.grid)
        return self.mask_decoder((image + no_mask).expand(len(text), -1, -1, -1, -1), place, prompts, text)

    def forward(self, image: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """One image (1, 1, D, H, W) and texts (N, L) -> logits (N, 4d, 4h, 4w) float32."""
        return self.decode(self.encode_image(image), self.encode_text(words, mask))


def build(size: Size = RELEASED) -> Network:
    """The network with weights that mean nothing yet, ready to be used and not to be trained.

    Raises:
        MissingExtra: transformers is not installed.
    """
    from monai.networks.nets import ViT

    transformers = need("transformers")
    image_encoder = ViT(
        in_channels=1,
        img_size=size.image,
        patch_size=size.patch,
        hidden_size=size.width,
        mlp_dim=size.hidden,
        num_layers=size.layers,
        num_heads=size.heads,
        proj_type="perceptron",
    )
    for block in image_encoder.blocks:
        # The same numbers, without a table of all tokens by all tokens: half the time, 200 MB less.
        block.attn.use_flash_attention = True
    clip = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=size.words,
            hidden_size=size.text_width,
            intermediate_size=size.text_hidden,
            num_hidden_layers=size.text_layers,
            num_attention_heads=size.text_heads,
            max_position_embeddings=size.text_length,
            bos_token_id=size.words - 2,
            eos_token_id=size.words - 1,
        )
    )
    return Network(image_encoder, clip, size).eval().requires_grad_(False)
