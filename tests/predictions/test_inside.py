"""What a network says beside its logits: shapes, what moves with the mask, what does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from aleaseg.predictions.inside import _by_own_mask, _mean_features, foreground_units, image_part, mask_part
from aleaseg.predictions.networks import predict_case, write_prediction
from aleaseg.run import Run
from aleaseg.training.foldplan import FoldPlan
from aleaseg.training.grid import WorkingGrid
from aleaseg.training.inference import predict_features, predict_logits
from aleaseg.training.plan import NetworkPlan
from aleaseg.training.preprocessing import IGNORE, Preprocessing

GRIDS = {
    3: WorkingGrid((1.0, 1.0, 1.0), (8, 12, 12), (0, 1, 1)),
    2: WorkingGrid((1.0, 1.0), (16, 16), (1, 1)),
}
SHAPES = {3: (8, 14, 11), 2: (15, 18)}


def network(dims):
    torch.manual_seed(3)
    return plan(dims).training(0).build(train=False)


def case(dims, seed=0):
    rng = np.random.default_rng(seed)
    label = np.zeros(SHAPES[dims], np.uint8)
    label[(slice(2, 7), slice(3, 9), slice(2, 9))[:dims]] = 1
    label[(slice(2, 7), slice(6, 9), slice(2, 9))[:dims]] = 2
    image = (label + rng.normal(0, 0.5, label.shape))[None].astype(np.float16)
    return image, label


def plan(dims, inside=True, name="small"):
    seen, classes = Preprocessing(GRIDS[dims], [None], (1, 2)), {"a": (1,), "b": (2,)}
    folds = (("a",), ("b",))
    return FoldPlan(seen, NetworkPlan(name), ("MR",), classes, folds, {}, None, 9, 2, 0, "cpu", inside, {})


@pytest.mark.parametrize("dims", [2, 3])
def test_everything_has_its_shape_and_is_the_same_again(dims, tmp_path):
    net, (image, label) = network(dims), case(dims)
    units = foreground_units([(image, label)])
    found = predict_case(net, image, label, plan(dims), units)
    wide = {"logits", "logits_foreground"}
    assert set(found) == wide | {"features", "features_mask", "tta_dice", "tta_information"}
    for name in wide:
        assert found[name].shape == (3, *label.shape)
    width = found["features"].shape[1]
    assert found["features"].shape == found["features_mask"].shape == (3, width)
    assert np.isfinite(found["features_mask"]).all()
    assert found["tta_dice"].shape == (2,)
    known = found["tta_dice"][np.isfinite(found["tta_dice"])]
    assert ((known >= 0) & (known <= 1)).all()
    assert found["tta_information"].shape == ()
    assert 0 < float(found["tta_information"]) <= np.log(3)
    again = predict_case(net, image, label, plan(dims), units)
    for name, array in found.items():
        np.testing.assert_array_equal(again[name], array)
    run = Run(tmp_path)
    write_prediction(run, "c", found)
    kept = load_file(run.prediction_file("c"))
    assert set(kept) == set(found)
    for name, array in kept.items():
        assert array.dtype == (np.float16 if name in wide else np.float32)
        np.testing.assert_allclose(array, found[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["unet", "umamba", "swin_unetr"])
def test_any_network_is_looked_into(name):
    """Its features are what its head makes the logits from, on the working grid."""
    edges = (32, 64) if name == "swin_unetr" else (16, 16)
    given = plan(2, name=name)
    grid = WorkingGrid((1.0, 1.0), edges, (1, 1))
    given = replace(given, preprocessing=replace(given.preprocessing, grid=grid))
    torch.manual_seed(0)
    net, (image, label) = given.training(0).build(train=False), case(2)
    found = predict_case(net, image, label, given, foreground_units([(image, label)]))
    logits, features = predict_features(net, image, edges)
    np.testing.assert_array_equal(found["logits"], logits)
    assert features.shape[1:] == image.shape[1:]
    assert found["features"].shape == found["features_mask"].shape == (3, len(features))
    for index in range(3):
        np.testing.assert_allclose(
            found["features_mask"][index], features[:, label == index].mean(axis=1), rtol=1e-4
        )


def test_without_inside_there_are_the_logits_alone():
    net, (image, label) = network(3), case(3)
    found = predict_case(net, image, label, plan(3, inside=False), None)
    assert set(found) == {"logits"}
    np.testing.assert_array_equal(found["logits"], predict_logits(net, image, GRIDS[3].patch))
    np.testing.assert_array_equal(image_part(net, image, GRIDS[3].patch)["logits"], found["logits"])


def test_the_mask_moves_the_part_of_the_mask_and_nothing_else():
    net, (image, label) = network(3), case(3)
    units = foreground_units([(image, label)])
    other = np.roll(label, 2, axis=1)
    one, two = (predict_case(net, image, mask, plan(3), units) for mask in (label, other))
    for name in ("logits", "features", "tta_dice", "tta_information"):
        np.testing.assert_array_equal(one[name], two[name])
    for name in ("logits_foreground", "features_mask"):
        assert np.abs(one[name] - two[name]).max() > 1e-3, name


def test_what_nobody_annotated_and_empty_masks_are_no_foreground():
    net, (image, label) = network(3), case(3)
    units = foreground_units([(image, label)])
    assert mask_part(net, image, np.zeros_like(label), GRIDS[3].patch, units) == {}
    assert mask_part(net, image, np.full_like(label, IGNORE), GRIDS[3].patch, units) == {}
    assert mask_part(net, image, label, GRIDS[3].patch, ()) == {}
    assert foreground_units([(image, np.full_like(label, IGNORE))]) == []
    partly = label.copy()
    partly[0] = IGNORE
    one, two = (mask_part(net, image, mask, GRIDS[3].patch, units) for mask in (label, partly))
    np.testing.assert_array_equal(one["logits_foreground"], two["logits_foreground"])


def test_units_are_the_median_of_the_cases():
    cases = [case(3, seed) for seed in range(5)]
    ((mean, std),) = foreground_units(cases)
    inside = [image[0][label > 0].astype(float) for image, label in cases]
    assert mean == pytest.approx(np.median([values.mean() for values in inside]), rel=1e-4)
    assert std == pytest.approx(np.median([values.std() for values in inside]), rel=1e-4)
    assert foreground_units([*cases, (cases[0][0], np.zeros_like(cases[0][1]))]) == [(mean, std)]


@pytest.mark.parametrize(("factor", "offset"), [(3.0, 0.0), (0.02, -7.0), (1.0, 40.0)])
def test_the_units_of_an_image_do_not_matter_once_its_own_mask_normalises_it(factor, offset):
    image, label = case(3)
    image = image.astype(np.float32)
    units = foreground_units([(image, label)])
    plain = _by_own_mask(image, label > 0, units)
    np.testing.assert_allclose(
        _by_own_mask(factor * image + offset, label > 0, units), plain, rtol=1e-3, atol=1e-3
    )
    inside = plain[0][label > 0]
    assert inside.mean() == pytest.approx(units[0][0], abs=1e-4)
    assert inside.std() == pytest.approx(units[0][1], rel=1e-4)
    low, high = np.percentile(image[0][label > 0], [0.5, 99.5])
    assert plain.min() == pytest.approx(inside.min(), abs=1e-5), "what lies outside the range is cut"
    assert np.argmax(plain) == np.argmax(np.clip(image, low, high))


def test_a_flat_foreground_does_not_divide_by_nothing():
    image, label = np.ones((1, 4, 4), np.float32), np.ones((4, 4), np.uint8)
    assert np.isfinite(_by_own_mask(image, label > 0, [(0.5, 1.0)])).all()


def test_mean_features_are_those_of_the_voxels_of_the_class():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 3, (4, 5, 3)).astype(np.uint8)
    features = rng.normal(size=(7, 4, 5, 3)).astype(np.float32)
    fine = coarse.repeat(2, axis=1).repeat(2, axis=2)
    found = _mean_features(features, fine, 4)
    for index in range(3):
        np.testing.assert_allclose(found[index], features[:, coarse == index].mean(axis=1), rtol=1e-5)
    assert np.isnan(found[3]).all()
    np.testing.assert_array_equal(_mean_features(features, coarse, 4), found)


@pytest.mark.parametrize("odd", [5, 9])
def test_mean_features_of_odd_sizes(odd):
    features = np.arange(-(-odd // 2), dtype=np.float32)[None].repeat(2, axis=0)
    label = np.zeros(odd, np.uint8)
    label[-3:] = 1
    found = _mean_features(features, label, 2)
    assert found[1, 0] > found[0, 0]
