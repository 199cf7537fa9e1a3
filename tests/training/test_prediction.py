"""What a prediction says of a case: every kind against brute force."""

from dataclasses import replace

import numpy as np
import pytest

from aleaseg.predictions.prediction import Prediction

SHAPES = {"3d": (5, 8, 6), "2d": (9, 7)}
CLASSES = {"liver": (1,), "lesion": (3,), "kidneys": (2, 5)}
REGIONS = {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}
VALUES = (1, 2, 3, 5)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=0))
    return e / e.sum(axis=0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def labels(shape, values=(0, *VALUES), seed=1):
    return np.random.default_rng(seed).choice(values, shape)


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


def dirichlet(logits):
    """alpha = softplus(z) + 1."""
    return np.log1p(np.exp(logits.astype(np.float64))) + 1


@pytest.fixture(params=["logit", "probability", "evidence"])
def one(request, shape):
    """Background and four values, on the case's own grid."""
    logits = np.random.default_rng(0).normal(0, 4, (5, *shape)).astype(np.float32)
    maps = softmax(logits) if request.param == "probability" else logits
    alpha = dirichlet(logits)
    p = alpha / alpha.sum(0) if request.param == "evidence" else softmax(logits.astype(np.float64))
    return Prediction(maps, request.param, shape, CLASSES), p, logits


def probabilities(prediction):
    return np.stack([prediction.probability(name) for name in prediction.classes])


def test_softmax_against_brute_force(one, shape):
    prediction, p, _ = one
    winner = np.array([0, *VALUES])[p.argmax(axis=0)]
    np.testing.assert_array_equal(prediction.labels(), winner)
    for name, values in CLASSES.items():
        np.testing.assert_array_equal(prediction.mask(name), np.isin(winner, values))
    label = labels(shape)
    index = np.searchsorted((0, *VALUES), label)
    given = np.take_along_axis(p, index[None], axis=0)[0]
    np.testing.assert_allclose(prediction.given(label), given, atol=2e-6)
    found = probabilities(prediction)
    np.testing.assert_allclose(found, [p[1], p[3], p[2] + p[4]], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0) + p[0], 1, atol=1e-6)


def test_labels_are_the_same_alone_and_after_probabilities(one, shape):
    alone = one[0]
    after = replace(alone)
    after.given(labels(shape))
    np.testing.assert_array_equal(alone.labels(), after.labels())
    assert ("_winner" in vars(alone)) == (alone.kind != "logit")  # of logits no sum is made for them
    np.testing.assert_array_equal(alone.mask("kidneys"), after.mask("kidneys"))
    np.testing.assert_array_equal(alone.probability("kidneys"), after.probability("kidneys"))


def test_all_that_could_be_given_sum_to_one(one, shape):
    prediction, _, _ = one
    total = sum(prediction.given(np.full(shape, value)) for value in (0, *VALUES))
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_an_undeclared_value_counts_as_background(one, shape):
    prediction, p, _ = one
    np.testing.assert_allclose(prediction.given(np.full(shape, 77)), p[0], atol=2e-6)


def test_class_maps_are_the_models_own(one):
    prediction, p, logits = one
    single, several = prediction.class_map("liver"), prediction.class_map("kidneys")
    if prediction.kind in ("logit", "evidence"):
        np.testing.assert_array_equal(single, logits[1])
        inside = p[2] + p[4]
        np.testing.assert_allclose(several, np.log(inside / (1 - inside)), atol=1e-4)
    else:
        np.testing.assert_allclose(single, p[1], atol=1e-6)
        np.testing.assert_allclose(several, p[2] + p[4], atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 8, 6), (9, 7)])
def test_on_a_coarser_grid_channel_by_channel_is_all_at_once(shape):
    import torch

    grid = tuple(n // 2 + 1 for n in shape)
    logits = np.random.default_rng(0).normal(0, 3, (5, *grid)).astype(np.float16)
    prediction = Prediction(logits, "logit", shape, CLASSES)
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    full = torch.nn.functional.interpolate(
        torch.as_tensor(logits.astype(np.float32))[None], size=shape, mode=mode, align_corners=False
    )[0].numpy()
    naive = Prediction(full, "logit", shape, CLASSES)
    label = labels(shape)
    np.testing.assert_array_equal(prediction.labels(), naive.labels())
    np.testing.assert_allclose(prediction.given(label), naive.given(label), atol=1e-6)
    np.testing.assert_allclose(probabilities(prediction), probabilities(naive), atol=1e-6)
    assert prediction.class_map("liver").shape == grid, "S is taken on the model's own grid"
    assert prediction.labels().shape == shape


def test_huge_logits_do_not_overflow(shape):
    maps = np.random.default_rng(0).choice([-6e4, 0, 6e4], (5, *shape)).astype(np.float16)
    prediction = Prediction(maps, "logit", shape, CLASSES)
    given = prediction.given(labels(shape))
    assert np.isfinite(given).all()
    assert ((given >= 0) & (given <= 1)).all()
    assert np.isfinite(probabilities(prediction)).all()


@pytest.mark.parametrize("kind", ["logit", "probability"])
def test_regions_are_sigmoids(shape, kind):
    logits = np.random.default_rng(0).normal(0, 3, (3, *shape)).astype(np.float32)
    p = sigmoid(logits.astype(np.float64))
    prediction = Prediction(logits if kind == "logit" else p, kind, shape, REGIONS, regions=True)
    np.testing.assert_allclose(probabilities(prediction), p, atol=1e-6)
    for index, name in enumerate(REGIONS):
        np.testing.assert_array_equal(prediction.mask(name), p[index] > 0.5)
        np.testing.assert_allclose(
            prediction.class_map(name), logits[index] if kind == "logit" else p[index], atol=1e-6
        )
    label = labels(shape, (0, 1, 2, 3))
    inside = np.stack([np.isin(label, values) for values in REGIONS.values()])
    np.testing.assert_allclose(prediction.given(label), np.where(inside, p, 1 - p).min(axis=0), atol=1e-6)


def test_nested_regions_give_the_value_of_the_innermost():
    maps = np.array([[[0.9, 0.9, 0.9, 0.1]], [[0.1, 0.9, 0.9, 0.1]], [[0.1, 0.1, 0.9, 0.1]]])
    prediction = Prediction(maps, "probability", (1, 4), REGIONS, regions=True)
    assert prediction.labels().tolist() == [[1, 2, 3, 0]]


def test_a_region_over_a_softmax_covers_its_values(shape):
    p = softmax(np.random.default_rng(0).normal(0, 2, (4, *shape)))
    prediction = Prediction(p, "probability", shape, REGIONS)
    np.testing.assert_array_equal(prediction.mask("core"), np.isin(prediction.labels(), (2, 3)))
    np.testing.assert_allclose(prediction.class_map("whole"), 1 - p[0], atol=1e-6)


def test_a_label_map_knows_masks_and_no_probability(shape):
    label = labels(shape)
    prediction = Prediction(label[None].astype(np.float32), "label", shape, CLASSES)
    np.testing.assert_array_equal(prediction.labels(), label)
    np.testing.assert_array_equal(prediction.mask("kidneys"), np.isin(label, (2, 5)))
    assert prediction.given(label) is None
    with pytest.raises(ValueError, match="no class maps"):
        prediction.class_map("liver")
    wrong = Prediction(label[None, 1:], "label", shape, CLASSES)
    with pytest.raises(ValueError, match="a label map of shape"):
        wrong.labels()


def test_a_class_map_converts_its_own_channels_only():
    converted = []

    class Spy(np.ndarray):
        def __array__(self, dtype=None, copy=None):
            converted.append(len(self))
            return np.array(self.view(np.ndarray), dtype=dtype)

        def __getitem__(self, key):
            part = super().__getitem__(key)
            converted.append(len(part))
            return part.view(np.ndarray)

    logits = np.random.default_rng(0).normal(size=(9, 3, 4, 5)).astype(np.float16)
    classes = {f"c{value}": (value,) for value in range(1, 9)}
    found = Prediction(logits.view(Spy), "logit", (3, 4, 5), classes).class_map("c5")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, logits[5])
    assert converted == [1]


def test_the_probability_of_a_class_is_that_of_the_whole_stack(one, shape):
    prediction, p, _ = one
    np.testing.assert_allclose(probabilities(prediction), [p[1], p[3], p[2] + p[4]], atol=2e-6)
    maps = np.random.default_rng(3).normal(0, 3, (3, *shape)).astype(np.float32)
    for regions in (
        Prediction(maps, "logit", shape, REGIONS, regions=True),
        Prediction(sigmoid(maps), "probability", shape, REGIONS, regions=True),
    ):
        np.testing.assert_allclose(probabilities(regions), sigmoid(maps), atol=2e-6)
    hard = Prediction(labels(shape)[None], "label", shape, CLASSES)
    assert hard.probability("liver") is None


def test_uncertainty_is_one_where_nothing_is_known_and_nought_where_all_is(one, shape):
    prediction, p, logits = one
    if prediction.kind == "evidence":
        wanted = 5 / dirichlet(logits).sum(axis=0)
    else:
        wanted = -(p * np.log(p)).sum(axis=0) / np.log(5)
    np.testing.assert_allclose(prediction.uncertainty(), wanted, atol=1e-5)
    flat = np.zeros((5, *shape), np.float32) - 80  # no evidence at all; a softmax of equal logits
    kind = "logit" if prediction.kind == "probability" else prediction.kind
    np.testing.assert_allclose(Prediction(flat, kind, shape, CLASSES).uncertainty(), 1, atol=1e-6)
    flat[1] = 1e4
    assert Prediction(flat, kind, shape, CLASSES).uncertainty().max() < 1e-3


def test_uncertainty_of_zero_logits_is_the_closed_form(shape):
    unsure = Prediction(np.zeros((4, *shape)), "evidence", shape, {"a": (1,), "b": (2,), "c": (3,)})
    np.testing.assert_allclose(unsure.uncertainty(), 1 / (1 + np.log(2)), rtol=1e-6)


def test_uncertainty_of_regions_hard_labels_and_of_what_a_file_states(shape):
    p = np.random.default_rng(0).uniform(0.01, 0.99, (3, *shape))
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    found = Prediction(p, "probability", shape, REGIONS, regions=True).uncertainty()
    np.testing.assert_allclose(found, entropy.max(axis=0), atol=1e-5)
    label = labels(shape)[None]
    assert Prediction(label, "label", shape, CLASSES).uncertainty() is None
    stated = np.full(shape, 0.25, np.float16)
    assert (Prediction(label, "label", shape, CLASSES, stated=stated).uncertainty() == 0.25).all()
    with pytest.raises(ValueError, match="no overlapping regions"):
        Prediction(p, "evidence", shape, REGIONS, regions=True)
