"""Which of nnU-Net's folds did not see a case: only such a fold may speak of it.

nnU-Net trains fold k on the `train` list of entry k of splits_final.json, predicts its
`val` list at the end, and leaves what it predicted in fold_k/validation/. Both are read
here, and neither is believed against the other.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aleaseg.errors import UsageError
from aleaseg.readers.splits import SPLITS, read_splits

__all__ = ["HeldOut", "held_out", "nnunet_json"]


@dataclass(frozen=True)
class HeldOut:
    """What every fold trained on and what it was kept from.

    Attributes:
        train: of each fold, the cases it saw.
        val: of each fold, the cases it was validated on.
        source: the file or folder that says so.
    """

    train: tuple[frozenset[str], ...]
    val: tuple[frozenset[str], ...]
    source: Path

    def folds(self, case_id: str) -> tuple[int, ...] | None:
        """The folds that were validated on the case and did not train on it; None: no list knows it, it is new.

        >>> both = (frozenset({"b"}), frozenset({"a", "c"})), (frozenset({"a"}), frozenset({"b", "c"}))
        >>> known = HeldOut(*both, Path())
        >>> known.folds("a"), known.folds("b"), known.folds("c"), known.folds("d")
        ((0,), (1,), (), None)
        """
        if not any(case_id in side for side in (*self.train, *self.val)):
            return None
        sides = enumerate(zip(self.train, self.val, strict=True))
        return tuple(fold for fold, (train, val) in sides if case_id in val and case_id not in train)

    @property
    def sha256(self) -> str:
        """Of the lists, whatever order they are written in."""
        sides = [[sorted(side) for side in fold] for fold in zip(self.train, self.val, strict=True)]
        return hashlib.sha256(json.dumps(sides).encode()).hexdigest()


def held_out(results: Path, dataset_name: str, ending: str, cases: int | None) -> HeldOut:
    """Find out what the folds of a results folder were kept from.

    Args:
        results: nnUNet_results/DatasetXXX_NAME/TRAINER__PLANS__CONFIGURATION.
        dataset_name: DatasetXXX_NAME.
        ending: of its image files, such as `.nii.gz`.
        cases: how many the data set had for training; None where that is not known.

    Raises:
        UsageError: nothing says so, or what says so is damaged or contradicts what a fold left behind.
    """
    validated = {
        int(folder.name.removeprefix("fold_")): _validated(folder / "validation", ending)
        for folder in sorted(results.glob("fold_*"))
        if folder.name.removeprefix("fold_").isdecimal()
    }
    places = _places(results, dataset_name)
    for place in places:
        if place.is_file():
            known = _read(place)
            _agree(known, validated)
            return known
    return _from_validation(results, validated, cases, places)


def nnunet_json(path: Path) -> Any:
    """Read a file that nnU-Net wrote.

    Raises:
        UsageError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); expected a file that nnU-Net wrote; copy it there"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{path} is damaged ({error}); copy it again from where nnU-Net wrote it"
        ) from error


def _places(results: Path, dataset_name: str) -> list[Path]:
    """Where splits_final.json may be: given along, where nnU-Net would look, beside nnUNet_results."""
    folders = [results, results.parent]
    if preprocessed := os.environ.get("nnUNet_preprocessed"):  # noqa: SIM112 (its name)
        folders.append(Path(preprocessed) / dataset_name)
    folders.append(results.parent.parent.parent / "nnUNet_preprocessed" / dataset_name)
    return list(dict.fromkeys(folder / SPLITS for folder in folders))


def _read(path: Path) -> HeldOut:
    folds = read_splits(path)
    train, val = (tuple(frozenset(fold[side]) for fold in folds) for side in ("train", "val"))
    return HeldOut(train, val, path)


def _validated(folder: Path, ending: str) -> frozenset[str]:
    """The cases that a fold predicted when its training was over; exported models keep only summary.json."""
    names = [path.name for path in folder.glob("*")]
    summary = folder / "summary.json"
    if summary.is_file():
        entries = nnunet_json(summary).get("metric_per_case", [])
        # Written on any system: a path may have backslashes.
        names += [str(entry["prediction_file"]).replace("\\", "/").rpartition("/")[2] for entry in entries]
    return frozenset(name.removesuffix(ending) for name in names if name.endswith(ending))


def _agree(known: HeldOut, validated: dict[int, frozenset[str]]) -> None:
    for fold, cases in validated.items():
        # nnU-Net trains folds beyond the list on a random 80%; they speak of no training case.
        if fold < len(known.val) and (other := sorted(cases - known.val[fold])):
            raise UsageError(
                f"fold {fold} was validated on {other[0]!r} ({len(other)} such), which is not in its val list in "
                f"{known.source}: it was trained with another file, and a fold would be asked of cases it saw; "
                "put the splits_final.json of the training into the results folder"
            )


def _from_validation(
    results: Path, validated: dict[int, frozenset[str]], cases: int | None, places: Sequence[Path]
) -> HeldOut:
    """The lists from what the folds left, if that accounts for every case; a case in none is then new."""
    everything = frozenset[str]().union(*validated.values())
    if not everything or len(everything) != cases or sum(map(len, validated.values())) != cases:
        looked = ", ".join(str(place.parent) for place in places)
        raise UsageError(
            f"no splits_final.json for {results}: which fold did not see which case is not known, and the folds' "
            f"validation/ accounts for {len(everything)} of {'?' if cases is None else cases} cases; looked in "
            f"{looked}; put the file that nnU-Net trained with into the results folder"
        )
    val = tuple(validated.get(fold, frozenset()) for fold in range(max(validated) + 1))
    return HeldOut(tuple(everything - side for side in val), val, results)
