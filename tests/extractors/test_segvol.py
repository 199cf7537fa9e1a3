"""SegVol as an extractor: what it is fed, one map a class, the image encoded once, nothing read that need not be."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.errors import BadVoxels, CaseError, UsageError, WeightsRefused
from aleaseg.extractors import ClassMap, ExtractorSettings, NoMap, make_extractor
from aleaseg.extractors.base import check_needs, settled
from aleaseg.extractors.normalize import foreground_normalized
from aleaseg.extractors.segvol import SegVol, model_input, range_above_mean
from aleaseg.extractors.segvol_keys import random_checkpoint
from aleaseg.networks.segvol import Size
from aleaseg.readers.voxels import lazy_case
from aleaseg.spectral import semantic_perception_scale
from aleaseg.testing import check_extractor

TINY = Size(
    image=(8, 32, 48),
    patch=(4, 16, 16),
    width=48,
    layers=2,
    heads=4,
    hidden=40,
    decoder_heads=4,
    decoder_hidden=56,
    quality_hidden=16,
    mask_hidden=8,
    words=600,
    text_length=20,
    text_width=32,
    text_layers=2,
    text_heads=4,
    text_hidden=24,
)
CLASSES = {"liver": (5,), "left_kidney": (3,), "class_7": (7,), "spleen": (1,)}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    """A network that fits the tests; nothing of this machine's weights and settings is seen."""
    monkeypatch.setattr(SegVol, "size", TINY)
    for variable in ("ALEASEG_CONFIG", "ALEASEG_WEIGHTS", "HF_HUB_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path / variable))


def dataset(tmp_path, classes=None, channels=("CT",)):
    return Dataset("some", tmp_path, "folder", (), CLASSES if classes is None else classes, channels)


def segvol(tmp_path, classes=None, **asked):
    asked = {"weights": "random:1", **asked}
    return make_extractor(ExtractorSettings("segvol", **asked), dataset(tmp_path, classes))


def volume(shape=(12, 20, 24), seed=0):
    rng = np.random.default_rng(seed)
    grid = np.indices(shape) / np.array(shape)[:, None, None, None]
    inside = ((grid - 0.5) ** 2).sum(0) < 0.12
    return (inside * 900 - 700 + 300 * grid[0] + rng.normal(0, 30, shape)).astype(np.float32)


def unread():
    raise AssertionError("the label was read")


def case_of(image, label=None, affine=None):
    geometry = Geometry(image.shape, (2.0,) * image.ndim, affine)
    read = None if label is None else label if callable(label) else lambda: Voxels(label, geometry)
    return Case("one", (), (), lambda: Voxels(image[None], geometry), read, lambda: geometry)


@pytest.fixture(scope="module")
def real(data):
    folder = data / "totalseg"
    return lazy_case("ct", [folder / "example_ct_sm.nii.gz"], folder / "example_seg.nii.gz")


# -- what it is fed ----------------------------------------------------------------------------------


def upstream_input(image, size):
    """Upstream's steps one by one, with MONAI's transforms where it uses them. image (D, H, W)."""
    from monai.transforms import CropForeground, Resize, SpatialPad

    image = image.astype(np.float64)
    above = image[image > image.mean()]
    x = np.clip(image, np.percentile(above, 0.05), np.percentile(above, 99.95))
    x = (x - above.mean()) / max(above.std(), 1e-8)
    x = x - x.min()
    x = (x / max(x.max(), 1e-8))[None]
    x = SpatialPad(size)(torch.from_numpy(x))
    return Resize(size, mode="nearest-exact")(CropForeground()(x)).as_tensor()[None].float()


@pytest.mark.parametrize("shape", [(12, 20, 24), (5, 60, 61), (40, 7, 9)])
def test_the_input_is_upstreams(shape):
    image = volume(shape)
    got = model_input(image, TINY.image)
    assert got.shape == (1, 1, *TINY.image)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, upstream_input(image, TINY.image), atol=1e-6, rtol=0)


def test_the_input_of_a_real_image_is_upstreams(real):
    image = np.ascontiguousarray(real.read_image().array[0])
    got = model_input(image, TINY.image)
    torch.testing.assert_close(got, upstream_input(image, TINY.image), atol=1e-6, rtol=0)


images = hnp.arrays(np.float32, (4, 5, 6), elements=st.integers(-1000, 1000).map(float)).filter(
    lambda image: image.min() < image.max()
)


@settings(max_examples=60, deadline=None)
@given(images, st.sampled_from([0.5, 1.0, 4.0]), st.integers(-500, 500))
def test_offset_and_scale_of_the_image_do_not_matter(image, scale, offset):
    def fed(x):
        try:
            return model_input(x, (8, 8, 8))
        except ValueError:
            return None  # all that is above the mean has one value

    got, moved = fed(image), fed(image * np.float32(scale) + np.float32(offset))
    assert (got is None) == (moved is None)
    if got is not None:
        assert got.min() >= 0
        assert got.max() == 1
        torch.testing.assert_close(got, moved, atol=1e-5, rtol=0)


def test_a_window_takes_the_place_of_percentiles():
    image = np.full((4, 6, 8), -1000.0, dtype=np.float32)
    image[1:3, 2:5, 3:8] = np.linspace(-50, 300, 30).reshape(2, 3, 5)
    got = model_input(image, (2, 3, 5), (-100, 100))
    # Cropped to what is above -100, and of the size asked for already.
    expected = np.clip((np.linspace(-50, 300, 30) + 100) / 200, 0, 1).reshape(1, 1, 2, 3, 5)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    with pytest.raises(ValueError, match="nothing above 400"):
        model_input(image, (2, 3, 5), (400, 500))


def test_of_the_foregrounds_normalisation_the_clipping_is_left():
    """What the documentation says: shift and scale fall out, the range stays."""
    image, label = volume(), volume(seed=1) > 150
    low, high = np.percentile(image[label], [0.5, 99.5])
    got = model_input(foreground_normalized(image, label), TINY.image)
    torch.testing.assert_close(got, model_input(np.clip(image, low, high), TINY.image), atol=1e-5, rtol=0)
    assert (got - model_input(image, TINY.image)).abs().max() > 0.01


def test_range_above_mean():
    image = np.concatenate([np.zeros(3000), np.arange(1001.0, 3002.0)])
    assert range_above_mean(image) == pytest.approx((1002.0, 3000.0))


def test_however_the_volume_is_stored_it_lies_the_same_way(tmp_path):
    """Axes permuted and flipped with their affine: the same head, fed upright."""
    upright = volume((9, 14, 17))  # upwards, to the front, to the right
    affine = np.array([[0, 0, 2.0, 5], [0, 2.0, 0, -7], [2.0, 0, 0, 11], [0, 0, 0, 1]])
    eye = segvol(tmp_path)
    expected = eye._input(case_of(upright, affine=affine))
    torch.testing.assert_close(expected, model_input(upright, TINY.image))
    # Without an affine the axes are taken as they run.
    torch.testing.assert_close(eye._input(case_of(upright)), expected)
    for axes in ((0, 1, 2), (1, 2, 0), (2, 1, 0), (0, 2, 1)):
        for flips in ((), (0,), (1, 2), (0, 1, 2)):
            stored = np.flip(upright.transpose(axes), flips)
            index = np.eye(4)[:, [*axes, 3]]  # stored index -> upright index
            for axis in flips:
                index[:, 3] += index[:, axis] * (stored.shape[axis] - 1)
                index[:, axis] *= -1
            got = eye._input(case_of(np.ascontiguousarray(stored), affine=affine @ index))
            torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


# -- maps --------------------------------------------------------------------------------------------


def test_maps_of_a_real_case(real, tmp_path):
    eye = segvol(tmp_path)
    looked = []
    eye.network.image_encoder.register_forward_hook(lambda *_: looked.append(1))
    eye.network.text_encoder.register_forward_hook(lambda *_: looked.append("text"))
    maps = list(eye.class_maps(replace(real, read_label=unread)))
    assert [one.name for one in maps] == list(CLASSES)
    assert maps[2] == NoMap("class_7", "no_name")
    found = [one for one in maps if isinstance(one, ClassMap)]
    assert len(found) == 3
    for one in found:
        assert one.values.shape == TINY.logits == (8, 8, 12)
        assert one.values.dtype == np.float32
        assert np.isfinite(one.values).all()
        assert (one.kind, one.prompt, one.z_range, one.presence) == ("logit", "text", (0, 8), None)
        assert 0 < semantic_perception_scale(one.values) < 1
    assert len({one.values.tobytes() for one in found}) == 3
    # Three classes, one look at the image; a second case, and the texts are known.
    assert sorted(map(str, looked)) == ["1", "text"]
    again = list(eye.class_maps(real))
    assert sorted(map(str, looked)) == ["1", "1", "text"]
    assert all(
        np.array_equal(a.values, b.values) for a, b in zip(found, again[:2] + again[3:], strict=True)
    )
    # What is read is what the network says of the image it is fed.
    fed = eye._input(real)
    logits = eye.network(fed, *eye._words(["A computerized tomography of a left kidney."]))
    np.testing.assert_allclose(found[1].values, logits[0].numpy(), rtol=1e-4, atol=1e-5)


def test_the_image_and_the_name_both_matter(tmp_path):
    eye = segvol(tmp_path)
    one, two = (next(iter(eye.class_maps(case_of(volume(seed=seed))))).values for seed in (0, 1))
    assert np.abs(one - two).max() > 1e-4 * np.abs(one).max()
    other = next(iter(segvol(tmp_path, {"aorta": (5,)}).class_maps(case_of(volume())))).values
    assert np.abs(one - other).max() > 1e-4 * np.abs(one).max()
    named = list(segvol(tmp_path, {"LIVER": (1,), "_liver_": (2,)}).class_maps(case_of(volume())))
    assert all(np.allclose(same.values, one, atol=1e-6) for same in named)


def test_foreground_looks_at_the_label(tmp_path):
    label = np.zeros((12, 20, 24), dtype=np.uint8)
    label[4:8, 6:12, 8:16] = 5
    label[0] = 99  # of no class
    free, bound = segvol(tmp_path), segvol(tmp_path, normalize="foreground")
    assert (free.needs_labels, bound.needs_labels) == (False, True)
    case = case_of(volume(), label)
    got = next(iter(bound.class_maps(case))).values
    assert np.abs(got - next(iter(free.class_maps(case))).values).max() > 1e-5
    expected = foreground_normalized(volume(), label == 5)
    torch.testing.assert_close(bound._input(case), model_input(expected, TINY.image))


@pytest.mark.parametrize(
    "label", [None, np.zeros((12, 20, 24), np.uint8), np.full((12, 20, 24), 99, np.uint8)]
)
def test_foreground_without_foreground_is_refused_by_case(tmp_path, label):
    with pytest.raises(CaseError, match=r"one: found no annotated voxel; .* use --normalize raw"):
        list(segvol(tmp_path, normalize="foreground").class_maps(case_of(volume(), label)))


def test_foreground_of_one_grey_level(tmp_path):
    image, label = volume(), np.zeros((12, 20, 24), np.uint8)
    label[3, 3, 3] = 5
    with pytest.raises(BadVoxels, match="everywhere"):
        list(segvol(tmp_path, normalize="foreground").class_maps(case_of(image, label)))


@pytest.mark.parametrize("shape", [(20, 24), (1, 20, 24), (12, 20, 1)])
def test_what_is_no_volume_is_refused_by_case(tmp_path, shape):
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with pytest.raises(
        CaseError, match=r"one: found an image of shape .* a volume.* use another extractor"
    ):
        list(segvol(tmp_path).class_maps(case_of(image)))


def test_one_channel_of_several(tmp_path):
    eye = segvol(tmp_path, channel=1)
    images = np.stack([np.zeros((12, 20, 24), np.float32), volume()])
    geometry = Geometry((12, 20, 24), (1, 1, 1))
    case = Case("one", (), (), lambda: Voxels(images, geometry), None, lambda: geometry)
    torch.testing.assert_close(eye._input(case), model_input(volume(), TINY.image))


def test_a_name_longer_than_the_text_encoder_reads(tmp_path):
    long = " ".join(["very"] * 30) + " liver"
    maps = list(segvol(tmp_path, {long: (1,), "liver": (2,)}).class_maps(case_of(volume())))
    assert maps[0] == NoMap(long, "no_name")
    expected = next(iter(segvol(tmp_path).class_maps(case_of(volume()))))
    np.testing.assert_allclose(maps[1].values, expected.values, atol=1e-6)
    assert list(segvol(tmp_path, {long: (1,)}).class_maps(case_of(volume()))) == [NoMap(long, "no_name")]


def test_half_precision_gives_float32_maps(tmp_path):
    exact = next(iter(segvol(tmp_path, precision="float32").class_maps(case_of(volume())))).values
    rough = next(iter(segvol(tmp_path, precision="bfloat16").class_maps(case_of(volume())))).values
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, exact)
    assert np.abs(rough - exact).max() < 0.1 * np.abs(exact).max()


def test_it_keeps_the_contract(tmp_path):
    found = check_extractor(segvol(tmp_path), case_of(volume()))
    assert [one.name for one in found] == ["liver", "left_kidney", "spleen"]
    label = np.where(volume() > 0, 5, 0).astype(np.uint8)
    assert len(check_extractor(segvol(tmp_path, normalize="foreground"), case_of(volume(), label))) == 3


# -- what is asked of it -----------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path):
    """The tiny network's weights as released, with a vocabulary beside them."""
    from json import dumps

    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save(random_checkpoint(1, TINY), folder / "SegVol_v1.pth")
    # Bytes alone, each of them as itself and as the end of a word: a vocabulary without merges.
    letters = [chr(n) for n in [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]]
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += [f"<{n}>" for n in range(TINY.words - 2 - len(tokens))] + ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(
        dumps({token: n for n, token in enumerate(tokens)}), encoding="utf-8"
    )
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return folder / "SegVol_v1.pth"


def test_weights_of_a_file(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(SegVol, "size", replace(TINY, text_length=60))
    torch.save(random_checkpoint(1, SegVol.size), weights)
    eye = segvol(tmp_path, weights=str(weights))
    words, mask = eye._words(["A liver"])
    assert words.tolist() == [[598, 64 + 256, 75, 72, 85, 68, 81 + 256, 599]]
    assert mask.tolist() == [[1] * 8]
    maps = list(eye.class_maps(case_of(volume())))
    logits = eye.network(
        eye._input(case_of(volume())), *eye._words(["a computerized tomography of a liver."])
    )
    np.testing.assert_allclose(maps[0].values, logits[0].numpy(), rtol=1e-4, atol=1e-5)


def test_weights_without_a_vocabulary_are_refused_before_anything_runs(tmp_path, weights):
    (weights.parent / "merges.txt").unlink()
    with pytest.raises(WeightsRefused, match=rf"{weights.parent} lacks merges.txt"):
        segvol(tmp_path, weights=str(weights))


def test_no_weights(tmp_path):
    with pytest.raises(
        WeightsRefused, match=r"segvol: .* is not on this machine; run `aleaseg weights fetch segvol`"
    ):
        segvol(tmp_path, weights=None)
    with pytest.raises(WeightsRefused, match=r"gone.pth is not a file"):
        segvol(tmp_path, weights=str(tmp_path / "gone.pth"))


def test_another_models_weights_are_refused(tmp_path, weights):
    torch.save({"model": {"module.a": torch.zeros(2)}}, weights)
    with pytest.raises(
        WeightsRefused, match=r"SegVol_v1.pth does not fit Network: .* 1 not of this model \(a\)"
    ):
        list(segvol(tmp_path, weights=str(weights)).class_maps(case_of(volume())))


def test_identity(tmp_path, weights):
    def identity(**asked):
        return segvol(tmp_path, **asked).identity()

    drawn = identity()
    assert drawn["weights"] == "random (seed 1)"
    assert drawn["vocabulary"] == {"words": "random (seed 1)"}
    assert (drawn["prompt"], drawn["normalize"], drawn["precision"]) == ("text", "raw", "float32")
    fetched = identity(weights=str(weights))
    assert len(fetched["weights"]) == 64
    assert set(fetched["vocabulary"]) == {"vocab.json", "merges.txt"}
    others = [
        identity(weights="random:2"),
        identity(normalize="foreground"),
        identity(window=(-100.0, 200.0)),
        identity(precision="bfloat16"),
        fetched,
    ]
    assert all(a != b for n, a in enumerate([drawn, *others]) for b in others[n:])
    assert identity() == drawn


def test_random_weights_need_no_file_and_are_the_same_again(tmp_path):
    one, two = (next(iter(segvol(tmp_path).class_maps(case_of(volume())))).values for _ in range(2))
    np.testing.assert_array_equal(one, two)
    other = next(iter(segvol(tmp_path, weights="random:2").class_maps(case_of(volume())))).values
    assert np.abs(one - other).max() > 1e-3 * np.abs(one).max()


def test_what_cannot_work_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(UsageError, match=r"called class_1, 2; name them with --classes"):
        segvol(tmp_path, {"class_1": (1,), "2": (2,)})
    with pytest.raises(UsageError, match=r"cannot take --prompt label_box; expected one of: text"):
        segvol(tmp_path, prompt="label_box")
    asked = settled(ExtractorSettings("segvol"), SegVol.traits)
    with pytest.raises(UsageError, match="needs class names"):
        check_needs(asked, SegVol.traits, dataset(tmp_path, {}))
    with pytest.raises(UsageError, match="looks at one image channel"):
        check_needs(asked, SegVol.traits, dataset(tmp_path, channels=("CT", "PET")))


def test_cost_grows_with_what_there_is_to_do(tmp_path):
    eye = segvol(tmp_path)
    one, more, larger = eye.cost((10, 20, 20), 1), eye.cost((10, 20, 20), 50), eye.cost((500, 512, 512), 1)
    assert 0 < one.seconds < more.seconds
    assert one.seconds < larger.seconds
    assert one.memory_bytes < larger.memory_bytes
