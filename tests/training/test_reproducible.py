"""Within the block torch is as asked; afterwards it is as it was, also where the block fails."""

import subprocess
import sys

import pytest
import torch

from aleaseg.training.reproducible import reproducible


def state():
    return (
        torch.get_deterministic_debug_mode(),
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def seen_inside_of_a_failure(same):
    found = []
    with pytest.raises(KeyError):
        _fail(same, found)
    return found


def _fail(same, found):
    with reproducible(same):
        found.append(state())
        with reproducible(not same):
            found.append(state())
        found.append(state())
        raise KeyError


@pytest.mark.parametrize("same", [True, False])
def test_torch_is_as_asked_and_then_as_it_was(same):
    before = state()
    asked, other = (int(same), not same, False), (int(not same), same, False)  # 1: warn
    assert seen_inside_of_a_failure(same) == [asked, other, asked]
    assert state() == before


def test_torchs_compiler_is_not_imported_for_it():
    code = (
        "import sys; from aleaseg.training.reproducible import reproducible\n"
        "with reproducible(True): assert 'torch._inductor' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
