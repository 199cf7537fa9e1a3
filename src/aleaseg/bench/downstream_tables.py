"""What the trainings of `bench downstream` say: every Dice, the choices, their differences, and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.bench.draw import mean_dice
from aleaseg.metrics.paired import Repeated, repeated_difference
from aleaseg.pages.markdown import table_markdown
from aleaseg.pages.numbers import interval
from aleaseg.pages.tables import frame_table
from aleaseg.run import Run, write_aside, write_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DownstreamResult", "result_of", "write_downstream"]


@dataclass(frozen=True)
class DownstreamResult:
    """What the trainings say.

    Attributes:
        about: for the head of the page: command, date, machine, versions, dataset, seeds, steps, counts.
        dice: one row per choice, seed, test case and class: dice in [0, 1], high = good, NaN where the
            clean mask does not have the class; group.
        choices: one row per choice: n_train, faulty_left, mean Dice of each seed (`seed_0`, ...), mean.
        differences: choice, baseline (`all` or `random`), difference (of mean Dice, above 0 = the choice
            is better), low, high (95%), signs (one per seed), claim (`helps`, `harms` or `no claim`).
    """

    about: Mapping[str, Any]
    dice: pd.DataFrame
    choices: pd.DataFrame
    differences: pd.DataFrame


def _long(reports: Sequence[Mapping[str, Any]], groups: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for report in reports:
        for case, by_class in report["dice"].items():
            for name, value in by_class.items():
                yield {
                    "choice": report["choice"],
                    "seed": report["seed"],
                    "case": case,
                    "group": groups[case],
                    "class": name,
                    "dice": np.nan if value is None else value,
                }


def result_of(
    about: Mapping[str, Any],
    reports: Sequence[Mapping[str, Any]],
    made: Mapping[str, Any],
    groups: Mapping[str, str],
) -> DownstreamResult:
    """What the trainings say; `groups` is test case -> group, `made` the choices and which cases are faulty."""
    import pandas as pd

    long = pd.DataFrame(_long(reports, groups))
    cases = [case for case in groups if (long["case"].eq(case) & long["dice"].notna()).any()]
    chosen, faulty = made["choices"], set(made["faulty"])
    scores: dict[str, NDArray[np.float64]] = {
        choice: np.array(
            [
                [_mean(report["dice"][case]) for case in cases]
                for report in reports
                if report["choice"] == choice
            ]
        )
        for choice in chosen
    }
    left: dict[str, float] = {choice: len(faulty & set(ids)) for choice, ids in chosen.items()}
    by_lot = [choice for choice in chosen if choice.startswith("random ")]
    # What a choice by lot does on average, seed by seed and case by case.
    scores["random"] = np.mean([scores[choice] for choice in by_lot], axis=0)
    left["random"] = float(np.mean([left[choice] for choice in by_lot]))
    rows = [
        {
            "choice": choice,
            "n_train": len(chosen[by_lot[0] if choice == "random" else choice]),
            "faulty_left": left[choice],
            **{f"seed_{seed}": by_case.mean() for seed, by_case in zip(about["seeds"], found, strict=True)},
            "mean": found.mean(),
        }
        for choice, found in scores.items()
    ]
    of_case = [groups[case] for case in cases]
    differences = [
        {
            "choice": choice,
            "baseline": baseline,
            **repeated_difference(scores[baseline], found, of_case)._asdict(),
        }
        for baseline in ("all", "random")
        for choice, found in scores.items()
        if choice != baseline and choice not in by_lot
    ]
    return DownstreamResult(
        {**about, "tested": len(cases)}, long, pd.DataFrame(rows), pd.DataFrame(differences)
    )


def _mean(by_class: Mapping[str, float | None]) -> float:
    return mean_dice({name: np.nan if value is None else value for name, value in by_class.items()})


def _page(result: DownstreamResult) -> str:
    import pandas as pd

    about = result.about
    folds = f", {about['folds']} folds to measure" if about["folds"] else ""
    head = {
        "command": about["command"],
        "date": about["date"],
        "machine": f"{about['machine']}; each training on one thread, {about['training_seconds']} s in all",
        "versions": ", ".join(f"{name} {number}" for name, number in about["versions"].items()),
        "classes": ", ".join(about["classes"]),
        "seeds": f"split and faults {about['draw']}; trainings {', '.join(map(str, about['seeds']))}",
        "training": f"{about['steps']} steps of {about['batch']} patches{folds}",
    }
    faults = ", ".join(f"{count} {axis} faults" for axis, count in about["faults"].items())
    seeds = {f"seed_{seed}": f"seed {seed}" for seed in about["seeds"]}
    columns = {
        "choice": "choice",
        "n_train": "cases",
        "faulty_left": "faulty left",
        **seeds,
        "mean": "mean",
    }
    forms = {"faulty_left": "g", **dict.fromkeys([*seeds, "mean"], ".4f")}
    lines = [
        f"# Does leaving them out help: {about['dataset']}",
        "",
        *table_markdown(frame_table(pd.DataFrame({"": list(head), " ": list(head.values())}))),
        "",
        f"{about['training_cases']} training cases, {about['faulty']} of them faulty ({faults}, in memory); "
        f"tested on {about['tested']} of {about['test_cases']} clean cases of {about['test_groups']} groups "
        "that nothing was chosen or trained on. Choices by a measure and random choices leave out "
        f"{about['training_cases'] - about['fewest']} cases each; the objective is `{about['objective']}` but "
        "where another is named.",
        "",
        "## Mean Dice on the clean test cases",
        "",
        "Mean over the classes that the clean mask has, then over the cases; high = good.",
        "",
        *table_markdown(frame_table(result.choices, columns, forms)),
    ]
    for baseline, rows in result.differences.groupby("baseline", sort=False):
        lines += ["", f"## Minus `{baseline}`", "", *_differences(rows)]
    lines += [
        "",
        "Differences are of mean Dice, paired by test case, mean over the seeds; `random` is the mean of the "
        "random choices. The interval is over test cases, resampled by group: it reflects one split, one draw of "
        "faults and these trainings. `signs` are those of each seed. A claim needs all seeds on one side and "
        f"an interval that excludes 0; the {len(result.differences)} comparisons are not corrected for their "
        "number.",
        "",
    ]
    if about["unspoken"]:
        names = ", ".join(about["unspoken"])
        lines += [f"Not compared, since they have numbers for too few of these cases: {names}.", ""]
    return "\n".join(lines)


def _differences(rows: pd.DataFrame) -> list[str]:
    spread = [interval(low, high, "+.4f") for low, high in zip(rows["low"], rows["high"], strict=True)]
    columns = {name: name for name in ("choice", "difference", "interval", "signs", "claim")}
    columns["interval"] = "95% interval"
    return table_markdown(frame_table(rows.assign(interval=spread), columns, {"difference": "+.4f"}))


def write_downstream(result: DownstreamResult, out: Run) -> None:
    """Write downstream.csv (a row per choice), downstream_cases.csv (every Dice) and downstream.md."""
    choices, differences = result.choices, result.differences.set_index("choice")
    for baseline in ("random", "all"):
        less = differences.loc[differences["baseline"] == baseline, list(Repeated._fields)]
        choices = choices.join(less.add_prefix(f"minus_{baseline}_"), on="choice")
    write_frame(out.path / "downstream.csv", choices)
    write_frame(out.path / "downstream_cases.csv", result.dice)
    write_aside(out.path / "downstream.md", _page(result).encode("utf-8", "surrogatepass"))
