"""One of the two processes of a DDP training, on the CPU: rank, folder of results, file that they meet at.

nnU-Net takes DDP to mean CUDA: it gives each process a GPU of its own, before anything can say otherwise,
and wraps the network for that GPU. Those two places are led to the CPU here; all else is the trainer's way.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from aleaseg.plugins.nnunet.trainers import nnUNetTrainerDUO


def main(rank: int, given: Path) -> None:
    torch.set_num_threads(1)
    plans, about, batches = torch.load(given / "given.pt", weights_only=False)
    torch.manual_seed(0)
    trainer = nnUNetTrainerDUO(
        {**plans, "continue_training": False}, "small", 0, about, torch.device("cpu")
    )
    dist.init_process_group("gloo", init_method=f"file://{given / 'meeting'}", rank=rank, world_size=2)
    trainer.is_ddp, trainer.local_rank = True, rank
    stock = sys.modules["nnunetv2.training.nnUNetTrainer.nnUNetTrainer"]
    stock.DDP = lambda network, device_ids: DistributedDataParallel(network)
    trainer.initialize()
    trainer.on_train_epoch_start()
    outcome, gradients = [], []
    for batch in batches[rank]:
        outcome.append(trainer.train_step(batch))
        gradients.append([parameter.grad.clone() for parameter in trainer.denoising.parameters()])
    trainer.on_train_epoch_end(outcome)
    trainer.current_epoch += 1
    trainer.save_checkpoint(str(given / f"checkpoint_{rank}.pth"))
    torch.save(
        {
            "gradients": gradients,
            "network": trainer.network.module.state_dict(),
            "denoising": trainer.denoising.state_dict(),
            "shares": [float(share) for share in trainer.loss.weight_factors],
        },
        given / f"rank_{rank}.pt",
    )
    if rank == 1:
        (given / "done.json").write_text(json.dumps(trainer.output_folder))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
