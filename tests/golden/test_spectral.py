"""Numbers fixed once, each with where it comes from."""

import numpy as np
import pytest
import torch

from aleaseg.measures.auv import aleatoric_uncertainty_value
from aleaseg.spectral import semantic_perception_scale

BACKENDS = [np.asarray, torch.as_tensor]


@pytest.fixture(params=BACKENDS, ids=["numpy", "torch"])
def scale(request):
    return lambda maps, **options: float(semantic_perception_scale(request.param(maps), **options))


def with_energies(energies, columns, seed=0):
    """A (r, 1, columns) map with these squared singular values and random singular vectors."""
    rng = np.random.default_rng(seed)
    r = len(energies)
    left, _ = np.linalg.qr(rng.normal(size=(r, r)))
    right, _ = np.linalg.qr(rng.normal(size=(columns, r)))
    return (left * np.sqrt(energies) @ right.T).reshape(r, 1, columns)


def test_rank_one(scale):
    # One singular value carries all: S = 0. In the official form the 95 others are 1e-6 each.
    rng = np.random.default_rng(0)
    volume = np.einsum("i,j->ij", rng.normal(size=96), rng.normal(size=9216)).reshape(96, 96, 96)
    assert scale(volume) < 1e-12
    assert scale(volume, definition="official") == pytest.approx(5e-7, rel=0.05)


def test_orthonormal_rows(scale):
    rows, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(100, 20)))
    assert scale(rows.T.reshape(20, 10, 10)) == pytest.approx(1.0, abs=1e-11)


@pytest.mark.parametrize(("k", "expected"), [(2, 0.15186), (5, 0.35261), (48, 0.84814)])
def test_k_equal_singular_values(scale, k, expected):
    # ln k / ln 96
    assert scale(with_energies([1.0] * k + [0.0] * (96 - k), 200)) == pytest.approx(expected, abs=5e-6)


def test_two_values(scale):
    # -(.9 ln .9 + .1 ln .1) / ln 2
    assert scale(with_energies([0.9, 0.1], 12)) == pytest.approx(0.46900, abs=5e-6)


def test_geometric_decay(scale):
    # H = -ln((1-q)/(1-q^r)) - ln q (q/(1-q) - r q^r/(1-q^r)), q = .8, r = 96
    assert scale(with_energies(0.8 ** np.arange(96), 300)) == pytest.approx(0.54816, abs=5e-6)


@pytest.mark.parametrize(("rows", "columns", "expected"), [(96, 9216, 0.9988), (64, 64, 0.876)])
def test_gaussian(scale, rows, columns, expected):
    # S ~ 1 - (D/M) / (2 ln D) for D <= M; the square one by simulation (the formula says .880)
    matrix = np.random.default_rng(0).normal(size=(rows, 1, columns))
    assert scale(matrix) == pytest.approx(expected, abs=5e-3 if rows == columns else 5e-5)
    assert 1 - rows / columns / (2 * np.log(rows)) == pytest.approx(expected, abs=5e-3)


def test_gaussian_amplitudes_of_the_official_script(scale):
    # 64 x 64: .947 in the script's form where Eq. 5 gives .876
    matrix = np.random.default_rng(0).normal(size=(64, 1, 64))
    assert scale(matrix, definition="official") == pytest.approx(0.947, abs=3e-3)


def test_constant_offset_collapses_the_scale(scale):
    matrix = np.random.default_rng(0).normal(size=(96, 96, 96)) + 10
    assert scale(matrix) == pytest.approx(0.0219, abs=2e-4)
    assert scale(matrix, center=True) == pytest.approx(0.9988, abs=5e-5)


def test_small_maps_in_the_official_form(scale):
    # The absolute 1e-6 flattens the spectrum of small maps (+ .046 at 1e-7); Eq. 5 does not see the scale.
    matrix = np.random.default_rng(0).normal(size=(64, 1, 64))
    rise = scale(1e-7 * matrix, definition="official") - scale(matrix, definition="official")
    assert rise == pytest.approx(0.046, abs=3e-3)
    assert scale(1e-7 * matrix) == pytest.approx(scale(matrix), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_zeros(scale, dtype):
    zeros = np.zeros((5, 6, 7), dtype)
    assert scale(zeros) == 0.0
    assert scale(zeros, power=1) == 0.0
    assert scale(zeros, definition="official") == pytest.approx(1.0, abs=1e-12)


def test_auv_of_three():
    scales = np.array([0.2, 0.4, 0.8])
    for factor in (1.0, 1e-3, 7.0):
        np.testing.assert_allclose(
            aleatoric_uncertainty_value(factor * scales), [1.0, 0.5, 0.0], atol=1e-12
        )


# By the steps of the authors' public script (repository Lry777/CVPR_AUV, commit ee3d26d): float32
# torch.linalg.svd of the unfolded map, + 1e-6, shares, entropy over ln r; torch 2.13.0, once.
OFFICIAL = {"d_hw": 0.9916500, "h_dw": 0.7571533, "w_dh": 0.9152098}


def closed_form():
    d, h, w = np.meshgrid(np.arange(6), np.arange(7), np.arange(8), indexing="ij")
    return np.sin(1.3 * d + 0.7 * h) * np.cos(0.5 * w * d) + 0.2 * np.sin(h * w) - 0.05 * d


@pytest.mark.parametrize("unfold", list(OFFICIAL))
def test_what_the_official_script_gave(scale, unfold):
    maps = closed_form().astype(np.float32)
    assert scale(maps, definition="official", unfold=unfold) == pytest.approx(OFFICIAL[unfold], abs=2e-6)
