"""What is known of one case among the others of its run: its reasons, where it stands, its files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aleaseg.measures.reasons import WAYS, WAYS_OF_A_PICTURE, Told, merged, told
from aleaseg.measures.robust import RobustScale
from aleaseg.pages.places import Sought
from aleaseg.report.columns import describe, values
from aleaseg.report.standing import percentiles
from aleaseg.run import Record, Run

__all__ = ["CaseFacts", "in_order"]

_CLASS_COLUMNS = ("volume_mm3", "oof_dice", "softmin", "perception_scale", "auv")


def in_order(cases: pd.DataFrame) -> pd.DataFrame:
    """The cases by doubt, the highest first; without it by out-of-fold Dice, lowest first; then by id."""
    keys = pd.DataFrame({"case": cases["case"].astype(str)})
    keys["doubt"] = -values(cases, "doubt") if "doubt" in cases else np.nan
    # Of two equal doubts the id decides, as in the terminal and in a selection.
    dice = values(cases, "oof_dice") if "oof_dice" in cases else np.nan
    keys["oof_dice"] = np.where(np.isnan(keys["doubt"]), dice, np.nan)
    order = keys.sort_values(["doubt", "oof_dice", "case"], na_position="last", kind="stable").index
    return cases.loc[order].reset_index(drop=True)


class CaseFacts:
    """What is known of every case of a finished run; read once, asked case by case.

    Args:
        run: the run.

    Attributes:
        cases: rows of cases.csv, `in_order`.
        columns: those that have any value.
        classes: name -> label values.
        prediction: what the second outline is called.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.manifest = run.manifest
        self.cases = in_order(run.cases)
        self.columns = describe(self.cases, self.manifest)
        declared = (self.manifest.get("dataset") or {}).get("classes") or {}
        self.classes: Mapping[str, list[int]] = {
            str(name): [int(value) for value in given] for name, given in declared.items()
        }
        source = (self.manifest.get("predictions") or {}).get("source")
        # Where nothing was trained nothing is predicted: the package's own network saw the mask.
        self.prediction = "prompted outline" if source in ("own", "eye") else "prediction"
        self._row = {str(case): row for row, case in enumerate(self.cases["case"])}
        # A picture has no slices: neither has a case that could not be read, but it has no reasons either.
        self._flat = np.isnan(values(self.cases, "depth")) if "depth" in self.cases else None
        self._cells = values(self.cases, "reasons") if "reasons" in self.cases else [""] * len(self.cases)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Rows of scores.csv; none where the run has none."""
        there = (self.run.path / "scores.csv").exists()
        return self.run.scores if there else pd.DataFrame(columns=["case", "class"])

    def reasons(self, case: str, ways: Mapping[str, str] | None = None) -> list[Told]:
        """Why a case is doubtful, the most important reason first.

        Args:
            case: its id.
            ways: what its axes are called in the patient, where that is known.
        """
        row = self._row[case]
        flat = self._flat is not None and self._flat[row]
        ways = ways or (WAYS_OF_A_PICTURE if flat else WAYS)
        return merged(told(self._cells[row], ways, one_class=len(self.classes) == 1), ways)

    def sought(self, case: str) -> tuple[Sought, ...]:
        """Its reasons, as far as they say where to look."""
        return tuple(
            Sought(one.code, one.axis, one.way, self._label_values(one.of)) for one in self.reasons(case)
        )

    def _label_values(self, of: str) -> tuple[int, ...]:
        """Of the classes that a reason names: one, or two with an `and` between them."""
        # A cell has no class name with a sign that it is made of.
        plain = {
            " ".join("".join(" " if s in ";=:" else s for s in name).split()): name for name in self.classes
        }
        name = " ".join(of.split())
        if name in plain:
            return tuple(self.classes[plain[name]])
        for one, first in plain.items():
            if name.startswith(f"{one} and ") and name[len(one) + 5 :] in plain:
                return (*self.classes[first], *self.classes[plain[name[len(one) + 5 :]]])
        return ()

    def of(self, case: str, ways: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What the page of a case shows.

        Args:
            case: its id.
            ways: as `reasons` takes them.

        Returns:
            `reasons`, each with `code`, `axis`, `value`, `sentence` and `detail`; `statistics`, each with value,
            median, standing (share of the cases below it, in [0, 1]) and robust `z`, the furthest out
            first after the scores; `classes`, the same per class; `files`; `facts`; `error`.
        """
        row = self._row[case]
        entries = [
            {
                "name": name,
                "value": float(numbers[row]),
                "median": self._medians[name],
                "standing": float(self._standings[name][row]),
                "z": float(self._z[name][row]) if name in self._z else None,
            }
            for name, numbers in self._numbers.items()
        ]
        entries.sort(
            key=lambda entry: -abs(np.nan_to_num(entry["z"])) if entry["z"] is not None else -np.inf
        )
        return {
            "case": case,
            "reasons": [
                {"code": one.code, "axis": one.axis, "value": one.value}
                | {"sentence": one.sentence, "detail": one.detail}
                for one in self.reasons(case, ways)
            ],
            "statistics": entries,
            "classes": self._by_class(case),
            **_facts(self.run, case),
        }

    # -- where a case stands ------------------------------------------------------------------------

    @cached_property
    def _numbers(self) -> dict[str, NDArray]:
        shown = (column for column in self.columns if column.role != "confound")
        return {column.name: values(self.cases, column.name) for column in shown}

    @cached_property
    def _standings(self) -> dict[str, NDArray[np.float64]]:
        return {name: percentiles(column) for name, column in self._numbers.items()}

    @cached_property
    def _medians(self) -> dict[str, float]:
        return {name: float(np.nanmedian(column)) for name, column in self._numbers.items()}

    @cached_property
    def _z(self) -> dict[str, NDArray[np.float64]]:
        """Of the statistics of the image, by the scales that the reasons go by: those of the population."""
        frozen = self._frozen_scales()
        roles = {column.name: column.role for column in self.columns}
        return {
            name: (frozen.get(name) or RobustScale.fit(column)).z(column)
            for name, column in self._numbers.items()
            if roles[name] == "statistic"
        }

    def _frozen_scales(self) -> dict[str, RobustScale]:
        if not (self.run.path / "population.json").exists():
            return {}
        image = self.run.population.get("image") or {}
        scales = zip(image.get("names") or (), image.get("scales") or (), strict=False)
        return {name: RobustScale.from_dict(scale) for name, scale in scales}

    @cached_property
    def _by_class(self) -> _ByClass:
        return _ByClass(self.scores)


class _ByClass:
    """The classes of each case, each number with where it stands among the cases that have the class."""

    def __init__(self, scores: pd.DataFrame) -> None:
        self._names = [name for name in _CLASS_COLUMNS if name in scores]
        self._rows = scores.groupby("case", sort=False).indices
        self._classes, self._status, self._present = (
            list(scores[name]) if name in scores else [""] * len(scores)
            for name in ("class", "status", "present")
        )
        of_class = list(scores.groupby("class", sort=False).indices.values())
        self._values = np.full((len(scores), len(self._names)), np.nan)
        self._standing = np.full_like(self._values, np.nan)
        self._z = np.full_like(self._values, np.nan)
        for column, name in enumerate(self._names):
            self._values[:, column] = pd.to_numeric(scores[name], errors="coerce")
            for rows in of_class:
                found = self._values[rows, column]
                self._standing[rows, column] = percentiles(found)
                # A volume has its Gaussian in the logarithm; where there is none, nothing stands out.
                even = np.log(np.where(found > 0, found, np.nan)) if name == "volume_mm3" else found
                self._z[rows, column] = RobustScale.fit(even, _LEAST_SCALE).z(even)

    def __call__(self, case: str) -> list[dict[str, Any]]:
        """What its page shows of each class."""
        rows = self._rows.get(case, ())
        return [
            {
                "class": self._classes[row],
                "present": {"true": True, "false": False}.get(str(self._present[row]).lower()),
                "status": self._status[row] or "",
                **{
                    key: dict(zip(self._names, array[row].tolist(), strict=True))
                    for key, array in (
                        ("values", self._values),
                        ("standing", self._standing),
                        ("z", self._z),
                    )
                },
            }
            for row in rows
        ]


# Differences smaller than this are none, whatever the population.
_LEAST_SCALE = 0.02


def _facts(run: Run, case: str) -> dict[str, Any]:
    record = run.record(case) or Record(case)
    return {
        "status": record.status,
        "error": record.error,
        "group": record.group,
        "site": record.site,
        "files": [*record.image_files, *record.label_files],
        "shape": record.shape,
        "spacing_mm": record.spacing_mm,
        "class_maps": record.class_maps,
    }
