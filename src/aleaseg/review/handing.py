"""Cases out to whoever corrects them: a folder for each, with all that is needed to draw."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.case import Case, usable_label
from aleaseg.errors import UsageError, one_line
from aleaseg.readers.voxels import write_nifti
from aleaseg.report.facts import CaseFacts
from aleaseg.review.decisions import Decisions
from aleaseg.review.judging import judged
from aleaseg.review.scenes import slicer_scene, snap_workspace
from aleaseg.review.session import DECISIONS, data_set_of
from aleaseg.review.stamps import label_stamp
from aleaseg.run import Run, write_aside, write_json, write_table
from aleaseg.where.files import DIFFERENCE, DOUBT, PREDICTION, difference, folder_name, predicted_label
from aleaseg.where.keeping import Mapper

__all__ = ["CORRECTED", "MANIFEST", "hand_out"]

CORRECTED = "corrected.nii.gz"
MANIFEST = "corrections.json"
_IMAGE, _MASK = "image.nii.gz", "mask.nii.gz"
_COLUMNS = ("case", "folder", "verdict", "doubt", "label_doubt", "reasons", "raters", "note")
_DRAWN_ANEW = ("re-annotate", "use-prediction")


def hand_out(
    run: Run,
    out: Path,
    cases: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, str]:
    """Write the cases to be corrected.

    Args:
        run: with decisions, unless cases are named.
        out: a new or an empty folder.
        cases: ids; none: those of which the review says that they are annotated again, or replaced by the prediction.
        progress: called with done, total.

    Returns:
        Case -> why it could not be written; empty where all could.

    Raises:
        UsageError: there is nothing to correct, a case is not in the run, or the folder holds something else.
    """
    dataset, facts = data_set_of(run), CaseFacts(run)
    verdicts = _asked(run, cases, facts)
    if out.exists() and any(out.iterdir()):
        raise UsageError(
            f"{out} is not empty; expected a new folder; corrections in it are never overwritten"
        )
    mapper = Mapper.of(run, dataset)
    there = {case.id: case for case in dataset.cases}
    said = _said(run)
    rows, entries, troubles = [], dict[str, Any](), dict[str, str]()
    for number, (case_id, verdict) in enumerate(verdicts.items()):
        progress(number, len(verdicts))
        folder = out / folder_name(case_id)
        try:
            if case_id not in there or there[case_id].read_label is None:
                raise UsageError(f"{case_id}: found no mask in the data set; expected one to correct")
            _write_case(folder, there[case_id], mapper, verdict)
        except Exception as error:  # whatever one case does, the others go on; the text names it
            shutil.rmtree(folder, ignore_errors=True)
            troubles[case_id] = one_line(case_id, error)
            continue
        entries[case_id] = {
            "folder": folder.name,
            "verdict": verdict,
            "label_stamp": label_stamp(there[case_id]),
        }
        rows.append(_row(case_id, folder, verdict, facts, said.get(case_id, {})))
    write_table(out / "reading_list.csv", _COLUMNS, rows)
    write_json(out / MANIFEST, {"kind": "corrections", "run": str(run.path.resolve()), "cases": entries})
    progress(len(verdicts), len(verdicts))
    return troubles


def _asked(run: Run, cases: Sequence[str], facts: CaseFacts) -> dict[str, str]:
    known = set(facts.cases["case"].astype(str))
    if cases:
        if strange := [case for case in cases if case not in known]:
            raise UsageError(f"the run has no case {strange[0]!r}; expected ids of cases.csv")
        return dict.fromkeys(cases, "re-annotate")
    found = {case: verdict for case, verdict in judged(run).mend if verdict in _DRAWN_ANEW}
    if not found:
        raise UsageError(
            "the review has no case whose mask is to be annotated again or replaced by the prediction; expected at "
            "least one; decide so in `aleaseg review`, or name cases with `--cases`"
        )
    return found


def _write_case(folder: Path, case: Case, mapper: Mapper, verdict: str) -> None:
    image = case.read_image()
    geometry = image.geometry
    mask = usable_label(case, geometry.shape)
    assert mask is not None
    predicted = predicted_label(case, mapper.predictions)
    if predicted is None and verdict == "use-prediction":
        raise UsageError(
            f"{case.id}: found no prediction; expected one to be used; annotate it again instead"
        )
    write_nifti(folder / _IMAGE, image.array if len(image.array) > 1 else image.array[0], geometry)
    write_nifti(folder / _MASK, mask, geometry)
    labels, others = [CORRECTED, _MASK], list[str]()
    if predicted is not None:
        for name, array in (
            (PREDICTION, predicted.astype(mask.dtype)),
            (DIFFERENCE, difference(mask, predicted, mapper.dataset.ignore)),
        ):
            write_nifti(folder / f"{name}.nii.gz", array, geometry)
        labels, others = [*labels, f"{PREDICTION}.nii.gz"], [f"{DIFFERENCE}.nii.gz"]
    if (kept := mapper.kept(case)) is not None:
        write_nifti(folder / f"{DOUBT}.nii.gz", kept.doubt(), geometry)
    proposed = predicted if verdict == "use-prediction" else mask
    write_nifti(folder / CORRECTED, np.asarray(proposed).astype(mask.dtype), geometry)
    write_aside(
        folder / "scene.mrml", slicer_scene(_IMAGE, labels, mapper.dataset.classes, others).encode()
    )
    workspace = snap_workspace(folder, _IMAGE, labels, mapper.dataset.classes, others)
    write_aside(folder / "workspace.itksnap", workspace.encode())


def _said(run: Run) -> dict[str, dict[str, list[str]]]:
    """Case -> reasons and notes of all raters that hold."""
    found: dict[str, dict[str, list[str]]] = {}
    if not (run.path / DECISIONS).exists():
        return found
    decisions = Decisions(run.path / DECISIONS, read_only=True)
    try:
        last = {
            (row["case_id"], row["rater"], row["kind"]): row["payload"]
            for row in decisions.events()
            if row["kind"] in ("reasons", "note") and not row["undone"] and not row["class"]
        }
    finally:
        decisions.close()
    for (case, rater, kind), payload in last.items():
        text = "; ".join(payload.get("codes", ())) if kind == "reasons" else str(payload.get("text", ""))
        if text:
            found.setdefault(case, {}).setdefault(kind, []).append(f"{rater}: {text}")
    return found


def _row(
    case: str, folder: Path, verdict: str, facts: CaseFacts, said: dict[str, list[str]]
) -> dict[str, Any]:
    numbers = facts.cases[facts.cases["case"].astype(str) == case].iloc[0]
    return {
        "case": case,
        "folder": folder.name,
        "verdict": verdict,
        **{name: float(numbers[name]) for name in ("doubt", "label_doubt") if name in facts.cases},
        "reasons": "; ".join(one.sentence for one in facts.reasons(case)),
        "raters": " | ".join(said.get("reasons", [])),
        "note": " | ".join(said.get("note", [])),
    }
