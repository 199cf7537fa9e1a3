"""What the official functions of SURE give on small inputs, against ours: every array of the golden file.

The numbers were made by the functions of suiannaius/SURE at e30f60a ("head", July 2025) and
0c738f8 ("june"); all that they would have drawn at random is among the inputs.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from aleaseg import cues, order
from aleaseg.losses import evidential
from aleaseg.losses.gradient_rule import block_gradient_order, draw_pairs
from aleaseg.losses.noise_rule import distance_order, far_mean, level_order
from aleaseg.losses.patches import Patches, add_patches, choose_places
from aleaseg.losses.sure import gradient_order, ramp
from aleaseg.metrics.calibration import calibration_error
from aleaseg.metrics.cues import distance_cue, gradient_cue, noise_cue
from aleaseg.metrics.overlap import count_overlap, dice
from aleaseg.metrics.uncertainty import ueo
from aleaseg.training.prediction import Prediction

HERE = Path(__file__).resolve().parent
VERSIONS = ("head", "june")
CASES = ("random", "rounded", "small", "falls_with_g", "constant")


@pytest.fixture(scope="module")
def golden():
    """The arrays by name; the tests skip where the file is absent."""
    data = Path(os.environ.get("ALEASEG_TEST_DATA", HERE.parents[2] / "shared" / "data"))
    file = data.parent / "golden" / "sure.npz"
    if not file.is_file():
        pytest.skip(
            "no golden numbers here: golden/sure.npz beside the folder that ALEASEG_TEST_DATA names"
        )
    with np.load(file) as arrays:
        return dict(arrays)


def near(expected):
    """Equal to 1e-6, relative above 1."""
    return pytest.approx(np.asarray(expected, dtype=np.float64), rel=1e-6, abs=1e-6, nan_ok=True)


def same_slope(found, expected):
    """Gradients are equal to 1e-5 of the largest."""
    assert np.abs(expected).max() > 0
    assert np.abs(np.asarray(found) - expected).max() <= 1e-5 * np.abs(expected).max()


def u012(golden, case):
    """(3, B, H, W): clean, first and second level."""
    found = {
        "random": golden["in/u012"],
        "rounded": golden["cues/in_rounded"],
        "small": golden["cues/in_small"],
        "falls_with_g": golden["cues/in_falls_with_g"][None].repeat(3, 0),  # the same at every level
        "constant": np.full_like(golden["in/u012"], 0.5),
    }
    return found[case]


# -- maps ------------------------------------------------------------------------------------------


def test_the_distance(golden):
    found = np.stack([cues.distance_map(label) for label in golden["in/label"]])
    assert found[:2] == near(golden["maps/distance"][:2])
    assert np.isposinf(found[2]).all()  # no foreground: the official one is an artefact
    assert cues.distance_map(golden["in/label"][2], phantom=True) == near(golden["maps/distance"][2])
    assert cues.distance_map(golden["in/solid"]) == near(golden["maps/distance_3d"])


def test_the_gradient(golden):
    found = np.stack([cues.gradient_map(image) for image in golden["in/image"]])
    assert found == near(golden["maps/gradient"])
    assert cues.gradient_map(golden["in/volume"][None]) == near(golden["maps/gradient_3d"])


# -- order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sample", [0, 1])
def test_share_in_order_with_the_distance(golden, version, case, sample):
    distance = golden["maps/distance"][sample]
    close = distance <= 4
    u = u012(golden, case)[:, sample, close]
    at = VERSIONS.index(version), CASES.index(case), sample
    c, x = distance[close], u[1] - u[0]
    assert order.official_ur(c, x, -1, version) == near(golden["cues/ur_d"][at])
    assert order.official_ur(c, x, -1, version, run=100) == near(golden["cues/ur_d_chunk"][at])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_share_in_order_with_the_noise(golden, version, case):
    close = golden["maps/distance"][:2] <= 4
    u = u012(golden, case)[:, :2, :][:, close]
    at = VERSIONS.index(version), CASES.index(case)
    found = order.official_pair_ur(0.8, u[2] - u[1], 1, version)
    assert found == near(golden["cues/ur_noise"][at])
    # Ranks by position: what is tied "rises".
    ucc = [order.official_ucc([0.1, 0.9], pair) for pair in u[1:].T]
    assert np.mean(ucc) == near(golden["cues/ucc_noise"][at])


# -- evidence --------------------------------------------------------------------------------------

KINDS = ("digamma", "log", "mse")
EPOCHS = (0, 7, 40)


def batch(golden, even=False):
    logits = torch.tensor(golden["in/even_logits" if even else "in/logits"], dtype=torch.float64)
    return logits.requires_grad_(), torch.tensor(golden["in/even_label" if even else "in/label"])


def repeated_error(golden):
    """The official `mse` adds the squared error K times, by a broadcast: K - 1 of them in mean."""
    logits, _ = batch(golden)
    p = evidential.probabilities(logits).detach().numpy()
    y = np.stack([golden["in/label"] == k for k in range(3)], axis=1)
    return 2 * ((y - p) ** 2).sum(1).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_terms_of_the_evidential_loss(golden, kind):
    found = np.array([float(term.detach()) for term in evidential.evidential_terms(*batch(golden), kind)])
    if kind == "mse":
        found[0] += repeated_error(golden)
    assert found == near(golden["edl/ace_kl_dice"][KINDS.index(kind)])


@pytest.mark.parametrize("form", ["a", "b"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("epoch", EPOCHS)
def test_the_evidential_loss(golden, form, kind, epoch):
    assert golden["edl/kinds"].tolist() == list(KINDS)
    assert golden["edl/epochs"].tolist() == list(EPOCHS)
    found = float(evidential.evidential_loss(*batch(golden), epoch / 100, form, kind).detach())
    if kind == "mse":
        found += repeated_error(golden) * (10 if form == "a" else 1)
    assert found == near(golden[f"edl/loss_{form}"][KINDS.index(kind), EPOCHS.index(epoch)])


@pytest.mark.parametrize("form", ["a", "b"])
@pytest.mark.parametrize("even", ["", "even_"])
def test_its_slopes(golden, form, even):
    logits, label = batch(golden, bool(even))
    loss = evidential.evidential_loss(logits, label, 0.07, form)
    loss.backward()
    if even:
        assert float(loss.detach()) == near(golden[f"edl/even_loss_{form}"])
    same_slope(logits.grad, golden[f"edl/{even}gradient_{form}"])


def test_uncertainty_dice_and_divergence(golden):
    logits, label = batch(golden)
    logits = logits.detach()
    assert evidential.uncertainty(logits).numpy() == near(golden["edl/u"])
    expected = 1 - golden["edl/dice_per_class"].mean()
    assert float(evidential.evidential_terms(logits, label).dice) == near(expected)


def test_divergence_of_all_evidence(golden):
    # a is 1 at the label. So of three classes with evidence a fourth, labelled, that holds none.
    alpha = evidential.dirichlet(batch(golden)[0].detach()[:1])
    own = torch.ones_like(alpha[:, :1])
    label = torch.zeros_like(own, dtype=torch.long)
    found = evidential._divergence(torch.cat([own, alpha], 1), label)[0]
    # It stands in a_0 and in lnG(K) of four classes; the official one is of three.
    a_0 = alpha.sum(1)[0]
    psi = torch.digamma(a_0 + 1) - torch.digamma(a_0)
    found += (alpha - 1).sum(1)[0] * psi + torch.lgamma(a_0) - torch.lgamma(a_0 + 1) + np.log(3)
    assert found.numpy() == near(golden["edl/kl_of_alpha"])


# -- L_gu ------------------------------------------------------------------------------------------


def test_the_gradient_loss(golden):
    u = torch.tensor(golden["in/u"], dtype=torch.float64, requires_grad=True)
    g, d = (torch.tensor(golden[f"maps/{name}"], dtype=torch.float64) for name in ("gradient", "distance"))
    pairs = [*golden["gu/pairs"], [[], []]]
    # Theirs is over all three samples, ours over the two that have pairs.
    ours = gradient_order(u, g, d, pairs)
    assert float(ours.detach()) * 2 / 3 == near(golden["gu/loss"])
    (ours * 2 / 3).backward()
    same_slope(u.grad, golden["gu/gradient"])
    assert float(block_gradient_order(u, g, d, pairs).detach()) == near(golden["gu/loss"])


def test_the_sum_of_blocks(golden):
    g, u = torch.tensor(golden["gu/blocks_in"], dtype=torch.float64)[:, None]
    found = block_gradient_order(u, g, torch.zeros_like(u), [golden["gu/blocks_pairs"]])
    assert float(found) == near(golden["gu/blocks_loss"])


def test_pairs_shrink_along_a_batch(golden):
    d = torch.tensor(golden["maps/distance"][:2])
    for first, expected in enumerate(golden["gu/pairs_given_by_order"]):
        order_ = [first, 1 - first]
        drawn = draw_pairs(d[order_], np.random.default_rng(0), most=10**7, official=True)
        assert [drawn[order_.index(sample)].shape[1] for sample in (0, 1)] == expected.tolist()


# -- L_nu ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noised(golden):
    """u (3, B, H, W) with a graph, d, and what lies at the centres."""
    u = torch.tensor(golden["in/u012"], dtype=torch.float64, requires_grad=True)
    d = torch.tensor(golden["maps/distance"], dtype=torch.float64)
    centres = torch.tensor(golden["nu/centres"].astype(np.int64))
    patches = Patches(centres - 1, torch.ones(centres.shape[:2], dtype=torch.bool), 3)
    return u, d, patches


def at_centres(golden, slope):
    return np.stack(
        [
            [plane[tuple(c.T)] for plane, c in zip(level, golden["nu/centres"], strict=True)]
            for level in slope
        ]
    )


@pytest.mark.parametrize("which", [0, 1])
def test_the_level_loss(golden, noised, which):
    u, d, patches = noised
    at = [patches.at_centres(each) for each in u]
    loss = level_order(at, golden["nu/levels"][which], patches.at_centres(d) <= 4)
    assert float(loss.detach()) == near(golden["nu/loss_mu"][which])
    (slope,) = torch.autograd.grad(loss, u)
    same_slope(at_centres(golden, slope.numpy()), golden["nu/gradient_mu"][which])


def test_the_distance_loss(golden, noised):
    u, d, patches = noised
    at, d = [patches.at_centres(each) for each in u], patches.at_centres(d)
    loss = distance_order(at, d, d <= 4, patches.there)
    assert float(loss.detach()) == near(golden["nu/loss_d"])
    (slope,) = torch.autograd.grad(loss, u)
    same_slope(at_centres(golden, slope.numpy()), golden["nu/gradient_d"])


def test_the_far_loss(golden, noised):
    u, d, _ = noised
    assert float(far_mean(u, d).detach()) == near(golden["nu/loss_far"])


def test_hard_places_and_their_noise(golden):
    places = [
        choose_places(
            golden["hard/candidates"][sample],
            golden["in/label"][sample],
            golden["maps/distance"][sample],
            3,
            3,
            None,
            top_up=golden["hard/top_up_xy"][:, ::-1],
        )
        for sample in range(3)
    ]
    centres = np.stack(places) + 1
    assert centres.tolist() == golden["hard/centres"].tolist()
    patches = Patches(torch.tensor(np.stack(places)), torch.ones(3, 9, dtype=torch.bool), 3)
    assert patches.at_centres(torch.tensor(golden["maps/distance"])).numpy() == near(
        golden["hard/distance"]
    )
    image = torch.tensor(golden["in/image"])
    for level in (0, 1):
        noise = torch.tensor(golden["hard/noise"][level])[None]
        assert add_patches(image, patches, noise)[:, 0].numpy() == near(golden[f"hard/image_{level + 1}"])


def test_the_ramp(golden):
    assert [ramp(epoch / 100) for epoch in golden["ramp/epochs"]] == near(golden["ramp/values"])


# -- metrics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sample", [0, 1])
def test_the_gradient_cue(golden, version, case, sample):
    assert golden["cues/versions"].tolist() == list(VERSIONS)
    assert golden["cues/cases"].tolist() == list(CASES)
    maps = (golden[f"maps/{name}"][sample] for name in ("gradient", "distance"))
    found = gradient_cue(u012(golden, case)[0, sample], *maps, version=version)
    at = VERSIONS.index(version), CASES.index(case), sample
    assert found.ur == near(golden["cues/ur_g"][at])
    if not np.isnan(golden["cues/ucc_g"][at]):  # where u has ties theirs depends on the machine
        assert found.ucc == near(golden["cues/ucc_g"][at])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_the_other_cues(golden, version, case):
    at = VERSIONS.index(version), CASES.index(case)
    u, d = u012(golden, case)[:, :2], golden["maps/distance"][:2]
    found = noise_cue(u[1], u[2], d, version=version)
    assert found[:2] == near([golden["cues/ur_noise"][at], golden["cues/ucc_noise"][at]])
    for sample in (0, 1):
        found = distance_cue(u[0, sample], u[1, sample], d[sample], version=version)
        assert found.ur == near(golden["cues/ur_d"][(*at, sample)])


def test_random_uncertainty_is_chance_for_us_alone(golden):
    u, d = golden["in/u012"], golden["maps/distance"]
    assert distance_cue(u[0, 0], u[1, 0], d[0]).ur == pytest.approx(0.497, abs=5e-4)
    constant = np.full_like(u[0], 0.5)
    for sample in (0, 1):
        assert gradient_cue(constant[sample], golden["maps/gradient"][sample], d[sample]).ur == 0.5
    noise = noise_cue(constant, constant, d)
    assert noise.ur == 0.5
    assert np.isnan(noise.ucc)


def test_dice_overlap_with_errors_and_calibration(golden):
    logits, label = torch.tensor(golden["in/logits"], dtype=torch.float64), golden["in/label"]
    p, u = evidential.probabilities(logits).numpy(), evidential.uncertainty(logits).numpy()
    winner = p.argmax(1)
    for number, c in enumerate((1, 2)):
        overlap = count_overlap(label == c, winner == c)
        assert dice(overlap) == near(golden["metrics/dice"][number])
        assert ueo(u, (winner == c) != (label == c)) == near(golden["metrics/ueo"][number])
        # One column off: the background in, the last class out.
        official = calibration_error(p[:, c - 1], label == c - 1, bins=10)
        assert official.ece == near(golden["metrics/ece_of_columns_0_to_c_minus_2"][number])


def test_entropy_with_the_background(golden):
    classes = {"a": (1,), "b": (2,)}
    for logits, official in zip(golden["in/logits"], golden["metrics/entropy"], strict=True):
        p = np.exp(logits - logits.max(0), dtype=np.float64)
        p /= p.sum(0)
        background = -p[0] * np.log(p[0]) / np.log(3)  # theirs leaves it out
        ours = Prediction(logits, "logit", logits.shape[1:], classes).uncertainty()
        np.testing.assert_allclose(ours - background, official, atol=1e-6)
