"""One of the two processes of a DDP training, on the CPU: rank, folder of results, name of the trainer.

nnU-Net takes DDP to mean CUDA: it gives each process a GPU of its own, before anything can say otherwise,
and wraps the network for that GPU. Those two places are led to the CPU here; all else is the trainer's way.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from aleaseg.plugins.nnunet.sure import nnUNetTrainerSURE
from aleaseg.plugins.nnunet.trainers import nnUNetTrainerDUO

TRAINERS = {"DUO": nnUNetTrainerDUO, "SURE": nnUNetTrainerSURE}


def main(rank: int, given: Path, name: str) -> None:
    torch.set_num_threads(1)
    plans, about, batches = torch.load(given / "given.pt", weights_only=False)
    torch.manual_seed(0)
    trainer = TRAINERS[name]({**plans, "continue_training": False}, "small", 0, about, torch.device("cpu"))
    dist.init_process_group("gloo", init_method=f"file://{given / 'meeting'}", rank=rank, world_size=2)
    trainer.is_ddp, trainer.local_rank = True, rank
    stock = sys.modules["nnunetv2.training.nnUNetTrainer.nnUNetTrainer"]
    stock.DDP = lambda network, device_ids: DistributedDataParallel(network)
    trainer.initialize()
    trainer.on_train_epoch_start()
    # What is told of the gradients: those that DDP does not see, or else those that it does.
    learned = [*trainer._beside()] or [*trainer.network.parameters()]
    outcome, gradients = [], []
    for batch in batches[rank]:
        outcome.append(trainer.train_step(batch))
        gradients.append([parameter.grad.clone() for parameter in learned])
    trainer.on_train_epoch_end(outcome)
    trainer.current_epoch += 1
    trainer.save_checkpoint(str(given / f"checkpoint_{rank}.pth"))
    torch.save(
        {
            "gradients": gradients,
            "network": trainer.network.module.state_dict(),
            "denoising": trainer.denoising.state_dict() if name == "DUO" else {},
            "shares": [float(share) for share in trainer.loss.weight_factors],
        },
        given / f"rank_{rank}.pt",
    )
    if rank == 1:
        (given / "done.json").write_text(json.dumps(trainer.output_folder))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
