"""Within the block torch is as asked; afterwards it is as it was, also where the block fails."""

import pytest
import torch

from aleaseg.training.reproducible import reproducible


def state():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
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
    asked, other = (same, True, not same, False), (not same, True, same, False)
    assert seen_inside_of_a_failure(same) == [asked, other, asked]
    assert state() == before
