"""What a reader of an audit has to know, on the page and in the terminal alike."""

from __future__ import annotations

from aleaseg.case import Dataset
from aleaseg.extractors import extractor_class
from aleaseg.run import Run

__all__ = ["notes_after"]


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
            "The label is what was marked with at least half the confidence "
            f"({dataset.confidence.label_is}): the data set has confidences and no label."
        )
    if troubles:
        notes.append(
            f"{len(troubles)} cases could not be used, or only in part; each is named, with what to do."
        )
    if unmapped:
        first = next(iter(unmapped.values()))
        notes.append(
            f"Of {len(unmapped)} suspects it could not be mapped where the doubt is; the first: {first}"
        )
    if manifest["extractor"]["title"] != manifest["extractor"]["name"]:
        notes.append(
            f"S and AUV come from {manifest['extractor']['title']}, which nobody trained: they mean nothing, and "
            "show only that the way is open."
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
