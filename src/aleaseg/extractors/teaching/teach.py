"""The prompted network taught on the synthetic world alone: one command, resumable, by seed.

    python -m aleaseg.extractors.teaching.teach FOLDER --minutes 60

FOLDER gets the checkpoint (`training.pt`), the log (`log.csv`: step, seconds, loss, Dice on
scenes that are never trained on) and, at the end, `prompted.safetensors`: half precision, the
running mean of the weights. Killed, it goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from aleaseg.extractors.teaching.world import World, prompted_scenes
from aleaseg.networks.prompted import Prompted, PromptedSize
from aleaseg.run import write_aside, write_json, write_table

__all__ = ["PromptedTraining", "dice_of", "teach", "validation"]

_VALIDATION_SEED = 1_000_000_000
_LOG = ("step", "seconds", "loss", "dice")


@dataclass(frozen=True)
class PromptedTraining:
    """What decides the weights, with the seed.

    Attributes:
        steps: of the optimiser.
        batch: scenes a step.
        learning_rate: at its highest, of AdamW; warmed up over 200 steps, then falling along a cosine.
        seed: of scenes and first weights.
        every: steps between two looks at the validation scenes.
        workers: processes that draw scenes.
        device: `cpu` or `cuda`.
        size: of the network.
        world: of the scenes.
    """

    steps: int = 8000
    batch: int = 32
    learning_rate: float = 2e-3
    seed: int = 0
    every: int = 250
    workers: int = 1
    device: str = "cpu"
    size: PromptedSize = field(default_factory=PromptedSize)
    world: World = field(default_factory=World)


class _Scenes(torch.utils.data.IterableDataset[tuple[Tensor, Tensor]]):
    """Groups of scenes without end; worker w of n draws groups w, w + n, ..., whatever was drawn before a kill."""

    def __init__(self, settings: PromptedTraining, first: int) -> None:
        self.settings, self.first = settings, first

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        torch.set_num_threads(1)
        about = torch.utils.data.get_worker_info()
        number, step = (about.id, about.num_workers) if about else (0, 1)
        group = self.first + number
        while True:
            yield prompted_scenes(self.settings.seed * 10_000_019 + group, self.settings.world)
            group += step


def _batches(settings: PromptedTraining, first: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Shuffled batches, and the number of groups that were drawn for them."""
    loader = torch.utils.data.DataLoader(
        _Scenes(settings, first),
        batch_size=None,
        num_workers=settings.workers,
        prefetch_factor=8 if settings.workers else None,
    )
    generator = torch.Generator().manual_seed(settings.seed + first)
    pool: list[tuple[Tensor, Tensor]] = []
    for drawn, (seen, truth) in enumerate(loader, start=1):
        pool += list(zip(seen, truth, strict=True))
        # Views of one scene lie apart.
        while len(pool) >= 8 * settings.batch:
            chosen = torch.randperm(len(pool), generator=generator)[: settings.batch].tolist()
            picked, gone = [pool[place] for place in chosen], set(chosen)
            pool = [one for place, one in enumerate(pool) if place not in gone]
            images, truths = (
                torch.stack([one for one, _ in picked]),
                torch.stack([one for _, one in picked]),
            )
            turn = int(torch.randint(4, (1,), generator=generator))
            images, truths = images.rot90(turn, (-2, -1)), truths.rot90(turn, (-2, -1))
            if int(torch.randint(2, (1,), generator=generator)):
                images, truths = images.flip(-1), truths.flip(-1)
            if int(torch.randint(2, (1,), generator=generator)):
                images = images[:, [2, 1, 0, 3, 4]]
            yield images, truths, drawn


def _loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy and soft Dice, scene by scene."""
    entropy = binary_cross_entropy_with_logits(logits, truth)
    p = logits.sigmoid()
    both = (p * truth).flatten(1).sum(1)
    soft = (2 * both + 1) / (p.flatten(1).sum(1) + truth.flatten(1).sum(1) + 1)
    return entropy + 1 - soft.mean()


def dice_of(network: torch.nn.Module, seen: Tensor, truth: Tensor) -> float:
    """Mean Dice of the scenes."""
    network.eval()
    with torch.inference_mode():
        found = torch.cat([network(piece) > 0 for piece in torch.split(seen, 64)])
    both = (found & (truth > 0.5)).flatten(1).sum(1)
    return float((2 * both / (found.flatten(1).sum(1) + truth.flatten(1).sum(1)).clamp(min=1)).mean())


def validation(settings: PromptedTraining, groups: int = 16) -> tuple[Tensor, Tensor]:
    """Scenes that no training draws."""
    drawn = [prompted_scenes(_VALIDATION_SEED + number, settings.world) for number in range(groups)]
    return torch.cat([seen for seen, _ in drawn]), torch.cat([truth for _, truth in drawn])


def _rate(settings: PromptedTraining, progress: float, step: int) -> float:
    falling = 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi)).item())
    return settings.learning_rate * min(1.0, (step + 1) / 200) * max(falling, 0.01)


def teach(folder: Path, settings: PromptedTraining, *, minutes: float | None = None) -> dict[str, Any]:
    """Train, or go on.

    Args:
        folder: for checkpoint, log and weights.
        settings: what decides the weights.
        minutes: the most it may take, over all its starts; the learning rate falls with the time then.

    Returns:
        steps, seconds, dice (of the running mean of the weights on the validation scenes).
    """
    folder.mkdir(parents=True, exist_ok=True)
    device, checkpoint = settings.device, folder / "training.pt"
    torch.manual_seed(settings.seed)
    network = Prompted(settings.size).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = torch.optim.swa_utils.AveragedModel(
        network,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998),  # type: ignore[no-untyped-call]
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-2)
    parts = {"network": network, "mean": mean, "optimizer": optimizer}
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "drawn": 0}
    if checkpoint.exists():
        kept = torch.load(checkpoint, map_location=device, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(kept[name])
        state = {name: kept[name] for name in state}
    there = [part.to(device) for part in validation(settings)]
    rows = _log(folder)
    begun, before, losses, first = time.monotonic(), state["seconds"], [], state["drawn"]
    for images, truth, drawn in _batches(settings, first):
        step, spent = state["step"], before + time.monotonic() - begun
        progress = max(step / settings.steps, spent / (60 * minutes) if minutes else 0.0)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = _rate(settings, progress, step)
        losses.append(_learn(network, optimizer, images, truth.to(device)))
        mean.update_parameters(network)
        state = {"step": step + 1, "seconds": before + time.monotonic() - begun, "drawn": first + drawn}
        if state["step"] % settings.every == 0:
            dice = dice_of(mean.module, *there)
            loss, losses = round(sum(losses) / len(losses), 4), []
            seconds = round(state["seconds"], 1)
            rows.append({"step": state["step"], "seconds": seconds, "loss": loss, "dice": round(dice, 4)})
            write_table(folder / "log.csv", _LOG, rows)
            _save(checkpoint, parts, state)
    _save(checkpoint, parts, state)
    dice = dice_of(mean.module, *there)
    about = {"steps": state["step"], "seconds": round(state["seconds"], 1), "dice": round(dice, 4)}
    _write_weights(folder, mean.module, settings, about)
    return about


def _learn(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, truth: Tensor
) -> float:
    """One step; returns the loss."""
    network.train()
    loss = _loss(network(images.to(truth.device, memory_format=torch.channels_last)), truth)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def _log(folder: Path) -> list[dict[str, Any]]:
    path = folder / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def _save(path: Path, parts: dict[str, Any], state: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save({**{name: part.state_dict() for name, part in parts.items()}, **state}, buffer)
    write_aside(path, buffer.getvalue())


def _write_weights(
    folder: Path, network: torch.nn.Module, settings: PromptedTraining, about: dict[str, Any]
) -> None:
    from safetensors.torch import save

    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in network.state_dict().items()
    }
    write_aside(folder / "prompted.safetensors", save(tensors))
    write_json(
        folder / "prompted.json", {**about, "settings": asdict(settings), "torch": torch.__version__}
    )


def main() -> None:
    """From the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, default=PromptedTraining.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=PromptedTraining.workers)
    parser.add_argument("--threads", type=int, default=1, help="of the network, beside the workers")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = PromptedTraining(
        steps=given.steps, seed=given.seed, workers=given.workers, device=given.device
    )
    about = teach(given.folder, settings, minutes=given.minutes)
    print(about)  # noqa: T201


if __name__ == "__main__":
    main()
