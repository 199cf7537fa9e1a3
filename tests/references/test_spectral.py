"""The package against the plain implementations beside this file."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from aleaseg.measures.auv import aleatoric_uncertainty_value
from aleaseg.spectral import semantic_perception_scale, singular_value_energies

_spec = importlib.util.spec_from_file_location("reference_spectral", Path(__file__).parent / "spectral.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

SHAPES = [(8, 6, 7), (40, 3, 4), (3, 30, 5), (6, 2, 50)]
BACKENDS = [np.asarray, torch.as_tensor]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("unfold", ["d_hw", "h_dw", "w_dh"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 2e-6)])
def test_paper_form(backend, unfold, shape, dtype, tolerance):
    volume = np.random.default_rng(1).normal(0.3, 1.0, shape).astype(dtype)
    for power in (1, 2, 1.5, 4):
        for center in (False, True):
            expected = reference.paper_scale(reference.unfolded(volume, unfold), power, center)
            got = semantic_perception_scale(backend(volume), power=power, center=center, unfold=unfold)
            assert float(got) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("unfold", ["d_hw", "h_dw", "w_dh"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 2e-6)])
def test_official_form(backend, unfold, shape, dtype, tolerance):
    volume = np.random.default_rng(2).normal(size=shape).astype(dtype)
    volume[0, 0, 0], volume[0, 1, 0], volume[1, 0, 0] = np.nan, np.inf, -np.inf
    got = semantic_perception_scale(backend(volume), definition="official", unfold=unfold)
    assert float(got) == pytest.approx(reference.official_scale(volume, unfold), abs=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_energies_are_those_of_the_decomposition(backend):
    volume = np.random.default_rng(3).normal(size=(9, 5, 8))
    s = np.linalg.svd(volume.reshape(9, 40), compute_uv=False)
    for power in (1, 2):
        got = np.asarray(singular_value_energies(backend(volume), power=power))
        np.testing.assert_allclose(got, s**power / (s**power).sum(), rtol=1e-10)


def test_official_auv():
    scales = np.random.default_rng(4).uniform(0.1, 0.9, 30)
    got = aleatoric_uncertainty_value(scales, definition="official")
    np.testing.assert_allclose(got, reference.official_auv(scales), atol=1e-12)


def test_gradient_of_the_reference_by_differences():
    """Finite differences of the plain implementation, not of the code under test."""
    volume = np.random.default_rng(5).normal(size=(3, 2, 4))
    tensor = torch.tensor(volume, requires_grad=True)
    semantic_perception_scale(tensor).backward()
    step = 1e-6
    for index in [(0, 0, 0), (1, 1, 2), (2, 0, 3)]:
        up, down = volume.copy(), volume.copy()
        up[index] += step
        down[index] -= step
        slope = reference.paper_scale(up.reshape(3, 8)) - reference.paper_scale(down.reshape(3, 8))
        assert float(tensor.grad[index]) == pytest.approx(slope / (2 * step), abs=1e-7)
