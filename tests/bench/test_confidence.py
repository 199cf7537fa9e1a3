"""Ways to learn from confidences: what can be told apart, and what is claimed."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from aleaseg.bench.confidence_design import (
    CELLS,
    DESIGN,
    SIZES,
    Design,
    _asked,
    _rows,
    cells_of,
    distinct,
    usual_thresholds,
)
from aleaseg.bench.confidence_result import ELSEWHERE, read_confidence_bench, result_rows
from aleaseg.bench.confidence_tables import beyond_table, differences_table, matrix_table
from aleaseg.bench.confidence_words import answers, head
from aleaseg.bench.confidence_write import confidence_markdown, write_confidence
from aleaseg.bench.settings import ConfidenceSettings
from aleaseg.case import Confidence, Dataset
from aleaseg.errors import UsageError
from aleaseg.evaluation.columns import metric_columns
from aleaseg.levels import at_least, k_of
from aleaseg.run import Run, read_table, write_frame, write_json

# -- what the data can tell apart -----------------------------------------------------------------


@pytest.mark.parametrize("raters", [2, 3, 4, 5])
def test_raters_have_as_many_thresholds_as_they_are(raters):
    levels = [round(k / raters, 6) for k in range(1, raters + 1)]
    thresholds = usual_thresholds(levels)
    assert sorted(k_of(t, raters) for t in thresholds) == list(range(1, raters + 1))
    assert 0.5 in thresholds
    q = np.arange(raters + 1, dtype=np.float32) / np.float32(raters)
    assert len({tuple(at_least(q, t)) for t in thresholds}) == raters


def test_thresholds_are_of_one_mask_exactly_where_their_masks_are():
    rng = np.random.default_rng(0)
    levels = sorted(rng.choice(np.arange(1, 101), 12, replace=False) / 100)
    thresholds = np.arange(1, 101) / 100
    same = distinct(levels, thresholds)
    masks = {t: tuple(at_least(np.array(levels), t)) for t in thresholds}
    for t in thresholds:
        if not any(masks[t]):
            assert t not in same
        else:
            assert masks[same[t]] == masks[t]
    assert len(set(same.values())) == len({mask for mask in masks.values() if any(mask)})


def dataset():
    return Dataset("x", "", "raters", (), {"a": (1,)}, ("image",), confidence=Confidence())


@pytest.mark.parametrize(
    ("raters", "paper"), [(3, "threshold:0.5"), (4, "threshold:0.75"), (5, "threshold:0.5")]
)
def test_sixty_is_the_training_that_it_is(raters, paper):
    levels = [round(k / raters, 6) for k in range(1, raters + 1)]
    rows, baseline, sixty, notes = _rows(dataset(), None, levels)
    assert baseline == "threshold:0.5"
    assert sixty == paper
    assert len(rows) == raters + 6
    assert not notes


def test_what_is_asked_twice_is_one_row_and_the_baseline_is_always_there():
    levels = [0.25, 0.5, 0.75, 1.0]
    rows, baseline, sixty, notes = _rows(dataset(), ("threshold:0.6", "threshold:0.75", "soft"), levels)
    assert rows == ["threshold:0.5", "threshold:0.6", "soft"]
    assert (baseline, sixty) == ("threshold:0.5", "threshold:0.6")
    assert any("threshold:0.75 is the training of threshold:0.6" in note for note in notes)
    assert any("threshold:0.5 is what the others are compared with" in note for note in notes)
    # .4 asks for two of four, as .5 does.
    assert _rows(dataset(), ("threshold:0.4", "soft"), levels)[:2] == (
        ["threshold:0.4", "soft"],
        "threshold:0.4",
    )
    at, merged = _asked(levels, (0.6, 0.75, 1.0))
    assert at == (0.6, 1.0)
    assert "0.75 is the mask of 0.6" in merged[0]


def test_confidences_of_tenths_have_the_usual_thresholds_and_none_that_nobody_reaches():
    tenths = [round(k / 10, 6) for k in range(1, 8)]
    assert usual_thresholds(tenths) == (0.2, 0.4, 0.5, 0.6)
    with pytest.raises(UsageError, match=r"no voxel has a confidence of \.5"):
        _rows(dataset(), None, [0.1, 0.2])


def test_ways_are_told_from_their_numbers():
    asked = ConfidenceSettings("x", labels="threshold:.5, ignore:.2,.6,multi:.2,.4,soft")
    assert asked.labels == ("threshold:0.5", "ignore:0.2,0.6", "multi:0.2,0.4", "soft")
    with pytest.raises(UsageError, match="no such way"):
        ConfidenceSettings("x", labels="threshold:.5,hard")


# -- what is claimed ------------------------------------------------------------------------------

CASES, SEEDS, AT = 40, (0, 1, 2), (0.25, 0.5, 0.75, 1.0)
ROWS = ("threshold:0.25", "threshold:0.5", "threshold:0.75", "threshold:1", "soft", "regress")
# What a row adds to each column; the noise of a case is a tenth of the smaller of them.
ADDED = {
    "threshold:0.75": {"dice@0.75": 0.05, "dice@0.5": -0.05, "dice@1": 0.0, "dice@0.25": 0.0},
    "soft": {"soft_dice": 0.1, "brier": -0.02},
    "regress": {"soft_dice": 0.1, "brier": 0.02},
}


def made_up(folder, *, rows=ROWS, added=ADDED, paper="threshold:0.75", seeds=SEEDS, unsteady=()):
    """Cells whose numbers are known; the case of an even number is small, and the last one nobody is sure of."""
    ids = [f"c{index:02d}" for index in range(CASES)]
    groups = {case: f"p{index // 2:02d}" for index, case in enumerate(ids)}
    folds = (tuple(ids[::2]), tuple(ids[1::2]))
    titles = {f"{t:g}": f"q >= {t:g}, {k} of 4 raters" for k, t in enumerate(AT, 1)}
    design = Design(
        rows, AT, titles, "threshold:0.5", paper, folds, 5, groups, {"bad": "found text"}, ("A note.",)
    )
    folder.mkdir(exist_ok=True)
    design.write(folder / DESIGN)
    sizes = pd.DataFrame({"case": ids, "class": "nodule", "group": groups.values()})
    sizes["volume"] = [10.0 if index % 2 == 0 else 100.0 for index in range(CASES)]
    for t in AT:
        sizes[f"voxels@{t:g}"] = [0 if t == 1 and index == CASES - 1 else 9 for index in range(CASES)]
    write_frame(folder / SIZES, sizes)
    rng = np.random.default_rng(3)
    of_case = {case: rng.uniform(0.3, 0.6) for case in ids}
    for cell in cells_of(design, range(min(seeds), max(seeds) + 1)):
        table = pd.DataFrame({"case": folds[cell.fold], "class": "nodule", "status": "ok"})
        table["group"] = [groups[case] for case in table["case"]]
        for name in (*(f"dice@{t:g}" for t in AT), "soft_dice", "brier"):
            gain = added.get(cell.row, {}).get(name, 0.0)
            if (cell.row, name) in unsteady and cell.seed == 1:
                gain = -0.01 * gain
            noise = rng.normal(0, 0.002, len(table))
            table[name] = np.array([of_case[case] for case in table["case"]]) + gain + noise
        table.loc[table["case"] == ids[-1], "dice@1"] = 0.0 if cell.row == "soft" else np.nan
        write_frame(cell.folder(folder) / "metrics.csv", table.reindex(columns=metric_columns(AT)))
        about = {
            "row": cell.row,
            "seed": cell.seed,
            "fold": cell.fold,
            "steps": 5,
            "batch": 2,
            "patch": [8, 8],
        }
        seconds = {"train_seconds": 1.0, "predict_seconds": 1.0, "measure_seconds": 1.0}
        write_json(cell.report(folder), {**about, **seconds})
    Run(folder).update_manifest(
        kind="confidence bench", created="2026-01-02T03:04:05", aleaseg="0", versions={"numpy": "2"}, command="typed",
        settings={"first": 0, "seeds": len(seeds), "network": "small", "size": "tiny"},
        dataset={"name": "made_up", "classes": ["nodule"], "cases": CASES}, machine="2 cores",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_up(tmp_path_factory.mktemp("bench") / "out")


@pytest.fixture(scope="module")
def result(made):
    return read_confidence_bench(Run(made))


def claims(result, part="all"):
    rows = result.to_baseline[part].to_dict("records")
    return {(row["row"], row["column"]): row["says"] for row in rows if row["says"] not in ("no claim", "")}


def test_what_differs_is_claimed_and_what_does_not_is_not(result):
    assert claims(result) == {
        ("threshold:0.75", "dice@0.75"): "better",
        ("threshold:0.75", "dice@0.5"): "worse",
        ("soft", "soft_dice"): "better",
        ("soft", "brier"): "better",  # low is good
        ("regress", "soft_dice"): "better",
        ("regress", "brier"): "worse",
    }
    rows = result.to_baseline["all"].set_index(["row", "column"])
    assert rows.loc[("soft", "brier"), "difference"] == pytest.approx(-0.02, abs=0.001)
    assert rows.loc[("soft", "brier"), "signs"] == "−−−"
    assert rows.loc[("soft", "brier"), "low"] < -0.02 < rows.loc[("soft", "brier"), "high"]


def test_the_difference_is_that_of_means_over_cases_and_seeds(made, result):
    table = read_table(made / "cells" / "soft_0_0" / "metrics.csv")
    by = {}
    for row in ("soft", "threshold-0.5"):
        tables = [
            read_table(made / CELLS / f"{row}_{seed}_{fold}" / "metrics.csv")
            for seed in SEEDS
            for fold in (0, 1)
        ]
        by[row] = pd.concat(tables).groupby("case")["soft_dice"].mean()
    found = result.difference("threshold:0.5", "soft", "soft_dice")["difference"]
    assert found == pytest.approx((by["soft"] - by["threshold-0.5"]).mean())
    assert result.mean("soft", "soft_dice")["mean"] == pytest.approx(by["soft"].mean())
    assert len(table) == CASES // 2


def test_one_seed_on_the_other_side_is_no_claim(tmp_path):
    made = made_up(tmp_path / "out", unsteady={("soft", "soft_dice")})
    found = read_confidence_bench(Run(made)).to_baseline["all"].set_index(["row", "column"])
    assert found.loc[("soft", "soft_dice"), "signs"] == "+−+"
    assert found.loc[("soft", "soft_dice"), "says"] == "no claim"
    assert found.loc[("soft", "soft_dice"), "low"] > 0


def test_claims_are_corrected_for_their_number(result):
    rows = result.to_baseline["all"]
    assert len(rows) == (len(ROWS) - 1) * (len(AT) + 2 + 1)
    known = rows.dropna(subset=["p"])
    assert (known["p_holm"] >= known["p"]).all()
    assert known["p_holm"].min() == pytest.approx(min(1, len(known) * known["p"].min()))


def test_where_nobody_reaches_a_reference_no_row_has_a_number(result):
    # The soft row has a Dice of 0 there, the others none: it must lose nothing by it.
    assert result.mean("soft", "dice@1")["cases"] == CASES - 1
    assert result.mean("threshold:0.5", "dice@1")["cases"] == CASES - 1
    assert abs(result.difference("threshold:0.5", "soft", "dice@1")["difference"]) < 0.01


def test_elsewhere_is_where_neither_row_learnt(result):
    assert result.others("threshold:0.5", "threshold:0.75") == [0.25, 1.0]
    assert result.others("threshold:0.5", "soft") == [0.25, 0.75, 1.0]
    found = result.to_baseline["all"].set_index(["row", "column"])
    # Its gain and its loss are on the diagonal, and off it there is nothing.
    assert found.loc[("threshold:0.75", ELSEWHERE), "says"] == "no claim"
    assert abs(found.loc[("threshold:0.75", ELSEWHERE), "difference"]) < 0.005


def test_the_halves_are_of_size_and_make_the_whole(result):
    small, large = (result.mean("soft", "dice@0.5", part) for part in ("small", "large"))
    assert small["cases"] == large["cases"] == CASES // 2
    values = result.scores.of("soft", "dice@0.5").mean(axis=0)[0]
    assert small["mean"] == pytest.approx(values[::2].mean())  # those of even numbers
    whole = result.mean("soft", "dice@0.5")["mean"]
    assert (small["mean"] + large["mean"]) / 2 == pytest.approx(whole)


def test_who_does_not_have_a_class_is_in_neither_half(tmp_path, made):
    folder = tmp_path / "out"
    shutil.copytree(made, folder)
    sizes = read_table(folder / SIZES)
    lacking = sizes["case"].isin(["c01", "c03"])  # of the larger half before
    sizes.loc[lacking, "volume"] = 0.0
    write_frame(folder / SIZES, sizes)
    found = read_confidence_bench(Run(folder))
    counts = {part: found.mean("soft", "soft_dice", part)["cases"] for part in ("all", "small", "large")}
    assert counts == {"all": CASES, "small": CASES // 2, "large": CASES // 2 - 2}


def test_what_has_no_prediction_is_told_and_counts_in_no_number_of_its_model(tmp_path, made):
    folder = tmp_path / "out"
    shutil.copytree(made, folder)
    path = folder / CELLS / "soft_1_0" / "metrics.csv"
    table = read_table(path)
    numbers = [name for name in table if table[name].dtype == float]
    table.loc[table["case"] == "c04", numbers] = np.nan
    table["error"] = table["error"].astype(object)
    table.loc[table["case"] == "c04", ["status", "error"]] = ("failed", "the file is damaged")
    write_frame(path, table)
    found = read_confidence_bench(Run(folder))
    said = dict(head(found))["not measured"]
    assert said.startswith("1 prediction(s) of 1 case(s)")
    assert said.endswith("of soft and seed 1: the file is damaged")
    assert found.mean("soft", "soft_dice")["cases"] == CASES - 1
    assert found.mean("threshold:0.5", "soft_dice")["cases"] == CASES
    assert dict(head(read_confidence_bench(Run(made))))["not measured"] == "none"


def test_the_best_threshold_is_found_and_other_ways_are_held_against_it(result):
    winners = result.winners["all"].set_index("column")
    assert winners.loc["dice@0.75", "row"] == "threshold:0.75"
    assert winners.loc["dice@0.75", "says"] == "better"
    assert winners.loc["dice@0.5", "row"] != "threshold:0.75"
    beyond = result.beyond["all"].set_index(["row", "column"])
    assert beyond.loc[("soft", "dice@0.75"), "baseline"] == "threshold:0.75"
    assert beyond.loc[("soft", "dice@0.75"), "says"] == "worse"
    assert beyond.loc[("soft", "soft_dice"), "says"] == "better"
    assert len(beyond_table(result).rows) == int((beyond["says"] != "no claim").sum())


def test_the_answers_are_those_of_the_numbers(result):
    said = {question: " ".join(text) for question, text in answers(result)}
    sixty = said["Is 60% above 50%?"]
    assert "threshold:0.75 (3 of 4 raters)" in sixty
    assert "better than 50% in: Dice at 3 of 4 raters" in sixty
    assert "its own reference, where it is expected to win" in sixty
    assert "worse than 50% in: Dice at 2 of 4 raters" in sixty
    beyond = said["Do other ways beat the best threshold?"]
    assert "regress: better in soft Dice; worse in Dice at 3 of 4 raters, Brier." in beyond
    assert "Dice at 3 of 4 raters: threshold:0.75 (3 of 4 raters), ahead of" in next(iter(said.values()))


def test_where_sixty_is_fifty_it_says_so(tmp_path):
    result = read_confidence_bench(Run(made_up(tmp_path / "out", paper="threshold:0.5")))
    said = dict(answers(result))["Is 60% above 50%?"]
    assert "are one mask" in said[0]
    assert "cannot tell" in said[0]


def test_the_matrix_marks_what_is_claimed_and_the_diagonal(result):
    table = matrix_table(result)
    heads = [column.title for column in table.columns]
    cells = {
        (row.cells[0].text, head): cell
        for row in table.rows
        for head, cell in zip(heads, row.cells, strict=True)
    }
    own = cells["threshold:0.75 (3 of 4 raters)", "Dice at 3 of 4 raters"]
    assert own.strong
    assert own.kind == "above own"
    assert own.strength == pytest.approx(1, abs=0.05)
    assert cells["soft", "Brier"].kind == "above"  # lower, and better
    assert cells["regress", "Brier"].kind == "below"
    assert not cells["soft", "Dice at 2 of 4 raters"].strong
    assert len(differences_table(result).rows) == len(ROWS) - 1


def test_seeds_that_are_not_complete_wait(tmp_path, made):
    folder = tmp_path / "out"
    shutil.copytree(made, folder)
    (folder / CELLS / "soft_2_1" / "cell.json").unlink()
    found = read_confidence_bench(Run(folder))
    assert found.about["seeds"] == [0, 1]
    assert found.about["cells"] == found.about["wanted"] - 1
    assert set(found.cases["seed"]) == {0, 1}
    for file in (folder / CELLS).glob("soft_*_1/cell.json"):
        file.unlink()
    with pytest.raises(
        UsageError, match="cells are done, and no seed of every way; run the same command again"
    ):
        read_confidence_bench(Run(folder))


def test_a_way_that_cannot_be_learnt_is_named_and_the_others_stand(tmp_path, made):
    folder = tmp_path / "out"
    shutil.copytree(made, folder)
    for file in (folder / CELLS).glob("regress_*/cell.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "failed": "nothing to learn"}))
        (file.parent / "metrics.csv").unlink()
    found = read_confidence_bench(Run(folder))
    assert found.rows == [row for row in ROWS if row != "regress"]
    write_confidence(found, folder)
    assert (
        "regress could not be learnt, and is in no table: nothing to learn"
        in (folder / "index.html").read_text()
    )
    assert "regress: nothing to learn" in (folder / "confidence.md").read_text()


def test_what_is_written(tmp_path, result):
    page = write_confidence(result, tmp_path).read_text()
    rows = read_table(tmp_path / "confidence.csv")
    assert len(rows) == len(list(result_rows(result))) == 3 * len(ROWS) * (len(AT) + 2 + 1)
    one = rows[(rows["row"] == "soft") & (rows["column"] == "soft_dice") & (rows["part"] == "all")].iloc[0]
    assert one["difference"] == pytest.approx(0.1, abs=0.002)
    assert one["mean"] == pytest.approx(np.mean([one[f"seed_{seed}"] for seed in SEEDS]))
    cases = read_table(tmp_path / "confidence_cases.csv")
    assert len(cases) == len(ROWS) * len(SEEDS) * CASES
    assert {"row", "seed", "case", "volume", "dice@0.75", "soft_dice"} <= set(cases)
    text = confidence_markdown(result)
    assert (tmp_path / "confidence.md").read_text() == text
    for said in ("A note.", "left out: bad", "is expected", "Holm", "40 cases of 20 groups"):
        assert said in text.replace("\\", "")
    assert "A note." in page
    assert 'class="number above own strong"' in page
