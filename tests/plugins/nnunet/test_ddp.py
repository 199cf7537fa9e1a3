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


@pytest.mark.slow
def test_two_processes(make_trainer, make_batch, tmp_path, results):
    alone = make_trainer()
    pairs = [[make_batch(alone, 10 * rank + step) for step in range(3)] for rank in range(2)]
    # Each process has one of the two samples, and cases of its own.
    for rank, batches in enumerate(pairs):
        for batch in batches:
            batch["data"] = batch["data"][:1]
            batch["target"] = [level[:1] for level in batch["target"]]
            batch["keys"] = np.array([alone.cases[rank]])
    torch.save((alone.plans_manager.plans, alone.dataset_json, pairs), tmp_path / "given.pt")
    processes = [
        subprocess.Popen(
            [sys.executable, HERE / "two_processes.py", str(rank), tmp_path],
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
    one, other = (torch.load(tmp_path / f"rank_{rank}.pt") for rank in range(2))

    for name in ("network", "denoising"):
        assert one[name].keys() == other[name].keys()
        for key, tensor in one[name].items():
            assert not isinstance(tensor, torch.Tensor) or torch.equal(tensor, other[name][key]), key
    assert one["shares"][-1] == pytest.approx(1e-6, rel=1)  # DDP wants every output to count

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
