"""Two processes learn as one: gradients beside the network are averaged, noise is the same everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from aleaseg.plugins.nnunet.checkpoint import read_checkpoint
from aleaseg.plugins.nnunet.options import DuoOptions
from aleaseg.run import read_table

KEY = DuoOptions.key
HERE = Path(__file__).parent


def learn(name, alone, pairs, folder):
    """What two processes of a training have learned from batches of their own: one dict each."""
    torch.save((alone.plans_manager.plans, alone.dataset_json, pairs), folder / "given.pt")
    processes = [
        subprocess.Popen(
            [sys.executable, HERE / "two_processes.py", str(rank), folder, name],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return [torch.load(folder / f"rank_{rank}.pt") for rank in range(2)]


def one_sample_each(trainer, make_batch, **given):
    """Three batches for each of two processes: one sample, of a case of its own."""
    pairs = [[make_batch(trainer, 10 * rank + step, **given) for step in range(3)] for rank in range(2)]
    for rank, batches in enumerate(pairs):
        for batch in batches:
            batch["data"] = batch["data"][:1]
            batch["target"] = [level[:1] for level in batch["target"]]
            batch["keys"] = np.array([trainer.cases[rank]])
    return pairs


def check_networks_are_one(one, other):
    for name in ("network", "denoising"):
        assert one[name].keys() == other[name].keys()
        for key, tensor in one[name].items():
            assert not isinstance(tensor, torch.Tensor) or torch.equal(tensor, other[name][key]), key
    assert one["shares"][-1] == pytest.approx(1e-6, rel=1)  # DDP wants every output to count


@pytest.mark.slow
def test_two_processes(make_trainer, make_batch, tmp_path, results):
    alone = make_trainer()
    pairs = one_sample_each(alone, make_batch)
    one, other = learn("DUO", alone, pairs, tmp_path)
    check_networks_are_one(one, other)

    # The first step's gradients are the mean of what each process would have had alone.
    apart = []
    for batches in pairs:
        trainer = make_trainer()
        trainer.duo.weight_factors = one["shares"]
        batch = batches[0]
        output = trainer.network(batch["data"])
        trainer._loss_of(output, batch["target"], list(batch["keys"]), batch["data"]).backward()
        apart.append([parameter.grad.clone() for parameter in trainer.denoising.parameters()])
    for found, first, second in zip(one["gradients"][0], *apart, strict=True):
        assert not torch.allclose(first, second)
        torch.testing.assert_close(found, (first + second) / 2, rtol=1e-4, atol=1e-7)

    # Rank 0 alone writes, and the table is of both.
    assert not (tmp_path / "checkpoint_1.pth").exists()
    assert read_checkpoint(tmp_path / "checkpoint_0.pth")[KEY]["cases"] == alone.cases
    assert len(read_table(results("DUO") / "duo_classes.csv")) == 2


@pytest.mark.slow
def test_two_processes_that_look_four_times(make_trainer, make_batch, blobs, tmp_path, results):
    """SURE's passes with noise: one backward pass for all of them, whose gradients are averaged whole."""
    options = {"BEGIN": 0, "START": 1, "FORM": "b", "BETA": 30}
    alone = make_trainer("SURE", **options)
    pairs = one_sample_each(alone, make_batch, drawn=blobs)
    one, other = learn("SURE", alone, pairs, tmp_path)
    check_networks_are_one(one, other)

    apart = []
    for rank, batches in enumerate(pairs):
        trainer = make_trainer("SURE")
        trainer.loss.weight_factors = one["shares"]
        trainer.local_rank = rank  # of which the draws are
        batch = batches[0]
        trainer.on_train_epoch_start()
        output = trainer.network(batch["data"])
        trainer._loss_of(output, batch["target"], list(batch["keys"]), batch["data"]).backward()
        apart.append([parameter.grad.clone() for parameter in trainer.network.parameters()])
    assert torch.stack([found.norm() for found in one["gradients"][0]]).norm() < 11.9  # was not clipped
    for found, first, second in zip(one["gradients"][0], *apart, strict=True):
        torch.testing.assert_close(found, (first + second) / 2, rtol=1e-3, atol=1e-6)
    assert not (tmp_path / "checkpoint_1.pth").exists()
    assert read_table(results("SURE") / "sure_terms.csv")["epoch"].tolist() == [0]
