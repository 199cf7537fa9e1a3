"""MobileSAM's prompts are SAM's: compared with transformers' own whole model."""

import pytest
import torch

from aleaseg.networks.mobile_sam import MobileSAM, model_input
from aleaseg.networks.tiny_vit import TinyViTSize

SIZE = TinyViTSize(widths=(8, 12, 16, 32), heads=(1, 2, 4, 4), windows=(7, 3, 5, 2), made=32)
DECODER = {"num_attention_heads": 2, "mlp_dim": 16, "iou_head_hidden_dim": 16}
SIDE = 96


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    made = MobileSAM(SIDE, SIZE, DECODER)
    for tensor in made.parameters():
        if tensor.ndim > 1:
            torch.nn.init.normal_(tensor, std=1.2 / tensor[0].numel() ** 0.5)
    return made.eval()


@pytest.fixture(scope="module")
def whole(network):
    """transformers' `SamModel` with the same prompt encoder and mask decoder."""
    from transformers.models.sam.configuration_sam import SamConfig
    from transformers.models.sam.modeling_sam import SamModel

    side = SIDE // 16
    vision = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "output_channels": 32,
        "num_pos_feats": 16,
        "global_attn_indexes": [0],
        "mlp_dim": 8,
    }
    prompts = {"hidden_size": 32, "image_size": SIDE, "image_embedding_size": side}
    decoder = {"hidden_size": 32, "layer_norm_eps": 1e-5, **DECODER}
    model = SamModel(
        SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    )
    model.prompt_encoder.load_state_dict(network.prompt_encoder.state_dict())
    model.mask_decoder.load_state_dict(network.mask_decoder.state_dict())
    model.shared_image_embedding.load_state_dict(network.prompt_encoder.shared_embedding.state_dict())
    return model.eval()


BOX = torch.tensor([[10.0, 12.0, 40.0, 50.0]])
POINTS, LABELS = torch.tensor([[[30.0, 20.0], [70.0, 80.0]]]), torch.tensor([[1, 0]])


@pytest.mark.parametrize("prompt", ["box", "points", "box and points", "box and mask", "mask"])
def test_each_prompt_is_what_the_whole_model_makes_of_it(network, whole, prompt):
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 32, 6, 6, generator=generator)
    mask = 5 * torch.randn(1, 24, 24, generator=generator)
    given = {
        "boxes": BOX if "box" in prompt else None,
        "points": POINTS if "points" in prompt else None,
        "labels": LABELS if "points" in prompt else None,
        "masks": mask if "mask" in prompt else None,
    }
    with torch.inference_mode():
        logits, overlap = network.look(embedding, **given)
        theirs = whole(
            image_embeddings=embedding,
            input_boxes=None if given["boxes"] is None else BOX[None],
            input_points=None if given["points"] is None else POINTS[None],
            input_labels=None if given["labels"] is None else LABELS[None],
            input_masks=None if given["masks"] is None else mask[None],
            multimask_output=False,
        )
    assert logits.shape == (1, 24, 24)
    assert logits.std() > 0.05
    torch.testing.assert_close(logits, theirs.pred_masks[0, :, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(overlap, theirs.iou_scores[0, :, 0], atol=1e-5, rtol=1e-4)


def test_each_prompt_matters(network):
    embedding = torch.randn(1, 32, 6, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.full((1, 24, 24), 3.0)
    with torch.inference_mode():
        found = [
            network.look(embedding, BOX)[0],
            network.look(embedding, BOX + 9)[0],
            network.look(embedding, None, POINTS, LABELS)[0],
            network.look(embedding, None, POINTS, 1 - LABELS)[0],
            network.look(embedding, BOX, masks=mask)[0],
            network.look(embedding, BOX, masks=-mask)[0],
        ]
    for number, one in enumerate(found):
        assert all((one - other).abs().max() > 1e-3 for other in found[:number])


def test_several_boxes_are_as_one_by_one(network):
    embedding = torch.randn(1, 32, 6, 6, generator=torch.Generator().manual_seed(0))
    boxes = torch.cat([BOX, BOX + 20, BOX / 2])
    with torch.inference_mode():
        together = network.look(embedding, boxes)[0]
        alone = torch.cat([network.look(embedding, one[None])[0] for one in boxes])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_no_prompt_and_half_a_prompt_are_refused(network):
    embedding = torch.zeros(1, 32, 6, 6)
    with pytest.raises(ValueError, match="no prompt; expected boxes, points with labels, or masks"):
        network.look(embedding)
    with pytest.raises(ValueError, match="points and labels go together"):
        network.look(embedding, points=POINTS)


def test_the_input_is_normalised_and_padded_with_zeros():
    image = torch.full((1, 3, 20, 32), 128, dtype=torch.uint8)
    seen = model_input(image, 48)
    assert seen.shape == (1, 3, 48, 48)
    for channel, (mean, deviation) in enumerate(((123.675, 58.395), (116.28, 57.12), (103.53, 57.375))):
        torch.testing.assert_close(
            seen[0, channel, :20, :32], torch.full((20, 32), (128 - mean) / deviation)
        )
    assert not seen[:, :, 20:].any()
    assert not seen[:, :, :, 32:].any()
