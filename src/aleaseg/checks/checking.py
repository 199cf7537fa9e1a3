"""Every case once: can its files be used, and what is odd about them?

Errors make a case unusable as it is; notes are worth a look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Finding, Stored, Voxels, stored_image
from aleaseg.checks import confidence, nnunet
from aleaseg.checks.closing import as_json, finding_row
from aleaseg.checks.far_out import far_out
from aleaseg.checks.looked import Looked, kept_or_looked
from aleaseg.checks.result import CheckResult
from aleaseg.checks.turned import geometry_advice
from aleaseg.errors import BadVoxels, CaseError, ShapeMismatch
from aleaseg.readers.fit import differs_in_world, image_fault, image_hash, known_to_one
from aleaseg.readers.mask_values import between_only, value_counts
from aleaseg.readers.segments import are_segmentations, segments_of
from aleaseg.run import write_json, write_table
from aleaseg.work import cores, in_threads, map_cases

__all__ = ["check", "join_groups", "same_image_groups", "summary", "write_check"]

Read = TypeVar("Read", Voxels, Stored)
_COLUMNS = ("case", "severity", "check", "expected", "found", "advice", "files")


def check(
    dataset: Dataset,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    kept: Path | None = None,
) -> CheckResult:
    """Look at every case of a data set, never stopping at a fault.

    Args:
        dataset: as `open_dataset` gives it.
        progress: called with (cases done, cases in all) after each case.
        workers: threads; by default one per core, two at least and four at most (each holds one case in memory).
        kept: a folder where what is seen of each case is kept; what is there, of files that did not change, is
            not looked at again. None: nothing is kept.

    Returns:
        Errors: pairs missing either way, files that cannot be read, shapes or
        geometry that differ, NaN, infinite or constant images, label values that
        are not declared or no whole numbers; confidences likewise, and out of their scale.
        Notes: the same image under two ids, spacing, orientation or size far out, empty
        masks, overlapping structures, raters who are missing, files that were passed over,
        and what nnU-Net would refuse of a data set that is declared for it.
    """
    # Inflating and reducing release the interpreter lock, so threads are enough; each holds a case in memory.
    bare = dataset.with_cases(())
    look = partial(_look, bare, nnunet.is_for_nnunet(dataset))
    seen = map_cases(
        look if kept is None else partial(kept_or_looked, kept.resolve(), bare, look),
        dataset.cases,
        workers=workers or max(2, min(4, cores())),
        executor=in_threads,
        progress=progress or (lambda done, total: None),
        killed=lambda case, error: Looked((_unforeseen(case, error.found),)),
    )
    looked = {case.id: one for case, one in seen}
    hashes = {case.id: looked[case.id].image_hash for case in dataset.cases}
    known = {case: digest for case, digest in hashes.items() if digest is not None}
    geometries = {case: one.geometry for case, one in looked.items() if one.geometry is not None}
    findings = [
        *dataset.findings,
        *nnunet.notes(dataset),
        *(finding for one in looked.values() for finding in one.findings),
        *_twins(known),
        *far_out(geometries),
        *confidence.dataset_findings(
            dataset, {case: one.certain for case, one in looked.items() if one.certain is not None}
        ),
    ]
    findings.sort(key=lambda finding: (finding.severity != "error", finding.case, finding.check))
    ids = {case.id for case in dataset.cases} | {
        finding.case for finding in dataset.findings if finding.case
    }
    return CheckResult(tuple(findings), known, len(ids), dataset.classes, dataset.account)


def same_image_groups(result: CheckResult) -> tuple[tuple[str, ...], ...]:
    """Ids whose images have the same voxels, each group sorted; only groups of two and more."""
    by_hash: dict[str, list[str]] = defaultdict(list)
    for case, digest in result.image_hashes.items():
        by_hash[digest].append(case)
    return tuple(sorted(tuple(sorted(cases)) for cases in by_hash.values() if len(cases) > 1))


def join_groups(dataset: Dataset, result: CheckResult) -> Dataset:
    """The data set with the groups joined whose images are the same, so that they share a fold.

    Two patients under whose names the same image lies become one group, which takes
    the name that comes first.
    """
    parent = {case.group or case.id: case.group or case.id for case in dataset.cases}

    def root(group: str) -> str:
        while parent[group] != group:
            group = parent[group]
        return group

    group_of = {case.id: case.group or case.id for case in dataset.cases}
    for first, *others in same_image_groups(result):
        for other in others:
            if first in group_of and other in group_of:
                low, high = sorted((root(group_of[first]), root(group_of[other])))
                parent[high] = low
    return dataset.with_cases([replace(case, group=root(group_of[case.id])) for case in dataset.cases])


def summary(result: CheckResult) -> str:
    """One line: `203 cases, 3 errors (missing_image 2, missing_label 1), no notes`."""

    def part(findings: Iterable[Finding], what: str) -> str:
        counts: dict[str, int] = defaultdict(int)
        for finding in findings:
            counts[finding.check] += 1
        total = sum(counts.values())
        if not total:
            return f"no {what}s"
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        return f"{total} {what}{'' if total == 1 else 's'} ({kinds})"

    cases = f"{result.n_cases} case{'' if result.n_cases == 1 else 's'}"
    return f"{cases}, {part(result.errors, 'error')}, {part(result.notes, 'note')}"


def write_check(run: str | Path, result: CheckResult) -> None:
    """Write check.csv and check.json into a folder.

    Args:
        run: the folder of a run.
        result: from `check`.
    """
    rows = [finding_row(finding) for finding in result.findings]
    cells = [{**row, "files": "; ".join(row["files"])} for row in rows]
    write_table(Path(run) / "check.csv", _COLUMNS, cells)
    write_json(Path(run) / "check.json", as_json(result))


def _look(dataset: Dataset, for_nnunet: bool, case: Case) -> Looked:
    """All that one case says by itself."""
    findings: list[Finding] = []
    image = label = certain = None
    try:
        image = _tried(partial(stored_image, case), "image", findings, case)
        label = _tried(case.read_label, "label", findings, case) if case.read_label else None
        if image is not None:
            findings += _image_findings(case, image)
        if label is not None:
            findings += _label_findings(case, label, dataset)
        if image is not None and label is not None:
            findings += _fit_findings(case, image, label)
            findings += nnunet.case_notes(case, image, label) if for_nnunet else []
        digest = None if image is None else image_hash(image)
        # A label that is made of confidences has told what is wrong with them.
        told = label is None and dataset.confidence is not None and dataset.confidence.makes_label
        if case.read_confidence is not None and not told:
            certain = _confidence(case, image, findings)
    # One case must not take the others with it, whatever it holds.
    except Exception as error:
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        findings.append(_unforeseen(case, found))
        return Looked(tuple(findings))
    return Looked(tuple(findings), digest, None if image is None else image.geometry, certain)


def _confidence(case: Case, image: Stored | None, findings: list[Finding]) -> confidence.Certain | None:
    """The highest confidences of a case; what is wrong with them is added to the findings."""
    assert case.read_confidence is not None
    q = _tried(case.read_confidence, "confidence", findings, case)
    if q is None:
        return None
    findings += confidence.case_findings(case, image, q)
    raters = case.read_raters().array if case.read_raters is not None and case.raters else None
    return confidence.certain(case, q.array, raters)


def _unforeseen(case: Case, found: str) -> Finding:
    return Finding(
        case.id, "error", "unforeseen", "a case that can be read", found,
        "look at its files; if they are sound, report this",
    )  # fmt: skip


def _tried(read: Callable[[], Read], what: str, findings: list[Finding], case: Case) -> Read | None:
    """The voxels, or None and a finding."""
    try:
        voxels = read()
    except CaseError as error:
        kinds = {BadVoxels: "values", ShapeMismatch: "shapes"}
        name = f"{what}_{kinds[type(error)]}" if type(error) in kinds else f"unreadable_{what}"
        findings.append(Finding(case.id, "error", name, error.expected, error.found, error.advice))
        return None
    findings += voxels.notes
    return voxels


def _image_findings(case: Case, image: Stored) -> list[Finding]:
    fault = image_fault(image)
    if fault is None:
        return []
    advice = "export the image again, or leave the case out"
    return [Finding(case.id, "error", f"{fault[0]}_image", "finite numbers that differ", fault[1], advice)]


def _label_findings(case: Case, label: Voxels, dataset: Dataset) -> list[Finding]:
    present = value_counts(label.array)
    allowed = {0, *dataset.values} | ({dataset.ignore} if dataset.ignore is not None else set())
    findings = []
    strange = {value: count for value, count in present.items() if value not in allowed}
    if strange:
        told = ", ".join(f"{value} at {count} voxels" for value, count in list(strange.items())[:5])
        more = f" and {len(strange) - 5} values more" if len(strange) > 5 else ""
        findings.append(
            Finding(
                case.id, "error", "undeclared_value",
                f"the values {', '.join(map(str, sorted(allowed)))}", told + more,
                "correct the mask, or declare the class",
            )
        )  # fmt: skip
    elif not set(present) & set(dataset.values):
        findings.append(
            Finding(
                case.id, "note", "empty_mask", "some foreground", f"none in {label.array.size} voxels",
                "check whether there is truly nothing to mark",
            )
        )  # fmt: skip
    elif 0 not in present and dataset.ignore not in present:
        findings.append(
            Finding(
                case.id, "note", "no_background", "0 where there is nothing",
                f"{', '.join(map(str, list(present)[:5]))} in all {label.array.size} voxels",
                "if the lowest value means background, subtract it",
            )
        )  # fmt: skip
    findings += _named_otherwise(case, dataset)
    rims = between_only(label.array)
    if rims:
        told = ", ".join(f"{value} at {count} voxels" for value, count in rims[:5])
        findings.append(
            Finding(
                case.id, "note", "interpolated_mask", "classes with an inside",
                f"{told}, a voxel thin and only between lower and higher values",
                "so interpolation leaves a mask; resample it with nearest neighbours",
            )
        )  # fmt: skip
    return findings


def _named_otherwise(case: Case, dataset: Dataset) -> list[Finding]:
    """A note where a segmentation of Slicer gives a class another number than the data set declares."""
    if dataset.layout != "nnunet" or not are_segmentations(case.label_files):
        return []
    told = [
        f"{one.name} is {one.value} in {case.label_files[0].name} and {dataset.classes[one.name][0]} as declared"
        for one in segments_of(case.label_files[0], case.id)
        if one.name in dataset.classes and one.value not in dataset.classes[one.name]
    ]
    if not told:
        return []
    return [
        Finding(
            case.id, "note", "two_values", "one number for a class", "; ".join(told),
            "the number was followed, as nnU-Net does; export the label with the declared numbers if the name is right",
        )
    ]  # fmt: skip


def _fit_findings(case: Case, image: Stored, label: Voxels) -> list[Finding]:
    shape = image.channels[0].shape
    if label.array.shape != shape:
        return [
            Finding(
                case.id, "error", "shape", f"a label of the image's shape, {_times(shape)}",
                f"a label of shape {_times(label.array.shape)}",
                "find the label of this image, or resample it to the image's grid",
                (*case.image_files, *case.label_files),
            )
        ]  # fmt: skip
    apart = differs_in_world(image.geometry, label.geometry)
    if _holds_mask(image, label.array):
        return [
            Finding(
                case.id, "note", "image_is_mask", "an image and a mask", "the mask in the image's place as well",
                "check whether masks were copied over the images", (*case.image_files, *case.label_files),
            )
        ]  # fmt: skip
    if apart is None:
        alone = known_to_one(image.geometry, label.geometry)
        if alone is None:
            return []
        return [
            Finding(
                case.id, "note", "one_geometry", "image and label that both state their position", alone,
                "whether they are in the same place cannot be told; copy the header of one to the other if they are",
            )
        ]  # fmt: skip
    return [
        Finding(
            case.id, "error", "geometry", "a label in the place of its image", apart,
            geometry_advice(image.geometry, label.geometry), (*case.image_files, *case.label_files),
        )
    ]  # fmt: skip


def _holds_mask(image: Stored, label: NDArray) -> bool:
    """Whether an image is its label, but for how it writes the values."""
    if len(image.channels) > 1 or not label.any():
        return False
    pairs = zip(image.channels[0], label, strict=True)
    if not all(
        np.array_equal(image.scaled(flat, image.scales[0]) != 0, known != 0) for flat, known in pairs
    ):
        return False
    return len(np.unique(image.values().array)) == len(np.unique(label))


def _twins(hashes: Mapping[str, str]) -> list[Finding]:
    findings = []
    for group in same_image_groups(CheckResult((), hashes)):
        for case in group:
            others = [other for other in group if other != case]
            told = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
            findings.append(
                Finding(
                    case, "note", "same_image", "an image of its own", f"the same voxels as {told}",
                    "keep one of them; until then they share a fold",
                )
            )  # fmt: skip
    return findings


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
