"""What masks are good for: features, foretelling, tables that cannot work, and the command as it is typed."""

import doctest
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aleaseg.errors import UsageError
from aleaseg.evaluation import OutcomeSettings, outcome
from aleaseg.evaluation.features import mask_features
from aleaseg.evaluation.foretelling import Problem, foretell, permuted, score
from aleaseg.evaluation.targets import read_targets
from aleaseg.metrics import regression
from aleaseg.metrics.regression import absolute_error, r_squared, weighted_pearson
from aleaseg.readers import open_dataset

# -- metrics ----------------------------------------------------------------------------------------------


def test_examples():
    found = doctest.testmod(regression)
    assert found.attempted
    assert not found.failed


def test_weights_are_repeated_rows():
    rng = np.random.default_rng(0)
    y, f = rng.normal(size=(2, 20))
    w = rng.integers(0, 4, 20)
    again = np.repeat(np.arange(20), w)
    for function in (r_squared, absolute_error, weighted_pearson):
        assert function(y, f, np.stack([w, np.ones(20)]))[0] == pytest.approx(
            float(function(y[again], f[again]))
        )
    assert weighted_pearson(y, f) == pytest.approx(stats.pearsonr(y, f).statistic)
    assert np.isnan(weighted_pearson(np.ones(5) * 0.1, f[:5]))
    assert np.isnan(r_squared(np.ones(5), f[:5]))
    with pytest.raises(ValueError, match="expected"):
        r_squared(y, f[:3])


# -- features ---------------------------------------------------------------------------------------------


def ball(radius, shape=(31, 31, 31), spacing=(1.0, 1.0, 1.0)):
    grid = np.indices(shape)
    return sum(((g - n // 2) * mm) ** 2 for g, n, mm in zip(grid, shape, spacing, strict=True)) <= radius**2


def test_a_ball_is_one_in_any_spacing():
    for shape, spacing in (((31, 31, 31), (1, 1, 1)), ((16, 31, 61), (2.0, 1.0, 0.5))):
        found = mask_features(ball(12, shape, spacing), spacing)
        assert found["volume_mm3"] == pytest.approx(4 / 3 * math.pi * 12**3, rel=0.03)
        assert found["surface_mm2"] == pytest.approx(4 * math.pi * 12**2, rel=0.2)  # voxels have edges
        assert 0.6 < found["compactness"] < 1.05
        assert found["extent_h_mm"] == pytest.approx(25, abs=1)
        assert found["depth_mm"] == pytest.approx(
            12 / 4, rel=0.25
        )  # mean distance from the surface is r / 4
        assert found["components"] == 1
        assert found["largest_mm3"] == found["volume_mm3"]


def test_a_disc_has_an_area_and_a_perimeter():
    found = mask_features(ball(12, (31, 31), (1, 1)), (1.0, 1.0))
    assert found["area_mm2"] == pytest.approx(math.pi * 144, rel=0.03)
    assert found["perimeter_mm"] == pytest.approx(2 * math.pi * 12, rel=0.1)
    assert found["share"] == pytest.approx(found["area_mm2"] / 31**2)
    assert "extent_d_mm" not in found


def test_what_lies_inside():
    mask = np.zeros((4, 6), bool)
    mask[1:3, 1:3], mask[1, 5] = True, True
    image = np.arange(48, dtype=np.float32).reshape(2, 4, 6)
    found = mask_features(mask, (2.0, 3.0), image, image[0] / 48, image[1] / 48)
    assert found["components"] == 2
    assert found["largest_mm2"] == 4 * 6
    assert found["intensity_0"] == image[0][mask].mean()
    assert found["intensity_sd_1"] == pytest.approx(image[1][mask].std())
    assert found["probability"] == pytest.approx((image[0] / 48)[mask].mean())
    assert (found["extent_h_mm"], found["extent_w_mm"]) == (4, 15)


def test_an_empty_mask_has_size_0_and_no_brightness():
    image = np.ones((1, 4, 4), np.float32)
    found = mask_features(np.zeros((4, 4), bool), (1, 1), image)
    assert found["area_mm2"] == found["components"] == found["depth_mm"] == 0
    assert np.isnan(found["intensity"])
    assert set(found) == set(mask_features(np.ones((4, 4), bool), (1, 1), image))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 5), (5, 1, 1), (1, 1), (1, 6)])
def test_single_slices_and_voxels_have_a_rim(shape):
    found = mask_features(np.ones(shape, bool), (1.0,) * len(shape))
    assert all(np.isfinite(value) for value in found.values())
    assert found["compactness"] > 0


# -- foretelling ----------------------------------------------------------------------------------------


def problem(y, n=60, patients=30, task="regression", **options):
    group = np.array([f"p{index % patients}" for index in range(n)])
    return Problem(np.asarray(y, float), group, task, **options)


def test_no_patient_is_on_two_sides_and_every_row_is_foretold_once():
    rng = np.random.default_rng(0)
    for task, y in (("regression", rng.normal(size=60)), ("classification", rng.integers(0, 3, 60))):
        one = problem(y, task=task)
        seen = []
        for train, test in one.splits(np.arange(60), 5, 0):
            assert not set(one.group[train]) & set(one.group[test])
            seen += test.tolist()
        assert sorted(seen) == list(range(60))


def test_a_feature_that_is_the_target_foretells_it():
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    X = np.column_stack([5 * y + 2, rng.normal(size=(60, 4))])
    found = score(problem(y, repeats=2), foretell(problem(y, repeats=2), X))
    assert found.values["r2"] > 0.98
    assert found.low["r2"] > 0.9
    assert found.values["pearson"] > 0.99
    two = problem(y > 0, task="classification", repeats=2)
    assert score(two, foretell(two, X)).values["auroc"] > 0.97


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_noise_foretells_nothing(task):
    rng = np.random.default_rng(3)
    y = rng.normal(size=80) if task == "regression" else rng.integers(0, 2, 80)
    noise = problem(y, 80, 80, task, repeats=2)
    X = rng.normal(size=(80, 6))
    found = score(noise, foretell(noise, X))
    name, chance = ("r2", 0) if task == "regression" else ("auroc", 0.5)
    assert found.low[name] <= chance
    assert found.values[name] < chance + 0.1
    dealt, p = permuted(noise, X, 9)
    assert len(dealt) == 9
    assert 0.1 <= p <= 1
    assert p > 0.1 or found.values[name] > chance


def test_a_true_relation_is_beyond_chance_and_the_same_from_the_same_seed():
    rng = np.random.default_rng(0)
    y = rng.normal(size=40)
    X = np.column_stack([y + rng.normal(size=40) / 2, rng.normal(size=40)])
    one = problem(y, 40, 40, repeats=1)
    dealt, p = permuted(one, X, 9)
    assert p == 1 / 10
    assert dealt.mean() < 0.2
    np.testing.assert_array_equal(dealt, permuted(one, X, 9)[0])


def test_targets_are_dealt_to_patients_and_not_to_rows():
    from aleaseg.evaluation.foretelling import _dealt

    whole = problem(np.arange(60) % 30)
    dealt = _dealt(whole, np.random.default_rng(0))
    assert (dealt[:30] == dealt[30:]).all()
    assert sorted(dealt) == sorted(whole.y)


def test_without_features_the_mean_is_said():
    y = np.arange(20.0)
    one = problem(y, 20, 20, repeats=1)
    said = foretell(one, None)[0]
    for train, test in one.splits(np.arange(20), 5, 0):
        np.testing.assert_allclose(said[test], y[train].mean())
    assert score(one, [said]).values["r2"] <= 0


def test_missing_numbers_and_constant_columns_do_no_harm():
    rng = np.random.default_rng(0)
    y = rng.normal(size=40)
    X = np.column_stack([y, np.full(40, np.nan), np.ones(40)])
    X[::7, 0] = np.nan
    found = foretell(problem(y, 40, 40, repeats=1), X)[0]
    assert np.isfinite(found).all()


def test_the_ridge_is_scikit_learns():
    from sklearn.linear_model import Ridge

    from aleaseg.evaluation.foretelling import _ridge, _scaled

    rng = np.random.default_rng(0)
    X, unseen, y = rng.normal(3, 2, (20, 30)), rng.normal(3, 2, (7, 30)), rng.normal(size=20)
    scaled, others = _scaled(X, unseen)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1)
    for penalty, found in zip((0.1, 10.0), _ridge(scaled, y, others, (0.1, 10.0)), strict=True):
        np.testing.assert_allclose(found, Ridge(penalty).fit(scaled, y).predict(others), rtol=1e-8)


# -- from end to end ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory, balls):
    """24 patients, two pictures each; predictions; a target that is the predicted area, and one of words."""
    root = tmp_path_factory.mktemp("outcome")
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(24):
        total = 0
        for view in range(2):
            radius = rng.uniform(3, 9)
            label, predicted = ball(radius, (24, 24), (1, 1)), ball(radius + 0.7, (24, 24), (1, 1))
            case = f"p{patient:02d}_{view}"
            image = (100 * label + rng.normal(50, 10, label.shape)).clip(0, 255).astype(np.uint8)
            for folder, array in (("data/images", image), ("data/masks", label), ("predicted", predicted)):
                balls.write_picture(root / folder / f"{case}.png", array)
            total += predicted.sum()
        rows.append(
            (
                f"p{patient:02d}",
                total / 2,
                "large" if total > 230 else "small",
                20 + patient,
                "ab"[patient % 2],
            )
        )
    frame = pd.DataFrame(rows, columns=["patient", "target", "kind", "age", "site"])
    frame[["patient", "target", "age", "site"]].to_csv(root / "area.csv", index=False)
    frame[["patient", "kind"]].rename(columns={"kind": "target"}).to_csv(root / "kind.csv", index=False)
    return root


def settings(made, target="area.csv", **options):
    options = {"groups": r"^(p\d+)", "repeats": 1, "permutations": 3, **options}
    return OutcomeSettings(made / "data", made / "predicted", target=made / target, **options)


def test_the_area_of_the_prediction_is_foretold_by_it_and_by_nothing_else(made, tmp_path):
    found = outcome(settings(made), tmp_path / "o", workers=1)
    rows = found.rows.set_index("features")
    assert list(rows.index) == [
        "mean", "covariates", "image intensity", "predicted masks", "predicted masks and covariates", "label",
        "predicted masks, targets permuted",
    ]  # fmt: skip
    assert rows.loc["predicted masks", "r2"] > 0.97
    assert rows.loc["predicted masks", "r2_low"] > 0.9
    assert rows.loc["predicted masks", "p"] == pytest.approx(1 / 4)
    assert rows.loc["mean", "r2"] <= 0
    assert rows.loc["covariates", "r2"] < 0.3
    assert rows.loc["predicted masks, targets permuted", "r2"] < 0.3
    assert not found.failed
    # Two images of a patient: the mean and the maximum of each number.
    numbers = [name for name in found.features if name.startswith("predicted/")]
    assert rows.loc["predicted masks", "count"] == 2 * len(numbers)
    assert rows.loc["covariates", "count"] == 3  # age, and a column for each site
    assert "predicted masks" in (tmp_path / "o" / "outcome.md").read_text()
    assert len(pd.read_csv(tmp_path / "o" / "foretold.csv")) == 24
    assert any("Nobody says which cases the model was trained on" in note for note in found.notes)
    again = outcome(settings(made), tmp_path / "o", workers=1)
    pd.testing.assert_frame_equal(found.rows, again.rows)


def test_words_are_classes(made, tmp_path):
    found = outcome(settings(made, "kind.csv", permutations=0), tmp_path / "o", workers=1)
    rows = found.rows.set_index("features")
    assert rows.loc["predicted masks", "auroc"] > 0.9
    assert rows.loc["prevalence", "auroc"] < 0.75
    assert found.manifest["target_classes"] == ["large", "small"]
    foretold = pd.read_csv(tmp_path / "o" / "foretold.csv")
    np.testing.assert_allclose(
        foretold["predicted masks: large"] + foretold["predicted masks: small"], 1, atol=1e-6
    )


def test_rows_by_case(made, tmp_path):
    cases = [case.id for case in open_dataset(made / "data").cases]
    pd.DataFrame({"case": cases, "target": np.arange(len(cases)) * 1.5}).to_csv(
        tmp_path / "cases.csv", index=False
    )
    found = outcome(settings(made, tmp_path / "cases.csv", permutations=0), tmp_path / "o", workers=1)
    assert len(pd.read_csv(tmp_path / "o" / "foretold.csv")) == 48
    assert found.manifest["patients"] == 24


def test_confidences_are_references_too(tmp_path, balls):
    (tmp_path / "data" / "npz").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for n in range(12):
        radius = rng.uniform(4, 9)
        raters = np.stack([ball(radius + add, (24, 24), (1, 1)) for add in (-2, -1, 0, 1)]).astype(np.uint8)
        np.savez(tmp_path / "data" / "npz" / f"c{n}.npz", image=rng.normal(size=(24, 24)), raters=raters)
        balls.write_picture(tmp_path / "p" / f"c{n}.png", raters[2])
        rows.append((f"c{n}", raters[1].sum()))
    pd.DataFrame(rows, columns=["case", "target"]).to_csv(tmp_path / "t.csv", index=False)
    asked = OutcomeSettings(
        tmp_path / "data",
        tmp_path / "p",
        target=tmp_path / "t.csv",
        at=".5,.75",
        repeats=1,
        permutations=0,
        task="regression",
    )
    found = outcome(asked, tmp_path / "o", workers=1)
    rows = found.rows.set_index("features")
    exact = rows.loc["confidence, q >= 0.75, 3 of 4 raters", "r2"]
    assert exact > 0.95
    assert "confidence, q >= 0.5, 2 of 4 raters" in rows.index


def test_a_bad_case_stops_no_other(made, tmp_path):
    import shutil

    shutil.copytree(made / "predicted", tmp_path / "predicted")
    (tmp_path / "predicted" / "p00_0.png").unlink()
    (tmp_path / "predicted" / "p01_0.png").write_bytes(b"nothing")
    asked = OutcomeSettings(
        made / "data",
        tmp_path / "predicted",
        target=made / "area.csv",
        groups=r"^(p\d+)",
        repeats=1,
        permutations=0,
    )
    found = outcome(asked, tmp_path / "o", workers=1)
    assert sorted(found.failed) == ["p00_0", "p01_0"]
    assert found.manifest["patients"] == 24  # their other picture is there


# -- what cannot work -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("who,target\np00,1\n", "expected the columns patient"),
        ("patient,value\np00,1\n", "expected the columns patient"),
        ("patient,target\nx,1\ny,2\n", "none of the 2 rows"),
        ("patient,target\np00,1\np00,2\n", "'p00' twice"),
        ("patient,target\n" + "".join(f"p{n:02d},3\n" for n in range(24)), "nothing to predict"),
        ("patient,target\n" + "".join(f"p{n:02d},{n}\n" for n in range(5)), "expected at least 10"),
        (
            "patient,target\n" + "".join(f"p{n:02d},{'ab'[n > 20]}\n" for n in range(24)),
            "3 patients are 'b'",
        ),
        ("", "cannot be read"),
    ],
)
def test_tables_that_cannot_work(made, tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        outcome(settings(made, tmp_path / "t.csv", task=None), tmp_path / "o", workers=1)


def test_tasks_that_do_not_fit(made):
    cases = open_dataset(made / "data", groups=r"^(p\d+)").cases
    with pytest.raises(UsageError, match="is not a number"):
        read_targets(made / "kind.csv", cases, "regression")
    with pytest.raises(UsageError, match="classes are too many"):
        read_targets(made / "area.csv", cases, "classification")
    assert read_targets(made / "area.csv", cases, None).names == ()


def test_a_patient_who_was_trained_on_is_refused(made, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from aleaseg.evaluation import frozen

    dataset = open_dataset(made / "data", groups=r"^(p\d+)")
    (tmp_path / "predicted").mkdir()
    about = {"kind": "prediction", "settings": {"model": "MODEL", "members": []}}
    (tmp_path / "predicted" / "manifest.json").write_text(json.dumps(about))
    model = SimpleNamespace(plan=SimpleNamespace(train=("p03_1", "elsewhere")))
    monkeypatch.setattr(frozen, "open_models", lambda path: [model])
    with pytest.raises(UsageError, match=r"1 of the 2 patients were trained on by MODEL, such as 'p03'"):
        frozen.refuse_seen(tmp_path / "predicted", dataset, {"p03", "p04"})
    assert frozen.refuse_seen(tmp_path / "predicted", dataset, {"p05"}) == []


def test_as_it_is_typed(made, tmp_path, type_aleaseg, type_here):
    words = ["--groups", r"^(p\d+)", "--repeats", "1", "--permutations", "1"]
    done = type_aleaseg(
        "outcome",
        made / "data",
        made / "predicted",
        "--target",
        made / "kind.csv",
        "-o",
        tmp_path / "o",
        *words,
    )
    assert done.returncode == 0, done.stderr
    assert "AUROC" in done.stdout
    assert (tmp_path / "o" / "outcome.csv").is_file()
    refused = type_here(
        "outcome", made / "data", made / "predicted", "--target", tmp_path / "no.csv", "-o", tmp_path / "o2"
    )
    assert refused.returncode == 2
    assert "cannot be read" in refused.stderr
