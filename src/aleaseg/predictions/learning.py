"""How a network learnt the cases it trains on: looked at several times on the way.

Every case is watched by one fold, the one before its own in the round, which
trains on it. What is watched says of the mask: a network is slow to learn what
contradicts the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.label_agreement import near
from aleaseg.measures.learning_dynamics import Dynamics
from aleaseg.run import Run, file_name, write_aside
from aleaseg.training.copies import copy_of
from aleaseg.training.foldplan import FoldPlan, copies_folder
from aleaseg.training.inference import predict_logits
from aleaseg.training.preprocessing import IGNORE

if TYPE_CHECKING:
    import torch

__all__ = ["LOOKS", "Watch", "learning_file", "read_learning"]

LOOKS = 8
# EL2N is taken early, when the easy cases are learnt and the others are not.
_EARLY = 0.2


def learning_file(run: Run, case_id: str) -> Path:
    """Where the looks at a case are kept."""
    return run.path / "models" / "learning" / f"{file_name(case_id)}.safetensors"


def read_learning(run: Run, case_id: str) -> dict[str, NDArray]:
    """What the looks add up to: the measures of `Dynamics`, and the last look's label map `in_sample`.

    Empty where the case was not watched.
    """
    path = learning_file(run, case_id)
    if not path.exists():
        return {}
    from safetensors.numpy import load_file

    arrays = load_file(path)
    last = arrays.pop("in_sample")
    summary = Dynamics.from_arrays(arrays).summary()
    return {"in_sample": last, **{name: np.asarray(value) for name, value in summary.items()}}


class Watch:
    """Looks at the cases that a fold watches, at even distances along its training.

    Args:
        run: where the looks are kept.
        plan: of the run.
        fold: which trains.
        network: of the fold, trained in place.
    """

    def __init__(self, run: Run, plan: FoldPlan, fold: int, network: torch.nn.Module) -> None:
        self.run = run
        self.network = network
        self.patch = plan.preprocessing.grid.patch
        self.device = plan.device
        self.cases = plan.folds[(fold + 1) % len(plan.folds)]
        self.looks = [max(1, round(plan.steps * (look + 1) / LOOKS)) for look in range(LOOKS)]
        self.early = next(i for i in range(LOOKS) if (i + 1) / LOOKS >= _EARLY)

    def __call__(self, step: int) -> None:
        """Look, where it is time; a training that goes on after a kill does not look twice."""
        for number, at in enumerate(self.looks):
            if at == step:
                for case_id in self.cases:
                    self._look(case_id, number)
                self.network.train()

    def _look(self, case_id: str, number: int) -> None:
        from safetensors.numpy import load_file, save

        path = learning_file(self.run, case_id)
        image, label = copy_of(copies_folder(self.run), case_id).arrays()
        label = np.asarray(label)
        if path.exists():
            arrays = load_file(path)
            arrays.pop("in_sample")
            dynamics = Dynamics.from_arrays(arrays)
            if dynamics.looks > number:
                return
        else:
            inside = (label > 0) & (label != IGNORE)
            dynamics = Dynamics.start(label, near(inside, inside) & (label != IGNORE))
        logits = predict_logits(self.network, image, self.patch, self.device)
        dynamics.update(logits, early=number == self.early)
        in_sample = logits.argmax(axis=0).astype(np.uint8)
        write_aside(path, save({**dynamics.to_arrays(), "in_sample": in_sample}))
