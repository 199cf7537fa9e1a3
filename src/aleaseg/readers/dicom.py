"""DICOM series as cases, with the segmentations (SEG, RTSTRUCT) that refer to them as their labels.

A folder that holds one series is one case; of several series in one folder each is a case. Programs,
indices, reports and the like beside the slices are passed over, and named.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from aleaseg.case import Case, Dataset, Finding
from aleaseg.errors import Unreadable, UsageError
from aleaseg.readers.classes import asked_classes, choose
from aleaseg.readers.dicom_header import Peek, meant_as_slice, name_form, peek
from aleaseg.readers.dicom_labels import LabelFile, label_file, read_dicom_label
from aleaseg.readers.dicom_stack import passed_over
from aleaseg.readers.dicom_voxels import read_series, series_geometry
from aleaseg.readers.files import ENDINGS, first_bytes
from aleaseg.readers.headers import note

__all__ = ["Found", "find_series", "is_export", "open_dicom"]

# What lies beside slices without being one.
_OTHERS = (
    ".txt", ".json", ".csv", ".tsv", ".xml", ".md", ".html", ".htm", ".pdf", ".zip", ".py", ".log", ".yaml", ".yml",
    ".exe", ".dll", ".inf", ".ini", ".db", ".bat", ".cmd", ".jar", ".ico", ".gif", ".css", ".js", ".doc", ".docx",
    ".npz", ".npy", ".pkl", ".pt", ".pth", ".h5", ".mat",
    *(ending for ending in ENDINGS if ending != ".img"),  # which some exports give to slices
)  # fmt: skip
_NAMED_OTHERS = ("DICOMDIR", "LICENSE", "README", "VERSION", "LOCKFILE")
# So many files that are no DICOM, and none that is: this is something else.
_MOST_FOREIGN = 1000


@dataclass(frozen=True)
class _Folder:
    """One folder: the files that may be slices, and what the looked-at ones are."""

    name: str
    series: tuple[tuple[Peek, tuple[Path, ...]], ...]
    labels: tuple[Peek, ...]
    others: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Found:
    """Folders with DICOM files; false where there are none."""

    folders: tuple[_Folder, ...]

    def __bool__(self) -> bool:
        return any(folder.series for folder in self.folders)


def find_series(root: Path, skip: Callable[[Path], bool] = lambda folder: False) -> Found:
    """The series at or below a folder.

    Two files of each form of name in a folder are opened (IM1 and IM99), header only; where they are not all
    slices of one series, every file of that folder. The others are listed.

    Args:
        root: the folder.
        skip: whether a folder is not to be looked into.
    """
    found: list[_Folder] = []
    foreign = 0
    for here, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not skip(Path(here, name)))
        files = [Path(here, name) for name in sorted(names) if _may_be_slice(name)]
        if not files:
            continue
        name = os.path.relpath(here, root)
        folder = _looked_into(root.resolve().name if name == "." else Path(name).as_posix(), files)
        if folder.series or folder.labels:
            found.append(folder)
        elif not found and (foreign := foreign + len(files)) > _MOST_FOREIGN:
            break
    return Found(tuple(sorted(found, key=lambda folder: folder.name)))


def is_export(root: Path, files: Sequence[str]) -> bool:
    """Whether a folder with pictures in it is DICOM all the same: an index lies there, or slices do.

    Args:
        root: the folder.
        files: names of the files in it.
    """
    if any(name.upper() == "DICOMDIR" for name in files):
        return True
    slices = [name for name in files if _may_be_slice(name)]
    return any(_peek(root / name) is not None for name in (*slices[:1], *slices[-1:]))


def _may_be_slice(name: str) -> bool:
    plain = name.upper() not in _NAMED_OTHERS
    return plain and not name.startswith(".") and not name.lower().endswith(_OTHERS)


def _looked_into(name: str, files: Sequence[Path]) -> _Folder:
    forms: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        forms[name_form(file.name)].append(file)
    sampled = {file: _peek(file) for group in forms.values() for file in (group[0], group[-1])}
    kinds = {(one.kind, one.series) if one else None for one in sampled.values()}
    if len(kinds) == 1 and None not in kinds and next(iter(kinds))[0] == "image":  # type: ignore[index]
        return _Folder(name, ((next(iter(sampled.values())), tuple(files)),), (), {})  # type: ignore[arg-type]
    if kinds == {None} and len(files) > len(sampled) > 2:
        return _Folder(name, (), (), {})
    looked = {file: sampled[file] if file in sampled else _peek(file) for file in files}
    return _sorted_out(name, looked)


def _peek(file: Path) -> Peek | None:
    head = b""
    try:
        head = first_bytes(file, "", 132)[0]
    except Unreadable:
        return None
    return peek(file) if head[128:132] == b"DICM" or head[:2] == b"\x08\x00" else None


def _sorted_out(name: str, looked: Mapping[Path, Peek | None]) -> _Folder:
    series: dict[str, list[Path]] = defaultdict(list)
    first: dict[str, Peek] = {}
    labels, others = [], defaultdict(list)
    pictures = [one for one in looked.values() if one and one.kind in ("image", "colour")]
    gray = any(one.kind == "image" for one in pictures)
    for file, one in looked.items():
        if one is None or not one.kind:
            if meant_as_slice(file, [picture.path for picture in pictures]) and pictures:
                series[pictures[0].series].append(file)  # damaged: named when it is read
            else:
                others["no DICOM file"].append(file.name)
        elif one.kind in ("segmentation", "structures"):
            labels.append(one)
        elif one.kind == "image" or (one.kind == "colour" and not gray):
            first.setdefault(one.series, one)
            series[one.series].append(file)
        else:
            others["a colour picture" if one.kind == "colour" else one.kind].append(file.name)
    return _Folder(
        name,
        tuple((first[uid], tuple(sorted(files))) for uid, files in series.items() if uid in first),
        tuple(labels),
        {what: tuple(names) for what, names in others.items()},
    )


def open_dicom(
    root: Path,
    found: Found,
    classes: str | None = None,
    *,
    image: str | None = None,
    label: str | None = None,
) -> Dataset:
    """Open a folder of DICOM series.

    Args:
        root: for the name.
        found: from `find_series`.
        classes: see `open_dataset`; names of segments or structures.
        image: take only the series whose case id or name (number and description) matches, such as `*axial*`.
        label: take only the files of segmentations whose path matches, such as `*/expert1/*`.

    Raises:
        UsageError: `classes` names what is not there, or no series matches `image`.
    """
    cases = _named_cases(found)
    series = {
        case: one
        for case, one in cases.items()
        if image is None or fnmatch(case, image) or fnmatch(one[0].name, image)
    }
    if not series:
        told = "; ".join(f"{case} ({one[0].name or 'no name'})" for case, one in list(cases.items())[:8])
        raise UsageError(f"{root}: no series matches {image!r}; there are {told}")
    findings: list[Finding] = []
    labels = _linked(found, series, label, findings)
    names = sorted({name for files in labels.values() for file in files for _, name in file.names})
    kept, _ = choose({name: (number,) for number, name in enumerate(names, 1)}, asked_classes(classes))
    kept = {name: (number,) for number, name in enumerate(kept, 1)}
    if labels:
        findings += _unlabelled(series, labels)
    made = [
        _case(case, files, labels.get(case, ()), kept)
        for case, (_, files) in series.items()
        if case in labels or not labels
    ]
    findings += _spread(series)
    _tell_others(found, [case.id for case in made] or list(series), findings)
    modality = next(iter(series.values()))[0].modality
    return Dataset(
        name=root.resolve().name,
        root=root,
        layout="dicom",
        cases=tuple(sorted(made, key=lambda case: case.id)),
        classes=kept,
        channels=(modality or "image",),
        findings=tuple(findings),
    )


Series = tuple[Peek, tuple[Path, ...]]


def _named_cases(found: Found) -> dict[str, Series]:
    """Case id -> series: the folder, and where it holds several, their number and description."""
    cases: dict[str, Series] = {}
    for folder in found.folders:
        if len(folder.series) == 1:
            cases[folder.name] = folder.series[0]
            continue
        for one, files in folder.series:
            plain = one.name.replace("/", "-") or f"series {one.series[-8:]}"
            case = f"{folder.name}/{plain}"
            cases[case if case not in cases else f"{case} {one.series[-8:]}"] = (one, files)
    return cases


def _linked(
    found: Found, series: Mapping[str, Series], pattern: str | None, findings: list[Finding]
) -> dict[str, tuple[LabelFile, ...]]:
    """Case id -> its segmentations; what cannot be linked, or is one too many, is among the findings."""
    by_uid = {one.series: case for case, (one, _) in series.items()}
    linked: dict[str, list[LabelFile]] = defaultdict(list)
    first = next(iter(series))
    for folder in found.folders:
        beside = [case for case, (_, files) in series.items() if files[0].parent == _parent(folder)]
        for peeked in folder.labels:
            if pattern is not None and not fnmatch(str(peeked.path), pattern):
                continue
            try:
                file = label_file(peeked, first)
            except Unreadable as error:
                where = beside[0] if beside else first
                findings.append(
                    Finding(
                        where,
                        "error",
                        "unreadable_label",
                        error.expected,
                        error.found,
                        error.advice,
                        (peeked.path,),
                    )
                )
                continue
            if not file.names:  # a plan that nothing was drawn for is no label
                what = "an RTSTRUCT without structures"
                told = passed_over([file.path.name], what, (beside or [first])[0])
                findings.append(replace(told, files=(file.path,)))
                continue
            alike = [
                case for case, (one, _) in series.items() if peeked.place and one.place == peeked.place
            ]
            guesses = [] if file.refers else [those[0] for those in (beside, alike) if len(those) == 1]
            case = by_uid.get(file.refers) or next(iter(guesses), None)
            if case is None:
                findings.append(_unlinked(file, first))
            else:
                linked[case].append(file)
    return {case: files for case, files in linked.items() if _one_truth(case, files, findings)}  # type: ignore[misc]


def _parent(folder: _Folder) -> Path:
    return folder.labels[0].path.parent if folder.labels else Path()


def _unlinked(file: LabelFile, case: str) -> Finding:
    return Finding(
        case,
        "error",
        "missing_image",
        "the series that a segmentation refers to",
        f"{file.path}, which refers to series {file.refers or '(none)'}; it is not here",
        "add that series; or keep the segmentation elsewhere",
        (file.path,),
    )


def _one_truth(case: str, files: list[LabelFile], findings: list[Finding]) -> bool:
    """Whether several segmentations of one series name different structures; else they are two truths."""
    names = [name for file in files for name in {name for _, name in file.names}]
    if len(files) == 1 or (len(set(names)) == len(names) and len({file.kind for file in files}) == 1):
        files.sort(key=lambda file: file.path)
        return True
    findings.append(
        Finding(
            case,
            "error",
            "same_id",
            "one segmentation per series",
            f"{len(files)}: {', '.join(str(file.path) for file in files)}",
            "choose one by a pattern of its path with --label",
            tuple(file.path for file in files),
        )
    )
    return False


def _unlabelled(series: Mapping[str, Series], labels: Mapping[str, Any]) -> list[Finding]:
    """Series without a segmentation where others have one: an error, unless the same patient has one."""
    patients = {series[case][0].patient for case in labels}
    found = []
    for case, (one, files) in series.items():
        if case in labels:
            continue
        known = one.patient and one.patient in patients
        found.append(
            Finding(
                case,
                "note" if known else "error",
                "missing_label",
                "a segmentation that refers to the series",
                f"none among the files; {len(files)} file(s) in {files[0].parent.name}"
                + ("; another series of the patient has one" if known else ""),
                "add the segmentation, or leave the series out",
                tuple(files),
            )
        )
    return found


def _spread(series: Mapping[str, Series]) -> list[Finding]:
    """Notes on series that lie in several folders: their slices may belong together, or be copies."""
    folders: dict[str, list[str]] = defaultdict(list)
    for case, (one, _) in series.items():
        folders[one.series].append(case)
    return [
        note(
            cases[0],
            "spread_series",
            "a series in one folder",
            f"the series {uid} in {len(cases)} folders: {', '.join(cases[:5])}",
            "if its slices are spread over them, put them into one folder; if they are copies, keep one",
        )
        for uid, cases in folders.items()
        if uid and len(cases) > 1
    ]


def _tell_others(found: Found, ids: Sequence[str], findings: list[Finding]) -> None:
    for folder in found.folders:
        for what, names in folder.others.items():
            beside = [case for case in ids if case == folder.name or case.startswith(f"{folder.name}/")]
            where = (folder.series[0][1][0] if folder.series else folder.labels[0].path).parent
            told = passed_over(names, what, (beside or ids)[0])
            findings.append(replace(told, files=tuple(where / name for name in names)))


def _case(
    case: str, files: tuple[Path, ...], labels: Sequence[LabelFile], kept: Mapping[str, tuple[int, ...]]
) -> Case:
    label = None
    if labels:
        label = partial(read_dicom_label, tuple(labels), {n: v[0] for n, v in kept.items()}, files, case)
    return Case(
        id=case,
        image_files=files,
        label_files=tuple(file.path for file in labels),
        read_image=partial(read_series, files, case),
        read_label=label,
        read_geometry=partial(series_geometry, files, case),
    )
