"""The Universal Model as an extractor: what it is fed, windows run once, one map a class, strict weights."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.errors import BadVoxels, CaseError, UsageError, WeightsRefused
from aleaseg.extractors import ClassMap, ExtractorSettings, NoMap, make_extractor
from aleaseg.extractors.base import check_needs, settled
from aleaseg.extractors.checkpoint import file_sha256
from aleaseg.extractors.normalize import foreground_normalized, unit
from aleaseg.extractors.universal import Universal, resampled
from aleaseg.networks.universal import RELEASED, Configuration, UniversalModel, random_checkpoint
from aleaseg.readers.voxels import lazy_case
from aleaseg.spectral import semantic_perception_scale
from aleaseg.testing import check_extractor

TINY = Configuration(feature_size=12, depths=(1, 1, 1, 1), attention=2, groups=4, patch=64)
CLASSES = {"liver": (5,), "Left_Kidney": (3,), "skull": (7,), "spleen": (1,)}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    """A network that fits the tests; nothing of this machine's weights and settings is seen."""
    monkeypatch.setattr(Universal, "size", TINY)
    for variable in ("ALEASEG_CONFIG", "ALEASEG_WEIGHTS", "HF_HUB_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path / variable))


def dataset(tmp_path, classes=None, channels=("CT",)):
    return Dataset("some", tmp_path, "folder", (), CLASSES if classes is None else classes, channels)


def universal(tmp_path, classes=None, channels=("CT",), **asked):
    asked = {"weights": "random:1", **asked}
    return make_extractor(ExtractorSettings("universal", **asked), dataset(tmp_path, classes, channels))


def volume(shape=(12, 20, 24), seed=0):
    """A bright ellipsoid, different from top to bottom, in air."""
    rng = np.random.default_rng(seed)
    grid = (np.indices(shape) + 0.5) / np.array(shape)[:, None, None, None]
    inside = ((grid - 0.5) ** 2).sum(0) < 0.2
    body = 300 * grid[0] - 100 + 80 * (grid[1] > 0.5) + rng.normal(0, 20, shape)
    return np.where(inside, body, -1000).astype(np.float32)


def body_of(image):
    """Shape of the box about what is no air."""
    return tuple(int(np.ptp(at)) + 1 for at in np.nonzero(image > -175))


def unread():
    raise AssertionError("the label was read")


def case_of(image, label=None, affine=None, spacing=1.5):
    geometry = Geometry(image.shape, (spacing,) * image.ndim, affine)
    read = None if label is None else label if callable(label) else lambda: Voxels(label, geometry)
    return Case("one", (), (), lambda: Voxels(image[None], geometry), read, lambda: geometry)


@pytest.fixture
def fed(monkeypatch):
    """Every window that the network saw, and the rows that were asked of it."""
    seen = []
    forward = UniversalModel.forward

    def spied(self, image, classes):
        seen.append((image.clone(), list(classes)))
        return forward(self, image, classes)

    monkeypatch.setattr(UniversalModel, "forward", spied)
    return seen


@pytest.fixture(scope="module")
def real(data):
    folder = data / "totalseg"
    return lazy_case("ct", [folder / "example_ct_sm.nii.gz"], folder / "example_seg.nii.gz")


# -- what it is fed ----------------------------------------------------------------------------------


def upstream_volume(array, affine):
    """Upstream's steps, with MONAI's transforms. array (x, y, z) as on disk."""
    from monai.data import MetaTensor
    from monai.transforms import CropForeground, Orientation, ScaleIntensityRange, Spacing

    x = MetaTensor(torch.from_numpy(array.astype(np.float32))[None], affine=torch.from_numpy(affine))
    x = Orientation("RAS", labels=None)(x)
    x = Spacing((1.5, 1.5, 1.5), mode="bilinear")(x)
    x = ScaleIntensityRange(-175, 250, 0, 1, clip=True)(x)
    return CropForeground()(x)[0].numpy()


def test_a_real_volume_is_fed_as_upstream_feeds_it(real, data, tmp_path):
    on_disk = nib.load(data / "totalseg" / "example_ct_sm.nii.gz")
    expected = upstream_volume(on_disk.get_fdata(), on_disk.affine)
    got = universal(tmp_path)._volume(real)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert got.min() == 0
    assert got.max() == 1


@pytest.mark.parametrize("codes", ["LPS", "SRA"])
def test_a_volume_stored_another_way_is_fed_as_upstream_feeds_it(codes, tmp_path):
    affine = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), (20, 18, 12))
    affine[:3, :3] *= np.array([2.0, 1.1, 3.0])  # columns: spacing of the stored axes
    array = volume((20, 18, 12))
    expected = upstream_volume(array, affine)
    first = affine[:, [2, 1, 0, 3]]  # arrays of a case run the other way
    case = case_of(array.transpose(2, 1, 0), affine=first)
    geometry = replace(case.read_geometry(), spacing_mm=(3.0, 1.1, 2.0))
    case = replace(case, read_image=lambda: Voxels(array.transpose(2, 1, 0)[None], geometry))
    got = universal(tmp_path)._volume(case)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-5)


spacings = st.sampled_from([0.7, 0.9, 1.5, 2.2, 3.0, 5.0])


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(spacings, spacings, spacings), st.integers(0, 99))
def test_resampling_is_monais(shape, spacing, seed):
    from monai.data import MetaTensor
    from monai.transforms import Spacing

    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    affine = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    expected = Spacing((1.5, 1.5, 1.5), mode="bilinear")(
        MetaTensor(torch.from_numpy(x)[None], affine=affine)
    )[0]
    got = resampled(x, spacing)
    assert got.shape == expected.shape
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_at_its_own_spacing_nothing_is_resampled():
    x = volume()
    np.testing.assert_array_equal(resampled(x, (1.5, 1.5, 1.5)), x)


def test_another_window(tmp_path):
    case = case_of(volume())
    got = universal(tmp_path, window=(-50, 100))._volume(case)
    upright = volume().transpose(2, 1, 0)
    rows = np.nonzero(upright > -50)
    box = tuple(slice(row.min(), row.max() + 1) for row in rows)
    np.testing.assert_allclose(got, unit(upright, -50, 100)[box], atol=1e-6)


def test_foreground_is_the_papers_x_brought_to_what_the_network_reads(tmp_path):
    """Mean and deviation fall out again, since the network reads [0, 1]: a window is left, as the page says."""
    image = volume()
    label = np.where(image > 60, 5, 0).astype(np.uint8)
    label[:3] = 9  # no class of the data set
    x = foreground_normalized(image, label == 5)
    expected = ((x - x.min()) / np.ptp(x)).transpose(2, 1, 0)
    box = tuple(slice(at.min(), at.max() + 1) for at in np.nonzero(expected))
    got = universal(tmp_path, normalize="foreground")._volume(case_of(image, label))
    np.testing.assert_allclose(got, expected[box], atol=1e-5)


def test_raw_reads_no_label(tmp_path):
    extractor = universal(tmp_path)
    assert not extractor.needs_labels
    assert universal(tmp_path, normalize="foreground").needs_labels
    assert list(extractor.class_maps(case_of(volume(), unread)))


# -- maps --------------------------------------------------------------------------------------------


def test_one_map_a_class_and_a_reason_where_there_is_none(tmp_path):
    image = volume((30, 40, 36))
    body = body_of(image)
    assert body < image.shape
    found = list(universal(tmp_path).class_maps(case_of(image)))
    assert [one.name for one in found] == list(CLASSES)
    assert found[2] == NoMap("skull", "unknown_class")
    for one in (found[0], found[1], found[3]):
        assert isinstance(one, ClassMap)
        assert one.kind == "logit"
        assert one.prompt == "class"
        assert one.values.dtype == np.float32
        assert one.values.shape == body  # cropped to what is no air
        assert one.z_range == (0, body[0])
        assert np.isfinite(one.values).all()
        assert one.values.std() > 1e-3
    assert np.abs(found[0].values - found[3].values).max() > 1e-3


def test_it_keeps_the_contract(tmp_path):
    found = check_extractor(universal(tmp_path), case_of(volume((1, 9, 8))))
    assert [one.name for one in found] == ["liver", "Left_Kidney", "spleen"]


def test_the_windows_run_once_for_all_classes_and_only_asked_heads_are_made(tmp_path, fed):
    case = case_of(volume((12, 20, 90)))
    several = list(universal(tmp_path).class_maps(case))
    windows = len(fed)
    assert windows == 2  # 64 voxels, 32 apart, along 80 voxels of body
    assert {tuple(rows) for _, rows in fed} == {(0, 2, 5)}
    fed.clear()
    (alone,) = universal(tmp_path, {"spleen": (1,)}).class_maps(case)
    assert len(fed) == windows
    assert {tuple(rows) for _, rows in fed} == {(0,)}
    np.testing.assert_allclose(alone.values, several[3].values, atol=1e-5)


def test_a_class_of_both_sides_is_the_greater_logit(tmp_path):
    names = {"kidney": (1, 2), "left kidney": (2,), "right kidney": (1,), "tumor": (3,)}
    case = case_of(volume())
    both, left, right, tumour = universal(tmp_path, names).class_maps(case)
    np.testing.assert_array_equal(both.values, np.maximum(left.values, right.values))
    assert (left.values != right.values).any()
    (named,) = universal(tmp_path, {"kidney tumour": (3,)}).class_maps(case)
    np.testing.assert_allclose(tumour.values, named.values, atol=1e-5)


def test_a_volume_of_one_window_is_the_network_alone(tmp_path):
    """Nothing is padded, blended or cropped."""
    edge = TINY.patch
    extractor = universal(tmp_path, {"liver": (5,)})
    image = np.random.default_rng(3).uniform(-100, 200, (edge, edge, edge)).astype(np.float32)
    (found,) = extractor.class_maps(case_of(image))
    fed = torch.from_numpy(unit(image, -175, 250).transpose(2, 1, 0).copy())[None, None]
    with torch.inference_mode():
        alone = extractor.network(fed, [5])[0, 0].numpy()
    np.testing.assert_allclose(found.values, alone.transpose(2, 1, 0), atol=1e-5)


def test_what_lies_where_is_the_same_however_it_is_stored(tmp_path):
    image = volume((14, 30, 26))
    affine = np.array([[0, 0, 1.5, 0], [0, 1.5, 0, 0], [1.5, 0, 0, 0], [0, 0, 0, 1.0]])  # z, y, x in RAS
    turned = np.ascontiguousarray(image.transpose(1, 0, 2)[::-1, :, ::-1])
    turned_affine = np.array(
        [[0, 0, -1.5, 25 * 1.5], [-1.5, 0, 0, 29 * 1.5], [0, 1.5, 0, 0], [0, 0, 0, 1.0]]
    )
    extractor = universal(tmp_path, {"liver": (5,)})
    (one,) = extractor.class_maps(case_of(image, affine=affine))
    (other,) = extractor.class_maps(case_of(turned, affine=turned_affine))
    np.testing.assert_allclose(one.values, other.values, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 20, 24), (2, 5, 3), (1, 40, 40)])
def test_small_volumes_and_single_slices(tmp_path, shape):
    image = np.random.default_rng(0).uniform(-100, 200, shape).astype(np.float32)
    found = [one for one in universal(tmp_path).class_maps(case_of(image)) if isinstance(one, ClassMap)]
    assert {one.values.shape for one in found} == {shape}
    assert all(np.isfinite(one.values).all() for one in found)


def test_the_padding_of_a_small_volume_is_air_on_all_sides(tmp_path, fed):
    image = np.full((1, 20, 24), 250.0, dtype=np.float32)
    image[0, 3, 3] = 240
    list(universal(tmp_path).class_maps(case_of(image)))
    ((window, _),) = fed
    inside = torch.nonzero(window[0, 0])
    assert inside.min(0).values.tolist() == [20, 22, 31]
    assert inside.max(0).values.tolist() == [43, 41, 31]


def test_a_real_case_from_end_to_end(real, tmp_path, monkeypatch):
    monkeypatch.setattr("aleaseg.extractors.universal._OVERLAP", 0.0)  # a third of the windows
    names = {"spleen": (1,), "kidney_right": (2,), "liver": (5,), "vertebrae_L1": (31,)}
    extractor = universal(tmp_path, names)
    body = extractor._volume(real).shape
    found = list(extractor.class_maps(real))
    assert found[3] == NoMap("vertebrae_L1", "unknown_class")
    for one in found[:3]:
        assert one.values.shape == body[::-1]
        assert one.values.shape[0] <= 59  # 30 slices of 3 mm
        assert 0 < semantic_perception_scale(one.values, unfold="d_hw") < 1


def test_foreground_of_a_real_case(real, tmp_path):
    label = real.read_label().array
    image = real.read_image().array[0]
    low, high = np.percentile(image[np.isin(label, (1, 2, 5))], [0.5, 99.5])
    names = {"spleen": (1,), "kidney_right": (2,), "liver": (5,)}
    got = universal(tmp_path, names, normalize="foreground")._volume(real)
    expected = universal(tmp_path, names, window=(low, high))._volume(real)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_maps_are_float32_whatever_the_network_computes_in(tmp_path, monkeypatch):
    computed = []

    def forward(self, image, classes):
        found = torch.nn.functional.conv3d(image, torch.ones(len(classes), 1, 1, 1, 1))
        computed.append(found.dtype)
        return found

    monkeypatch.setattr(UniversalModel, "forward", forward)
    for precision, kind in (
        ("auto", torch.float32),
        ("float32", torch.float32),
        ("bfloat16", torch.bfloat16),
    ):
        extractor = universal(tmp_path, {"liver": (5,)}, precision=precision)
        (found,) = extractor.class_maps(case_of(volume()))
        assert computed.pop() == kind
        assert extractor.identity()["precision"] == str(kind).removeprefix("torch.")
        assert found.values.dtype == np.float32
        stitched = torch.from_numpy(found.values.copy())  # not rounded once more by the blending
        torch.testing.assert_close(stitched.to(kind).float(), stitched, atol=1e-6, rtol=1e-6)


@pytest.mark.slow
def test_bfloat16_is_near(tmp_path):
    case = case_of(volume())
    (full,) = universal(tmp_path, {"liver": (5,)}).class_maps(case)
    (half,) = universal(tmp_path, {"liver": (5,)}, precision="bfloat16").class_maps(case)
    assert 0 < np.abs(half.values - full.values).max() < 0.1 * np.ptp(full.values)


# -- what cannot work --------------------------------------------------------------------------------


def test_a_picture_is_refused_with_advice(tmp_path):
    with pytest.raises(
        CaseError, match=r"one: found an image of shape \(20, 24\); .*use another extractor"
    ):
        list(universal(tmp_path).class_maps(case_of(volume()[5])))


def test_air_alone_is_refused(tmp_path):
    image = np.random.default_rng(0).uniform(-1000, -900, (4, 6, 8)).astype(np.float32)
    with pytest.raises(BadVoxels, match=r"nothing above -175, .*Hounsfield units, or another --window"):
        list(universal(tmp_path).class_maps(case_of(image)))


@pytest.mark.parametrize(
    "label", [None, np.zeros((12, 20, 24), np.uint8), np.full((12, 20, 24), 9, np.uint8)]
)
def test_foreground_without_an_annotation_is_refused(tmp_path, label):
    with pytest.raises(CaseError, match=r"no annotated voxel.*--normalize raw"):
        list(universal(tmp_path, normalize="foreground").class_maps(case_of(volume(), label)))


def test_foreground_of_one_grey_value_is_refused(tmp_path):
    label = np.zeros((12, 20, 24), np.uint8)
    label[6, 10, 12] = 5
    with pytest.raises(BadVoxels, match="everywhere in the annotated foreground"):
        list(universal(tmp_path, normalize="foreground").class_maps(case_of(volume(), label)))


def test_classes_of_which_none_is_known_are_refused_with_the_names_that_are(tmp_path):
    with pytest.raises(UsageError) as refused:
        universal(tmp_path, {"skull": (1,), "tooth": (2,)})
    message = str(refused.value)
    assert "none of the classes of some (skull, tooth)" in message
    assert "spleen, right kidney" in message
    assert "kidney cyst" in message
    assert "--classes" in message


def test_what_it_needs(tmp_path):
    asked = settled(ExtractorSettings("universal"), Universal.traits)
    assert (asked.prompt, asked.normalize) == ("class", "raw")
    check_needs(asked, Universal.traits, dataset(tmp_path))
    with pytest.raises(UsageError, match="--channel"):
        check_needs(asked, Universal.traits, dataset(tmp_path, channels=("CT", "PET")))
    with pytest.raises(UsageError, match="needs class names"):
        check_needs(asked, Universal.traits, dataset(tmp_path, classes={}))
    with pytest.raises(UsageError, match="looks at labels"):
        check_needs(replace(asked, normalize="foreground"), Universal.traits, dataset(tmp_path))
    with pytest.raises(UsageError, match="expected one of: class"):
        settled(ExtractorSettings("universal", prompt="text"), Universal.traits)


# -- weights and identity ----------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path):
    """write(change) -> a file in the released form, with what training leaves beside the network."""

    def write(change=lambda net: None, name="weights.pth"):
        checkpoint = random_checkpoint(1, TINY)
        change(checkpoint["net"])
        path = tmp_path / name
        torch.save(checkpoint | {"epoch": 3, "optimizer": {"state": {}}}, path)
        return path

    return write


def test_a_file_of_the_released_form_gives_the_same_maps(tmp_path, weights):
    path = weights()
    names = {"liver": (5,)}
    extractor = universal(tmp_path, names, weights=str(path), accept_licence=True)
    (found,) = extractor.class_maps(case_of(volume()))
    (same,) = universal(tmp_path, names).class_maps(case_of(volume()))
    (other,) = universal(tmp_path, names, weights="random:2").class_maps(case_of(volume()))
    np.testing.assert_array_equal(found.values, same.values)
    assert np.abs(found.values - other.values).max() > 1e-3
    assert extractor.identity()["weights"] == file_sha256(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda net: net.pop("module.controller.bias"), r"missing \(controller\.bias\)"),
        (
            lambda net: net.pop("module.swinViT.layers1.0.blocks.0.norm1.weight"),
            r"missing \(backbone\.swinViT\.layers1\.0\.blocks\.0\.norm1\.weight\)",
        ),
        (
            lambda net: net.update({"module.decoder9.weight": torch.zeros(1)}),
            r"not of this model \(backbone\.decoder9\.weight\)",
        ),
        (
            lambda net: net.update({"module.organ_embedding": torch.zeros(31, 512)}),
            r"organ_embedding is \(31, 512\), expected \(32, 512\)",
        ),
        (
            lambda net: net.update({"module.precls_convs": net.pop("module.precls_conv.0.bias")}),
            r"missing \(precls_conv\.0\.bias\).*not of this model \(precls_convs\)",
        ),
    ],
)
def test_weights_that_differ_are_refused_by_name(tmp_path, weights, change, said):
    with pytest.raises(WeightsRefused, match=said):
        universal(tmp_path, weights=str(weights(change)), accept_licence=True).load()


def test_the_licence_must_be_accepted_except_for_random_weights(tmp_path, weights):
    with pytest.raises(WeightsRefused, match=r"CC BY-NC-ND 4\.0.*--accept-licence"):
        universal(tmp_path, weights=str(weights())).load()
    with pytest.raises(WeightsRefused, match="not on this machine"):
        universal(tmp_path, weights=None, accept_licence=True).load()
    universal(tmp_path, weights="random").load()


def test_identity_says_what_decides_the_maps(tmp_path):
    plain = universal(tmp_path).identity()
    assert plain["weights"] == "random (seed 1)"
    assert (plain["prompt"], plain["normalize"], plain["window"]) == ("class", "raw", [-175.0, 250.0])
    assert plain["configuration"]["patch"] == 64
    assert plain["classes"]["Left_Kidney"] == ["left kidney"]
    assert plain["classes"]["skull"] == []
    assert "note" not in plain
    assert json.loads(json.dumps(plain))["weights"] == plain["weights"]
    others = [
        universal(tmp_path, weights="random:2").identity(),
        universal(tmp_path, window=(-50, 100)).identity(),
        universal(tmp_path, normalize="foreground").identity(),
        universal(tmp_path, precision="bfloat16").identity(),
        universal(tmp_path, channels=("CT", "CT"), channel=1).identity(),
        universal(tmp_path, {"liver": (5,)}).identity(),
    ]
    assert all(other != plain for other in others)


@pytest.mark.parametrize(
    ("channels", "channel", "noted"),
    [
        (("CT",), None, None),
        (("ct_venous",), None, None),
        (("image",), None, None),  # nothing declared
        (("channel_0", "channel_1"), 1, None),
        (("MRI",), None, "MRI"),
        (("CT", "PET"), 1, "PET"),
        (("CT", "PET"), 0, None),
    ],
)
def test_images_declared_to_be_no_ct_are_looked_at_and_noted(tmp_path, channels, channel, noted):
    found = universal(tmp_path, channels=channels, channel=channel).identity().get("note")
    assert (found is None) == (noted is None)
    if noted:
        assert f"made for CT; the images are declared to be {noted}" in found


def test_the_channel_that_is_asked_for_is_looked_at(tmp_path, fed):
    image = np.stack([np.full((4, 6, 8), 100.0), volume((4, 6, 8))]).astype(np.float32)
    geometry = Geometry((4, 6, 8), (1.5, 1.5, 1.5), None)
    case = Case("one", (), (), lambda: Voxels(image, geometry), None, lambda: geometry)
    list(universal(tmp_path, channels=("a", "CT"), channel=1).class_maps(case))
    list(universal(tmp_path).class_maps(case_of(image[1])))
    torch.testing.assert_close(fed[0][0], fed[1][0])


def test_cost_counts_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(Universal, "size", RELEASED)
    extractor = universal(tmp_path)
    one = extractor.cost((40, 96, 96), 3)
    assert one.seconds > 0
    assert one.memory_bytes > 1e9
    assert extractor.cost((40, 96, 97), 3).seconds == pytest.approx(2 * one.seconds)
    assert extractor.cost((40, 144, 240), 3).seconds == pytest.approx(8 * one.seconds)
    assert extractor.cost((40, 96, 96), 30).memory_bytes > one.memory_bytes
    with_case = dataset(tmp_path).with_cases([case_of(volume(), spacing=3.0)])
    coarse = make_extractor(ExtractorSettings("universal", weights="random"), with_case)
    assert coarse.cost((20, 48, 72), 3).seconds == pytest.approx(2 * one.seconds)  # 144 voxels of 1.5 mm


# -- as released -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_released_size_from_file_to_map(tmp_path, monkeypatch):
    monkeypatch.setattr(Universal, "size", RELEASED)
    path = tmp_path / "released.pth"
    torch.save(random_checkpoint(4), path)
    extractor = universal(tmp_path, weights=str(path), accept_licence=True)
    found = [one for one in extractor.class_maps(case_of(volume())) if isinstance(one, ClassMap)]
    assert {one.values.shape for one in found} == {body_of(volume())}
    assert all(np.isfinite(one.values).all() and one.values.std() > 0 for one in found)
