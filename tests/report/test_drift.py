"""The drift of a run on its page."""

from aleaseg.report.drift import ruler_svg, shown_drift
from aleaseg.run import Run, write_table
from aleaseg.scoring.drift import DRIFT_COLUMNS


def write(folder, rows):
    run = Run(folder)
    run.update_manifest(
        drift={"cases": 9, "tests": 40, "alarms": 1, "alpha": 0.01},
        columns={"volume_mm3": {"title": "Volume", "unit": "mm³"}},
    )
    write_table(run.path / "drift.csv", DRIFT_COLUMNS, rows)
    return run


def row(**other):
    spread = dict(zip((5, 25, 50, 75, 95), (-1.6, -0.7, 0.0, 0.7, 30.0), strict=True))
    known = {"part": "all", "against": "population", "measure": "volume_mm3", "class": "liver <1>", "n": 9}
    known |= {"n_population": 80, "median": 12.5, "median_population": 40.0, "shift": -3.0, "distance": 0.9}
    known |= {"p": 1e-6, "p_adjusted": 4e-5, "drifts": True}
    known |= {f"new_{q}": value - 3 for q, value in spread.items()}
    known |= {f"population_{q}": value for q, value in spread.items()}
    return known | other


def test_alarms_alone_are_shown_with_both_spreads(tmp_path):
    run = write(tmp_path, [row(), row(part="site A", against="site A"), row(drifts=False)])
    shown, count = shown_drift(run)
    assert count == 2
    assert shown[0].measure == "Volume, liver <1>"
    assert shown[0].part == "all new cases (9)"
    assert shown[1].part == "site A (9), against the same site's"
    assert shown[0].medians == "12.5 mm³, usually 40 mm³"
    assert shown[0].p == "< 0.001"
    assert "new: median -3.0, 90% from -4.6 to +27.0 robust sd" in shown[0].svg
    assert 'x2="306"' in shown[0].svg  # what lies beyond the ruler ends with it
    assert "usual" in ruler_svg()


def test_a_run_of_one_population_has_none(tmp_path):
    run = Run(tmp_path)
    run.update_manifest(drift=None)
    assert shown_drift(run) == ([], 0)
