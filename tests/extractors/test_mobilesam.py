"""MobileSAM: both released forms load, the numbers are those of the authors' code, nothing is done twice."""

import os
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phantom import Three, phantom
from safetensors.torch import save_file
from tiny_mobilesam import (
    DECODER,
    PIXELS,
    SIZE,
    TinyMobileSAM,
    fused_form,
    official_form,
    released_names,
)

from aleaseg.case import Geometry, Voxels
from aleaseg.errors import CaseError, UsageError, WeightsRefused
from aleaseg.extractors import ExtractorSettings, NoMap
from aleaseg.extractors.base import settled
from aleaseg.extractors.checkpoint import read_state
from aleaseg.extractors.mobilesam import PIXELS as REAL_PIXELS
from aleaseg.extractors.mobilesam import MobileSAM, Placed, outline
from aleaseg.extractors.mobilesam_keys import build, random_network, renamed
from aleaseg.measures.label_agreement import dice
from aleaseg.testing import check_extractor


@pytest.fixture(scope="module")
def network():
    return random_network(3, PIXELS[0], SIZE, DECODER)


# -- the real weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_outline_is_that_of_the_authors_code(weights, number):
    golden = np.load(weights / "golden_mobilesam.npz")
    state = read_state(weights / "mobile_sam_fused.safetensors")
    logits = outline(state, golden[f"image_{number}"], golden[f"box_{number}"])
    assert logits.shape == (256, 256)
    expected = golden[f"logits_{number}"][0]
    assert np.ptp(expected) > 50
    np.testing.assert_allclose(logits.numpy(), expected, atol=1e-3)
    # The other three tokens are others.
    assert np.abs(logits.numpy() - golden[f"logits_{number}"][1]).max() > 1


def test_half_the_size_sees_the_same_thing(weights):
    golden = np.load(weights / "golden_mobilesam.npz")
    state = read_state(weights / "mobile_sam_fused.safetensors")
    small = golden["image_0"].reshape(512, 2, 512, 2, 3).mean((1, 3)).round().astype(np.uint8)
    logits = outline(state, small, golden["box_0"] / 2, pixels=512)
    assert logits.shape == (128, 128)
    expected = golden["logits_0"][0].reshape(128, 2, 128, 2).mean((1, 3))
    assert dice(logits.numpy() > 0, expected > 0) > 0.9


# -- weights ---------------------------------------------------------------------------------------


def test_the_released_names_become_all_of_the_networks(network):
    state = fused_form(network)
    assert len(state) == 327
    found = renamed(state)
    assert set(found) == set(network.state_dict())
    assert all(torch.equal(found[key], tensor) for key, tensor in network.state_dict().items())


def test_the_official_form_becomes_the_same_network(network):
    state = official_form(network)
    assert len(state) == 327 - 36 + 5 * 36 - 36 + 4  # a bias less, a norm of five more, the classifier
    found = renamed(state)
    assert set(found) == set(network.state_dict())
    assert not any("head.weight" in key and "image_encoder" in key for key in found)


def test_released_shapes_load_at_full_size_in_both_forms(tmp_path):
    shapes = released_names()
    network = random_network(0, 512)
    fused = fused_form(network)
    assert {key: list(tensor.shape) for key, tensor in fused.items()} == shapes
    torch.save(official_form(network), tmp_path / "mobile_sam.pt")
    build(read_state(tmp_path / "mobile_sam.pt"), 512)


@pytest.mark.parametrize(
    ("key", "missing"),
    [
        # A norm or its convolution alone cannot be fused: weight and bias of both in one are missing.
        ("image_encoder.layers.1.blocks.0.local_conv.c.weight", ["local_conv.weight", "local_conv.bias"]),
        (
            "image_encoder.layers.1.blocks.0.local_conv.bn.running_mean",
            ["local_conv.weight", "local_conv.bias"],
        ),
        ("image_encoder.neck.1.weight", ["image_encoder.neck.1.weight"]),
        ("mask_decoder.iou_token.weight", ["mask_decoder.iou_token.weight"]),
        ("prompt_encoder.point_embeddings.2.weight", ["prompt_encoder.point_embed.2.weight"]),
    ],
)
def test_a_missing_key_fails_with_its_name(network, key, missing):
    state = official_form(network)
    del state[key]
    with pytest.raises(WeightsRefused, match=f"{len(missing)} missing") as error:
        build(state, PIXELS[0], SIZE, DECODER)
    assert all(name in str(error.value) for name in missing)


def test_a_key_too_many_and_a_wrong_shape_are_named(network):
    state = fused_form(network)
    with pytest.raises(WeightsRefused, match=r"1 not of this model \(image_encoder.extra\)"):
        build({**state, "image_encoder.extra": torch.zeros(1)}, PIXELS[0], SIZE, DECODER)
    with pytest.raises(WeightsRefused, match="1 of another shape"):
        build({**state, "mask_decoder.iou_token.weight": torch.zeros(3)}, PIXELS[0], SIZE, DECODER)


def test_a_file_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"image_encoder.neck.0.weight": Evil()}, tmp_path / "mobile_sam.pt")
    _, dataset = phantom()
    eye = real_eye(dataset, weights=str(tmp_path / "mobile_sam.pt"))
    with pytest.raises(WeightsRefused, match="would run code"):
        eye.load()
    assert not (tmp_path / "harm").exists()


def test_both_forms_come_through_the_extractor(tmp_path, network):
    case, dataset = phantom()
    save_file(fused_form(network), tmp_path / "fused.safetensors")
    torch.save(fused_form(network), tmp_path / "fused.pt")
    one, other = (
        next(iter(eye(dataset, weights=str(tmp_path / name)).class_maps(case)))
        for name in ("fused.safetensors", "fused.pt")
    )
    np.testing.assert_array_equal(one.values, other.values)


# -- the function of tensors -----------------------------------------------------------------------


def test_what_cannot_be_is_refused(network):
    state = fused_form(network)
    image = np.zeros((1024, 700, 3), np.uint8)
    with pytest.raises(ValueError, match=r"image is \(1024, 700, 3\) torch.float32; expected .* of 1024"):
        outline(state, image.astype(np.float32), (1, 1, 5, 5))
    with pytest.raises(ValueError, match="with a longest side of 512"):
        outline(state, image, (1, 1, 5, 5), pixels=512)
    with pytest.raises(ValueError, match="x0 <= x1"):
        outline(state, image, (9, 9, 3, 3))
    with pytest.raises(ValueError, match=r"points are \(2,\) with 1 labels; expected \(P, 2\)"):
        outline(state, image, points=np.zeros(2), labels=np.ones(1))
    with pytest.raises(ValueError, match=r"mask is \(3, 3\); expected \(256, 256\)"):
        outline(state, image, mask=np.zeros((3, 3)))
    with pytest.raises(ValueError, match="multiple of 16"):
        outline(state, image[:500], (1, 1, 5, 5), pixels=700)
    with pytest.raises(WeightsRefused):
        outline({"a": torch.zeros(1)}, image, (1, 1, 5, 5))


# -- where a slice lies on the input ---------------------------------------------------------------

sides = st.integers(3, 70)


@given(sides, sides, *[st.floats(-1, 1)] * 3)
def test_a_straight_border_is_read_back_where_it_lies(height, width, down, across, offset):
    """Logits that are linear in place are linear between: the outline is the half-plane, pixel by pixel."""
    place = Placed(height, width, 512)
    tall, broad = place.scaled
    at = (np.arange(128) + 0.5) * 4  # on the input
    plane = down * at[:, None] / tall + across * at[None] / broad + offset
    found = place.inside(torch.from_numpy(plane.astype(np.float32))[None])[0]
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    expected = down * y[:, None] + across * x[None] + offset
    sure = np.abs(expected) > 0.02  # beyond the last logit its value goes on
    assert (found == (expected > 0))[sure].all()


@given(sides, sides)
def test_a_box_of_the_whole_slice_is_its_edge_on_the_input(height, width):
    place = Placed(height, width, 512)
    tall, broad = place.scaled
    assert max(tall, broad) == 512
    assert place.box((0.0, 0.0, width - 1.0, height - 1.0)) == pytest.approx(
        [-0.5, -0.5, broad - 0.5, tall - 0.5]
    )


def test_grey_levels_keep_their_place():
    image = np.zeros((32, 64), np.float32)
    image[8:16, 16:32] = 1
    frame = Placed(32, 64, 128).frame(image)
    assert frame.shape == (1, 3, 128, 128)
    bright = frame[0, 0] > 0
    rows, columns = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
    assert (int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])) == (16, 31, 32, 63)


# -- the extractor ---------------------------------------------------------------------------------


def eye(dataset, predictions=None, **asked):
    asked = {"weights": "random:2", **asked}
    return TinyMobileSAM(
        settled(ExtractorSettings("mobilesam", **asked), TinyMobileSAM.traits), dataset, predictions
    )


def real_eye(dataset, **asked):
    return MobileSAM(settled(ExtractorSettings("mobilesam", **asked), MobileSAM.traits), dataset)


def test_maps_of_a_case():
    case, dataset = phantom(classes=("left", "right", "nowhere"))
    maps = {one.name: one for one in eye(dataset).class_maps(case)}
    assert maps["nowhere"] == NoMap("nowhere", "absent")
    assert maps["left"].z_range == (3, 8)  # its slices, and the one in between
    assert maps["left"].values.shape == (5, 12, 16)  # a quarter of 48 x 64, the slice on the input
    assert maps["right"].z_range == (5, 6)
    for one in (maps["left"], maps["right"]):
        assert one.kind == "logit"
        assert one.prompt == "label_slice_boxes"
        assert one.presence is None
        assert 0 <= one.overlap <= 1
        assert np.isfinite(one.values).all()


def test_each_map_is_what_outline_makes_of_its_slice(network, tmp_path):
    """The extractor against the pieces: its slice, its box, nothing of the others."""
    save_file(fused_form(network), tmp_path / "w.safetensors")
    case, dataset = phantom()
    found = next(
        iter(eye(dataset, weights=str(tmp_path / "w.safetensors"), normalize="raw").class_maps(case))
    )
    grey = case.read_image().array[0]
    low, high = np.percentile(grey, [0.5, 99.5])
    seen = ((np.clip(grey.astype(np.float64), low, high) - low) / (high - low)).astype(np.float32)
    place = Placed(30, 40, 64)
    box = torch.tensor([[6 * 1.6 - 0.5, 5 * 1.6 - 0.5, 20 * 1.6 - 0.5, 15 * 1.6 - 0.5]])
    with torch.inference_mode():
        logits = torch.cat([network.look(network.embed(place.frame(seen[z])), box)[0] for z in range(3, 8)])
    assert logits.std() > 0.1
    np.testing.assert_allclose(found.values, logits[:, :12].numpy(), atol=1e-5)
    mask = case.read_label().array == 1
    drawn = np.zeros_like(mask)
    for z in (3, 4, 5, 7):  # where nothing is annotated nothing is compared
        drawn[z] = place.inside(logits[z - 3 : z - 2])[0]
    assert found.overlap == dice(mask, drawn)


def test_every_slice_is_embedded_once_for_all_classes_and_let_go(monkeypatch):
    case, dataset = phantom()
    extractor = eye(dataset)
    inner, alive, most = extractor.network.embed, [], []

    def embed(image):
        made = inner(image)
        alive.append(weakref.ref(made))
        most.append(sum(one() is not None for one in alive))
        return made

    monkeypatch.setattr(extractor.network, "embed", embed)
    list(extractor.class_maps(case))
    assert len(alive) == 5  # slices 3 to 7, of twelve
    assert max(most) <= 2  # the one before is let go when the next is there


def test_a_slice_without_the_class_is_asked_with_the_nearest_box():
    case, dataset = phantom()
    extractor = eye(dataset)
    mask = case.read_label().array == 1
    mask[5, 0, 0] = True
    boxes = extractor._boxes(np.zeros(mask.shape), mask)
    assert list(boxes) == [3, 4, 5, 6, 7]
    assert boxes[6] == boxes[5] == (0.0, 0.0, 19.0, 14.0)
    assert boxes[7] == (6.0, 5.0, 19.0, 14.0)


def test_prompts_and_normalisations_are_separate():
    case, dataset = phantom()
    prompts = ("label_slice_boxes", "label_box", "auto_box")
    maps = {
        (prompt, normalize): next(iter(eye(dataset, prompt=prompt, normalize=normalize).class_maps(case)))
        for prompt in prompts
        for normalize in ("raw", "foreground")
    }
    for (prompt, _), one in maps.items():
        assert one.prompt == prompt
        assert one.name == ("" if prompt == "auto_box" else "left")
        assert (one.overlap is None) == (prompt == "auto_box")
    assert maps["auto_box", "raw"].z_range == (0, 12)
    same = maps["label_box", "raw"].values
    assert not np.allclose(same, maps["label_box", "foreground"].values, atol=1e-3)


def test_one_box_for_all_slices_is_the_shadow():
    _, dataset = phantom()
    mask = np.zeros((12, 30, 40), bool)
    mask[3, 4:6, 7:9] = mask[7, 10:12, 20:22] = True
    boxes = eye(dataset, prompt="label_box")._boxes(np.zeros(mask.shape), mask)
    assert set(boxes) == set(range(3, 8))
    assert set(boxes.values()) == {(7.0, 4.0, 21.0, 11.0)}


def test_a_box_from_a_prediction():
    case, dataset = phantom(label=False)
    maps = list(eye(dataset, Three(), prompt="pseudo", normalize="raw").class_maps(case))
    assert maps[0].z_range == (2, 4)
    assert maps[0].overlap is None  # it was no label that told where to look
    assert maps[1] == NoMap("right", "no_box")


def test_a_picture_and_a_single_slice():
    case, dataset = phantom()
    image, label = case.read_image().array[0, 5], case.read_label().array[5]
    flat = replace(
        case,
        read_image=lambda: Voxels(image[None], Geometry((30, 40), (1.0, 1.0))),
        read_label=lambda: Voxels(label, Geometry((30, 40), (1.0, 1.0))),
        read_geometry=lambda: Geometry((30, 40), (1.0, 1.0)),
    )
    one = next(iter(eye(dataset).class_maps(flat)))
    assert one.values.shape == (12, 16)
    thin = replace(
        case,
        read_image=lambda: Voxels(image[None, None], Geometry((1, 30, 40), (1.0, 1.0, 1.0))),
        read_label=lambda: Voxels(label[None], Geometry((1, 30, 40), (1.0, 1.0, 1.0))),
    )
    same = next(iter(eye(dataset).class_maps(thin)))
    np.testing.assert_allclose(same.values[0], one.values, atol=1e-5)
    assert same.overlap == one.overlap


def test_a_case_without_label_says_so():
    case, dataset = phantom(label=False)
    with pytest.raises(CaseError, match="c: found no label; expected one, for --prompt label_slice_boxes"):
        list(eye(dataset).class_maps(case))


@pytest.mark.parametrize(
    ("prompt", "normalize", "maps"),
    [
        ("label_slice_boxes", "foreground", 2),
        ("label_box", "raw", 2),
        ("auto_box", "raw", 1),
        ("pseudo", "foreground", 1),
    ],
)
def test_the_contract(prompt, normalize, maps):
    case, dataset = phantom(classes=("left", "right", "nowhere"))
    given = Three() if prompt == "pseudo" else None
    assert len(check_extractor(eye(dataset, given, prompt=prompt, normalize=normalize), case)) == maps


def test_the_side_of_the_input_is_asked_for_known_and_refused():
    case, dataset = phantom()
    assert real_eye(dataset, weights="random").identity()["pixels"] == REAL_PIXELS[0]
    wide = eye(dataset, pixels=PIXELS[1])
    assert wide.identity()["pixels"] == PIXELS[1]
    assert next(iter(wide.class_maps(case))).values.shape == (5, 18, 24)
    with pytest.raises(
        UsageError, match="mobilesam` cannot take --pixels 100; expected one of: 512, 256, 1024"
    ):
        real_eye(dataset, pixels=100)
    from aleaseg.extractors.own import Own

    with pytest.raises(UsageError, match="own` cannot take --pixels 512; expected one of: none; leave"):
        settled(ExtractorSettings("own", pixels=512), Own.traits)


def test_the_memory_that_is_foretold_counts_what_is_kept_of_each_class():
    _, dataset = phantom()
    one, two = (real_eye(dataset, weights="random").cost((10, 300, 200), n).memory_bytes for n in (1, 2))
    assert two - one == 10 * (128 * 128 * 4 + 2 * 300 * 200)  # a map of float32, a mask and an outline


def test_identity_tells_random_weights_and_every_choice():
    _, dataset = phantom()
    one = eye(dataset).identity()
    assert one["weights"] == "random (seed 2)"
    assert (one["prompt"], one["normalize"]) == ("label_slice_boxes", "foreground")
    raw_ct = eye(replace(dataset, channels=("CT",)), normalize="raw").identity()
    assert raw_ct["window"] == [-160.0, 240.0]


def test_the_list_of_names_is_that_of_the_file(weights):
    state = read_state(weights / "mobile_sam_fused.safetensors")
    assert {key: list(tensor.shape) for key, tensor in state.items()} == released_names()
