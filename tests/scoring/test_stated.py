"""What annotators state of a case: independent numbers, the same as the bench's, and where tables have them."""

import dataclasses
from itertools import combinations

import numpy as np
import pytest

from aleaseg.auditing.running import run_audit
from aleaseg.auditing.settings import AuditSettings
from aleaseg.bench import raters as bench
from aleaseg.case import Voxels
from aleaseg.errors import Unreadable
from aleaseg.readers import open_dataset
from aleaseg.report.draw import pictures_file
from aleaseg.run import Run
from aleaseg.scoring.columns import CASE_COLUMNS
from aleaseg.scoring.record import score_case
from aleaseg.scoring.tables import write_tables

SHAPE = (3, 12, 12)


@pytest.fixture
def rated(tmp_path):
    """Six cases of three raters, circles of several sizes; nobody marked anything in the last."""
    (tmp_path / "rated" / "npz").mkdir(parents=True)
    grid = np.indices(SHAPE)
    for n in range(6):
        rng = np.random.default_rng(n)
        apart = np.sqrt((grid[1] - 6) ** 2 + (grid[2] - 6) ** 2)
        radii = rng.uniform(2, 5, 3) if n < 5 else (-1, -1, -1)
        raters = np.stack([apart < radius for radius in radii]).astype(np.uint8)
        image = (100.0 * (apart < 3.5) + rng.normal(0, 10, SHAPE)).astype(np.float32)
        np.savez(tmp_path / "rated" / "npz" / f"c{n}.npz", image=image, raters=raters)
    return tmp_path / "rated"


def by_hand(case):
    """Voxel sets in place of arrays."""
    raters = case.read_raters().array[:, 0]
    marked = [set(np.flatnonzero(mask)) for mask in raters]
    votes = [sum(voxel in one for one in marked) for voxel in set().union(*marked)]
    overlaps = [len(a & b) / len(a | b) for a, b in combinations(marked, 2) if a | b]
    if not votes:
        return None, None
    return sum(votes) / len(votes) / len(marked), 1 - sum(overlaps) / len(overlaps)


def numbers_of(record):
    return {row.measure: row.value for row in record.measures if not row.class_name}


def test_they_are_what_is_counted_by_hand_and_what_the_bench_says(rated):
    dataset = open_dataset(rated)
    for case in dataset.cases:
        found = numbers_of(score_case(case, dataset, None, None)[0])
        mean, disagreement = by_hand(case)
        if mean is None:
            assert found["mean_confidence"] is found["rater_disagreement"] is None
            continue
        assert found["mean_confidence"] == pytest.approx(mean, rel=1e-6)
        assert found["rater_disagreement"] == pytest.approx(disagreement, rel=1e-6)
        assert 0 < disagreement < 1
        assert found["rater_disagreement"] == bench._row(dataset, case.id)["disagreement"]


def test_of_several_classes_each_mark_counts_and_what_nobody_looked_at_does_not(rated):
    dataset = open_dataset(rated)
    q = np.zeros((2, *SHAPE), np.float32)
    q[0, 0, 0, :4] = (1, 1, 0.5, np.nan)
    q[1, 0, 0, 2:6] = (0.1, np.nan, 0.4, 0)
    case = dataclasses.replace(
        dataset.cases[0],
        read_confidence=lambda: Voxels(q, dataset.cases[0].read_geometry()),
        read_raters=None,
    )
    found = numbers_of(score_case(case, dataset, None, None)[0])
    assert found["mean_confidence"] == pytest.approx(3 / 5)
    assert "rater_disagreement" not in found


@pytest.mark.parametrize("bad", ["damaged", "another grid"])
def test_bad_confidences_are_named_and_the_rest_is_measured(rated, bad):
    dataset = open_dataset(rated)

    def read():
        if bad == "damaged":
            raise Unreadable("c0", "a file of 0 bytes", "confidences", "copy it again")
        return Voxels(np.zeros((1, 3, 4, 5), np.float32), dataset.cases[0].read_geometry())

    whole = score_case(dataset.cases[0], dataset, None, None)[0]
    record = score_case(dataclasses.replace(dataset.cases[0], read_confidence=read), dataset, None, None)[0]
    assert record.status == "partly"
    assert "0 bytes" in record.error or "resample the confidences" in record.error
    stated = ("mean_confidence", "rater_disagreement")
    assert record.measures == tuple(row for row in whole.measures if row.measure not in stated)


def columns(run):
    return (run.path / "cases.csv").read_text().splitlines()[0].split(",")


def test_columns_are_there_where_a_data_set_states_them(rated, tmp_path):
    dataset, run, plain = open_dataset(rated), Run(tmp_path / "run"), Run(tmp_path / "plain")
    silent = [
        dataclasses.replace(case, read_confidence=None, read_raters=None, confidence_files=())
        for case in dataset.cases
    ]
    for where, cases in ((run, dataset.cases), (plain, silent)):
        (where.path).mkdir()
        (where.path / "manifest.json").write_text("{}")
        for case in cases:
            where.write_case(*score_case(case, dataset, None, None))
        write_tables(where, ["foreground"])
    first = len(CASE_COLUMNS)
    assert columns(run)[first : first + 2] == ["mean_confidence", "rater_disagreement"]
    without = [name for name in columns(run) if name not in ("mean_confidence", "rater_disagreement")]
    assert columns(plain) == without
    about = run.manifest["columns"]
    assert about["mean_confidence"]["direction"] == "high = certain"
    assert about["rater_disagreement"]["direction"] == "high = bad"
    assert "mean_confidence" not in plain.manifest["columns"]
    # All else is as it was, to the byte.
    rows = [line.split(",") for line in (run.path / "cases.csv").read_text().splitlines()]
    cut = "".join(",".join(row[:first] + row[first + 2 :]) + "\n" for row in rows)
    assert (plain.path / "cases.csv").read_text() == cut


@pytest.mark.usefixtures("one_process")
def test_an_audit_says_what_the_label_is_and_shows_where_annotators_are_unsure(rated, tmp_path):
    (rated / "npz" / "c5.npz").unlink()
    settings = AuditSettings(
        dataset=str(rated), predictions="crossfit", steps=2, device="cpu", extractor="variance"
    )
    run = run_audit(settings, Run(tmp_path / "run")).run
    manifest = run.manifest
    assert manifest["dataset"]["confidence"]["label"] == "q >= 0.5"
    assert manifest["dataset"]["confidence"]["fuse"] == "mean"
    assert manifest["crossfit"]["label"] == "q >= 0.5"
    assert any("confidence is at least one half (q >= 0.5)" in note for note in manifest["notes"])
    cases = run.cases.set_index("case")
    for case in open_dataset(rated).cases:
        mean, disagreement = by_hand(case)
        assert cases.loc[case.id, "mean_confidence"] == pytest.approx(mean, rel=1e-6)
        assert cases.loc[case.id, "rater_disagreement"] == pytest.approx(disagreement, rel=1e-6)
        drawn = pictures_file(run.path / "report", case.id).read_text()
        assert '"unsure": "data:image/png' in drawn or '"unsure":"data:image/png' in drawn


def test_a_data_set_with_labels_says_nothing_of_confidences(finished):
    manifest = Run(finished.run).manifest
    assert "confidence" not in manifest["dataset"]
    assert "label" not in manifest["crossfit"]
    assert not any("half the confidence" in note for note in manifest["notes"])
