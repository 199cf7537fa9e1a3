"""What DUO costs in a training: its loss against the plain one, and against the network's own step.

    python benchmarks/duo_overhead.py [--device cuda] [--write]

At 96 x 96 x 96, batch 2, full resolution. `plain` is Dice + cross-entropy as `DUOLoss(reweight=False)`
computes them, `DUO` is `DUOLoss()`, so that their difference is S and the weights; `+ denoising` adds the
noise head on a feature of 32 channels and its noise maps; `nnU-Net's` is its own Dice + cross-entropy. A
step is forward and backward down to the logits. The network is nnU-Net's plain U-Net of six stages with
two outputs, a step is forward, backward, clipping and SGD.

On a CPU, seconds are those of the process on one thread, which other work on the machine hardly changes;
all in one process, in turn, the smallest of the repeats. Memory is the rise of the peak over what is held
before the step, each in a process of its own. On a GPU, seconds of the clock between synchronisations,
the network under autocast, and torch's own count of memory.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from aleaseg.losses import DUOLoss, NoiseHead, noise_maps
from aleaseg.spectral import semantic_perception_scale
from page import processor, replace_between

PAGE = Path(__file__).with_suffix(".md")
CLASSES = (3, 14, 104)
SIZE, BATCH, FEATURES = 96, 2, 32
STOCK = "nnU-Net's"
FORMS = (STOCK, "plain", "DUO", "DUO, gradient through S", "DUO + denoising")


class Step:
    """One loss on logits that look like a network's: forward and backward down to them."""

    def __init__(self, form: str, classes: int, device: str) -> None:
        generator = torch.Generator(device).manual_seed(0)
        shape = (BATCH, 1, SIZE, SIZE, SIZE)
        labels = torch.randint(0, classes + 1, shape, generator=generator, dtype=torch.int16, device=device)
        logits = torch.randn((BATCH, classes + 1, SIZE, SIZE, SIZE), generator=generator, device=device)
        logits.scatter_add_(1, labels.long(), torch.full((1,), 4.0, device=device).expand(shape))
        self.form, self.logits, self.labels = form, logits.requires_grad_(), labels
        self.loss = self.made(form)
        if form == "DUO + denoising":
            self.feature = torch.randn(
                (BATCH, FEATURES, SIZE, SIZE, SIZE), generator=generator, device=device, requires_grad=True
            )
            self.head = NoiseHead(FEATURES, classes).to(device)
            self.epsilon = torch.randn(
                (BATCH, classes), generator=generator, device=device, requires_grad=True
            )

    @staticmethod
    def made(form: str) -> nn.Module:
        if form == STOCK:
            from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
            from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

            options = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
            return DC_and_CE_loss(options, {}, dice_class=MemoryEfficientSoftDiceLoss)
        return DUOLoss(reweight=form != "plain", detach_scale=form != "DUO, gradient through S")

    def __call__(self) -> None:
        noise: tuple[Tensor, ...] = ()
        if self.form == "DUO + denoising":
            noise = (noise_maps(self.epsilon, self.head(self.feature), self.logits),)
        self.loss(self.logits, self.labels, *noise).backward()

    def forget(self) -> None:
        """Let go of the gradients."""
        for tensor in vars(self).values():
            if isinstance(tensor, Tensor):
                tensor.grad = None
            elif isinstance(tensor, nn.Module):
                tensor.zero_grad()


class NetworkStep:
    """A training step of the 31 M network with two outputs."""

    def __init__(self, device: str) -> None:
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        torch.manual_seed(0)
        self.network = PlainConvUNet(
            input_channels=1, n_stages=6, features_per_stage=[32, 64, 128, 256, 320, 320], conv_op=nn.Conv3d,
            kernel_sizes=3, strides=[1, 2, 2, 2, 2, 2], n_conv_per_stage=2, num_classes=2,
            n_conv_per_stage_decoder=2, conv_bias=True, norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
        ).to(device)  # fmt: skip
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.01, 0.99, nesterov=True)
        self.images = torch.randn(BATCH, 1, SIZE, SIZE, SIZE, device=device)
        self.labels = torch.randint(0, 2, (BATCH, 1, SIZE, SIZE, SIZE), device=device)
        self.loss, self.device = DUOLoss(reweight=False), device

    @property
    def parameters(self) -> float:
        return sum(p.numel() for p in self.network.parameters()) / 1e6

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        with torch.autocast(self.device, enabled=self.device == "cuda"):
            logits = self.network(self.images)
        self.loss(logits, self.labels).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        self.optimizer.step()


def seconds(call: Callable[[], None], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        started = time.perf_counter()
        call()
        torch.cuda.synchronize()
        return time.perf_counter() - started
    started = time.process_time()
    call()
    return time.process_time() - started


def speed(classes: int, device: str) -> dict[str, float]:
    """Form -> smallest seconds of a step; and of S alone."""
    repeats = {3: 5, 14: 3}.get(classes, 2)
    best: dict[str, float] = {}
    for _ in range(repeats + (device == "cuda")):  # a GPU warms up in the first
        for form in FORMS:
            step = Step(form, classes, device)
            taken = seconds(step, device)
            best[form] = min(best.get(form, taken), taken)
            if form == "DUO":
                with torch.no_grad():
                    taken = seconds(lambda step=step: semantic_perception_scale(step.logits[:, 1:]), device)
                best["S alone"] = min(best.get("S alone", taken), taken)
            del step
            gc.collect()
    return best


def memory(form: str, classes: int, device: str) -> None:
    """Print the MB that a step needs beside what it is given."""
    step = Step(form, classes, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        print((torch.cuda.max_memory_allocated() - before) / 1e6)
        return
    small = Step.made(form)  # libraries wake up
    small(torch.randn(1, 3, 4, 4, 4, requires_grad=True), torch.zeros(1, 1, 4, 4, 4)).backward()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _kilobytes("VmHWM")
    step()
    print((_kilobytes("VmHWM") - before) / 1e3)


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def page(device: str) -> str:
    step = NetworkStep(device)
    million = step.parameters
    if device == "cuda":
        step()
    network = min(seconds(step, device) for _ in range(1 if device == "cpu" else 5))
    del step
    gc.collect()
    rows, memories = [], []
    for classes in CLASSES:
        s = speed(classes, device)
        rows.append(
            f"| {classes} | {s[STOCK]:.2f} | {s['plain']:.2f} | {s['DUO']:.2f} | {s['S alone']:.2f} | "
            f"{s['DUO, gradient through S']:.2f} | {s['DUO + denoising']:.2f} | {s['DUO'] / s['plain']:.2f} | "
            f"**{(s['DUO'] - s['plain']) / network:.1%}** | "
            f"{(s['DUO + denoising'] - s['DUO']) / network:.1%} | {s['plain'] / network:.1%} |"
        )
        found = []
        for form in FORMS:
            words = [sys.executable, __file__, "--device", device, "--memory", form, str(classes)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            found.append(f"{float(done.stdout):.0f}")
        logits = BATCH * (classes + 1) * SIZE**3 * 4e-6
        memories.append(f"| {classes} | {logits:.0f} | {' | '.join(found)} |")
        print(rows[-1], memories[-1], sep="\n", flush=True)
    machine = torch.cuda.get_device_name() if device == "cuda" else f"{processor()}, one thread"
    return "\n".join(
        [
            f"## {machine}",
            "",
            f"{datetime.date.today()}, Python {platform.python_version()}, torch {torch.__version__}. A step of the "
            f"network ({million:.1f} M parameters): {network:.1f} s.",
            "",
            "Seconds a step, forward and backward:",
            "",
            "| classes | nnU-Net's | plain | DUO | of it S | DUO, gradient through S | DUO + denoising "
            "| DUO / plain | weights, share of the network's step | denoising, share of it | plain loss, share of it |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Peak memory beside what is given, MB:",
            "",
            f"| classes | logits | {' | '.join(FORMS)} |",
            "|---" * (2 + len(FORMS)) + "|",
            *memories,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--write", action="store_true", help=f"replace the device's section of {PAGE.name}")
    parser.add_argument("--memory", nargs=2, metavar=("FORM", "CLASSES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.memory:
        memory(given.memory[0], int(given.memory[1]), given.device)
        return
    text = page(given.device)
    print(text)
    if given.write:
        replace_between(PAGE, given.device, text)


if __name__ == "__main__":
    main()
