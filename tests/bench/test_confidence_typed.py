"""`aleaseg bench confidence` as a user types it, killed, and gone on with."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from aleaseg.bench.confidence import run_confidence
from aleaseg.bench.confidence_design import CELLS, DESIGN, Cell, Design, cells_of
from aleaseg.bench.settings import ConfidenceSettings
from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.levels import k_of
from aleaseg.run import Run, read_table


def write_discs(folder, count=20):
    """Discs in noise, and three raters whose circles differ."""
    (folder / "npz").mkdir(parents=True)
    for index in range(count):
        rng = np.random.default_rng([5, index])
        distance = np.linalg.norm((np.indices((16, 16)).T - rng.uniform(6, 10, 2)).T, axis=0)
        raters = np.stack([distance < radius for radius in (3, 4, 5)])
        image = 100 * (distance < 4) + rng.normal(0, 10, (16, 16))
        np.savez_compressed(
            folder / "npz" / f"d{index:02d}.npz", image=image.astype(np.float32), raters=raters
        )
    patients = [{"case": f"d{index:02d}", "patient": f"p{index // 2:02d}"} for index in range(count)]
    (folder / "meta.json").write_text(json.dumps(patients))


OPTIONS = (
    "--folds",
    "2",
    "--seeds",
    "1",
    "--steps",
    "2",
    "--batch",
    "2",
    "--patch",
    "16,16",
    "--device",
    "cpu",
)


@pytest.fixture(scope="module")
def benched(tmp_path_factory, type_aleaseg):
    folder = tmp_path_factory.mktemp("discs")
    write_discs(folder / "discs")
    typed = ("bench", "confidence", folder / "discs", "-o", folder / "out", *OPTIONS)
    done = type_aleaseg(*typed, "--labels", "threshold:.6,soft", timeout=400)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_small_bench_as_it_is_typed(benched):
    folder, done = benched
    out = folder / "out"
    assert "this data cannot tell" in " ".join(done.stdout.split())
    assert f"Page: {out / 'index.html'}" in done.stdout.replace("\n", "")
    design = Design.read(out / DESIGN)
    # With three raters 60% is two of three, and so is 50%.
    assert design.rows == ("threshold:0.6", "soft")
    assert design.baseline == design.paper == "threshold:0.6"
    assert [k_of(t, 3) for t in design.at] == [1, 2, 3]
    patients = [{design.groups[case] for case in fold} for fold in design.folds]
    assert not patients[0] & patients[1]
    cases = read_table(out / "confidence_cases.csv")
    assert sorted(cases["case"].unique()) == sorted(design.groups)
    assert (cases.groupby("row")["case"].nunique() == 20).all()
    for name in ("dice@0.5", "soft_dice", "brier", "ged"):
        assert cases[name].notna().any()
    assert not list(out.glob("cells/*/predictions"))
    for cell in cells_of(design, range(1)):
        plan = json.loads((cell.folder(out) / "model" / "plan.json").read_text())
        assert plan["labels"] == cell.row
        assert sorted(plan["held_out"]) == sorted(design.folds[cell.fold])
        assert plan["schedule"]["seed"] == cell.seed


def test_a_model_of_a_cell_predicts_again(benched, tmp_path):
    from aleaseg.training import PredictSettings, predict

    folder, _ = benched
    model = folder / "out" / CELLS / "soft_0_1" / "model"
    found = predict(
        PredictSettings(model, folder / "discs", held_out=True, device="cpu"), tmp_path / "masks"
    )
    assert sorted(found.masks) == sorted(Design.read(folder / "out" / DESIGN).folds[1])


def test_killed_it_goes_on_where_it_was(benched, tmp_path, one_process):
    folder, _ = benched
    out = Run(tmp_path / "out")
    shutil.copytree(folder / "out", out.path)
    settings = ConfidenceSettings(
        folder / "discs",
        folds=2,
        seeds=1,
        steps=2,
        batch=2,
        patch=(16, 16),
        device="cpu",
        labels="threshold:.6,soft",
    )
    lost = Cell("soft", 0, 1)
    kept = {path: path.stat().st_mtime_ns for path in out.path.glob("cells/*/cell.json")}
    before = read_table(lost.folder(out.path) / "metrics.csv")
    lost.report(out.path).unlink()
    (lost.folder(out.path) / "metrics.csv").unlink()
    del kept[lost.report(out.path)]
    told = []
    run_confidence(settings, out, lambda *said: told.append(said))
    assert told == [("compare", 3, 4), ("compare", 4, 4)]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    pd.testing.assert_frame_equal(read_table(lost.folder(out.path) / "metrics.csv"), before)
    with pytest.raises(SettingsDiffer, match="steps: 2 then, 3 now"):
        run_confidence(ConfidenceSettings(**{**settings.__dict__, "steps": 3}), out)


def test_a_data_set_without_confidences_is_refused(tmp_path, write_small):
    write_small(tmp_path / "data", 20, faults=False)
    with pytest.raises(UsageError, match="states no confidences"):
        run_confidence(ConfidenceSettings(tmp_path / "data"), Run(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
