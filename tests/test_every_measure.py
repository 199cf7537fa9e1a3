"""`audit --measures all`: a column for every measure beside the usual tables, and what it needs."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from aleaseg.auditing.running import run_audit
from aleaseg.auditing.settings import AuditSettings
from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.run import Run
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.columns import COLUMNS
from aleaseg.scoring.measure import Recorded

pytestmark = pytest.mark.usefixtures("one_process")
GROUPS = r"^(g\d)"


def audit(dataset, out, **given):
    settings = AuditSettings(
        dataset=str(dataset), **{"steps": 3, "groups": GROUPS, "device": "cpu", **given}
    )
    return run_audit(settings, Run(out), page=False).run


def test_every_measure_has_a_column_in_its_own_direction(tmp_path, write_small):
    write_small(tmp_path / "data", 22)
    run = audit(tmp_path / "data", tmp_path / "run", measures="all")
    table = pd.read_csv(run.path / "every_measure.csv").set_index("case")
    assert list(table.columns) == list(MEASURES)
    cases = run.cases.set_index("case")
    assert list(table.index) == list(cases.index)
    for name in MEASURES:
        assert table[name].notna().sum() >= 20, name
        about = run.manifest["columns"][name]
        assert about["direction"] in ("high = bad", "low = bad")
        assert about["text"]
        assert (about["direction"], about["title"]) == (MEASURES[name].direction, MEASURES[name].title)
        low, high = MEASURES[name].limits or (None, None)
        assert low is None or table[name].min() >= low, name
        assert high is None or table[name].max() <= high, name
    for name in ("doubt", "image_doubt", "label_doubt", "auv", "oof_dice", "softmin"):
        np.testing.assert_allclose(table[name], cases[name], rtol=1e-6, atol=1e-8, err_msg=name)
    rows = run.measures
    assert set(rows["measure"]) <= set(COLUMNS), "a number that no table declares"
    emitted = set(zip(rows["measure"], rows["variant"], strict=True))
    recorded = [m for m in MEASURES.values() if isinstance(m, Recorded)]
    assert {(m.measure, m.variant) for m in recorded} <= emitted, "a measure that no record holds"
    assert {"aum", "forgetting", "fisher", "tta_dice", "in_sample_dice", "energy"} <= set(rows["measure"])
    el2n = rows[(rows["measure"] == "el2n") & (rows["variant"] == "early")].set_index("case")["value"]
    np.testing.assert_allclose(table["el2n/early"], el2n.loc[table.index], rtol=1e-6)
    assert run.manifest["settings"]["measures"] == "all"
    assert not list(run.path.rglob("*.npy"))
    # Once more: nothing is done again, nothing changes; without it is another run.
    before = (run.path / "every_measure.csv").read_bytes()
    audit(tmp_path / "data", tmp_path / "run", measures="all")
    assert (run.path / "every_measure.csv").read_bytes() == before
    with pytest.raises(SettingsDiffer, match="measures: 'all' then, 'default' now"):
        audit(tmp_path / "data", tmp_path / "run")


def test_it_is_refused_without_networks_of_its_own(tmp_path, finished):
    for given, match in (
        ({"predictions": str(finished.dataset / "labelsTr")}, "--predictions crossfit"),
        ({"reference": str(finished.run)}, "no `--reference`"),
    ):
        with pytest.raises(UsageError, match=match):
            audit(finished.dataset, tmp_path / "run", measures="all", **given)
        assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="unknown measures 'some'; expected one of: default, all"):
        audit(finished.dataset, tmp_path / "run", measures="some")
    assert not (tmp_path / "run").exists()


def test_the_default_has_no_such_table(finished):
    assert not (finished.run / "every_measure.csv").exists()
    assert Run(finished.run).manifest["settings"]["measures"] == "default"


def test_a_run_from_before_the_setting_goes_on(tmp_path, finished):
    shutil.copytree(finished.run, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    del manifest["settings"]["measures"]
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    names = set(AuditSettings("").asked()) - {"measures"}
    settings = AuditSettings(**{name: manifest["settings"][name] for name in names})
    run = run_audit(settings, Run(tmp_path / "run"), page=False).run
    for name in ("cases.csv", "scores.csv", "measures.csv"):
        assert (run.path / name).read_bytes() == (finished.run / name).read_bytes()
    with pytest.raises(SettingsDiffer, match="measures: 'default' then, 'all' now"):
        run_audit(dataclasses.replace(settings, measures="all"), Run(tmp_path / "run"), page=False)


def test_the_command_line_knows_it(tmp_path, finished, type_here):
    done = type_here(
        *("score", finished.dataset, "-o", tmp_path / "run", "--measures", "all"),
        *("--predictions", finished.dataset / "labelsTr"),
    )
    assert done.returncode == 2
    assert "--measures all" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    done = type_here("score", finished.dataset, "-o", tmp_path / "run", "--measures", "some")
    assert done.returncode == 2
    assert not (tmp_path / "run").exists()
