"""One of two processes that train together under gloo: python two_processes.py FOLDER RANK."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from aleaseg.losses import DUOLoss, LabelDenoising

torch.set_num_threads(1)
IDS = ["a", "b", "c", "d"]


def train(samples, distributed):
    """Three epochs on these samples; what was learned, eps by case."""
    torch.manual_seed(0)
    # No normalisation over the batch: what a sample gives must not depend on the other.
    bare = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv3d(4, 3, 1))
    images, labels = torch.randn(4, 1, 6, 6, 6), torch.randint(0, 3, (4, 1, 6, 6, 6))
    denoising = LabelDenoising(bare, IDS, 2, warm_up=1)
    network = DistributedDataParallel(bare) if distributed else bare
    optimizer = torch.optim.SGD(
        [*bare.parameters(), *denoising.parameters()], lr=0.1, momentum=0.9, weight_decay=0.05
    )
    duo = DUOLoss()
    for _ in range(3):
        for batch in ([0, 1], [2, 3]):
            chosen = [batch[i] for i in samples]
            logits = network(images[chosen])
            loss = duo(logits, labels[chosen], denoising.noise([IDS[i] for i in chosen], logits))
            optimizer.zero_grad()
            loss.backward()
            denoising.average_gradients()
            optimizer.step()
        denoising.end_epoch()
    learned = {f"network.{name}": value.detach() for name, value in bare.named_parameters()}
    return learned | {name: value.detach() for name, value in denoising.named_parameters()}


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    if rank == 0:
        torch.save(train([0, 1], distributed=False), folder / "alone.pt")
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    torch.save(train([rank], distributed=True), folder / f"{rank}.pt")
    dist.destroy_process_group()
