"""What a reader of an audit has to know, on the page and in the terminal alike."""

from __future__ import annotations

import re

from aleaseg.case import Case, Dataset
from aleaseg.extractors import extractor_class
from aleaseg.run import Run

__all__ = ["notes_after"]

# As ids name a patient: ACDC's `patient001_frame01`, `sub-01_ses-2`.
_PATIENT = re.compile(r"(?:^|(?<=[^a-z]))((?:patient|subject|subj|sub|pat)[-_]?)\d+", re.IGNORECASE)


def notes_after(
    run: Run, dataset: Dataset, troubles: dict[str, str], unmapped: dict[str, str]
) -> list[str]:
    """What a reader of the numbers has to know, one sentence or two each."""
    manifest = run.manifest
    notes = []
    population = manifest["population"]
    if population is None:
        notes.append(
            f"Fewer than 20 cases could be measured ({len(dataset.cases) - len(troubles)}): they are too few to "
            "compare with one another, so there are no doubts and no AUV. `--reference RUN` compares them with "
            "another run's population."
        )
    elif (share := population["above_half"]["doubt"]) is not None:
        notes.append(f"{share:.1%} of the cases have a doubt above 0.5.")
    if dataset.confidence is not None and dataset.confidence.makes_label:
        notes.append(
            f"The label is where the confidence is at least one half ({dataset.confidence.label_is}): the data set "
            "has confidences and no label."
        )
    if manifest["settings"].get("predictions") == "crossfit" and (hint := _one_patient_twice(dataset)):
        notes.append(hint)
    if troubles:
        notes.append(
            f"{len(troubles)} cases could not be used, or only in part; each is listed, with what to do."
        )
    if unmapped:
        first = next(iter(unmapped.values()))
        notes.append(f"For {len(unmapped)} suspects no map of the doubt could be made; the first: {first}")
    if manifest["extractor"]["title"] != manifest["extractor"]["name"]:
        notes.append(
            f"S and AUV come from {manifest['extractor']['title']}, which is untrained: they mean nothing, and "
            "show only that the command works."
        )
    if (scenario := manifest["settings"].get("scenario")) is not None:
        cut = "--class NAME" if scenario in "bd" else "--by auv"
        notes.append(
            f"Scenario {scenario} of the paper: `aleaseg select {run.path} {cut} --quantile 0.95` cuts as it does"
            f"{', by the one class that you name' if scenario in 'bd' else ', by all classes'}."
        )
    if population is not None and (
        caution := extractor_class(manifest["extractor"]["name"]).traits.caution
    ):
        notes.append(caution)
    return notes


def _one_patient_twice(dataset: Dataset) -> str:
    """What to type where ids name one patient twice, and the two cases are not of one group."""
    if not dataset.has_labels:
        return ""
    seen: dict[str, Case] = {}
    for case in dataset.cases:
        found = _PATIENT.search(case.id)
        if found is None:
            continue
        other = seen.setdefault(found[0], case)
        if other.group != case.group:
            return (
                f"{other.id} and {case.id} look like scans of one patient. A network that has learned one of them "
                "agrees with a mistake that the other shares: audit again, into another folder, with "
                f"--groups '({found[1]}\\d+)'."
            )
    return ""
