"""Does leaving them out help: networks trained with and without the suspects, tested on clean cases.

A part of the patients is held out, clean. Of the others a share gets faults (in
memory), one draw is cross-fitted and measured, and the same small network is
trained on several choices of the same faulty cases,

    all           every one
    clean         the truly clean ones: what could be reached at best
    a measure     without as many of its most suspicious cases as there are faulty ones
    random        without as many by lot

each from several seeds. With several objectives (DUO's, say) the first trains every choice, and each of
the others trains on all cases, as `all + duo`. Choices of one seed start from the same weights, take the
same number of steps, and share working grid and normalisation, so that they differ
by their cases alone. With y_csi the Dice of choice c, seed s and test case i (mean
over the classes that the clean mask has), a choice is compared with a baseline by

    d = mean_i mean_s (y_csi - y_bsi)

and an interval over the test cases, resampled by group. The interval knows
nothing of the scatter between trainings; the signs of mean_i (y_csi - y_bsi), seed
by seed, do. Something is claimed only where both agree.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.bench.draw import Draw, fit_draw, mean_dice, open_draw, plan_draw
from aleaseg.bench.mixed import suspicions
from aleaseg.bench.opening import begin_bench, open_clean
from aleaseg.bench.settings import DownstreamSettings
from aleaseg.case import Case, Dataset
from aleaseg.errors import UsageError
from aleaseg.measures.label_agreement import dice
from aleaseg.metrics import interval
from aleaseg.metrics.paired import case_resamples, mean_over_cases
from aleaseg.predictions import Prediction
from aleaseg.predictions.folds import hold_out
from aleaseg.predictions.working import grid_of, prepare_case, prepared_file
from aleaseg.run import Run, now, read_json, versions, write_aside, write_json, write_table
from aleaseg.training.grid import default_steps
from aleaseg.training.loop import TrainSettings, fit, predict_logits
from aleaseg.training.network import build_network
from aleaseg.training.objective import make_objective, settings_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DownstreamResult",
    "DownstreamSettings",
    "Paired",
    "choose_cases",
    "hold_out",
    "paired_difference",
    "run_downstream",
    "write_downstream",
]

Progress = Callable[[str, int, int], None]
# An interval over fewer groups than these would be a number without a meaning.
_FEWEST_GROUPS = 5


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


# -- which cases ------------------------------------------------------------------------------


def choose_cases(
    cases: Sequence[str],
    faulty: Collection[str],
    suspicion: Mapping[str, ArrayLike],
    *,
    randoms: int,
    seed: int,
    count: int | None = None,
) -> dict[str, list[str]]:
    """What each choice trains on: all choices but `all` and `clean` leave out the same number of cases.

    Args:
        cases: N ids.
        faulty: those of them with a fault.
        suspicion: measure -> (N,), high = bad; NaN: the measure does not speak of the case and keeps it.
            Equal ones by lot.
        randoms: choices by lot.
        seed: of the lot.
        count: how many are left out; None: as many as are faulty.

    Returns:
        Choice -> ids, in the order of `cases`; `clean` only where some are faulty. A measure that speaks
        of fewer cases than are to be left out is not among the choices.

    >>> chosen = choose_cases(["a", "b", "c"], {"b"}, {"m": [0.1, 0.2, 0.9]}, randoms=1, seed=0)
    >>> chosen["clean"], chosen["m"], len(chosen["random 1"])
    (['a', 'c'], ['a', 'b'], 2)
    """
    clean = [case for case in cases if case not in faulty]
    count = len(cases) - len(clean) if count is None else count

    def without_worst(name: str, values: NDArray[np.float64]) -> list[str]:
        lot = np.random.default_rng([seed, crc32(name.encode())]).permutation(len(cases))
        worth = np.where(np.isnan(values), -np.inf, values)[lot]
        dropped = set(lot[np.argsort(-worth, kind="stable")[:count]].tolist())
        return [case for index, case in enumerate(cases) if index not in dropped]

    scores = {name: np.asarray(values, dtype=np.float64) for name, values in suspicion.items()}
    return {
        "all": list(cases),
        **({"clean": clean} if len(clean) < len(cases) else {}),
        **{
            name: without_worst(name, values)
            for name, values in scores.items()
            if np.count_nonzero(~np.isnan(values)) >= count
        },
        **{
            name: without_worst(name, np.zeros(len(cases)))
            for name in (f"random {number}" for number in range(1, randoms + 1))
        },
    }


def _choices(folder: Path, draw: Draw, usable: Collection[str], settings: DownstreamSettings) -> dict:
    """The choices, made once: what is begun goes on with the same cases."""
    file = folder / "choices.json"
    if not file.exists():
        cases = [case.id for case in draw.dataset.cases if case.id in usable]
        suspicion = {}
        if settings.names:
            table = suspicions([draw]).set_index("case").reindex(cases)
            suspicion = {name: table[name].to_numpy(dtype=float) for name in settings.names}
        faulty = set(draw.truth) & set(cases)
        count = None if settings.leave_out is None else round(settings.leave_out * len(cases))
        chosen = choose_cases(
            cases, faulty, suspicion, randoms=settings.randoms, seed=settings.first, count=count
        )
        others = {f"all + {way}": chosen["all"] for way in settings.ways[1:]}
        chosen = {"all": chosen["all"], **others, **chosen}
        write_json(file, {"faulty": sorted(faulty), "choices": chosen})
    kept: dict = read_json(file)
    return kept


# -- the trainings ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cell:
    """One training."""

    choice: str
    seed: int
    cases: Sequence[str]
    steps: int
    batch: int
    objective: str

    def file(self, folder: Path, suffix: str) -> Path:
        name = self.choice.replace(" + ", "+").replace("/", "-").replace(" ", "_").replace(":", "-")
        return folder / f"{name}_{self.seed}{suffix}"


def _cells(chosen: Mapping[str, Sequence[str]], settings: DownstreamSettings, plan: Mapping) -> list[_Cell]:
    batch = min(plan["batch"], *map(len, chosen.values()))
    steps = settings.steps or default_steps(len(chosen["all"]), len(plan["values"]), batch)
    return [
        _Cell(choice, seed, cases, steps, batch, choice.partition(" + ")[2] or settings.ways[0])
        for seed in settings.seeds
        for choice, cases in chosen.items()
    ]


def _copies(work: Run) -> Path:
    return work.path / "models" / "prepared"


def _prepare(work: Run, draw: Draw, test: Dataset, plan: Mapping, progress: Progress) -> None:
    """Working copies of the faulty training cases and of the clean test cases, as the draw's plan has them."""
    from joblib import Parallel, delayed

    cases = [*(case for case in draw.dataset.cases if case.id in plan["groups"]), *test.cases]
    _copies(work).mkdir(parents=True, exist_ok=True)
    grid, rules, values = grid_of(plan), plan["normalisation"], plan["values"]
    jobs = (
        delayed(prepare_case)(case, prepared_file(work, case.id), grid, rules, values, test.ignore)
        for case in cases
    )
    # A test case that has no working copy is none that a network could be tested on, in no choice.
    for done, _ in enumerate(Parallel(n_jobs=os.cpu_count() or 1, return_as="generator")(jobs), start=1):
        progress("copy", done, len(cases))


def _train(cell: _Cell, work: Run, plan: Mapping[str, Any], test: Dataset) -> None:
    """One training from wherever it was left, and its Dice on every test case."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(cell.seed)
    grid, device = grid_of(plan), plan["device"]
    network = build_network(grid, plan["channels"], 1 + len(plan["values"]))
    checkpoint = cell.file(work.path, ".pt")
    objective = make_objective(
        settings_of(cell.objective), network, cell.cases, len(plan["values"]), seed=cell.seed
    )
    report = fit(
        network,
        [prepared_file(work, case) for case in cell.cases],
        grid.patch,
        TrainSettings(cell.steps, cell.batch, seed=cell.seed),
        checkpoint=checkpoint,
        device=device,
        objective=objective,
    )
    found = {}
    for case in test.cases:
        copy = prepared_file(work, case.id)
        if copy.label.exists():
            logits = predict_logits(network, copy.arrays()[0], grid.patch, device)
            found[case.id] = _test(case, logits, test)
    about = {
        "choice": cell.choice,
        "objective": cell.objective,
        "seed": cell.seed,
        "n_train": len(cell.cases),
    }
    write_json(cell.file(work.path, ".json"), {**about, **report, "dice": found})
    checkpoint.unlink(missing_ok=True)


def _test(case: Case, logits: NDArray, dataset: Dataset) -> dict[str, float]:
    """Class -> Dice with the clean mask, on the case's own grid; NaN where the mask does not have the class."""
    assert case.read_label is not None
    label = case.read_label().array
    annotated = np.ones(label.shape, dtype=bool) if dataset.ignore is None else label != dataset.ignore
    prediction = Prediction(logits, "logit", label.shape, dataset.classes)
    masks = {name: np.isin(label, values) for name, values in dataset.classes.items()}
    return {
        name: dice(mask, prediction.mask(name) & annotated) if mask.any() else float("nan")
        for name, mask in masks.items()
    }


def _train_all(
    todo: Sequence[_Cell],
    work: Run,
    plan: Mapping[str, Any],
    test: Dataset,
    tell: Callable[[int], None],
) -> None:
    """The trainings that are left, a process per core, each on one thread."""
    from joblib import Parallel, delayed

    workers = 1 if plan["device"] == "cuda" else min(os.cpu_count() or 1, len(todo))
    # No job waits inside the pool: where this process dies, only the trainings at hand go on to their end.
    pool = Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch=workers)
    for done, _ in enumerate(pool(delayed(_train)(cell, work, plan, test) for cell in todo), start=1):
        tell(done)


def run_downstream(
    settings: DownstreamSettings,
    out: Run,
    progress: Progress = lambda stage, done, total: None,
    *,
    command: str = "",
) -> DownstreamResult:
    """Put faults in, measure, leave out, train, test. What is finished is not done again.

    Args:
        settings: what is asked.
        out: where; empty, or begun with the same settings. Nothing of the data set is changed.
        progress: called with stage (`prepare`, `train`, `score` of the draw, then `copy` and
            `compare`), done, total.
        command: as it was typed, for the page.

    Raises:
        UsageError: the arguments cannot work, the folder was made with others, or too few groups.
        AleasegError: a training failed; what is finished is kept.
    """
    clean = open_clean(settings)
    held = set(hold_out({case.id: _group(case) for case in clean.cases}, settings.held_out, settings.first))
    test = clean.with_cases([case for case in clean.cases if case.id in held])
    training = clean.with_cases([case for case in clean.cases if case.id not in held])
    for part, cases in (("test", test.cases), ("training", training.cases)):
        if len({_group(case) for case in cases}) < _FEWEST_GROUPS:
            raise UsageError(
                f"the {part} part has {len(cases)} cases of {len({_group(case) for case in cases})} groups; "
                f"expected at least {_FEWEST_GROUPS} groups; hold out another share, or give more data"
            )
    begin_bench(out, settings, clean, "downstream")
    # Worker processes are kept between calls, and stay where the first call was made.
    run = Run(out.path.resolve() / "draws" / str(settings.first))
    draw = open_draw(run, training, settings.first, share=settings.share)
    # Where no measure chooses, nothing is measured.
    (fit_draw if settings.names else plan_draw)(draw, settings.crossfit(settings.first), progress)
    plan = read_json(run.path / "models" / "plan.json")
    work = Run(run.path / "trainings")
    made = _choices(work.path, draw, set(plan["groups"]), settings)
    cells = _cells(made["choices"], settings, plan)
    todo = [cell for cell in cells if not cell.file(work.path, ".json").exists()]
    finished = len(cells) - len(todo)
    if todo:
        _prepare(work, draw, test, plan, progress)
        progress("compare", finished, len(cells))
        _train_all(todo, work, plan, test, lambda done: progress("compare", finished + done, len(cells)))
        for copy in _copies(work).glob("*.npy"):
            copy.unlink()
    reports = [read_json(cell.file(work.path, ".json")) for cell in cells]
    about = {
        "command": command,
        "date": now(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {settings.device}",
        "versions": versions(),
        "dataset": clean.name,
        "classes": list(clean.classes),
        "draw": settings.first,
        "seeds": list(settings.seeds),
        "steps": cells[0].steps,
        "batch": cells[0].batch,
        "folds": settings.folds,
        "objective": settings.ways[0],
        "training_cases": len(made["choices"]["all"]),
        "faulty": len(made["faulty"]),
        "fewest": len(made["choices"]["random 1"]),
        "faults": _counts(draw, made["faulty"]),
        "test_cases": len(test.cases),
        "test_groups": len({_group(case) for case in test.cases}),
        "unspoken": [name for name in settings.names if name not in made["choices"]],
        "training_seconds": round(sum(report["seconds"] for report in reports)),
    }
    return _result(about, reports, made, {case.id: _group(case) for case in test.cases})


def _group(case: Case) -> str:
    return case.group or case.id


def _counts(draw: Draw, faulty: Sequence[str]) -> dict[str, int]:
    axes = [draw.truth[case].axis for case in faulty]
    return {axis: axes.count(axis) for axis in ("mask", "image")}


# -- what they say ----------------------------------------------------------------------------


class Paired(NamedTuple):
    """A choice less a baseline, over the same test cases.

    Attributes:
        difference: of mean Dice, mean over the seeds; above 0 = the choice is better.
        low, high: 95% interval over the cases, resampled by group; of these seeds only.
        signs: `+`, `-` or `0` of the difference in each seed.
        claim: `helps` or `harms` where all of several seeds agree and the interval leaves out 0;
            else `no claim`.
    """

    difference: float
    low: float
    high: float
    signs: str
    claim: str


def paired_difference(choice: ArrayLike, baseline: ArrayLike, group: ArrayLike) -> Paired:
    """Compare two ways to train, on the same test cases and seeds.

    Args:
        choice: (S, N) Dice of S seeds and N cases, finite.
        baseline: (S, N).
        group: (N,) labels.

    Raises:
        ValueError: the shapes differ, or a value is not finite.

    >>> better = [[0.8, 0.9, 0.7], [0.9, 0.9, 0.8]]
    >>> found = paired_difference(better, np.subtract(better, 0.1), ["p", "q", "r"])
    >>> round(found.difference, 6), found.signs, found.claim
    (0.1, '++', 'helps')
    """
    first, second = np.asarray(choice, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or not np.isfinite(first + second).all():
        raise ValueError(
            f"choice is {first.shape} and baseline {second.shape}; expected finite Dice of one shape, "
            "(seeds, cases), without the cases that have none"
        )
    gaps = first - second
    by_case = gaps.mean(axis=0)
    low, high = interval(mean_over_cases(by_case, case_resamples(group)).replicates)
    signs = "".join("+" if gap > 0 else "-" if gap < 0 else "0" for gap in gaps.mean(axis=1))
    claim = "no claim"
    # One training would agree with itself.
    if len(signs) > 1 and set(signs) == {"+"} and low > 0:
        claim = "helps"
    if len(signs) > 1 and set(signs) == {"-"} and high < 0:
        claim = "harms"
    return Paired(float(by_case.mean()), low, high, signs, claim)


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


def _result(
    about: Mapping[str, Any],
    reports: Sequence[Mapping[str, Any]],
    made: Mapping[str, Any],
    groups: Mapping[str, str],
) -> DownstreamResult:
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
            **paired_difference(found, scores[baseline], of_case)._asdict(),
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


# -- tables -----------------------------------------------------------------------------------


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): cell for name, cell in row.items()} for row in frame.to_dict("records")]


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines] + [""]


def _page(result: DownstreamResult) -> str:
    about = result.about
    head = {
        "command": f"`{about['command']}`",
        "date": about["date"],
        "machine": f"{about['machine']}; each training on one thread, {about['training_seconds']} s in all",
        "versions": ", ".join(f"{name} {number}" for name, number in about["versions"].items()),
        "classes": ", ".join(about["classes"]),
        "seeds": f"split and faults {about['draw']}; trainings {', '.join(map(str, about['seeds']))}",
        "training": f"{about['steps']} steps of {about['batch']} patches, {about['folds']} folds to measure",
    }
    faults = ", ".join(f"{count} {axis} faults" for axis, count in about["faults"].items())
    seeds = [f"seed_{seed}" for seed in about["seeds"]]
    scores = [
        [
            row["choice"],
            str(row["n_train"]),
            f"{row['faulty_left']:g}",
            *(f"{row[name]:.4f}" for name in [*seeds, "mean"]),
        ]
        for row in _rows(result.choices)
    ]
    lines = [
        f"# Does leaving them out help: {about['dataset']}",
        "",
        *_markdown(["", ""], [[name, text] for name, text in head.items()]),
        f"{about['training_cases']} training cases, {about['faulty']} of them faulty ({faults}, in memory); "
        f"tested on {about['tested']} of {about['test_cases']} clean cases of {about['test_groups']} groups "
        "that nothing was chosen or trained on. Choices by a measure and by lot leave out "
        f"{about['training_cases'] - about['fewest']} cases each; the objective is `{about['objective']}` but "
        "where another is named.",
        "",
        "## Mean Dice on the clean test cases",
        "",
        "Mean over the classes that the clean mask has, then over the cases; high = good.",
        "",
        *_markdown(
            ["choice", "cases", "faulty left", *(name.replace("_", " ") for name in seeds), "mean"], scores
        ),
    ]
    for baseline in ("all", "random"):
        rows = _rows(result.differences[result.differences["baseline"] == baseline])
        cells = [
            [
                row["choice"],
                f"{row['difference']:+.4f}",
                f"{row['low']:+.4f} to {row['high']:+.4f}",
                f"`{row['signs']}`",
                row["claim"],
            ]
            for row in rows
        ]
        lines += [
            f"## Less `{baseline}`",
            "",
            *_markdown(["choice", "difference", "95% interval", "signs", "claim"], cells),
        ]
    lines += [
        "Differences are of mean Dice, paired by test case, mean over the seeds; `random` is the mean of the "
        "choices by lot. The interval is over test cases, resampled by group: it knows one split, one draw of "
        "faults and these trainings. `signs` are those of each seed. A claim needs all seeds on one side and "
        f"an interval that leaves out 0; the {len(result.differences)} comparisons are not corrected for their "
        "number.",
        "",
    ]
    if about["unspoken"]:
        names = ", ".join(about["unspoken"])
        lines += [f"Not compared, since they speak of too few of these cases: {names}.", ""]
    return "\n".join(lines)


def write_downstream(result: DownstreamResult, out: Run) -> None:
    """Write downstream.csv (a row per choice), downstream_cases.csv (every Dice) and downstream.md."""
    rows = _rows(result.choices)
    by_name = {row["choice"]: row for row in rows}
    for found in _rows(result.differences):
        minus = f"minus_{found['baseline']}"
        by_name[found["choice"]].update({f"{minus}_{key}": found[key] for key in Paired._fields})
    write_table(
        out.path / "downstream.csv", list(dict.fromkeys(name for row in rows for name in row)), rows
    )
    write_table(out.path / "downstream_cases.csv", list(result.dice.columns), _rows(result.dice))
    write_aside(out.path / "downstream.md", _page(result).encode("utf-8", "surrogatepass"))
