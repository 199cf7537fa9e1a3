"""A training's state on disk: written whole or not at all, and never taken for another training's."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.errors import AleasegError, UsageError
from aleaseg.run import write_aside
from aleaseg.training.schedule import Schedule

if TYPE_CHECKING:
    import torch

__all__ = ["Checkpoint", "Progress"]


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: steps done.
        seconds: that they took.
        losses: of every step.
        seen: of every step of this epoch, where the objective knows.
    """

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    seen: list[torch.Tensor | None] = field(default_factory=list)


@dataclass
class Checkpoint:
    """The file that a training goes on from.

    Attributes:
        path: of the file.
        schedule, patch: of the training; a checkpoint of another is refused.
        parts: `network`, `objective` and `optimizer`, whose states are kept.
        kept: the step of the last one.
    """

    path: Path
    schedule: Schedule
    patch: Sequence[int]
    parts: dict[str, Any]
    kept: int = 0

    def load(self, device: str) -> Progress:
        """Put the parts into the state that was kept, if there is one.

        Raises:
            UsageError: it is damaged, or that of another network or training.
        """
        if not self.path.exists():
            return Progress()
        state = self._read(device)
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state.get(name, {}))  # no objective in older checkpoints
        except (RuntimeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{self.path} is the checkpoint of another network ({' '.join(str(error).split())[:200]}); "
                "give another folder, or delete it to start again"
            ) from error
        self.kept = state["step"]
        return Progress(state["step"], state["seconds"], state["losses"], state.get("seen", []))

    def save(self, progress: Progress) -> None:
        """Keep the state.

        Raises:
            AleasegError: weights are no finite numbers, or the disk is full; the last checkpoint stays.
        """
        import torch

        # A finite loss may have a gradient that is not; such weights must not take the place of whole ones.
        trained = [*self.parts["network"].parameters(), *self.parts["objective"].parameters()]
        if not all(bool(torch.isfinite(parameter).all()) for parameter in trained):
            raise AleasegError(
                f"the weights are no finite numbers after step {progress.step}; the checkpoint of step {self.kept} "
                "stays; look for images of another unit or modality than the others, or lower the learning rate"
            )
        buffer = io.BytesIO()
        states = {name: part.state_dict() for name, part in self.parts.items()}
        about = {"settings": self.schedule.decide(), "patch": list(self.patch)}
        torch.save({**states, **about, **vars(progress)}, buffer)
        try:
            write_aside(self.path, buffer.getvalue())
        except OSError as error:
            raise AleasegError(
                f"the checkpoint of step {progress.step} could not be written to {self.path} "
                f"({error.strerror or error}); that of step {self.kept} is intact: make room and run the same "
                "command again to resume"
            ) from error
        self.kept = progress.step

    def _read(self, device: str) -> dict[str, Any]:
        import torch

        try:
            state: dict[str, Any] = torch.load(self.path, map_location=device, weights_only=True)
            made = state.get("settings"), state.get("patch")
            state["network"], state["optimizer"], state["step"]
        except (OSError, RuntimeError, EOFError, LookupError, AttributeError, TypeError) as error:
            raise self._damaged(error) from error
        except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
            raise self._damaged(error) from error
        # None in older checkpoints.
        if made[0] is not None:
            asked = {**self.schedule.decide(), "patch": list(self.patch)}
            then = {**made[0], "patch": made[1]}
            differing = [
                f"{name}: {then.get(name)!r} then, {value!r} now"
                for name, value in asked.items()
                if then.get(name) != value
            ]
            if differing:
                raise UsageError(
                    f"{self.path} was made with other settings ({'; '.join(differing)}); give another folder, or "
                    "delete it to start again"
                )
        return state

    def _damaged(self, error: Exception) -> UsageError:
        return UsageError(
            f"{self.path} is not a complete checkpoint ({' '.join(str(error).split())[:120]}); delete it, and training "
            "starts again"
        )
