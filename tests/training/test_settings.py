"""Presets and numbers that cannot work."""

import pytest

from aleaseg.errors import UsageError
from aleaseg.networks import NETWORKS
from aleaseg.training import PRESETS, TrainerSettings
from aleaseg.training.settings import schedule


def test_the_papers_protocol():
    """arXiv 2604.10963, section 4: SGD 0.01, 100 epochs, 96 x 96 x 96, batches of 2; 250 steps as nnU-Net has them."""
    paper = PRESETS["paper"]
    assert (paper.optimizer, paper.learning_rate) == ("sgd", 0.01)
    assert (paper.epochs, paper.iterations, paper.edge[3], paper.batch[3]) == (100, 250, 96, 2)
    assert TrainerSettings("", "paper").held_out == 0.2
    assert {preset.network for preset in PRESETS.values()} <= set(NETWORKS)


@pytest.mark.parametrize("rule", [250, 330, 2000])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("epochs", [None, 1, 7])
@pytest.mark.parametrize("steps", [None, 1, 2, 100, 999])
def test_epochs_and_steps_are_what_was_asked_for(preset, epochs, steps, rule):
    total, each = schedule(TrainerSettings("", preset, epochs=epochs, steps=steps), rule)
    assert 1 <= each <= total
    assert steps is None or total == steps
    wanted = epochs or (None if steps and preset == "paper" else PRESETS[preset].epochs)
    if wanted and total >= wanted**2:  # enough to be shared out
        assert -(-total // each) == wanted
    if preset == "small" and not epochs and not steps:
        assert total == rule


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "huge"}, "unknown preset 'huge'; expected one of: small, paper"),
        ({"objective": "dua"}, "unknown objective 'dua'; expected one of: plain, seg"),
        ({"objective": "rw:gamma=1"}, "no setting 'gamma'"),
        ({"objective": "rw:alpha=much"}, "could not convert|alpha"),
        ({"steps": 0}, "steps is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"held_out": 1.0}, "held_out is 1.0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"patch": (96,)}, "two or three edges"),
        ({"precision": "half"}, "unknown precision 'half'"),
    ],
)
def test_what_cannot_work_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        TrainerSettings("", **changes)
