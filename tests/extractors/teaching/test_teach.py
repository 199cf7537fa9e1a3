"""Teaching the prompted network: it learns on scenes it never saw, and goes on after a kill."""

from dataclasses import replace

import pytest
import torch

from aleaseg.extractors.teaching.teach import PromptedTraining, _batches, _rate, dice_of, teach, validation
from aleaseg.extractors.teaching.world import World
from aleaseg.networks.prompted import Prompted, PromptedSize
from aleaseg.run import read_json, read_table

TOY = PromptedTraining(
    steps=120,
    batch=16,
    every=60,
    workers=0,
    seed=1,
    size=PromptedSize(side=32, stem=8, widths=(16, 24, 32)),
    world=World(scene=48, side=32, views=3),
)


def test_it_learns(tmp_path):
    torch.manual_seed(TOY.seed)
    before = dice_of(Prompted(TOY.size), *validation(TOY))
    # The running mean of so few steps is still near the beginning; the network itself is judged.
    teach(tmp_path, TOY)
    network = Prompted(TOY.size)
    network.load_state_dict(torch.load(tmp_path / "training.pt", weights_only=True)["network"])
    after = dice_of(network, *validation(TOY))
    assert after > before + 0.2
    assert after > 0.6
    log = read_table(tmp_path / "log.csv")
    assert log["step"].tolist() == [60, 120]
    assert log["loss"].iloc[1] < log["loss"].iloc[0]
    about = read_json(tmp_path / "prompted.json")
    assert about["steps"] == 120
    assert about["settings"]["seed"] == 1
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "prompted.safetensors")
    assert {tensor.dtype for tensor in kept.values()} == {torch.float16}
    Prompted(TOY.size).load_state_dict({name: tensor.float() for name, tensor in kept.items()})


def test_it_goes_on_after_a_kill(tmp_path, monkeypatch):
    from aleaseg.extractors.teaching import teach as prompted

    short = replace(TOY, steps=12, every=4)
    steps = []
    inner = prompted._loss

    def counted(logits, truth):
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return inner(logits, truth)

    monkeypatch.setattr(prompted, "_loss", counted)
    with pytest.raises(KeyboardInterrupt):
        teach(tmp_path, short)
    assert torch.load(tmp_path / "training.pt", weights_only=True)["step"] == 4
    assert teach(tmp_path, short)["steps"] == 12
    assert read_table(tmp_path / "log.csv")["step"].tolist() == [4, 8, 12]
    assert len(steps) == 7 + 8


def test_batches_mix_scenes_and_never_end():
    batches = _batches(replace(TOY, batch=8), 0)
    first, truth, drawn = next(batches)
    assert first.shape == (8, 5, 32, 32)
    assert truth.shape == (8, 32, 32)
    assert drawn >= 3  # eight batches' worth was drawn before the first was chosen
    assert [next(batches)[2] for _ in range(20)][-1] > drawn


def test_the_rate_warms_up_and_falls():
    rates = [_rate(TOY, step / 1000, step) for step in range(1000)]
    assert rates[0] == pytest.approx(TOY.learning_rate / 200)
    assert max(rates) == pytest.approx(TOY.learning_rate, rel=0.15)
    assert rates.index(max(rates)) < 250
    assert rates[-1] == pytest.approx(0.01 * TOY.learning_rate, rel=0.01)
