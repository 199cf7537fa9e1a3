"""What the label values mean: as declared, as asked for, or as found in a sample of label files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from aleaseg.case import Finding
from aleaseg.errors import UsageError
from aleaseg.readers.mask_values import Guess, Seen, guess_binary, look_into, turned_round
from aleaseg.readers.segments import are_segmentations, names_of

__all__ = ["SAMPLE", "Meaning", "asked_classes", "choose", "evenly", "meaning_of_found", "meaning_of_seen"]

Classes = dict[str, tuple[int, ...]]
Item = TypeVar("Item")

SAMPLE = 24
"""How many label files are looked into, at most, for what their values mean."""
_MOST_VALUES = 256
_FORM = "write names, as `liver,tumour`, or names and label values, as `liver=1,tumour=2` or `organ=1+2`"


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many, evenly spaced, the first and the last among them.

    >>> evenly(range(9), 3)
    [0, 4, 8]
    """
    if len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).round().astype(int)]


def asked_classes(text: str | None) -> dict[str, tuple[int, ...] | None]:
    """`liver,tumour` or `liver=1,tumour=2+3` as name -> values, or None where no value was given.

    Raises:
        UsageError: the text has another form.
    """
    asked: dict[str, tuple[int, ...] | None] = {}
    for part in (text or "").split(","):
        name, sign, values = (piece.strip() for piece in part.partition("="))
        if not name and not sign and text is None:
            continue
        try:
            numbers = tuple(int(value) for value in values.split("+")) if sign else None
        except ValueError as error:
            raise UsageError(f"--classes: {part.strip()!r} cannot be read; {_FORM}") from error
        if not name or name in asked or (numbers is not None and 0 in numbers):
            why = (
                "is there twice"
                if name in asked
                else "has no name"
                if not name
                else "takes 0, the background"
            )
            raise UsageError(f"--classes: {part.strip()!r} {why}; {_FORM}")
        asked[name] = numbers
    if len({numbers is None for numbers in asked.values()}) > 1:
        raise UsageError(f"--classes: {text!r} gives values for some names only; {_FORM}")
    return asked


def choose(
    declared: Mapping[str, tuple[int, ...]], asked: Mapping[str, tuple[int, ...] | None]
) -> tuple[Classes, tuple[int, ...]]:
    """The classes to keep of the declared ones, and the label values that become background.

    Raises:
        UsageError: a name is not declared, or a value differs from the declared one.
    """
    if not asked:
        return dict(declared), ()
    for name, values in asked.items():
        if name not in declared:
            raise UsageError(
                f"--classes: no class {name!r}; the data set has {', '.join(declared) or 'none'}"
            )
        if values is not None and set(values) != set(declared[name]):
            raise UsageError(
                f"--classes: {name!r} is {'+'.join(map(str, declared[name]))} in this data set, "
                f"not {'+'.join(map(str, values))}; give the name alone"
            )
    kept = {name: declared[name] for name in declared if name in asked}
    keep = {value for values in kept.values() for value in values}
    return kept, tuple(sorted({value for values in declared.values() for value in values} - keep))


class Meaning:
    """What label values mean.

    Attributes:
        classes: name -> values.
        to_one: values that mean 1 in a binary mask.
        drop: values that become background: their class was not asked for, or they are the dark half of a grey mask.
        others: values of the classes that were not asked for.
        by_name: name of a segment -> label value, where the files name their segments themselves; else None.
        findings: notes on what was guessed.
    """

    def __init__(
        self,
        classes: Classes,
        to_one: tuple[int, ...] = (),
        drop: tuple[int, ...] = (),
        others: tuple[int, ...] = (),
        by_name: Mapping[str, int] | None = None,
        findings: tuple[Finding, ...] = (),
    ) -> None:
        self.classes = classes
        self.to_one = to_one
        self.drop = drop
        self.others = others
        self.by_name = by_name
        self.findings = findings

    @property
    def declared(self) -> tuple[int, ...]:
        """Every value that has a meaning, asked for or not, sorted."""
        return tuple(
            sorted({*self.others, *(value for values in self.classes.values() for value in values)})
        )


def meaning_of_found(
    labels: Sequence[tuple[str, Path]], asked: Mapping[str, tuple[int, ...] | None]
) -> Meaning:
    """Classes where no file declares them: from what was asked, else from a sample of at most 24 label files.

    Masks with one foreground value k are binary: k (and 255, as pictures have it)
    means 1, and the class is `foreground` or the one name that was asked for. So are masks
    that write two values in several ways, and grey ones (see `mask_values`). Slicer's
    segmentations name their classes.

    Raises:
        UsageError: names were asked for that are not known here, or the values may mean several things.
    """
    if not labels:
        return Meaning({name: values for name, values in asked.items() if values})
    declared = {name: values for name, values in asked.items() if values is not None}
    if not declared and are_segmentations([path for _, path in labels]):
        names = names_of(labels)
        kept, _ = choose({name: (number,) for number, name in enumerate(names, 1)}, asked)
        by_name = {name: number for number, name in enumerate(kept, 1)}
        return Meaning({name: (number,) for name, number in by_name.items()}, by_name=by_name)
    if declared and (len(declared) > 1 or list(declared.values()) != [(1,)]):
        return Meaning(declared)
    return meaning_of_seen(look_into(evenly(labels, SAMPLE), _MOST_VALUES), asked)


def meaning_of_seen(seen: Mapping[str, Seen], asked: Mapping[str, tuple[int, ...] | None]) -> Meaning:
    """The same from what a sample of masks holds.

    Args:
        seen: by case.
        asked: see `asked_classes`.

    Raises:
        UsageError: names were asked for that are not known here, or the values may mean several things.
    """
    declared = {name: values for name, values in asked.items() if values is not None}
    if declared and (len(declared) > 1 or list(declared.values()) != [(1,)]):
        return Meaning(declared)
    guess = _binary(seen, asked)
    turned = tuple(turned_round(seen))
    if guess is not None:
        one: Classes = {next(iter(asked), "foreground"): (1,)}
        return Meaning(one, guess.to_one, guess.drop, findings=(*guess.notes, *turned))
    if declared:
        return Meaning(declared)
    values = sorted(
        {value for one in seen.values() if not (one.grey or one.blurred) for value in one.values}
    )
    classes, drop = choose({f"class_{value}": (value,) for value in values}, asked)
    return Meaning(classes, drop=drop, others=drop, findings=turned)


def _binary(seen: Mapping[str, Seen], asked: Mapping[str, tuple[int, ...] | None]) -> Guess | None:
    """How the masks write two values, where at most one class was asked for."""
    return guess_binary(seen) if len(asked) <= 1 else None
