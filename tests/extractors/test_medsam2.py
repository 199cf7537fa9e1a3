"""MedSAM2: the released form loads, the numbers are those of transformers' own path, nothing is done twice."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from phantom import Three, phantom
from tiny_medsam2 import SHAPES, SIZE, TinyMedSAM2, released_form, released_names

from aleaseg.case import Geometry, Voxels
from aleaseg.errors import BadVoxels, CaseError, WeightsRefused
from aleaseg.extractors import ExtractorSettings, NoMap
from aleaseg.extractors.base import settled
from aleaseg.extractors.medsam2 import MedSAM2, Volume, model_frames, track
from aleaseg.extractors.medsam2_keys import build, random_network, renamed

BOX = (10.0, 12.0, 40.0, 50.0)


@pytest.fixture(scope="module")
def network(tiny):
    configuration, state = tiny
    return build(state, configuration)


@pytest.fixture(scope="module")
def frames():
    return torch.randn(20, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))


def session_path(network, frames, key_slice, box, *, reverse):
    """transformers' own way: a session over the whole video, prompt, propagate."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    session = Sam2VideoInferenceSession(
        video=frames, video_height=SIZE, video_width=SIZE, dtype=torch.float32
    )
    index = session.obj_id_to_idx(1)
    session.add_point_inputs(
        index,
        key_slice,
        {
            "point_coords": torch.tensor(box).reshape(1, 1, 2, 2),
            "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
        },
    )
    session.obj_with_new_inputs = [1]
    network(session, frame_idx=key_slice)
    steps = network.propagate_in_video_iterator(session, start_frame_idx=key_slice, reverse=reverse)
    return {one.frame_idx: (one.pred_masks[0, 0], one.object_score_logits.reshape(-1)[0]) for one in steps}


# -- weights ---------------------------------------------------------------------------------------


def test_the_released_names_become_all_of_the_networks(tiny):
    configuration, state = tiny
    assert len(state) == 471
    found = renamed(state)
    assert len(found) == 469
    assert set(found) == set(random_network(0, configuration).state_dict())
    again = released_form(build(state, configuration))
    assert all(torch.equal(again[key], state[key]) for key in state)


@pytest.mark.parametrize("key", ["sam_mask_decoder.iou_token.weight", "no_mem_embed", "maskmem_tpos_enc"])
def test_a_changed_key_fails_with_its_name(tiny, key):
    configuration, state = tiny
    changed = dict(state)
    changed[f"{key}_2"] = changed.pop(key)
    with pytest.raises(WeightsRefused, match=r"1 missing .*1 not of this model") as error:
        build(changed, configuration)
    assert f"{key.rsplit('.', 1)[-1]}_2" in str(error.value)
    with pytest.raises(WeightsRefused, match="of another shape"):
        build({**state, key: torch.zeros(3)}, configuration)


def test_a_missing_point_embedding_is_named(tiny):
    configuration, state = tiny
    key = "sam_prompt_encoder.point_embeddings.2.weight"
    with pytest.raises(WeightsRefused, match=r"point_embeddings\.2\.weight"):
        build({name: value for name, value in state.items() if name != key}, configuration)


@pytest.mark.slow
def test_the_released_shapes_load_at_full_size():
    shapes = json.loads(SHAPES.read_text())
    generator = torch.Generator().manual_seed(0)
    state = {key: 0.05 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    network = build(state)
    assert sum(value.numel() for value in network.parameters()) == 38_962_498
    logits, score = track(state, torch.randn(3, 3, 512, 512, generator=generator), 1, (100, 120, 300, 310))
    assert logits.shape == (3, 128, 128)
    assert score.shape == (3,)
    assert torch.isfinite(logits).all()


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_slice", [0, 7, 19])
def test_track_is_the_session_path_in_both_directions(tiny, network, frames, key_slice):
    configuration, state = tiny
    logits, score = track(state, frames, key_slice, BOX, configuration=configuration)
    assert logits.shape == (20, SIZE // 4, SIZE // 4)
    assert logits.abs().max() > 5  # numbers of the size that the tolerance is meant for
    forward = session_path(network, frames, key_slice, BOX, reverse=False)
    backward = session_path(network, frames, key_slice, BOX, reverse=True)
    assert len(forward) == 20 - key_slice
    for place in range(20):
        masks, present = (forward if place >= key_slice else backward)[place]
        assert present > 0
        torch.testing.assert_close(logits[place], masks, atol=1e-3, rtol=0)
        torch.testing.assert_close(score[place], present, atol=1e-3, rtol=0)


def test_a_part_of_the_slices_is_the_whole_cut(network, frames):
    """Only the object's own slices are followed, and that changes nothing on them."""
    whole, part = Volume(network, 20), Volume(network, 20)
    whole.encode(0, frames)
    part.encode(4, frames[4:12])
    logits, score = whole.look({7: BOX}, 0, 20)
    few, few_scores = part.look({7: BOX}, 4, 12)
    torch.testing.assert_close(few, logits[4:12], atol=1e-3, rtol=0)
    torch.testing.assert_close(few_scores, score[4:12], atol=1e-3, rtol=0)


def test_the_reversed_volume_is_followed_in_reverse(network, frames):
    there, back = Volume(network, 20), Volume(network, 20)
    there.encode(0, frames)
    back.encode(0, frames.flip(0))
    forward, _ = there.look({5: BOX}, 0, 20)
    backward, _ = back.look({14: BOX}, 0, 20)
    torch.testing.assert_close(forward, backward.flip(0), atol=1e-4, rtol=0)


def test_batched_slices_are_slices_one_by_one(network, frames):
    together, alone = Volume(network, 20), Volume(network, 20)
    together.encode(0, frames)
    for place in range(20):
        alone.encode(place, frames[place : place + 1])
    torch.testing.assert_close(
        together.look({7: BOX}, 0, 20)[0], alone.look({7: BOX}, 0, 20)[0], atol=1e-3, rtol=0
    )


def test_one_object_is_not_changed_by_another(network, frames):
    alone, several = Volume(network, 20), Volume(network, 20)
    for one in (alone, several):
        one.encode(0, frames)
    several.look({3: (0.0, 0.0, 20.0, 20.0)}, 0, 20)
    assert torch.equal(alone.look({7: BOX}, 0, 20)[0], several.look({7: BOX}, 0, 20)[0])


def test_an_absent_object_has_logits_and_a_score_below_zero(tiny, frames):
    """Where transformers says -1024 everywhere, we keep what the decoder said."""
    configuration, state = tiny
    sent_away = dict(state)
    last = [key for key in state if key.startswith("sam_mask_decoder.pred_obj_score_head.layers.2.")]
    assert len(last) == 2
    for key in last:
        sent_away[key] = torch.full_like(state[key], -3.0) if key.endswith("bias") else 0 * state[key]
    overwritten = session_path(build(sent_away, configuration), frames[:4], 1, BOX, reverse=False)
    assert (overwritten[2][0] == -1024).all()
    logits, score = track(sent_away, frames[:4], 1, BOX, configuration=configuration)
    assert (score == -3).all()
    assert logits.abs().max() < 100
    assert (logits.flatten(1).std(1) > 0.1).all()


def test_what_cannot_be_is_refused(tiny, frames):
    configuration, state = tiny
    with pytest.raises(ValueError, match="key_slice is 4; expected 0 to 3"):
        track(state, frames[:4], 4, BOX, configuration=configuration)
    with pytest.raises(ValueError, match="x0 <= x1"):
        track(state, frames[:4], 1, (9, 9, 3, 3), configuration=configuration)


def test_grey_levels_are_whole_and_normalised():
    image = np.linspace(0, 1, 4 * 32 * 32, dtype=np.float32).reshape(4, 32, 32)
    frames = model_frames(image, 32)  # no change of size: only the arithmetic of grey levels
    grey = np.round(image * 255)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for channel in range(3):
        expected = (grey / 255 - mean[channel]) / deviation[channel]
        np.testing.assert_allclose(frames[:, channel].numpy(), expected, atol=1e-5)


# -- the extractor ---------------------------------------------------------------------------------


def eye(dataset, predictions=None, **asked):
    settings = settled(ExtractorSettings("medsam2", weights="random:2", **asked), MedSAM2.traits)
    return TinyMedSAM2(settings, dataset, predictions)


def test_maps_of_a_case():
    case, dataset = phantom(classes=("left", "right", "nowhere"))
    maps = {one.name: one for one in eye(dataset).class_maps(case)}
    assert maps["nowhere"] == NoMap("nowhere", "absent")
    assert maps["left"].z_range == (1, 10)  # its slices and two beyond
    assert maps["left"].values.shape == (9, SIZE // 4, SIZE // 4)
    assert maps["right"].z_range == (3, 8)  # one voxel is an object too
    for one in (maps["left"], maps["right"]):
        assert one.kind == "logit"
        assert one.prompt == "label_box"
        assert len(one.presence) == len(one.values)
        assert np.isfinite(one.values).all()


def test_every_slice_is_encoded_once_for_all_classes_and_both_directions(monkeypatch):
    case, dataset = phantom()
    extractor = eye(dataset)
    seen = []
    inner = extractor.network.get_image_features
    monkeypatch.setattr(
        extractor.network,
        "get_image_features",
        lambda x, **more: (seen.append(len(x)), inner(x, **more))[1],
    )
    list(extractor.class_maps(case))
    assert sum(seen) == 9  # slices 1 to 9, of twelve


def test_what_is_remembered_of_an_object_does_not_grow_with_the_volume(network, monkeypatch):
    depth = 60
    volume = Volume(network, depth)
    for place in range(0, depth, 10):
        volume.encode(place, torch.randn(10, 3, SIZE, SIZE))
    kept = []
    inner = type(network).forward

    def watch(self, session, **more):
        found = inner(self, session, **more)
        kept.append(len(session.output_dict_per_obj[0]["non_cond_frame_outputs"]))
        return found

    monkeypatch.setattr(type(network), "forward", watch)
    volume.look({0: BOX}, 0, depth)
    assert max(kept) <= 17
    assert len(kept) == depth


def test_prompts_and_normalisations_are_separate(monkeypatch):
    case, dataset = phantom()
    maps = {
        (prompt, normalize): next(iter(eye(dataset, prompt=prompt, normalize=normalize).class_maps(case)))
        for prompt in ("label_box", "label_slice_boxes", "auto_box")
        for normalize in ("raw", "foreground")
    }
    for (prompt, _), one in maps.items():
        assert one.prompt == prompt
        assert one.name == ("" if prompt == "auto_box" else "left")
    assert maps["auto_box", "raw"].z_range == (0, 12)
    same = maps["label_box", "raw"].values
    assert not np.allclose(same, maps["label_box", "foreground"].values, atol=1e-3)
    assert not np.allclose(same, maps["label_slice_boxes", "raw"].values, atol=1e-3)


def test_a_box_from_a_prediction(monkeypatch):
    case, dataset = phantom(label=False)
    maps = list(eye(dataset, Three(), prompt="pseudo", normalize="raw").class_maps(case))
    assert maps[0].z_range == (0, 6)  # what most of the three say: slices 2 and 3, and two beyond
    assert maps[1] == NoMap("right", "no_box")  # the prediction lacks it, which says nothing of the case


def test_a_picture_and_a_single_slice():
    case, dataset = phantom()
    image, label = case.read_image().array[0, 5], case.read_label().array[5]
    flat = replace(
        case,
        read_image=lambda: Voxels(image[None], Geometry((30, 40), (1.0, 1.0))),
        read_label=lambda: Voxels(label, Geometry((30, 40), (1.0, 1.0))),
    )
    one = next(iter(eye(dataset).class_maps(flat)))
    assert one.values.shape == (SIZE // 4, SIZE // 4)
    thin = replace(
        case,
        read_image=lambda: Voxels(image[None, None], Geometry((1, 30, 40), (1.0, 1.0, 1.0))),
        read_label=lambda: Voxels(label[None], Geometry((1, 30, 40), (1.0, 1.0, 1.0))),
    )
    same = next(iter(eye(dataset).class_maps(thin)))
    np.testing.assert_allclose(same.values[0], one.values, atol=1e-5)


def test_a_case_without_label_says_so():
    case, dataset = phantom(label=False)
    with pytest.raises(CaseError, match="c: found no label; expected one, for --prompt label_box"):
        list(eye(dataset).class_maps(case))


@pytest.mark.parametrize("prompt", ["auto_box", "pseudo"])
def test_a_foreground_of_nothing_is_named_whatever_the_prompt(prompt):
    case, dataset = phantom()
    nothing = Voxels(np.zeros((12, 30, 40), np.uint8), case.read_label().geometry)

    class Some:
        def read(self, case):
            return [self]

        def mask(self, name):
            return case.read_image().array[0] > 0

    with pytest.raises(CaseError, match="c: found no annotated voxel; expected some, for --normalize"):
        list(eye(dataset, Some(), prompt=prompt).class_maps(replace(case, read_label=lambda: nothing)))


def test_a_black_image_is_never_looked_at():
    case, dataset = phantom()
    one = np.zeros((12, 30, 40), np.uint8)
    one[5, 6, 7] = 1
    label = Voxels(one, case.read_label().geometry)
    with pytest.raises(BadVoxels, match="everywhere in the annotated foreground"):
        list(eye(dataset).class_maps(replace(case, read_label=lambda: label)))
    with pytest.raises(BadVoxels, match=r"one grey level between 1e\+06 and 2e\+06.* another --window"):
        list(eye(dataset, normalize="raw", window=(1e6, 2e6)).class_maps(case))


def test_identity_tells_random_weights_and_every_choice():
    _, dataset = phantom()
    one = eye(dataset).identity()
    assert one["weights"] == "random (seed 2)"
    assert one["prompt"] == "label_box"
    assert one["normalize"] == "foreground"
    raw_ct = eye(replace(dataset, channels=("CT",)), normalize="raw").identity()
    assert raw_ct["window"] == [-160.0, 240.0]
    assert eye(dataset, normalize="raw").identity()["window"] is None


def test_neither_torchvision_nor_hydra_nor_pil_is_needed(plugin):
    code = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torchvision", "hydra", "PIL"}:
            raise ImportError(f"{name} is refused")

sys.meta_path.insert(0, Refuse())
import torch
from phantom import Three, phantom
from tiny_medsam2 import TINY
from aleaseg.extractors.medsam2 import Volume
from aleaseg.extractors.medsam2_keys import random_network

volume = Volume(random_network(0, TINY), 2)
volume.encode(0, torch.zeros(2, 3, 64, 64))
print(tuple(volume.look({0: (1.0, 1.0, 9.0, 9.0)}, 0, 2)[0].shape))
assert not {"torchvision", "hydra", "PIL"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=plugin,
    )
    assert done.stdout.strip() == "(2, 16, 16)", done.stderr


def test_the_golden_list_is_whole():
    assert len(released_names()) == 471
