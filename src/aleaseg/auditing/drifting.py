"""The drift alarm of an audit: drift.csv, and what a reader has to know of it."""

from __future__ import annotations

from collections.abc import Sequence

from aleaseg.auditing.growth import Growth
from aleaseg.case import Dataset
from aleaseg.measures.drift import ALPHA
from aleaseg.run import Run, write_table
from aleaseg.scoring.columns import describe_columns
from aleaseg.scoring.drift import DRIFT_COLUMNS, FROM_NETWORKS, Drifted, Sample, find_drift

__all__ = ["drift_of"]

_WHAT_TO_DO = {
    "image": "The scans are of another kind: ask about scanner, protocol, reconstruction and export.",
    "mask": "The masks are drawn otherwise, or of other patients: ask about annotators, tools and referrals.",
    "network": "The networks fit them otherwise than the others, as they do where scans or masks are of another kind.",
}
_MOST = 3


def drift_of(run: Run, dataset: Dataset, growth: Growth | None, reference: Run | None) -> list[str]:
    """Hold the new cases against the population they were compared with, and write drift.csv.

    Args:
        run: its tables written.
        dataset: its cases.
        growth: what came into the run's own data set, or None.
        reference: the run that was compared with, or None.

    Returns:
        Notes for the page; empty where nothing is new.
    """
    file = run.path / "drift.csv"
    if growth is None and reference is None:
        file.unlink(missing_ok=True)
        run.update_manifest(drift=None)
        return []
    classes = list(dataset.classes)
    before = growth.before if growth else frozenset()
    new = Sample.of((record for record in run.records() if record.case not in before), classes)
    others = (reference or run).records()
    population = Sample.of((each for each in others if growth is None or each.case in before), classes)
    found = find_drift(
        new,
        population,
        growth.batches if growth else None,
        leave_out=() if growth else _not_alike(run),
    )
    write_table(file, DRIFT_COLUMNS, (one.row() for one in found))
    alarms = [one for one in found if one.drifts]
    run.update_manifest(
        drift={"cases": len(new.numbers), "tests": len(found), "alarms": len(alarms), "alpha": ALPHA}
    )
    grown = [] if growth is None else [_grown(len(new.numbers), run)]
    return [*grown, *_told(found, alarms, len(new.numbers))]


def _not_alike(run: Run) -> Sequence[str]:
    """What a reference's networks say of new cases is the median of all of them; of its own, one's."""
    manifest = run.manifest
    if (manifest.get("predictions") or {}).get("source") != "reference":
        return ()
    of_networks = manifest["extractor"]["name"] == "task"
    return (*FROM_NETWORKS, *(("perception_scale",) if of_networks else ()))


def _grown(count: int, run: Run) -> str:
    came = "1 case was added" if count == 1 else f"{count} cases were added"
    return (
        f"{came} since the population was made, and {'is' if count == 1 else 'are'} compared with "
        f"its {run.population['cases']} cases as they were then; nothing changed for those. "
        "`--refit` compares all again."
    )


def _told(found: Sequence[Drifted], alarms: Sequence[Drifted], count: int) -> list[str]:
    if not found:
        return [f"Drift was not tested: {count} new cases, counting one per group, are too few."]
    if not alarms:
        return [
            f"No drift: none of {len(found)} tests on the new cases stands out (a false alarm in any of them: at most "
            f"{ALPHA:.0%})."
        ]
    titles = describe_columns(one.measure for one in alarms)
    said = "; ".join(_sentence(one, titles[one.measure]["title"]) for one in alarms[:_MOST])
    more = f"; {len(alarms) - _MOST} more in drift.csv" if len(alarms) > _MOST else ""
    kinds = dict.fromkeys(_kind(one.measure) for one in alarms)
    return [
        f"Drift: the new cases differ from the population in {len(alarms)} of {len(found)} tests (a false alarm in any "
        f"of them: at most {ALPHA:.0%}): {said}{more}.",
        " ".join(
            [
                *(_WHAT_TO_DO[kind] for kind in kinds),
                "Look at the most doubtful of them. Where the new kind is to stay, `--refit` makes it a part of the "
                "population; until then much of their doubt says that they are new.",
            ]
        ),
    ]


def _kind(measure: str) -> str:
    if measure.startswith("img_"):
        return "image"
    return "network" if measure in (*FROM_NETWORKS, "perception_scale") else "mask"


def _sentence(one: Drifted, title: str) -> str:
    shift = one.found.shift
    how = "spread otherwise" if abs(shift) < 0.5 else "higher" if shift > 0 else "lower"
    of = f" of {one.class_name}" if one.class_name else ""
    whose = "" if one.part == "all" else f" ({one.part})"
    size = "" if abs(shift) < 0.5 else f" by {abs(shift):.1f} robust sd"
    return f"{title}{of}{whose} {how}{size}"
