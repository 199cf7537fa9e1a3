"""Leaving out: the same number everywhere, paired by case, and no claim that one seed gainsays."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg import work as sharing
from aleaseg.bench import downstream
from aleaseg.bench.choices import choose_cases
from aleaseg.bench.downstream import (
    DownstreamResult,
    DownstreamSettings,
    run_downstream,
    write_downstream,
)
from aleaseg.bench.downstream_tables import result_of
from aleaseg.bench.draw import dice_by_class
from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.predictions import Prediction
from aleaseg.run import Run, read_table
from aleaseg.training.foldplan import FoldPlan
from aleaseg.training.grid import WorkingGrid
from aleaseg.training.plan import NetworkPlan
from aleaseg.training.preprocessing import Preprocessing

laws = settings(deadline=None, derandomize=True, max_examples=40)


# -- which cases ------------------------------------------------------------------------------


CASES = [f"case{index:02d}" for index in range(30)]
FAULTY = set(CASES[::3])


@laws
@given(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=30, max_size=30), st.integers(0, 9))
def test_all_choices_but_all_leave_out_as_many_as_are_faulty(values, seed):
    chosen = choose_cases(CASES, FAULTY, {"m": values}, randoms=2, seed=seed)
    speaks = np.isfinite(values).sum() >= len(FAULTY)
    assert list(chosen) == ["all", "clean", *(["m"] if speaks else []), "random 1", "random 2"]
    assert chosen["all"] == CASES
    for choice, kept in chosen.items():
        assert kept == sorted(set(kept))
        assert len(kept) == 30 - (0 if choice == "all" else 10)
    if speaks:
        left = [values[CASES.index(case)] for case in chosen["m"]]
        out = [value for case, value in zip(CASES, values, strict=True) if case not in chosen["m"]]
        assert np.isfinite(out).all(), "a case that the measure does not speak of was left out"
        assert min(out) >= max((value for value in left if np.isfinite(value)), default=0)


def test_a_measure_that_knows_the_faults_leaves_the_clean_cases():
    knows = [float(case in FAULTY) for case in CASES]
    chosen = choose_cases(CASES, FAULTY, {"m": knows, "w": np.negative(knows)}, randoms=1, seed=0)
    assert chosen["m"] == chosen["clean"] == [case for case in CASES if case not in FAULTY]
    assert set(chosen["w"]) > FAULTY


def test_equal_suspicions_are_left_out_by_lot_and_not_by_name():
    equal = np.ones(30)
    chosen = choose_cases(CASES, FAULTY, {"m": equal, "n": equal}, randoms=2, seed=0)
    names = ("m", "n", "random 1", "random 2")
    assert len({tuple(chosen[name]) for name in names}) == 4
    assert chosen["m"] not in (CASES[:20], CASES[10:])
    again = choose_cases(CASES, FAULTY, {"n": equal, "m": equal}, randoms=2, seed=0)
    assert [again[name] for name in names] == [chosen[name] for name in names]
    assert choose_cases(CASES, FAULTY, {"m": equal}, randoms=2, seed=1)["m"] != chosen["m"]


# -- what they say ----------------------------------------------------------------------------


def reports_of(table):
    """Reports of trainings, as their files have them, from choice -> seed -> case -> class -> Dice."""
    return [
        {"choice": choice, "seed": seed, "seconds": 1.0, "dice": by_case}
        for choice, by_seed in table.items()
        for seed, by_case in enumerate(by_seed)
    ]


def small_result(shift=0.05):
    """Six test cases, one without the class b and one without either; `m` is better than the others."""
    rng = np.random.default_rng(0)
    base = {
        f"t{i}": {"a": float(rng.uniform(0.6, 0.8)), "b": float(rng.uniform(0.6, 0.8))} for i in range(6)
    }
    base["t4"]["b"] = None
    base["t5"] = {"a": None, "b": None}

    def plus(gain):
        return {
            case: {name: None if value is None else value + gain for name, value in by_class.items()}
            for case, by_class in base.items()
        }

    table = {
        "all": [plus(0.0), plus(0.01)],
        "clean": [plus(0.1), plus(0.1)],
        "m|n": [plus(shift), plus(shift + 0.02)],
        "random 1": [plus(-0.02), plus(0.02)],
        "random 2": [plus(0.02), plus(0.0)],
    }
    ids = [f"c{index}" for index in range(6)]
    made = {
        "faulty": ["c0", "c1"],
        "choices": {
            "all": ids,
            "clean": ids[2:],
            "m|n": ids[1:5],
            "random 1": ids[:4],
            "random 2": ids[1:5],
        },
    }
    about = {
        "command": "aleaseg bench downstream DATA -o OUT",
        "date": "2026-01-01T00:00:00+00:00",
        "machine": "Linux",
        "versions": {"aleaseg": "0"},
        "dataset": "small",
        "classes": ["a", "b"],
        "draw": 7,
        "seeds": [0, 1],
        "steps": 30,
        "batch": 4,
        "folds": 3,
        "training_cases": 6,
        "faulty": 2,
        "fewest": 4,
        "objective": "plain",
        "faults": {"mask": 1, "image": 1},
        "test_cases": 6,
        "test_groups": 6,
        "unspoken": [],
        "training_seconds": 10,
    }
    groups = {case: case for case in base}
    return result_of(about, reports_of(table), made, groups), base


def test_the_table_is_the_mean_over_classes_and_then_cases_for_every_seed():
    result, base = small_result()
    by_case = [
        np.mean([v for v in by_class.values() if v is not None]) for by_class in list(base.values())[:5]
    ]
    wanted = np.mean(by_case) + np.array([0, 0.01])
    table = result.choices.set_index("choice")
    np.testing.assert_allclose(table.loc["all", ["seed_0", "seed_1"]].astype(float), wanted)
    np.testing.assert_allclose(table.loc["random", ["seed_0", "seed_1"]].astype(float), wanted)
    assert table["faulty_left"].to_dict() == {
        "all": 2, "clean": 0, "m|n": 1, "random 1": 2, "random 2": 1, "random": 1.5,
    }  # fmt: skip
    assert table["n_train"].to_dict() == {name: 6 if name == "all" else 4 for name in table.index}
    # Means of the seeds over that of `all`: random ones at 0.000 and 0.010, `all` at 0.005, `random` between them too.
    assert table["random_below"].to_dict() == {
        "all": 1, "clean": 2, "m|n": 2, "random 1": 0, "random 2": 1, "random": 1,
    }  # fmt: skip
    assert result.about["tested"] == 5


def test_every_choice_is_compared_with_all_and_with_the_mean_of_the_choices_by_lot():
    result, _ = small_result()
    found = result.differences.set_index(["baseline", "choice"])
    assert [choice for _, choice in found.index] == ["clean", "m|n", "random", "all", "clean", "m|n"]
    np.testing.assert_allclose(found.loc[("all", "m|n"), "difference"], 0.055)
    np.testing.assert_allclose(found.loc[("random", "m|n"), "difference"], 0.055)
    assert found.loc[("all", "m|n"), ["signs", "claim"]].tolist() == ["++", "helps"]
    assert found.loc[("all", "random"), "claim"] == "no claim"


def test_the_tables_show_every_seed_and_can_be_read_back(tmp_path):
    result, _ = small_result()
    out = Run(tmp_path)
    write_downstream(result, out)
    table = read_table(tmp_path / "downstream.csv").set_index("choice")
    for name in ("seed_0", "seed_1", "mean", "faulty_left"):
        np.testing.assert_allclose(table[name].astype(float), result.choices[name].astype(float), rtol=1e-8)
    assert table.loc["m|n", "minus_all_claim"] == "helps"
    assert table.loc["m|n", "minus_all_signs"] == "++"
    cases = read_table(tmp_path / "downstream_cases.csv")
    pd.testing.assert_series_equal(
        cases["dice"].astype(float), result.dice["dice"], check_names=False, rtol=1e-8
    )
    page = (tmp_path / "downstream.md").read_text()
    for text in (
        "aleaseg bench downstream DATA -o OUT", "2026-01-01", "Linux", "split and faults 7; trainings 0, 1",
        "| choice | cases | faulty left | seed 0 | seed 1 | mean | random below |", "| m\\|n | 4 | 1 |",
        "1 mask faults, 1 image faults", "tested on 5 of 6", "The 6 comparisons",
    ):  # fmt: skip
        assert text in page, text
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    widths = {line.replace("\\|", "").count("|") for line in rows}
    assert widths == {3, 6, 8}


# -- the trainings ----------------------------------------------------------------------------


def test_what_cannot_work_is_refused():
    for wrong, text in (
        ({"held_out": 1.0}, "held_out"),
        ({"randoms": 0}, "randoms"),
        ({"trainings": 0}, "trainings"),
        ({"measures": "doubt, nonsense"}, "unknown measures nonsense; known are auv"),
        ({"share": 0.0}, "say with leave_out"),
        ({"share": -0.1}, "share"),
        ({"leave_out": 1.0}, "leave_out is 1.0"),
        ({"objectives": "seg, dua"}, "unknown objective 'dua'; expected one of: plain, seg"),
    ):
        with pytest.raises(UsageError, match=text):
            DownstreamSettings("x", **wrong)
    assert DownstreamSettings("x", measures="doubt, auv,doubt").names == ("doubt", "auv")
    assert list(DownstreamSettings("x").seeds) == [0, 1, 2]
    assert DownstreamSettings("x", share=0.0, leave_out=0.1).ways == ("plain",)


def test_the_first_objective_trains_every_choice_and_the_others_all_cases():
    chosen = {"all": CASES, "all + duo": CASES, "doubt": CASES[:20], "random 1": CASES[10:]}
    asked = DownstreamSettings("x", objectives="seg,duo", trainings=1)
    seen = Preprocessing(WorkingGrid((1.0, 1.0), (8, 8), (1, 1)), [None], (1, 2))
    folds = FoldPlan(
        seen, NetworkPlan("small"), ("MR",), {"a": (1,)}, (("c",),), {}, None, 9, 4, 0, "cpu", False, {}
    )
    cells = downstream._trainings(chosen, asked, folds, ["t"])
    assert {cell.choice: cell.plan.objective for cell in cells} == {
        "all": "seg", "all + duo": "duo", "doubt": "seg", "random 1": "seg",
    }  # fmt: skip
    assert len({cell.file(Path("f"), ".json") for cell in cells}) == 4


def test_without_faults_there_is_no_clean_choice_and_a_share_is_left_out():
    chosen = choose_cases(CASES, (), {"m": np.arange(30.0)}, randoms=1, seed=0, count=3)
    assert list(chosen) == ["all", "m", "random 1"]
    assert chosen["m"] == CASES[:27]
    assert len(chosen["random 1"]) == 27


def test_dice_is_taken_on_the_cases_own_grid_where_it_is_annotated():
    label = np.zeros((8, 8), np.uint8)
    label[2:6, 2:6] = 1
    label[0] = 9
    geometry = Geometry((8, 8), (1.0, 1.0))
    case = Case("c", (), (), lambda: None, lambda: Voxels(label, geometry), lambda: geometry)
    dataset = Dataset(
        "d", None, "folder", (case,), {"a": (1,), "b": (2,), "both": (1, 2)}, ("MR",), ignore=9
    )
    # On a grid half as fine: a is right and lies over the row that nobody annotated, too.
    logits = np.zeros((3, 4, 4), np.float32)
    logits[1:] = -1
    logits[1, 1:3, 1:3] = 1
    logits[1, 0, 0] = 1
    found = dice_by_class(case, Prediction(logits, "logit", (8, 8), dataset.classes), dataset, of_mask=True)
    fine = np.kron(logits.argmax(axis=0), np.ones((2, 2))) == 1
    assert np.isnan(found["b"])
    assert found["a"] == found["both"]
    wanted = 2 * (fine & (label == 1)).sum() / ((fine & (label != 9)).sum() + (label == 1).sum())
    assert found["a"] == pytest.approx(wanted)
    whole = Prediction(np.stack([logits[0], logits[0] + 1, logits[0]]), "logit", (8, 8), dataset.classes)
    all_of_it = dice_by_class(case, whole, dataset)
    assert np.isnan(all_of_it["b"]), "neither has it"
    assert all_of_it["a"] == pytest.approx(2 * 16 / (16 + 56))


ASKED = {
    "folds": 2,
    "steps": 6,
    "trainings": 2,
    "randoms": 1,
    "measures": "doubt,softmin,auv",
    "objectives": "seg,duo",
}


@pytest.mark.slow
def test_a_whole_run_goes_on_where_it_was_left(tmp_path, write_small, one_process, monkeypatch):
    from aleaseg.training import batches

    data = tmp_path / "data"
    write_small(data, 32, faults=False, ids=[f"case{index:02d}" for index in range(32)])
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in data.rglob("*") if p.is_file()}
    asked = DownstreamSettings(str(data), **ASKED)
    out = Run(tmp_path / "out")
    stages = {}
    result = run_downstream(asked, out, lambda stage, done, total: stages.update({stage: (done, total)}))
    assert {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in data.rglob("*") if p.is_file()} == before
    assert isinstance(result, DownstreamResult)
    assert set(stages) >= {"prepare", "score", "copy", "compare"}
    assert stages["compare"] == (14, 14)
    assert result.choices["choice"].tolist() == [
        "all", "all + duo", "clean", "doubt", "softmin", "auv", "random 1", "random",
    ]  # fmt: skip
    assert set(result.choices["n_train"]) == {24, 14}
    assert result.choices.set_index("choice").loc[["all", "clean"], "faulty_left"].tolist() == [10, 0]

    work = out.path / "draws" / "0" / "trainings"
    made = json.loads((work / "choices.json").read_text())
    trained = set(made["choices"]["all"])
    tested = set(result.dice["case"])
    assert len(tested) == 8
    assert not trained & tested
    truth = json.loads((out.path / "draws" / "0" / "truth.json").read_text())
    assert set(truth["faults"]) == set(made["faulty"]) <= trained
    assert not {fault["donor"] for fault in truth["faults"].values()} & tested
    assert not list(work.rglob("*.npy")), "working copies were left"

    # Finished: nothing is trained again. One killed in the middle goes on from its checkpoint.
    steps = []
    real = batches.batch_at

    def counted(step, *rest):
        steps.append(step)
        if steps == [0, 1, 2, 3, 4]:
            raise KeyboardInterrupt
        return real(step, *rest)

    monkeypatch.setattr(batches, "batch_at", counted)
    again = run_downstream(asked, out)
    assert steps == []
    pd.testing.assert_frame_equal(again.choices, result.choices)
    pd.testing.assert_frame_equal(again.differences, result.differences)

    file = work / "softmin_1.json"
    first = json.loads(file.read_text())
    file.unlink()
    schedule = downstream.Schedule
    monkeypatch.setattr(
        downstream,
        "Schedule",
        lambda *given, **named: schedule(*given, **named, checkpoint_every=2),
    )
    with pytest.raises(KeyboardInterrupt):
        run_downstream(asked, out)
    assert (work / "softmin_1.pt").exists()
    run_downstream(asked, out)
    assert steps == [0, 1, 2, 3, 4, 4, 5]
    assert json.loads(file.read_text())["dice"] == first["dice"]
    assert not (work / "softmin_1.pt").exists()

    with pytest.raises(SettingsDiffer, match="steps: 6 then, 7 now"):
        run_downstream(DownstreamSettings(str(data), **{**ASKED, "steps": 7}), out)


@pytest.mark.slow
def test_trainings_side_by_side_have_the_numbers_of_one_after_the_other(tmp_path, write_small, monkeypatch):
    data = tmp_path / "data"
    write_small(data, 32, faults=False, ids=[f"case{index:02d}" for index in range(32)])
    asked = DownstreamSettings(str(data), **{**ASKED, "measures": "softmin", "trainings": 1})
    out = Run(tmp_path / "out")
    monkeypatch.setattr(sharing, "cores", lambda: 2)
    first = run_downstream(asked, out)
    assert first.dice["dice"].max() > 0
    work = out.path / "draws" / "0" / "trainings"
    for file in work.glob("*_0.json"):
        file.unlink()
    monkeypatch.setattr(sharing, "cores", lambda: 1)
    pd.testing.assert_frame_equal(run_downstream(asked, out).choices, first.choices)


def test_too_few_patients_are_refused_before_anything_is_written(tmp_path, write_small):
    data = tmp_path / "data"
    write_small(data, 24, faults=False)
    with pytest.raises(UsageError, match="expected at least 5 groups"):
        run_downstream(DownstreamSettings(str(data), groups=r"^(g\d)"), Run(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
