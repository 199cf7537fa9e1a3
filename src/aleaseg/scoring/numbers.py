"""The numbers of many cases, column by column: what the population step works on.

Records are read once, one at a time, and only their numbers are kept: a hundred
thousand cases fit where their records would not.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aleaseg.run import UNMEASURED, Record

__all__ = ["Key", "Numbers"]

Key = tuple[str, str, str]
"""Measure, variant, class; class empty for what is of the whole case."""
_CENTROID = ("centroid_d", "centroid_h", "centroid_w")


@dataclass(frozen=True)
class Numbers:
    """Measures of N cases.

    Attributes:
        cases: ids, in the order of the rows.
        classes: names, in the data set's order.
        failed: (N,), nothing could be measured.
        kinds: class -> (N,) kind of its class map (`logit`, ...), empty where there is none.
        models: (N,) which model predicted the case.
        columns: key -> (N,), NaN where a case has no such number.
        vectors: (name, class) -> (N, F) features.
    """

    cases: tuple[str, ...]
    classes: tuple[str, ...]
    failed: NDArray[np.bool_]
    kinds: Mapping[str, NDArray]
    models: NDArray
    columns: Mapping[Key, NDArray[np.float64]]
    vectors: Mapping[tuple[str, str], NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.cases)

    @classmethod
    def of(cls, records: Iterable[Record], classes: Sequence[str]) -> Numbers:
        """Gather the numbers of records.

        Args:
            records: in any order; each is let go before the next one comes.
            classes: names, in order.
        """
        cases: list[str] = []
        failed: list[bool] = []
        models: list[str] = []
        kinds: dict[str, dict[int, str]] = {}
        cells: dict[Key, tuple[array[int], array[float]]] = {}
        vectors: dict[tuple[str, str], dict[int, Sequence[float | None]]] = {}
        for index, record in enumerate(records):
            cases.append(record.case)
            failed.append(record.status in UNMEASURED)
            models.append(record.model)
            for name, about in record.class_maps.items():
                kinds.setdefault(name, {})[index] = about["kind"]
            for name, variant, class_name, value, _ in record.measures:
                if value is not None:
                    key = (name, variant, class_name)
                    if key not in cells:
                        cells[key] = array("q"), array("d")
                    where, values = cells[key]
                    where.append(index)
                    values.append(value)
            for name, by_class in record.features.items():
                for class_name, vector in by_class.items():
                    vectors.setdefault((name, class_name), {})[index] = vector
        size = len(cases)
        columns = {}
        for key in list(cells):
            where, values = cells.pop(key)  # let go one by one: all at once would be held twice
            columns[key] = column = np.full(size, np.nan)
            column[np.frombuffer(where, dtype=np.int64)] = np.frombuffer(values, dtype=np.float64)
        return cls(
            tuple(cases),
            tuple(classes),
            np.array(failed, dtype=bool),
            {name: _texts(size, found) for name, found in kinds.items()},
            np.array(models, dtype=str),
            columns,
            {key: _rows(size, found) for key, found in vectors.items()},
        )

    def take(self, rows: NDArray | slice) -> Numbers:
        """Some of the cases.

        Args:
            rows: (N,) which, or indices, or a slice.
        """
        return Numbers(
            tuple(np.asarray(self.cases, dtype=object)[rows]),
            self.classes,
            self.failed[rows],
            {name: kinds[rows] for name, kinds in self.kinds.items()},
            self.models[rows],
            {key: column[rows] for key, column in self.columns.items()},
            {key: vectors[rows] for key, vectors in self.vectors.items()},
        )

    def with_classes(self, classes: Sequence[str]) -> Numbers:
        """The same numbers, looked at by other classes."""
        return replace(self, classes=tuple(classes))

    def case(self, measure: str, variant: str = "") -> NDArray[np.float64]:
        """(N,) of the whole case."""
        found = self.columns.get((measure, variant, ""))
        return np.full(len(self), np.nan) if found is None else found

    def by_class(self, measure: str, variant: str = "") -> NDArray[np.float64]:
        """(N, C)."""
        missing = np.full(len(self), np.nan)
        columns = [self.columns.get((measure, variant, name), missing) for name in self.classes]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self), 0))

    def variants(self, measure: str) -> list[str]:
        """Those of a measure of classes that any case has, in order."""
        return sorted(
            {variant for name, variant, class_name in self.columns if name == measure and class_name}
        )

    def feature(self, name: str) -> NDArray[np.float64] | None:
        """(N, C, F); None where no case has such features."""
        found = [self.vectors.get((name, class_name)) for class_name in self.classes]
        size = next((vectors.shape[1] for vectors in found if vectors is not None), None)
        if size is None:
            return None
        missing = np.full((len(self), size), np.nan)
        return np.stack([missing if vectors is None else vectors for vectors in found], axis=1)

    @property
    def image_names(self) -> list[str]:
        """Statistics of the image that any case has."""
        names = {measure for measure, variant, name in self.columns if not name and not variant}
        return sorted(name for name in names if name.startswith("img_"))

    def images(self, names: Sequence[str]) -> NDArray[np.float64]:
        """(N, F)."""
        return np.stack([self.case(name) for name in names], axis=1)

    @property
    def centroids(self) -> NDArray[np.float64]:
        """(N, C, 3) in mm; 0 along an axis that the data does not have, NaN for an empty mask."""
        place = np.stack([self.by_class(name) for name in _CENTROID], axis=-1)
        there = np.isfinite(place).sum(axis=-1, keepdims=True) > 0
        return np.where(there, np.nan_to_num(place), np.nan)

    @property
    def kind(self) -> str:
        """What most class maps hold."""
        counts = Counter[str]()
        for kinds in self.kinds.values():
            counts.update(dict(zip(*np.unique(kinds, return_counts=True), strict=True)))
        counts.pop("", None)
        return str(counts.most_common(1)[0][0]) if counts else "logit"

    def scales(self, kind: str, variant: str = "") -> NDArray[np.float64]:
        """(N, C) S (or variance); NaN for class maps of another kind than the population's."""
        measure = "intensity_variance" if kind == "intensity" else "perception_scale"
        whole = (measure, variant, "") in self.columns
        if not self.classes or (set(self.kinds) == {""} and whole):
            # Maps of the whole image: what they say holds for every class. Other variants may be of
            # networks that tell the classes apart.
            return np.repeat(self.case(measure, variant)[:, None], max(1, len(self.classes)), axis=1)
        found = self.by_class(measure, variant)
        for column, name in enumerate(self.classes):
            kinds = self.kinds.get(name)
            if kinds is not None:
                found[(kinds != "") & (kinds != kind), column] = np.nan
        return found


def _texts(size: int, found: Mapping[int, str]) -> NDArray:
    texts = [""] * size
    for index, text in found.items():
        texts[index] = text
    return np.array(texts, dtype=str)


def _rows(size: int, found: Mapping[int, Sequence[float | None]]) -> NDArray[np.float64]:
    width = len(next(iter(found.values())))
    rows = np.full((size, width), np.nan)
    for index, vector in found.items():
        rows[index] = [np.nan if value is None else value for value in vector]
    return rows
