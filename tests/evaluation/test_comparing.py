"""Two evaluations, compared: what is claimed and what is not, what cannot be compared, what is written."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.evaluation import (
    EvaluationSettings,
    compare,
    compare_evaluations,
    evaluate,
    evaluate_against,
    open_evaluation,
)
from aleaseg.evaluation.comparing import distinct_names, verdict
from aleaseg.evaluation.words import overview, sentence
from aleaseg.run import read_table

IDS = ["<b>a", "=1+1", "ünï 名", *(f"c{index}" for index in range(5))]


def eroded(array):
    """Most of every mask is missing: clearly worse than a shift by one voxel."""
    return np.where(np.arange(array.shape[1])[:, None] < 6, array, 0).astype(array.dtype)


@pytest.fixture(scope="module")
def made(tmp_path_factory, balls):
    """A reference, and evaluations of a prediction that is good and of one that is bad."""
    folder = tmp_path_factory.mktemp("compared")
    balls.write_dataset(folder / "data", IDS)
    balls.write_predictions(folder / "bad", IDS, change=eroded, soft=True)
    balls.write_predictions(folder / "good", IDS, soft=True)
    found = {
        name: evaluate(EvaluationSettings(str(folder / "data"), str(folder / name)), folder / "eval" / name)
        for name in ("bad", "good")
    }
    return folder, found


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("a", "b"), ["a", "b"]),
        (("x/a/validation", "x/b/validation"), ["a", "b"]),
        (("a/fold_0/validation", "b/fold_1/validation"), ["fold_0", "fold_1"]),
        (("a/x", "b/x", "b/y"), ["a/x", "b/x", "b/y"]),
    ],
)
def test_names_tell_folders_apart(paths, names):
    assert distinct_names([Path(path) for path in paths]) == names


def test_one_folder_twice_is_refused():
    with pytest.raises(UsageError, match="given twice"):
        distinct_names([Path("a"), Path("b/../a")])


def test_no_claim_is_made_where_the_interval_holds_0():
    for low, high, expected in (
        (-0.1, 0.1, "no claim"),
        (0, 0.1, "no claim"),
        (0.01, 0.1, "better"),
        (-0.2, -0.1, "worse"),
    ):
        assert verdict(low, high, (low + high) / 2, higher_is_better=True) == expected
    row = {"first": "a", "second": "b", "metric": "hd95_mm", "class": "left", "groups": 9}
    row |= {"difference": -1.234, "low": -2.0, "high": -0.5, "verdict": "better"}
    assert (
        sentence(row)
        == "b is better than a: its HD95 (mm) of left is 1.23 lower (95% interval −2.00 to −0.50)."
    )
    row |= {"high": 0.5, "verdict": "no claim"}
    assert sentence(row).startswith("No claim: ")
    assert "includes 0" in sentence(row)
    assert "too few" in sentence({**row, "low": np.nan, "high": np.nan, "verdict": "too few"})
    every = [
        {"class": "all", "metric": m, "verdict": v} for m, v in (("dice", "better"), ("nsd", "no claim"))
    ]
    assert overview([*every, {"class": "left", "metric": "iou", "verdict": "worse"}]) == (
        "Over all classes. Better: Dice. No claim: NSD."
    )


def test_the_difference_is_second_less_first_over_common_cases(made):
    _, found = made
    (pair,) = compare_evaluations([found["bad"], found["good"]], ["bad", "good"]).pairs
    rows = pair.rows.set_index(["metric", "class"])
    bad, good = (
        each.metrics.pivot(index="case", columns="class", values="dice")
        for each in (found["bad"], found["good"])
    )
    assert rows.loc[("dice", "left"), "difference"] == pytest.approx((good - bad)["left"].mean())
    assert rows.loc[("dice", "all"), "difference"] == pytest.approx((good - bad).mean().mean())
    assert rows.loc[("dice", "all"), "verdict"] == rows.loc[("hd95_mm", "all"), "verdict"] == "better"
    assert rows.loc[("dice", "all"), "low"] > 0
    assert rows.loc[("hd95_mm", "all"), "high"] < 0
    assert rows.loc[("dice", "all"), "p"] == pytest.approx(2 / 2**8)
    assert ("aurc/max_probability", "all") in rows.index
    back = (
        compare_evaluations([found["good"], found["bad"]], ["good", "bad"])
        .pairs[0]
        .rows.set_index(["metric", "class"])
    )
    assert back.loc[("dice", "all"), "difference"] == pytest.approx(
        -rows.loc[("dice", "all"), "difference"]
    )
    assert back.loc[("dice", "all"), "verdict"] == "worse"


def test_groups_make_fewer_of_many_cases(made):
    _, found = made
    pair = compare_evaluations([found["bad"], found["good"]], ["bad", "good"], groups=r"^(c|.)").pairs[0]
    row = pair.rows.iloc[0]
    assert (row["cases"], row["groups"]) == (8, 4)
    assert row["verdict"] == "too few"


def test_cases_that_only_one_has_are_left_out_and_told(made, tmp_path, balls):
    folder, found = made
    ids = found["good"].cases["case"].tolist()
    balls.write_predictions(tmp_path / "few", ids[:6])
    (tmp_path / "few" / f"{ids[1]}.nii.gz").write_bytes(b"broken")
    few = evaluate(
        EvaluationSettings(str(folder / "data"), str(tmp_path / "few"), only_predicted=True),
        tmp_path / "eval",
    )
    (pair,) = compare_evaluations([found["bad"], few], ["bad", "few"]).pairs
    assert len(pair.cases) == 5
    assert pair.notes[0].startswith("5 groups of cases are few")
    assert pair.notes[1] == "3 case(s) of bad have no counterpart and are in no difference."
    assert pair.notes[2] == "1 case(s) of few could not be measured and are in no difference."


def with_metrics(evaluation, change):
    return replace(evaluation, metrics=change(evaluation.metrics.copy()))


def with_manifest(evaluation, **changed):
    return replace(evaluation, manifest={**evaluation.manifest, **changed})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: with_manifest(e, tolerances_mm={"left": 2.0, "right": 1.0}), "NSD tolerances differ"),
        (
            lambda e: with_manifest(e, settings={**e.manifest["settings"], "both_empty": "perfect"}),
            "--both-empty differ",
        ),
        (
            lambda e: with_manifest(e, dataset={**e.manifest["dataset"], "classes": {"left": [1]}}),
            "classes differ",
        ),
        (
            lambda e: with_metrics(e, lambda m: m.assign(reference_voxels=m["reference_voxels"] + 1)),
            "different references: .* voxels of",
        ),
        (lambda e: with_metrics(e, lambda m: m.assign(case=m["case"] + "x")), "no case in common"),
    ],
)
def test_what_cannot_be_compared_is_refused(made, change, said):
    _, found = made
    with pytest.raises(UsageError, match=said):
        compare_evaluations([found["bad"], change(found["good"])], ["bad", "good"])


def test_a_class_that_only_one_rightly_leaves_out_is_told(made):
    _, found = made

    def emptied(metrics):
        row = (metrics["case"] == "c0") & (metrics["class"] == "left")
        metrics.loc[row, ["status", "dice", "reference_voxels"]] = ["both_empty", np.nan, 0]
        return metrics

    def imagined(metrics):
        row = (metrics["case"] == "c0") & (metrics["class"] == "left")
        metrics.loc[row, ["status", "dice", "reference_voxels"]] = ["reference_empty", 0.0, 0]
        return metrics

    pair = compare_evaluations(
        [with_metrics(found["bad"], emptied), with_metrics(found["good"], imagined)], ["bad", "good"]
    ).pairs[0]
    assert any("rightly leaves out" in note and note.startswith("Once ") for note in pair.notes)
    assert not any("diagonal" in note for note in pair.notes), "that case is in no difference of distances"
    rows = pair.rows.set_index(["metric", "class"])
    assert rows.loc[("dice", "left"), "cases"] == 7


# -- what is written ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(made, tmp_path_factory):
    folder, _ = made
    out = tmp_path_factory.mktemp("written") / "comparison"
    found, page = compare(
        [folder / "eval" / "bad", folder / "eval" / "good"], out, command="aleaseg compare bad good"
    )
    return out, found, page


def test_tables_and_page(written):
    out, found, page = written
    assert page == out / "index.html"
    rows = read_table(out / "comparison.csv")
    pd.testing.assert_frame_equal(rows[["difference", "p"]], found.rows[["difference", "p"]], rtol=1e-6)
    text = (out / "comparison.md").read_text()
    assert "## good compared with bad" in text
    assert "good is better than bad: its Dice is" in text
    assert "aleaseg compare bad good" in text
    assert {path.name for path in (out / "assets").iterdir()} == {"page.css", "drawings.css", "compare.css"}


def test_the_page_draws_the_three_outlines_and_no_markup_of_ids(written):
    out, _, page = written
    html = page.read_text()
    assert "<b>a" not in html
    assert "&lt;b&gt;a" in html
    for kind in ("reference", "first", "second"):
        assert len(re.findall(f'class="outline {kind}"', html)) == 4, kind
    style = "".join((out / "assets" / name).read_text() for name in ("drawings.css", "compare.css"))
    for kind, hue in (("reference", "#ff5a52"), ("first", "#4aa8ff"), ("second", "#ffab1a")):
        assert f"--{kind}: {hue}" in style
        assert f".outline.{kind} .line {{ stroke: var(--{kind}, {hue})" in style
    assert "data:image/png;base64," in html
    assert str(out.parent) not in html, "folders by their names only: a page may be given away"
    assert "://" not in html, "nothing is fetched"


def test_the_same_again_is_the_same_and_another_is_refused(made, written):
    folder, _ = made
    out, _, page = written
    before = page.read_bytes()
    compare([folder / "eval" / "bad", folder / "eval" / "good"], out, command="aleaseg compare bad good")
    assert page.read_bytes() == before
    with pytest.raises(SettingsDiffer, match="made with other settings"):
        compare([folder / "eval" / "good", folder / "eval" / "bad"], out)
    with pytest.raises(UsageError, match="is an evaluation, not a comparison"):
        compare([folder / "eval" / "good", folder / "eval" / "bad"], folder / "eval" / "good")
    assert page.read_bytes() == before


def test_where_the_files_have_moved_there_are_numbers_and_no_pictures(made, tmp_path):
    _, found = made
    moved = {}
    for name, each in found.items():
        settings = {**each.manifest["settings"], "reference": str(tmp_path / "gone")}
        (tmp_path / name).mkdir()
        for path in each.path.iterdir():
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
        manifest = {**each.manifest, "settings": settings}
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
        moved[name] = tmp_path / name
    _, page = compare([moved["bad"], moved["good"]], tmp_path / "out")
    html = page.read_text()
    assert "No pictures:" in html
    assert "outline first" not in html


def test_three_folders_and_predictions_that_are_evaluated_on_the_way(made, tmp_path, balls):
    folder, found = made
    ids = found["good"].cases["case"].tolist()
    balls.write_predictions(tmp_path / "best", ids, change=lambda array: array)
    settings = EvaluationSettings(str(folder / "data"), "")
    result, page = compare(
        [folder / "bad", folder / "eval" / "good", tmp_path / "best"], tmp_path / "out", settings=settings
    )
    assert result.names == ("bad", "good", "best")
    assert open_evaluation(tmp_path / "out" / "evaluations" / "best").summary["mean"].iloc[0] == 1
    assert [pair.second for pair in result.pairs] == ["good", "best"]
    assert "good, best against bad" in page.read_text()
    with pytest.raises(UsageError, match="--reference"):
        compare([folder / "bad", folder / "eval" / "good"], tmp_path / "other")
    with pytest.raises(UsageError, match="all that are given are evaluations"):
        compare([folder / "eval" / "bad", folder / "eval" / "good"], tmp_path / "other", settings=settings)
    with pytest.raises(UsageError, match="no prediction of any"):
        compare([tmp_path / "out" / "assets", folder / "bad"], tmp_path / "other", settings=settings)
    assert not (tmp_path / "other").exists()


def test_against(made, tmp_path):
    folder, _ = made
    settings = EvaluationSettings(str(folder / "data"), str(folder / "good"), against=str(folder / "bad"))
    mine, comparison, page = evaluate_against(settings, tmp_path / "out")
    assert page.is_file()
    assert comparison.names == ("bad", "good")
    assert open_evaluation(tmp_path / "out").settings == settings
    assert open_evaluation(tmp_path / "out" / "against").settings.predictions == str(folder / "bad")
    assert mine.summary["mean"].iloc[0] > 0.5
    with pytest.raises(SettingsDiffer, match="against"):
        evaluate(replace(settings, against=None), tmp_path / "out")
    nowhere = replace(settings, against=str(folder / "data" / "imagesTr"))
    with pytest.raises(UsageError, match="no prediction of any"):
        evaluate_against(nowhere, tmp_path / "new")
    assert not (tmp_path / "new").exists()
