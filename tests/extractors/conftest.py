"""A small MedSAM2 that stands for the released one; it comes as another package's would."""

import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent / "plugin"
sys.path.insert(0, str(PLUGIN))


@pytest.fixture(scope="session")
def plugin():
    """The folder that a PYTHONPATH must hold for `--extractor tiny-medsam2`."""
    return PLUGIN


@pytest.fixture(scope="session")
def tiny():
    """configuration, state dict in released names."""
    import tiny_medsam2

    return tiny_medsam2.TINY, tiny_medsam2.released_form(tiny_medsam2.loud_network())
