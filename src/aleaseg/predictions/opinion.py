"""What a prompted network says of each mask: kept small, pasted back when it is read.

No network is trained on the data set for it: the network was told by the mask where to
look, and not what is there. So it is a second opinion on the mask's outline, and none on
a structure that the mask lacks altogether.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset
from aleaseg.errors import Unreadable
from aleaseg.predictions.prediction import Prediction
from aleaseg.run import Run, write_aside

__all__ = ["Opinion", "Opinions", "has_opinion", "write_opinion"]


@dataclass(frozen=True)
class Opinion:
    """Of one class of one case.

    Attributes:
        logits: (D', side, side), raw.
        first: slice of the case that the first of them is.
        window: x, y and half a side of the square, in pixels of the slice.
    """

    logits: NDArray
    first: int
    window: tuple[float, float, float]


def write_opinion(
    run: Run,
    case_id: str,
    shape: tuple[int, ...],
    opinions: Mapping[str, Opinion],
    model: str,
    made_from: str = "",
) -> None:
    """Keep what was said of a case.

    Args:
        run: where.
        case_id: of the case.
        shape: of its image, (D, H, W) or (H, W).
        opinions: class -> what was said; a class that the mask lacks is missing.
        model: which network it was.
        made_from: whatever decides it: it is said anew where that changes.
    """
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(one.logits, dtype=np.float16) for name, one in opinions.items()}
    about = {
        "shape": list(shape),
        "model": model,
        "made_from": made_from,
        "classes": {name: [one.first, *one.window] for name, one in opinions.items()},
    }
    content = save(tensors or {"": np.zeros(0, np.float16)}, {"about": json.dumps(about)})
    write_aside(run.prediction_file(case_id), content)


def has_opinion(run: Run, case_id: str, made_from: str) -> bool:
    """Whether there is a sound file for the case, made from the same."""
    from safetensors import safe_open

    try:
        with safe_open(run.prediction_file(case_id), "np") as file:
            return bool(json.loads(file.metadata()["about"])["made_from"] == made_from)
    except Exception:  # missing, or damaged in any way: it is said again
        return False


class Opinions:
    """The opinions that a run holds, as predictions.

    Args:
        run: with the files.
        dataset: classes.
    """

    source = "own"

    def __init__(self, run: Run, dataset: Dataset) -> None:
        self.run = run
        self.dataset = dataset

    def read(self, case: Case) -> list[Prediction]:
        """One prediction in the case's own grid; none where the case has no label.

        Raises:
            Unreadable: the file is damaged.
        """
        path = self.run.prediction_file(case.id)
        if not path.exists():
            return []
        try:
            shape, model, found = _read(path)
        except Exception as error:  # a damaged file makes the reader trip over anything
            raise Unreadable(
                case.id, f"{path.name}, which is damaged ({error})", "an opinion", "delete it and run again"
            ) from error
        return [self._prediction(shape, model, found)]

    def _prediction(self, shape: tuple[int, ...], model: str, found: Mapping[str, Opinion]) -> Prediction:
        from aleaseg.networks.prompted import OUTSIDE

        classes = self.dataset.classes
        if any(len(values) > 1 for values in classes.values()):
            each = tuple((OUTSIDE, found.get(name)) for name in classes)
            return Prediction(_Pasted(each, shape), "logit", shape, classes, True, model=model)
        # Each class against a background of logit 0; where several say yes, the surest.
        by_value = {values[0]: name for name, values in classes.items()}
        each = ((0.0, None), *((OUTSIDE, found.get(by_value[value])) for value in sorted(by_value)))
        return Prediction(_Pasted(each, shape), "logit", shape, classes, model=model)


def _read(path: Any) -> tuple[tuple[int, ...], str, dict[str, Opinion]]:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        about = json.loads(file.metadata()["about"])
        found = {
            name: Opinion(file.get_tensor(name), int(first), (x, y, half))
            for name, (first, x, y, half) in about["classes"].items()
        }
    return tuple(about["shape"]), about["model"], found


@dataclass(frozen=True)
class _Pasted:
    """Maps (channel, *shape) of opinions: those slices that are asked for, so that no volume need be held.

    Attributes:
        each: of a channel the number where nothing was said, and what was said.
        case: shape of the case.
    """

    each: Sequence[tuple[float, Opinion | None]]
    case: tuple[int, ...]
    dtype = np.dtype(np.float16)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.each), *self.case)

    def __len__(self) -> int:
        return len(self.each)

    def __getitem__(self, key: Any, /) -> NDArray[np.float16]:
        """As of an array, for a number, a list or a slice of channels, and a slice of the first axis after it."""
        asked, part = key if isinstance(key, tuple) else (key, slice(None))
        places = np.arange(len(self))[asked]
        chosen = [self.each[int(place)] for place in places.flat]
        depth, height, width = (1, *self.case)[-3:]
        first, end, _ = part.indices(depth) if len(self.case) == 3 else (0, 1, 1)
        if not places.ndim and chosen[0][1] is None:  # one number, held once
            rows = (end - first, height) if len(self.case) == 3 else (len(range(*part.indices(height))),)
            return np.broadcast_to(np.float16(chosen[0][0]), (*rows, width))
        found = np.empty((len(chosen), end - first, height, width), np.float16)
        for into, (outside, one) in zip(found, chosen, strict=True):
            _paste(outside, one, first, into)
        if len(self.case) == 2:
            found = found[:, 0, part]
        return found if places.ndim else found[0]


def _paste(outside: float, one: Opinion | None, first: int, slices: NDArray[np.float16]) -> None:
    """Write what was said of a class into some slices of a case, (d, H, W) from the `first` on."""
    import torch

    from aleaseg.networks.prompted import pasted

    slices[...] = outside
    if one is None:
        return
    begin, end = max(first, one.first), min(first + len(slices), one.first + len(one.logits))
    if begin < end:
        logits = torch.from_numpy(one.logits[begin - one.first : end - one.first].astype(np.float32))
        rows, columns, found = pasted(logits, one.window, (slices.shape[1], slices.shape[2]))
        slices[begin - first : end - first, rows, columns] = found.half().numpy()
