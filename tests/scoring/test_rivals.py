"""Every other measure of one case, against plain NumPy."""

import numpy as np
import pytest

from aleaseg.case import Dataset
from aleaseg.predictions import Prediction
from aleaseg.scoring.rivals import rival_features, rival_numbers, unfolding

CLASSES = {"one": (1,), "both": (2, 3)}
SHAPE = (5, 12, 14)
IGNORED = 9


def dataset(tmp_path, ignore=None, classes=CLASSES):
    return Dataset("d", tmp_path, "nnunet", (), classes, ("MRI",), ignore)


def scene(shape=SHAPE, seed=0):
    """Label values, image (1, *shape) and logits (4, *shape) that follow the label loosely."""
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    centre = tuple(slice(n // 4, n // 4 + max(1, n // 2)) for n in shape)
    label[centre] = rng.integers(1, 4, label[centre].shape)
    logits = rng.normal(0, 1, (4, *shape)).astype(np.float32)
    for value in range(4):
        logits[value] += 2.0 * (label == value)
    image = (100 * label + rng.normal(0, 10, shape))[None].astype(np.float32)
    return label, image, logits


def prediction(logits, shape=None, classes=CLASSES, **inside):
    return Prediction(logits, "logit", shape or logits.shape[1:], classes, inside=inside, model="fold_0")


def taken(*given):
    found = {}
    for measure, variant, name, value in rival_numbers(*given):
        assert (measure, variant, name) not in found, "a number twice"
        found[measure, variant, name] = value
    return found


# -- plain references --------------------------------------------------------------------------------


def p_of(logits):
    e = np.exp(logits.astype(float) - logits.max(axis=0))
    return e / e.sum(axis=0)


def shares(matrix, power):
    s = np.linalg.svd(matrix.astype(float), compute_uv=False) ** power
    return s / s.sum()


def scale(matrix, power=2):
    p = shares(matrix, power)
    p = p[p > 0]
    return float(-(p * np.log(p)).sum() / np.log(min(matrix.shape)))


def log_odds(logits):
    e = np.exp(logits.astype(float))
    return np.log(e[2] + e[3]) - np.log(e[0] + e[1])


def close_to(mask, voxels=5):
    found = np.zeros_like(mask)
    for place in np.argwhere(mask):
        found[tuple(slice(max(0, x - voxels), x + voxels + 1) for x in place)] = True
    return found


def own_range(image):
    low, high = np.percentile(image[0], [1, 99])
    return (image[0] - low) / (high - low)


# -- tests -------------------------------------------------------------------------------------------


def test_every_reading_of_the_maps(tmp_path):
    label, image, logits = scene()
    masked = logits[:, :, ::-1] * 1.5 + np.random.default_rng(3).normal(size=logits.shape)
    found = taken(prediction(logits, logits_foreground=masked), image, label, dataset(tmp_path))
    p = p_of(logits)
    for name, raw, sure, through in (
        ("one", logits[1], p[1], masked[1]),
        ("both", log_odds(logits), p[2] + p[3], log_odds(masked)),
    ):
        d, h, w = raw.shape
        matrix = raw.reshape(d, -1)
        wanted = {
            ("perception_scale", "amplitude"): scale(matrix, 1),
            ("perception_scale", "h_dw"): scale(raw.transpose(1, 0, 2).reshape(h, -1)),
            ("perception_scale", "w_dh"): scale(raw.transpose(2, 0, 1).reshape(w, -1)),
            ("perception_scale", "probability"): scale(sure.reshape(d, -1)),
            ("perception_scale", "foreground"): scale(through.reshape(d, -1)),
            ("perception_scale", "foreground_amplitude"): scale(through.reshape(d, -1), 1),
            ("effective_rank", ""): np.exp(-(shares(matrix, 1) * np.log(shares(matrix, 1))).sum()),
            ("participation_ratio", ""): 1 / (shares(matrix, 2) ** 2).sum(),
        }
        centred = matrix - matrix.mean(axis=0)
        volume = np.linalg.slogdet(np.eye(d) + h * w / d * centred @ centred.T)[1] / 2 / np.log(2)
        wanted["semantic_volume", ""] = volume
        for (measure, variant), value in wanted.items():
            assert found[measure, variant, name] == pytest.approx(value, rel=2e-5), (measure, variant, name)


def test_what_the_logits_say(tmp_path):
    from scipy.special import polygamma

    label, image, logits = scene()
    found = taken(prediction(logits), image, label, dataset(tmp_path))
    p, predicted = p_of(logits), logits.argmax(axis=0)
    foreground = predicted > 0
    assert found["energy", "", ""] == pytest.approx(np.log(1 - p.max(axis=0))[foreground].mean(), rel=1e-5)
    entropy = -(p * np.log(p)).sum(axis=0) / np.log(4)
    assert found["entropy", "", ""] == pytest.approx(entropy[foreground].mean(), rel=1e-5)
    evidence = np.log1p(np.exp(logits.astype(float))) + 1
    certainty = [1 - polygamma(1, evidence[c][predicted == c]).mean() * 6 / np.pi**2 for c in range(1, 4)]
    assert found["fisher", "", "one"] == pytest.approx(certainty[0], rel=1e-5)
    assert found["fisher", "", "both"] == pytest.approx(np.mean(certainty[1:]), rel=1e-5)


@pytest.mark.parametrize("ignore", [None, IGNORED])
def test_what_the_given_labels_say(tmp_path, ignore):
    label, image, logits = scene(SHAPE)
    if ignore:
        label[:, :4] = ignore
        label[2, 5, 5] = ignore
    found = taken(prediction(logits), image, label, dataset(tmp_path, ignore))
    known = label != IGNORED
    indices = np.where(known, label, 0)
    p = p_of(logits)
    near = close_to((indices > 0) | (logits.argmax(axis=0) > 0)) & known
    given = np.take_along_axis(p, indices[None].astype(int), axis=0)[0]
    assert found["cross_entropy", "", ""] == pytest.approx(-np.log(given[near]).mean(), rel=1e-5)
    error = np.sqrt(((p - (indices == np.arange(4)[:, None, None, None])) ** 2).sum(axis=0))
    assert found["el2n", "", ""] == pytest.approx(error[near].mean(), rel=1e-5)
    assert found["residual_variance", "", ""] == pytest.approx(np.var(1 - given[near]), rel=1e-5)
    thresholds = np.array([p[k][near & (indices == k)].mean() for k in range(4)])
    confident = np.where(p >= thresholds[:, None, None, None] - 1e-6, p, -1)
    guess = np.where(confident.max(axis=0) >= 0, confident.argmax(axis=0), indices)
    assert found["label_issues", "", ""] == pytest.approx((guess != indices)[near].mean(), abs=1e-9)
    assert found["intensity_variance", "image", ""] == pytest.approx(own_range(image).var(), rel=1e-4)
    inside = np.isin(label, (1, 2, 3))
    assert found["intensity_variance", "mask", ""] == pytest.approx(
        own_range(image)[inside].var(), rel=1e-4
    )


def test_a_value_that_no_class_has_is_background(tmp_path):
    label, image, logits = scene()
    other = label.copy()
    other[0] = 7
    before = taken(prediction(logits), image, label, dataset(tmp_path))
    after = taken(prediction(logits), image, other * (other != 7), dataset(tmp_path))
    undeclared = taken(prediction(logits), image, other, dataset(tmp_path))
    assert undeclared == after
    assert before.keys() == after.keys()


def test_learning_and_augmentation_are_passed_on_by_class(tmp_path):
    label, image, logits = scene()
    label[:, :4] = IGNORED
    seen = np.random.default_rng(5).integers(0, 4, SHAPE).astype(np.uint8)
    numbers = {
        "aum": 1.5,
        "forgetting": 0.25,
        "cartography_confidence": 0.75,
        "cartography_variability": 0.125,
        "el2n": 0.5,
    }
    inside = {name: np.asarray(value) for name, value in numbers.items()}
    inside |= {
        "in_sample": seen,
        "tta_dice": np.array([0.9, np.nan, 0.7]),
        "tta_information": np.array(0.03),
    }
    found = taken(prediction(logits, **inside), image, label, dataset(tmp_path, IGNORED))
    for name in ("aum", "forgetting", "cartography_confidence", "cartography_variability"):
        assert found[name, "", ""] == numbers[name]
    assert found["el2n", "early", ""] == 0.5
    assert found["el2n", "", ""] != 0.5, "out of fold it is another number"
    assert found["tta_dice", "", "one"] == 0.9
    assert found["tta_dice", "", "both"] == 0.7
    assert found["tta_information", "", ""] == 0.03
    known = label != IGNORED
    for name, values in CLASSES.items():
        mask, other = np.isin(label, values), np.isin(seen, values) & known
        wanted = 2 * (mask & other).sum() / (mask.sum() + other.sum())
        assert found["in_sample_dice", "", name] == pytest.approx(wanted)


def test_without_a_label_there_is_what_the_image_says(tmp_path):
    _, image, logits = scene()
    found = taken(prediction(logits), image, None, dataset(tmp_path))
    measures = {measure for measure, _, _ in found}
    assert measures == {
        "perception_scale",
        "effective_rank",
        "participation_ratio",
        "semantic_volume",
        "fisher",
        "energy",
        "entropy",
        "intensity_variance",
    }
    assert {name for _, _, name in found} == {"", "one", "both"}


def test_an_empty_mask_and_a_class_that_is_not_there(tmp_path):
    label, image, logits = scene()
    found = taken(prediction(logits), image, np.zeros_like(label), dataset(tmp_path))
    assert ("intensity_variance", "mask", "") not in found
    assert not [key for key in found if key[0] == "perception_scale"]
    assert np.isfinite(found["cross_entropy", "", ""])
    found = taken(prediction(logits), image, np.where(label == 1, label, 0), dataset(tmp_path))
    assert ("perception_scale", "amplitude", "one") in found
    assert ("perception_scale", "amplitude", "both") not in found


def test_nothing_predicted_has_no_energy(tmp_path):
    label, image, logits = scene()
    logits[0] += 50
    found = taken(prediction(logits), image, label, dataset(tmp_path))
    assert np.isnan(found["energy", "", ""])
    assert np.isnan(found["entropy", "", ""])
    assert not [key for key in found if key[0] == "fisher"]


@pytest.mark.parametrize("shape", [(12, 14), (1, 12, 14)])
def test_flat_maps_are_read_as_rows_and_columns(tmp_path, shape):
    label, image, logits = scene(shape)
    found = taken(prediction(logits), image, label, dataset(tmp_path))
    raw = logits[1].reshape(12, 14)
    assert found["perception_scale", "amplitude", "one"] == pytest.approx(scale(raw, 1), rel=2e-5)
    assert found["participation_ratio", "", "one"] == pytest.approx(
        1 / (shares(raw, 2) ** 2).sum(), rel=2e-5
    )
    assert not [key for key in found if key[1] in ("h_dw", "w_dh")]
    values, how = unfolding(logits[1])
    assert values.shape == (12, 14)
    assert how == "h_w"


def test_the_label_is_brought_to_the_networks_grid(tmp_path):
    label, image, logits = scene()
    fine = label.repeat(2, axis=1).repeat(2, axis=2)
    wide = image.repeat(2, axis=2).repeat(2, axis=3)
    coarse = taken(prediction(logits), image, label, dataset(tmp_path))
    found = taken(prediction(logits, shape=fine.shape), wide, fine, dataset(tmp_path))
    for key, value in coarse.items():
        assert found[key] == pytest.approx(value, rel=0.05 if key[0] == "intensity_variance" else 1e-6), key


def test_features_of_a_region_are_the_mean_of_its_values(tmp_path):
    _, _, logits = scene()
    rows = np.array([[9, 9], [1, 2], [3, 4], [5, 8]], np.float32)
    gone = rows.copy()
    gone[[1, 3]] = np.nan
    found = rival_features(prediction(logits, features=rows, features_mask=gone), dataset(tmp_path))
    assert found == {
        "predicted": {"one": [1.0, 2.0], "both": [4.0, 6.0]},
        "mask": {"both": [3.0, 4.0]},
    }
    assert rival_features(prediction(logits), dataset(tmp_path)) == {}
