"""What the tests of the losses share."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def reference():
    """The plain NumPy reference."""
    spec = importlib.util.spec_from_file_location("reference_duo", Path(__file__).with_name("reference.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def batch():
    """batch(classes=3, shape=(4, 5, 6), samples=2, ...): logits (B, C, ...) and a label map (B, 1, ...)."""

    def make(classes=3, shape=(4, 5, 6), samples=2, seed=0, dtype=torch.float64, spread=2.0):
        rng = np.random.default_rng(seed)
        logits = torch.tensor(rng.normal(0, spread, (samples, classes, *shape)), dtype=dtype)
        labels = torch.tensor(rng.integers(0, classes, (samples, 1, *shape)), dtype=torch.int16)
        return logits, labels

    return make
