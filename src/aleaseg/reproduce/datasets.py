"""The paper's five data sets in the form in which each is handed out, and any data set in nnU-Net's layout.

Nothing is copied: a source becomes a small folder of its own, a dataset.json that names the files
where they lie (TotalSegmentator, with its many masks a case: links to the case folders).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aleaseg.case import Dataset
from aleaseg.errors import AleasegError, UsageError
from aleaseg.readers import open_dataset
from aleaseg.readers.files import list_folder
from aleaseg.readers.public import KNOWN, Known, Pairs
from aleaseg.readers.splits import read_splits, to_bytes
from aleaseg.run import read_json, write_aside, write_json
from aleaseg.training.splitting import hold_out

__all__ = ["KNOWN", "Known", "Prepared", "Source", "find_sources", "prepare"]

TEST_SHARE = 0.2
"""Section 4 of arXiv 2604.10963: a fifth is the test part."""
# Of the split alone, which stays whatever seed trains.
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Source:
    """A data set that was found.

    Attributes:
        name: in the names of files.
        title: on tables.
        root: its folder.
        known: what the paper says of it; None: it is none of the paper's.
        pairs: its files; empty: `open_dataset` reads the root as it is.
    """

    name: str
    title: str
    root: Path
    known: Known | None
    pairs: Pairs


@dataclass(frozen=True)
class Prepared:
    """A data set, ready for a grid of runs.

    Attributes:
        name, title: of the source.
        of_paper: whether it is one of the paper's.
        whole: a folder that `open_dataset` reads, with every labelled case.
        training: likewise, without the test part.
        split: splits_final.json, fold 0 of which is training and test part.
        classes: names, in order.
        target: one of them.
        train, test: numbers of cases.
        notes: what differs from the paper.
    """

    name: str
    title: str
    of_paper: bool
    whole: Path
    training: Path
    split: Path
    classes: tuple[str, ...]
    target: str
    train: int
    test: int
    notes: tuple[str, ...]


# -- finding --------------------------------------------------------------------------------------


def find_sources(folder: Path, wanted: Sequence[str] = ()) -> tuple[list[Source], dict[str, str]]:
    """Look into a folder and two levels below it.

    Args:
        folder: a data set, or a folder of some.
        wanted: names of `KNOWN`, or of folders in nnU-Net's layout; empty: those of the paper that are
            there, and where there are none, whatever is in nnU-Net's layout.

    Returns:
        What was found, the paper's in its order; and for each that is missing, what was expected where.

    Raises:
        UsageError: nothing was found, or the folder cannot be listed.
    """
    roots = list(_roots(folder))
    layouts = {root: name for root in roots if (name := _declared_name(root)) is not None}
    found, missing = [], {}
    for name in wanted or KNOWN:
        source = _known(name, roots, layouts) if name in KNOWN else _own(name, layouts)
        if source is not None:
            found.append(source)
        elif name in KNOWN:
            missing[name] = f"{KNOWN[name].title} is not in {folder}; expected {KNOWN[name].expected}"
        else:
            others = ", ".join([*KNOWN, *(root.name for root in layouts)])
            raise UsageError(f"there is no data set {name!r} in {folder}; expected some of: {others}")
    if not found and not wanted:
        found = [_nnunet(root) for root in layouts]
    if not found:
        raise UsageError(
            f"{folder} holds none of the data sets:\n  "
            + "\n  ".join(f"{KNOWN[name].title}: expected {KNOWN[name].expected}" for name in missing)
            + "\n  or any data set in nnU-Net's layout (dataset.json with imagesTr/ and labelsTr/)"
        )
    names = [source.name for source in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{folder} holds two data sets that are called {twice}; name one with --datasets")
    return found, missing


def _roots(folder: Path) -> Iterator[Path]:
    try:
        list_folder(folder)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be listed ({error.strerror}); give the folder of the data"
        ) from error
    yield folder
    below = [folder]
    for _ in range(2):
        # A case's own folder is no data set.
        below = [
            root / name
            for root in below
            for name in list_folder(root)[1]
            if not re.fullmatch(r"(case_|s|sub-)\d+|images.*|labels.*|segmentations", name)
        ]
        yield from below


def _declared_name(root: Path) -> str | None:
    """What a folder in nnU-Net's layout is called; None for other folders."""
    if not (root / "dataset.json").is_file():
        return None
    try:
        declared = read_json(root / "dataset.json")
    except UsageError:
        return None
    if not isinstance(declared, dict) or "labels" not in declared:
        return None
    return f"{root.resolve().name} {declared.get('name', '')}"


def _known(name: str, roots: Sequence[Path], layouts: Mapping[Path, str]) -> Source | None:
    known = KNOWN[name]
    for root in roots:
        pairs = known.pairs(root)
        if pairs:
            return Source(name, known.title, root, known, pairs)
    for root, called in layouts.items():
        # Whole words: a fetal head is no FeTA22, "splits" no LiTS.
        if re.search(rf"(?<![a-z])({known.folders})(?![a-z])", called, re.IGNORECASE):
            return Source(name, known.title, root, known, {})
    return None


def _own(name: str, layouts: Mapping[Path, str]) -> Source | None:
    return next((_nnunet(root) for root in layouts if name in (root.resolve().name, _slug(root))), None)


def _nnunet(root: Path) -> Source:
    return Source(_slug(root), root.resolve().name, root, None, {})


def _slug(root: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "_", root.resolve().name.lower()).strip("_")


# -- preparing ------------------------------------------------------------------------------------


def prepare(source: Source, out: Path, groups: str | None = None) -> Prepared:
    """Write the folders that runs open, and the split: once, so that every machine has the same.

    `data/` and `splits/` in the folder of the reproduction are written; cases of one group share a side.

    Raises:
        UsageError: the data set cannot be opened, or has too few cases.
    """
    whole, training = out / "data" / source.name, out / "data" / f"{source.name}_training"
    split_file = out / "splits" / f"{source.name}.json"
    _write_view(source, whole, None)
    dataset = open_dataset(whole, groups=groups)
    labelled = [case for case in dataset.cases if case.has_label]
    if len(labelled) < 2 or not dataset.classes:
        raise UsageError(
            f"{source.root} has {len(labelled)} labelled cases and {len(dataset.classes)} classes; expected at least "
            "two cases and one class"
        )
    if not split_file.is_file():
        test = _test_part(source, dataset)
        train = sorted({case.id for case in labelled} - set(test))
        write_aside(split_file, to_bytes([{"train": train, "val": sorted(test)}]))
    fold = read_splits(split_file)[0]
    _write_view(source, training, set(fold["train"]))
    classes = tuple(dataset.classes)
    known = source.known
    notes = []
    if known is not None and len(labelled) != known.cases:
        notes.append(f"{source.title}: {len(labelled)} labelled cases here, {known.cases} in the paper.")
    target = known.target if known is not None and known.target in classes else classes[-1]
    return Prepared(
        source.name,
        source.title,
        known is not None,
        whole,
        training,
        split_file,
        classes,
        target,
        len(fold["train"]),
        len(fold["val"]),
        tuple(notes),
    )


def _test_part(source: Source, dataset: Dataset) -> list[str]:
    """The paper's share by lot; for TotalSegmentator its own split, where its table is there."""
    table = source.root / "meta.csv"
    known = {case.id for case in dataset.cases}
    if source.name == "totalseg" and table.is_file():
        told = _told_test(table) & known
        if told:
            return sorted(told)
    groups = {case.id: case.group or case.id for case in dataset.cases if case.has_label}
    test = hold_out(groups, TEST_SHARE, _SPLIT_SEED)
    if not test or len(test) == len(groups):
        raise UsageError(
            f"{source.root} has {len(groups)} labelled cases of {len(set(groups.values()))} groups; a fifth cannot be "
            "held out of them"
        )
    return test


def _told_test(table: Path) -> set[str]:
    """`image_id` of the rows whose `split` is `test`; the table has semicolons or commas."""
    try:
        text = table.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UsageError(f"{table} cannot be read ({error.strerror})") from error
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    return {
        str(row.get("image_id"))
        for row in csv.DictReader(text.splitlines(), delimiter=delimiter)
        if row.get("split") == "test"
    }


def _write_view(source: Source, folder: Path, only: set[str] | None) -> None:
    """A folder that `open_dataset` reads: all cases, or some."""
    if source.name == "totalseg" and source.pairs:
        _link(folder, {case: image.parent for case, (image, _) in source.pairs.items()}, only)
        return
    about = _declared(source)
    about["dataset"] = {
        case: {"images": [str(path) for path in images], "label": str(label)}
        for case, images, label in _files(source)
        if only is None or case in only
    }
    about["numTraining"] = len(about["dataset"])
    file = folder / "dataset.json"
    # Written anew only where it changes: other processes may be reading it.
    if not file.is_file() or read_json(file) != about:
        write_json(file, about)


def _declared(source: Source) -> dict[str, Any]:
    if not source.pairs:
        kept: dict[str, Any] = read_json(source.root / "dataset.json")
        return {name: value for name, value in kept.items() if name not in ("training", "test", "numTest")}
    assert source.known is not None
    return {
        "name": source.title,
        "channel_names": {"0": source.known.channel},
        "labels": {"background": 0, **source.known.classes},
        "file_ending": ".nii.gz",
    }


def _files(source: Source) -> Iterable[tuple[str, list[Path], Path]]:
    if source.pairs:
        for case, (image, label) in source.pairs.items():
            yield case, [image.resolve()], label.resolve()
        return
    for one in open_dataset(source.root).cases:
        if one.has_label:
            yield one.id, [path.resolve() for path in one.image_files], one.label_files[0].resolve()


def _link(folder: Path, cases: Mapping[str, Path], only: set[str] | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for case, where in cases.items():
        link = folder / case
        if (only is None or case in only) and not link.exists():
            try:
                link.symlink_to(where.resolve(), target_is_directory=True)
            except FileExistsError:
                continue  # another process made it in this moment
            except OSError as error:
                raise AleasegError(
                    f"{link} could not be made a link to {where} ({error.strerror}); give -o a folder on a file "
                    "system that has links"
                ) from error


def with_target(prepared: Prepared, target: str) -> Prepared:
    """The same with another class in the middle.

    Raises:
        UsageError: there is no such class.
    """
    if target not in prepared.classes:
        raise UsageError(
            f"{prepared.title} has no class {target!r}; expected one of: {', '.join(prepared.classes)}"
        )
    return replace(prepared, target=target)
