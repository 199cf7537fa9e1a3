"""What a training step of each network costs on a CPU, side by side in one process.

    python benchmarks/networks.py [--write]

A step is forward, Dice + cross-entropy (`DUOLoss(reweight=False)`), backward, clipping and SGD, on one
thread; seconds are those of the process, which other work on the machine hardly changes. `tiny`: patches
of 32 x 64 x 32, batch 2, the networks in turn, the smallest of the repeats. `paper`: patches of 96 x 96 x 96,
batch 1, one step each; with it the same U-Net as nnU-Net and as MONAI build it.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from aleaseg import networks
from aleaseg.losses import DUOLoss
from page import processor, replace_between

PAGE = Path(__file__).with_suffix(".md")
CHANNELS, CLASSES = 1, 2
STAGES, WIDTHS = 6, (32, 64, 128, 256, 320, 320)


class Step:
    """A training step on noise."""

    def __init__(self, network: nn.Module, patch: Sequence[int], batch: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.network, self.loss = network, DUOLoss(reweight=False)
        self.optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.99, nesterov=True)
        self.images = torch.randn((batch, CHANNELS, *patch), generator=generator)
        self.labels = torch.randint(0, CLASSES + 1, (batch, 1, *patch), generator=generator)

    @property
    def parameters(self) -> int:
        return sum(one.numel() for one in self.network.parameters())

    def seconds(self) -> float:
        started = time.process_time()
        self.optimizer.zero_grad()
        self.loss(self.network(self.images), self.labels).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        self.optimizer.step()
        return time.process_time() - started


def ours(name: str, size: str, patch: Sequence[int]) -> nn.Module:
    return networks.build(
        name, dims=3, in_channels=CHANNELS, out_channels=CLASSES + 1, patch=patch, size=size
    )


def nnunets() -> nn.Module:
    """The 31 M network as nnU-Net builds it."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    return PlainConvUNet(
        input_channels=CHANNELS, n_stages=STAGES, features_per_stage=WIDTHS, conv_op=nn.Conv3d, kernel_sizes=3,
        strides=[1, 2, 2, 2, 2, 2], n_conv_per_stage=2, num_classes=CLASSES + 1, n_conv_per_stage_decoder=2,
        conv_bias=True, norm_op=nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
    )  # fmt: skip


def monais() -> nn.Module:
    """The same stages, widths and convolutions by MONAI's DynUNet."""
    from monai.networks.nets import DynUNet

    return DynUNet(
        3, CHANNELS, CLASSES + 1, [3] * STAGES, [1, *[2] * (STAGES - 1)], [2] * (STAGES - 1),
        filters=WIDTHS, norm_name=("instance", {"affine": True}),
    )  # fmt: skip


def tiny(repeats: int = 5) -> list[tuple[str, int, float]]:
    patch = (32, 64, 32)
    steps = {name: Step(ours(name, "tiny", patch), patch, 2) for name in networks.NETWORKS}
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(1 + repeats):  # libraries wake up in the first
        for name, step in steps.items():
            best[name] = min(best[name], step.seconds())
    return [(name, step.parameters, best[name]) for name, step in steps.items()]


def paper() -> list[tuple[str, int, float]]:
    patch = (96, 96, 96)
    made: dict[str, Callable[[], nn.Module]] = {
        name: lambda name=name: ours(name, "paper", patch) for name in networks.NETWORKS
    }
    made |= {"nnU-Net's `PlainConvUNet`": nnunets, "MONAI's `DynUNet`": monais}
    rows = []
    for name, make in made.items():
        torch.manual_seed(0)
        step = Step(make(), patch, 1)
        rows.append((name, step.parameters, step.seconds()))
        print(rows[-1], flush=True)
        del step
        gc.collect()
    return rows


def table(rows: list[tuple[str, int, float]]) -> list[str]:
    first = rows[0][2]
    return [
        "| network | parameters | seconds a step | times `unet` |",
        "|---|---|---|---|",
        *(
            f"| {name if '`' in name else f'`{name}`'} | {parameters / 1e6:.1f} M | {taken:.2f} | {taken / first:.1f} |"
            for name, parameters, taken in rows
        ),
    ]


def page() -> str:
    return "\n".join(
        [
            f"{datetime.date.today()}, {processor()}, one thread, Python {platform.python_version()}, torch "
            f"{torch.__version__}.",
            "",
            "`tiny`, 32 x 64 x 32, batch 2:",
            "",
            *table(tiny()),
            "",
            "`paper`, 96 x 96 x 96, batch 1:",
            "",
            *table(paper()),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"replace the tables of {PAGE.name}")
    given = parser.parse_args()
    torch.set_num_threads(1)
    text = page()
    print(text)
    if given.write:
        replace_between(PAGE, "tables", text)


if __name__ == "__main__":
    main()
