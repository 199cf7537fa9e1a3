"""Whether uncertainty follows its cues, from files to tables."""

import json

import numpy as np
import pandas as pd
import pytest

from aleaseg.cues import distance_map, gradient_map
from aleaseg.errors import UsageError
from aleaseg.evaluation import EvaluationSettings, evaluate, open_evaluation
from aleaseg.evaluation.columns import CUE_COLUMNS
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import write_nifti

LEVELS = (0.1, 0.3, 0.9)


@pytest.fixture
def predicted(tmp_path, write_small):
    """predicted(u of (case, label, distance, gradient, level)) -> a data set, and folders of predictions by level."""
    data = tmp_path / "data"
    write_small(data, 6, faults=False, shape=(8, 14, 12))
    dataset = open_dataset(data)

    def make(unsure):
        for level in (0.0, *LEVELS):
            folder = tmp_path / f"p{level:g}"
            folder.mkdir()
            about = {"kind": "predictions", "settings": {"noise": [0.0, level] if level else None}}
            (folder / "manifest.json").write_text(json.dumps(about))
            for case in dataset.cases:
                voxels = case.read_label()
                label = voxels.array.copy()
                label[4] = 0  # a slice is missed
                image = case.read_image().array
                image = (image - image.mean()) / image.std()
                d = distance_map(voxels.array, spacing=voxels.geometry.spacing_mm)
                g = gradient_map(image.astype(np.float32), spacing=voxels.geometry.spacing_mm)
                p = np.stack([np.where(label == value, 0.8, 0.1) for value in range(3)])
                write_nifti(folder / f"{case.id}.nii.gz", label, voxels.geometry)
                np.savez(
                    folder / f"{case.id}.npz",
                    probabilities=p,
                    uncertainty=np.clip(unsure(voxels.array, d, g, level), 0, 1),
                )
        return dataset, tmp_path

    return make


def _evaluate(root, **more):
    asked = EvaluationSettings(str(root / "data"), str(root / "p0"), **more)
    return evaluate(asked, root / "out", workers=1)


def _noisy(root):
    return ",".join(str(root / f"p{level:g}") for level in LEVELS)


def test_uncertainty_that_follows_every_cue_has_the_best_scores(predicted):
    _, root = predicted(lambda label, d, g, level: 0.9 * (0.05 + level) * np.exp(-d) / (1 + g))
    found = _evaluate(root, cues="noise,gradient,distance", noisy=_noisy(root))
    table = pd.read_csv(root / "out" / "cues.csv")
    assert list(table.columns) == list(CUE_COLUMNS)
    assert len(table) == 6
    assert (table["ur_noise"] == 1).all()
    assert (table["ucc_noise"] == 1).all()
    assert (table[["points_gradient", "points_distance", "points_noise"]] > 10).all(axis=None)
    assert (table["ur_gradient"] > 0.7).all()
    assert (table["ur_distance"] > 0.6).all()
    assert (table["ucc_distance"] < -0.5).all()
    summary = found.summary.set_index(["metric", "class"])
    assert summary.loc[("ucc_noise", "all"), "mean"] == 1
    assert summary.loc[("ueo", "all"), "cases"] == 6
    assert not [
        one for metric, one in summary.index if metric.startswith(("ur_", "ucc_", "ueo")) and one != "all"
    ]
    again = open_evaluation(root / "out")
    pd.testing.assert_frame_equal(again.cases[["ur_noise"]], table[["ur_noise"]])
    assert found.manifest["columns"]["ucc_gradient"]["direction"] == "low = good"


def test_uncertainty_that_knows_nothing_is_chance(predicted):
    rng = np.random.default_rng(0)
    _, root = predicted(lambda label, d, g, level: rng.random(label.shape))
    table = _evaluate(root, cues="gradient,distance,noise", noisy=_noisy(root)).cases
    for cue in ("gradient", "distance", "noise"):
        assert table[f"ur_{cue}"].mean() == pytest.approx(0.5, abs=0.06)
        assert table[f"ucc_{cue}"].mean() == pytest.approx(0, abs=0.12)


def test_the_numbers_are_those_of_the_voxels(predicted):
    def unsure(label, d, g, level):
        return 0.5 / (1 + d) + 0.1 * level * np.cos(d)

    dataset, root = predicted(unsure)
    cases = _evaluate(root, cues="distance", noisy=_noisy(root)).cases.set_index("case")
    assert cases["ur_gradient"].isna().all(), "not asked for"
    for case in dataset.cases:
        voxels = case.read_label()
        d = distance_map(voxels.array, spacing=voxels.geometry.spacing_mm)
        u, near = unsure(None, d, None, 0.0), d <= 4
        step, distance = (unsure(None, d, None, 0.3) - u)[near], d[near]
        apart = np.subtract.outer(distance, distance) * np.subtract.outer(step, step)
        pairs = apart[np.triu_indices(near.sum(), 1)]
        # Saved in double precision: what is tied stays tied.
        in_order = (pairs < -1e-12).mean() + 0.5 * (np.abs(pairs) <= 1e-12).mean()
        row = cases.loc[case.id]
        assert row["points_distance"] == near.sum()
        assert row["ur_distance"] == pytest.approx(in_order, abs=2e-3)
        wrong = np.zeros(voxels.array.shape, bool)
        wrong[4] = voxels.array[4] > 0
        best = max(
            2 * (wrong & (u > tau)).sum() / (wrong.sum() + (u > tau).sum())
            for tau in np.arange(1, 100) / 100
        )
        assert best < 1
        assert row["ueo"] == pytest.approx(best)
        assert row["mean_uncertainty"] == pytest.approx(u.mean(), rel=1e-5)


def test_a_case_without_foreground_has_no_score_and_is_counted(predicted):
    dataset, root = predicted(lambda label, d, g, level: np.full(label.shape, 0.2))
    case = dataset.cases[0]
    voxels = case.read_label()
    write_nifti(case.label_files[0], np.zeros_like(voxels.array), voxels.geometry)
    table = _evaluate(root, cues="gradient,distance,noise", noisy=_noisy(root)).cases.set_index("case")
    assert np.isnan(table.loc[case.id, "ur_noise"])
    assert table.loc[case.id, "points_noise"] == 0
    others = table.drop(index=case.id)
    # Constant uncertainty: every pair is tied, and there is no rank correlation.
    assert (others[["ur_gradient", "ur_distance", "ur_noise"]] == 0.5).all(axis=None)
    assert others[["ucc_gradient", "ucc_distance", "ucc_noise"]].isna().all(axis=None)


def test_the_level_is_the_shift_where_the_spread_is_the_same(predicted):
    from aleaseg.evaluation.unsure import find_noisy

    dataset, root = predicted(lambda label, d, g, level: np.full(label.shape, 0.2))
    for level in LEVELS:
        about = {"settings": {"noise": [level, 0.3]}}
        (root / f"p{level:g}" / "manifest.json").write_text(json.dumps(about))
    found = find_noisy(tuple(_noisy(root).split(",")), dataset)
    assert tuple(found.levels) == LEVELS
    assert set(found.of(dataset.cases[0].id)) == set(LEVELS)


def test_what_nothing_can_tell_is_refused(predicted):
    _, root = predicted(lambda label, d, g, level: np.full(label.shape, 0.2))
    with pytest.raises(UsageError, match="no cue 'shape'; expected some of gradient, distance, noise"):
        _evaluate(root, cues="shape")
    with pytest.raises(UsageError, match="compare with predictions of noisy images"):
        _evaluate(root, cues="gradient,noise")
    with pytest.raises(UsageError, match="and no cue"):
        _evaluate(root, noisy=_noisy(root))
    with pytest.raises(UsageError, match="no predictions of noisy images"):
        _evaluate(root, cues="noise", noisy=str(root / "p0"))
    (root / "p0.9" / "manifest.json").write_text(json.dumps({"settings": {"noise": [0.0, 0.3]}}))
    with pytest.raises(UsageError, match=r"level 0\.3 a second time"):
        _evaluate(root, cues="noise", noisy=_noisy(root))
    assert not (root / "out").exists()


def test_hard_masks_have_no_uncertainty(predicted):
    _, root = predicted(lambda label, d, g, level: np.full(label.shape, 0.2))
    for path in (root / "p0").glob("*.npz"):
        path.unlink()
    found = _evaluate(root, cues="gradient")
    assert found.cases[["mean_uncertainty", "ueo", "ur_gradient"]].isna().all(axis=None)
    assert not found.errors


def test_a_case_that_a_level_lacks_is_not_asked_about_the_others_and_is_named(predicted):
    dataset, root = predicted(lambda label, d, g, level: 0.9 * (0.05 + level) * np.exp(-d))
    case = dataset.cases[0].id
    for path in (root / "p0.9").glob(f"{case}.*"):
        path.unlink()
    found = _evaluate(root, cues="distance,noise", noisy=_noisy(root))
    rows = found.cases.set_index("case")
    assert np.isnan(rows.loc[case, "ur_noise"])
    assert np.isnan(rows.loc[case, "ur_distance"])
    assert (rows.drop(index=case)["ur_noise"] == 1).all()
    assert [note for note in found.manifest["notes"] if note.startswith("1 case(s) lack") and case in note]
