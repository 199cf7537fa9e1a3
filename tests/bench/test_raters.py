"""Measures against raters: the statistics from numbers at hand, and a small bench from end to end."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aleaseg.bench.raters import REFERENCES, SIZES, RatersResult, follow_raters, run_raters, write_raters
from aleaseg.bench.settings import BenchSettings
from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.metrics.correlation import partial_spearman, spearman
from aleaseg.run import Run, read_table
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.training.foldplan import FoldPlan

N = 120


@pytest.fixture(scope="module")
def cases():
    """Disagreement follows size and a doubt of its own; every measure follows neither, but for a few."""
    rng = np.random.default_rng(0)
    size, doubt = rng.normal(size=N), rng.normal(size=N)
    columns = {
        "case": [f"c{index:03d}" for index in range(N)],
        "group": [f"p{index // 2:02d}" for index in range(N)],
        "disagreement": 1 / (1 + np.exp(size - doubt)),
        "n_raters": 4,
        "volume_voxels": np.exp(size),
        "slices": np.clip(np.round(5 + 2 * size + rng.normal(size=N)), 2, None),
    }
    columns |= {name: rng.normal(size=N) for name in MEASURES}
    columns["auv"] = -size  # knows the size and nothing else
    columns["entropy"] = doubt  # knows the doubt and nothing else
    columns["fisher"] = np.where(np.arange(N) < 20, np.nan, -doubt)
    columns["energy"] = np.ones(N)
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def followed(cases):
    return follow_raters(cases)


def result_of(cases, followed):
    about = {
        "dataset": "nodules_|_x", "cases": N, "patients": N // 2, "left_out": {"bad": "found text"}, "raters": [4],
        "folds": 3, "steps": 12, "seed": 0, "command": "aleaseg bench raters nodules -o out", "date": "2026-01-02",
        "machine": "2 cores", "versions": {"numpy": "2"},
    }  # fmt: skip
    return RatersResult(about, cases, *followed)


def test_every_label_free_measure_stands_before_the_references(followed):
    names = followed[0]["measure"].tolist()
    label_free = [name for name, measure in MEASURES.items() if measure.sees == "image"]
    assert names == [*label_free, *REFERENCES]
    assert {MEASURES[name].sees for name in REFERENCES} == {"both"}


def test_raw_is_spearman_and_high_suspicion_counts_for_good(cases, followed):
    rows = followed[0].set_index("measure")
    for name in ("auv", "entropy", "oof_dice"):
        expected = stats.spearmanr(cases[name], cases["disagreement"])
        assert rows.loc[name, "raw"] == pytest.approx(expected.statistic)
        assert rows.loc[name, "raw_p"] == pytest.approx(expected.pvalue)
    assert rows.loc["entropy", "raw"] > 0.5
    assert rows.loc["fisher", "raw"] < -0.5
    assert rows.loc["fisher", "n"] == N - 20


def test_a_measure_of_size_alone_is_nothing_once_size_is_held_fixed(followed):
    rows = followed[0].set_index("measure")
    assert rows.loc["auv", "raw"] > 0.5
    assert not abs(rows.loc["auv", "adjusted"]) > 1e-6
    assert rows.loc["entropy", "adjusted"] > rows.loc["entropy", "raw"]


def test_adjusted_is_the_correlation_of_what_the_ranks_of_size_leave(cases, followed):
    ranks = {name: stats.rankdata(cases[name]) for name in ("image_doubt", "disagreement", *SIZES)}
    X = np.column_stack([np.ones(N), *(ranks[name] for name in SIZES)])
    left = [
        ranks[name] - X @ np.linalg.lstsq(X, ranks[name], rcond=None)[0]
        for name in ("image_doubt", "disagreement")
    ]
    found = followed[0].set_index("measure").loc["image_doubt"]
    assert found["adjusted"] == pytest.approx(np.corrcoef(left)[0, 1])
    assert found["adjusted_low"] < found["adjusted"] < found["adjusted_high"]


def test_logarithms_of_the_sizes_change_nothing(cases, followed):
    logs = cases.assign(**{name: np.log(cases[name]) for name in SIZES})
    pd.testing.assert_frame_equal(follow_raters(logs)[0], followed[0])


def test_intervals_are_of_patients(cases, followed):
    found = followed[0].set_index("measure").loc["entropy"]
    pairs = [cases[name].to_numpy() for name in ("entropy", "disagreement")]
    by_patient, by_case = spearman(*pairs, cases["group"]), spearman(*pairs)
    assert (found["raw_low"], found["raw_high"]) == (by_patient.low, by_patient.high)
    assert found["raw_low"] != by_case.low
    held = partial_spearman(*pairs, cases[list(SIZES)], cases["group"])
    assert (found["adjusted_low"], found["adjusted_high"]) == (held.low, held.high)


def test_the_confound_is_told(cases, followed):
    sizes = followed[1].set_index("size")
    assert sizes.index.tolist() == list(SIZES)
    expected = stats.spearmanr(cases["volume_voxels"], cases["disagreement"]).statistic
    assert sizes.loc["volume_voxels", "spearman"] == pytest.approx(expected)
    assert sizes.loc["volume_voxels", "spearman_high"] < 0


def test_what_is_written(cases, followed, tmp_path):
    result = result_of(cases, followed)
    write_raters(result, tmp_path)
    table = read_table(tmp_path / "raters.csv")
    assert table["measure"].tolist() == followed[0]["measure"].tolist()
    np.testing.assert_allclose(table["adjusted"], followed[0]["adjusted"], rtol=1e-8)
    assert read_table(tmp_path / "raters_sizes.csv")["size"].tolist() == list(SIZES)
    # The statistics can be made again from the table of cases.
    again = follow_raters(read_table(tmp_path / "raters_cases.csv"))[0]
    np.testing.assert_allclose(again["raw"], followed[0]["raw"], atol=1e-6)
    page = (tmp_path / "raters.md").read_text(encoding="utf-8")
    assert "nodules\\_\\|\\_x" in page
    assert "command: aleaseg bench raters nodules -o out" in page
    assert f"cases: {N} of {N // 2} patients" in page
    assert "left out: bad (found text)" in page
    assert "no number, or the same one for every case (energy)" in page
    label_free, _, references = page.partition("## For comparison")
    assert label_free.index("| entropy |") < label_free.index("| auv |")
    for name in REFERENCES:
        escaped = name.replace("_", "\\_")
        assert f"| {escaped} | {MEASURES[name].sight} |" in references
        assert f"| {escaped} |" not in label_free
    assert page.rstrip().endswith("(to be written by who has read the tables)")


# -- from end to end ------------------------------------------------------------------------------


def write_nodules(folder, count=24):
    """Balls of few slices in noise; the fainter a ball is the further its four raters lie apart."""
    (folder / "npz").mkdir(parents=True)
    entries = []
    for index in range(count):
        rng = np.random.default_rng([1, index])
        shape = (int(rng.integers(2, 6)), 16, 16)
        distance = np.linalg.norm((np.indices(shape).T - np.array(shape) / 2).T, axis=0)
        faint, radius = rng.random(), rng.uniform(3, 6)
        image = 60 + (100 - 70 * faint) * (distance < radius) + rng.normal(0, 12, shape)
        raters = [distance < radius + rng.normal(0, 0.3 + 1.5 * faint) for _ in range(4)]
        case = f"n{index:02d}"
        np.savez_compressed(
            folder / "npz" / f"{case}.npz",
            image=image.clip(0, 255).astype(np.uint8),
            raters=np.array(raters),
        )
        entries.append({"case": case, "patient": f"p{index // 2:02d}"})
    (folder / "meta.json").write_text(json.dumps(entries))


@pytest.mark.slow
def test_a_small_bench(tmp_path, one_process):
    write_nodules(tmp_path / "nodules")
    settings = BenchSettings(str(tmp_path / "nodules"), steps=3)
    out = Run(tmp_path / "out")
    stages = []
    found = run_raters(settings, out, lambda stage, done, total: stages.append(stage), command="as typed")
    assert {"prepare", "score"} <= set(stages)
    assert found.about["cases"] == 24
    assert found.about["patients"] == 12
    assert found.about["raters"] == [4]
    assert found.about["command"] == "as typed"
    assert not found.about["left_out"]
    assert found.cases["disagreement"].between(0, 1).all()
    assert (found.cases[["auv", "oof_dice", "softmin", "entropy", "doubt"]].notna().mean() > 0.8).all()
    plan = FoldPlan.read(Run(out.path / "draws" / "0"))
    assert not plan.failed
    assert len(plan.folds) == 3
    of_patient = [{case: int(case[1:]) // 2 for case in fold} for fold in plan.folds]
    assert sum(len(set(fold.values())) for fold in of_patient) == 12

    records = sorted((out.path / "draws" / "0" / "cases").glob("*.json"))
    before = [path.stat().st_mtime_ns for path in records]
    again = run_raters(settings, out)
    pd.testing.assert_frame_equal(again.measures, found.measures)
    assert [path.stat().st_mtime_ns for path in records] == before
    with pytest.raises(SettingsDiffer, match="steps: 3 then, 4 now"):
        run_raters(BenchSettings(str(tmp_path / "nodules"), steps=4), out)


def test_a_damaged_case_is_left_out_and_twins_share_a_fold(tmp_path):
    from aleaseg.bench.raters import _open

    folder = tmp_path / "nodules"
    write_nodules(folder)
    (folder / "npz" / "n03.npz").write_bytes(b"nothing")
    (folder / "npz" / "n23.npz").write_bytes((folder / "npz" / "n00.npz").read_bytes())
    dataset, left_out = _open(BenchSettings(str(folder)))
    assert len(dataset) == 23
    assert list(left_out) == ["n03"]
    assert dataset["n23"].group == dataset["n22"].group == dataset["n00"].group == "p00"


def test_what_cannot_work_is_refused(tmp_path):
    write_nodules(tmp_path / "few", count=19)
    out = Run(tmp_path / "out")
    with pytest.raises(UsageError, match="19 usable cases; a bench needs at least 20"):
        run_raters(BenchSettings(str(tmp_path / "few")), out)
    with pytest.raises(UsageError, match="have one, foreground"):
        run_raters(BenchSettings(str(tmp_path / "few"), classes="nodule"), out)
    assert not out.path.exists()
