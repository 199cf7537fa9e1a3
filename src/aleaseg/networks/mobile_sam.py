"""MobileSAM: TinyViT's embedding of an image, SAM's prompt encoder and mask decoder behind it.

Zhang et al., "Faster Segment Anything: Towards Lightweight SAM for Mobile Applications" (2023,
arXiv 2306.14289): SAM (Kirillov et al. 2023, arXiv 2304.02643) with a small encoder taught by the large
one. Prompt encoder and mask decoder are those of transformers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aleaseg.extras import need
from aleaseg.networks.tiny_vit import TinyViT, TinyViTSize

__all__ = ["DECODED", "EMBEDDED", "MobileSAM", "model_input"]

EMBEDDED = 16
"""Pixels of the input that one place of the embedding stands for."""
DECODED = 4
"""Pixels of the input that one logit stands for."""
_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def model_input(image: Tensor, pixels: int) -> Tensor:
    """Mean and deviation of the training images taken out; zeros at the right and at the bottom.

    Args:
        image: (B, 3, H, W), 0 to 255, H and W at most `pixels`.
        pixels: side of the network's input.

    Returns:
        (B, 3, pixels, pixels) float32.
    """
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (_MEAN, _DEVIATION))
    height, width = image.shape[-2:]
    scaled = (image.float() - mean) / deviation
    return nn.functional.pad(scaled, (0, pixels - width, 0, pixels - height))


class MobileSAM(nn.Module):
    """Embed an image once, then look for things in it by prompts.

    Args:
        pixels: side of its input, a multiple of 16; it was trained at 1024. The weights are the same.
        size: of the encoder.
        decoder: what differs from SAM's own mask decoder.
    """

    def __init__(
        self, pixels: int = 1024, size: TinyViTSize | None = None, decoder: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        sam = need("transformers.models.sam.modeling_sam")
        settings = need("transformers.models.sam.configuration_sam")
        self.pixels = pixels
        self.image_encoder = TinyViT(size)
        width = self.image_encoder.size.made
        side = pixels // EMBEDDED
        configuration = settings.SamConfig(
            vision_config={"num_pos_feats": width // 2},
            prompt_encoder_config={
                "hidden_size": width,
                "image_size": pixels,
                "image_embedding_size": side,
            },
            # The released network normalises with PyTorch's own epsilon, transformers with another.
            mask_decoder_config={"hidden_size": width, "layer_norm_eps": 1e-5, **(decoder or {})},
        )
        configuration.mask_decoder_config._attn_implementation = "sdpa"
        self.prompt_encoder = sam.SamPromptEncoder(configuration)
        self.mask_decoder = sam.SamMaskDecoder(configuration.mask_decoder_config)

    def embed(self, image: Tensor) -> Tensor:
        """(B, 3, pixels, pixels) as `model_input` makes it -> (B, C, pixels/16, pixels/16)."""
        embedding: Tensor = self.image_encoder(image)
        return embedding

    def look(
        self,
        embedding: Tensor,
        boxes: Tensor | None = None,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What is meant by each of N prompts about one image: the mask of SAM's single-mask token.

        Args:
            embedding: (1, C, h, w).
            boxes: (N, 4) x0, y0, x1, y1 in pixels of the input, of which the first is 0.
            points: (N, P, 2) x, y in pixels of the input.
            labels: (N, P), 1: on it, 0: not on it; with points.
            masks: (1, 4 h, 4 w) logits of an earlier look, for all prompts.

        Returns:
            Raw logits (N, 4 h, 4 w), > 0: inside; and what the network thinks its IoU is (N,).

        Raises:
            ValueError: there is no prompt, or points without labels.
        """
        if boxes is None and points is None and masks is None:
            raise ValueError("there is no prompt; expected boxes, points with labels, or masks")
        if (points is None) != (labels is None):
            raise ValueError("points and labels go together; one of them is missing")
        sparse, dense = self.prompt_encoder(
            None if points is None else points[None].float(),
            None if labels is None else labels[None],
            None if boxes is None else boxes[None].float(),
            None if masks is None else masks[None].float(),
        )
        found, overlap = self.mask_decoder(embedding, self._places(embedding), sparse, dense, False)
        return found[0, :, 0], overlap[0, :, 0]

    def _places(self, embedding: Tensor) -> Tensor:
        """(1, C, h, w): the code of where each place of the embedding lies."""
        height, width = embedding.shape[-2:]
        y = (torch.arange(height, device=embedding.device) + 0.5) / height
        x = (torch.arange(width, device=embedding.device) + 0.5) / width
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
        code: Tensor = self.prompt_encoder.shared_embedding(grid)
        return code.permute(0, 3, 1, 2)
