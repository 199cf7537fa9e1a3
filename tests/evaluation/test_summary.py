"""What the cases say together, against plain NumPy and pandas."""

import numpy as np
import pandas as pd
import pytest

from aleaseg.errors import UsageError
from aleaseg.evaluation.columns import CASE_COLUMNS, METRIC_COLUMNS, METRICS, describe, tolerances
from aleaseg.evaluation.ranking import read_rankings
from aleaseg.evaluation.summary import risk_coverage, summarise
from aleaseg.run import write_json, write_table

CLASSES = ("left", "right")


def tables(n=12, seed=0):
    """Rows as evaluate makes them: one case failed, one lacks a class."""
    rng = np.random.default_rng(seed)
    rows, cases = [], []
    for index in range(n):
        case = {"case": f"c{index}", "group": f"g{index // 2}", "status": "ok", "error": None}
        cases.append({**case, "dice": rng.random(), "ece": rng.random(), "max_probability": rng.random()})
        for name in CLASSES:
            both, reference, predicted = sorted(rng.integers(1, 100, 3))
            rows.append(
                {
                    **case,
                    "class": name,
                    "dice": rng.random(),
                    "hd95_mm": 9 * rng.random(),
                    "ece": rng.random(),
                    "both_voxels": both,
                    "reference_voxels": reference,
                    "predicted_voxels": predicted,
                }
            )
    rows[3] |= {"status": "both_empty", "dice": np.nan, "hd95_mm": np.nan, "both_voxels": 0}
    rows[3] |= {"reference_voxels": 0, "predicted_voxels": 0}
    failed = {"case": "z", "group": "gz", "status": "failed", "error": "z: found nothing"}
    rows += [{**failed, "class": name} for name in CLASSES]
    metrics = pd.DataFrame(rows).reindex(columns=[*METRIC_COLUMNS])
    return metrics, pd.DataFrame([*cases, failed]).reindex(columns=[*CASE_COLUMNS])


def test_means_and_numbers_of_cases():
    metrics, cases = tables()
    found = summarise(metrics, cases, CLASSES).set_index(["metric", "class"])
    by_class = metrics.groupby("class")["dice"].mean()
    assert found.loc[("dice", "left"), "mean"] == pytest.approx(by_class["left"])
    assert found.loc[("dice", "all"), "mean"] == pytest.approx(by_class.mean())
    right = metrics.loc[metrics["class"] == "right", "dice"]
    assert found.loc[("dice", "right"), "median"] == pytest.approx(right.median())
    assert tuple(found.loc[("dice", "right"), ["cases", "groups"]]) == (11, 6)
    assert (found["low"].dropna() <= found["mean"][found["low"].notna()]).all()
    assert (found["high"].dropna() >= found["mean"][found["high"].notna()]).all()
    # Of all classes together ECE is that of the predicted label.
    assert found.loc[("ece", "all"), "mean"] == pytest.approx(cases["ece"].mean())
    assert "ace" not in found.index.get_level_values(0)
    known = metrics[metrics["class"] == "left"].dropna(subset=["both_voxels"])
    pooled = 2 * known["both_voxels"].sum() / (known["reference_voxels"] + known["predicted_voxels"]).sum()
    assert found.loc[("pooled_dice", "left"), "mean"] == pytest.approx(pooled)


def test_nothing_measured_is_an_empty_summary():
    metrics, cases = tables()
    failed = metrics["status"] == "failed"
    assert not len(summarise(metrics[failed], cases[cases["status"] == "failed"], CLASSES))
    assert not len(risk_coverage(cases[cases["status"] == "failed"], {"max_probability": 1}))


def test_risk_and_coverage_follow_the_sign_of_the_column():
    _, cases = tables(40)
    cases["auv"] = -cases["max_probability"]
    found = risk_coverage(cases, {"max_probability": 1, "auv": -1, "doubt": -1}).set_index("confidence")
    assert list(found.index) == ["max_probability", "auv"]
    one, other = found.loc["max_probability"], found.loc["auv"]
    assert one["aurc"] == pytest.approx(other["aurc"])
    assert (one["direction"], other["direction"]) == ("high = sure", "high = unsure")
    assert one["random"] == pytest.approx(1 - cases["dice"].mean())
    assert one["optimal"] <= one["aurc"]
    assert one["low"] < one["aurc"] < one["high"]
    assert one["e_aurc"] == pytest.approx(one["aurc"] - one["optimal"])
    assert one["cases"] == 40
    cases["perfect"] = cases["dice"]
    assert risk_coverage(cases, {"perfect": 1})["naurc"][0] == pytest.approx(1)


# -- who says how sure ----------------------------------------------------------------------------


def test_a_run_or_a_table_says_how_sure(tmp_path):
    write_table(
        tmp_path / "run" / "cases.csv",
        ["case", "doubt", "auv", "depth"],
        [{"case": "a", "doubt": 0.1, "auv": 0.5, "depth": 9}, {"case": "b", "doubt": 0.9, "depth": 8}],
    )
    doubt, auv = read_rankings(tmp_path / "run", ["a", "b", "c"])
    assert (doubt.name, doubt.sign, doubt.values) == ("doubt", -1, {"a": 0.1, "b": 0.9})
    assert (auv.name, auv.values) == ("auv", {"a": 0.5})
    (tmp_path / "sure.csv").write_text("case,confidence,uncertainty\n001,3,1\n2,4,\n")
    sure, unsure = read_rankings(tmp_path / "sure.csv", ["001"])
    assert (sure.name, sure.sign, sure.values) == ("confidence", 1, {"001": 3.0})
    assert unsure.sign == -1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case,score\na,1\n", "has the columns case, score; expected case, and confidence or uncertainty"),
        ("id,confidence\na,1\n", "expected case"),
        ("case,confidence\nzz,1\n", "no number for any of the 1 cases"),
        ("case,confidence\na,\n", "no number"),
    ],
)
def test_a_table_that_says_nothing_is_refused(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_rankings(tmp_path / "t.csv", ["a"])
    with pytest.raises(UsageError, match="neither a run"):
        read_rankings(tmp_path, ["a"])


# -- columns --------------------------------------------------------------------------------------


def test_every_column_says_which_way_it_points():
    about = describe()
    assert set(about) >= {*METRIC_COLUMNS, *CASE_COLUMNS}
    assert about["dice"]["direction"] == "high = good"
    assert about["hd95_mm"]["direction"] == "low = good"
    assert all(metric.text for metric in METRICS.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", (1, 1)),
        ("2.5", (2.5, 2.5)),
        ("1,right=2", (1, 2)),
        ("left=0,right=3", (0, 3)),
        ("left=4", (4, 1)),
    ],
)
def test_tolerances(text, expected):
    assert tuple(tolerances(text, list(CLASSES)).values()) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [("x", "cannot be read"), ("-1", "not a distance"), ("spleen=1", "no class 'spleen'"), ("", "read")],
)
def test_tolerances_that_cannot_be(text, said):
    with pytest.raises(UsageError, match=said):
        tolerances(text, list(CLASSES))


def test_the_manifest_can_be_written(tmp_path):
    write_json(tmp_path / "m.json", describe())
