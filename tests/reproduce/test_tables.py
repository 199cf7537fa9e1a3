"""What stands in the tables, against cells made by hand; every grid is declared, priced and sound."""

import json

import numpy as np
import pandas as pd
import pytest

from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.reproduce import SWEEPS, TABLES, ReproduceSettings, against, costs, plan
from aleaseg.reproduce.against import baseline_of, compare_rows
from aleaseg.reproduce.cells import Scores, Subset, Training
from aleaseg.reproduce.filling import Entry, Table, fill
from aleaseg.reproduce.grid import Grid
from aleaseg.reproduce.paper import PAPER
from aleaseg.reproduce.reproducing import expand
from aleaseg.reproduce.work import kept_at_random, kept_cases
from aleaseg.reproduce.writing import write_reproduced
from aleaseg.run import Run
from aleaseg.training.objectives import settings_of


@pytest.fixture(scope="module")
def planned(paper_data, tmp_path_factory):
    """Everything, for all five data sets."""
    settings = ReproduceSettings(str(paper_data), randoms=2, device="cpu")
    return plan(["all"], settings, tmp_path_factory.mktemp("plan")), settings


def table_of(planned, name):
    return next(table for table in planned[0].tables if table.name == name)


def finish(grid, cell, **numbers):
    path = grid.folder / "cells" / f"{cell.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(numbers))


def at(shown, row, column):
    return next(one for one in shown if (one.row, one.column) == (row, column))


# -- declared -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TABLES, *SWEEPS])
def test_every_number_of_the_paper_has_its_place(planned, name):
    table = table_of(planned, name)
    places = {(row, column) for row in table.rows for column in [*table.columns, *["Mean"] * table.mean]}
    assert {key[1:] for key in PAPER if key[0] == name} <= places
    used = {(entry.row, entry.column) for entry in table.entries if entry.paper is not None}
    assert used == {key[1:] for key in PAPER if key[0] == name and key[2] != "Mean"} or name == "table4"


@pytest.mark.parametrize("name", [*TABLES, *SWEEPS])
def test_every_cell_can_be_asked_for(planned, name):
    made, _ = planned
    for cell in table_of(planned, name).cells:
        assert cell.dataset in made.datasets
        if isinstance(cell, Training):
            assert cell.objective in ("static_s", "static_freq") or settings_of(cell.objective) is not False
            assert cell.cut is None or not cell.cut.target or cell.cut.target == "tumour"


def test_tables_share_their_cells(planned):
    made, _ = planned
    assert len(made.cells) < sum(len(table.cells) for table in made.tables)
    assert len({cell.name for cell in made.cells}) == len(made.cells)
    base = Training("lits")
    assert sum(base in table.cells for table in made.tables) >= 8


def test_table_1_has_every_eye_at_both_ratios_and_lots(planned):
    table = table_of(planned, "table1")
    assert len(table.columns) == 10
    assert len(table.rows) == 1 + 6 * 2 + 2
    entry = next(entry for entry in table.entries if entry.row == "random, 95%")
    assert [cell.cut for cell in entry.cells] == [
        Subset("random", 0.95, lot=1),
        Subset("random", 0.95, lot=2),
    ]


def test_costs_of_everything(planned):
    made, settings = planned
    rows = dict(costs(made, settings))
    assert set(rows) == {*TABLES, *SWEEPS, "figures", "together"}
    assert rows["table2"].runs["training"] == 5 * 3 * 2
    assert rows["table2"].blocked == 0 < rows["table1"].blocked
    assert rows["table1"].without == ["medsam2", "segvol", "universal"]
    every = sum(one.hours + one.blocked_hours for name, one in rows.items() if name != "together")
    together = rows["together"]
    assert 0 < together.hours + together.blocked_hours < every
    assert "assumed" in together.basis


def test_costs_by_what_is_finished(planned, tmp_path, paper_data):
    settings = ReproduceSettings(str(paper_data), device="cpu", datasets=("lits",))
    made = plan(["table6"], settings, tmp_path / "out")
    before = costs(made, settings)[-1][1]
    finish(made.grid, Training("lits"), seconds=3600.0, dice={})
    after = costs(made, settings)[-1][1]
    assert (before.done, after.done) == (0, 1)
    assert after.hours == pytest.approx(5.0)
    assert "5 of 5 cells by finished ones" in after.basis


def test_bad_names():
    assert expand(["tables", "table1"]) == list(TABLES)
    with pytest.raises(UsageError, match="unknown table 'table7'; expected some of: table1, table2"):
        expand(["table7"])


def test_a_folder_of_other_settings_is_refused(paper_data, tmp_path):
    plan(["table6"], ReproduceSettings(str(paper_data)), tmp_path / "out")
    with pytest.raises(SettingsDiffer, match="seeds: None then, 3 now"):
        plan(["table6"], ReproduceSettings(str(paper_data), seeds=3), tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="holds other files"):
        plan(["table6"], ReproduceSettings(str(paper_data)), tmp_path / "other")


def test_a_target_that_no_data_set_has(paper_data, tmp_path):
    with pytest.raises(UsageError, match="no class 'brain'"):
        plan(["table6"], ReproduceSettings(str(paper_data), target="brain"), tmp_path / "out")


# -- arithmetic -----------------------------------------------------------------------------------


def test_difference_to_the_paper(planned, tmp_path):
    grid, table = Grid(tmp_path), table_of(planned, "table6")
    finish(grid, Training("lits"), dice={"liver": 0.95, "tumour": 0.70}, iou={})
    finish(grid, Training("lits", objective="duo"), dice={"liver": 0.96, "tumour": None}, iou={})
    shown = fill(table, grid)
    base = at(shown, "baseline", "target Dice")
    assert (base.ours, base.paper, base.difference) == (70.0, 69.31, pytest.approx(0.69))
    assert at(shown, "baseline", "liver Dice").ours == 95.0
    gone = at(shown, "EN + RW (DUO)", "target Dice")
    assert (gone.ours, gone.paper, gone.difference) == (None, 71.66, None)
    assert "no such number" in gone.why
    assert at(shown, "EN", "target Dice").why == "train-lits-unet-en-all-s0: not done yet"


def test_lots_are_averaged_and_their_range_is_shown(planned, tmp_path):
    grid, table = Grid(tmp_path), table_of(planned, "table5")
    for lot, dice in ((1, 0.6), (2, 0.7)):
        finish(grid, Training("lits", cut=Subset("random", 0.9, lot=lot)), dice={"tumour": dice})
    one = at(fill(table, grid), "random", "90%")
    assert (one.ours, one.spread, one.done, one.of) == (pytest.approx(65), pytest.approx(10), 2, 2)


def test_the_mean_is_over_dice_and_miou_of_all_five(planned, tmp_path):
    grid, table = Grid(tmp_path), table_of(planned, "table2")
    names = list(planned[0].datasets)
    for place, name in enumerate(names):
        finish(grid, Training(name), dice={"a": 0.5 + 0.1 * place, "b": 0.7}, iou={"a": 0.4, "b": None})
    shown = fill(table, grid)
    mean = at(shown, "nnU-Net", "Mean")
    dice = [100 * (0.5 + 0.1 * place + 0.7) / 2 for place in range(5)]
    assert mean.ours == pytest.approx(np.mean([*dice, *[40] * 5]))
    assert mean.difference == pytest.approx(mean.ours - 75.10)
    assert at(shown, "nnU-Net + DUO", "Mean").ours is None


def test_other_data_is_not_subtracted(small_data, tmp_path):
    made = plan(["table2", "table6"], ReproduceSettings(str(small_data), "tiny"), tmp_path / "out")
    numbers = {"dice": {"left": 0.8, "right": 0.6}, "iou": {"left": 0.7, "right": 0.5}}
    for network in ("unet", "swin_unetr", "umamba"):
        for objective in ("plain", "duo"):
            finish(made.grid, Training("small", network, objective), **numbers)
    two, six = (fill(table, made.grid) for table in made.tables)
    mean = at(two, "U-Mamba", "Mean")
    assert (mean.ours, mean.paper, mean.difference) == (pytest.approx(65), 74.13, None)
    base = at(six, "baseline", "target Dice")
    assert (base.ours, base.paper, base.difference) == (pytest.approx(60), 69.31, None)
    assert any("without a difference" in note for note in made.tables[1].footnotes)


def test_rows_and_their_baselines(planned):
    two, five = table_of(planned, "table2"), table_of(planned, "table5")
    assert {row: baseline_of(two, row) for row in two.rows if baseline_of(two, row)} == {
        "nnU-Net + DUO": "nnU-Net",
        "Swin-UNETR + DUO": "Swin-UNETR",
        "U-Mamba + DUO": "U-Mamba",
    }
    assert baseline_of(five, "random") == "baseline"
    assert baseline_of(five, "baseline") == ""


def test_a_row_is_compared_over_the_seeds_that_both_have(tmp_path, monkeypatch):
    """As `bench --downstream` compares: row less baseline, claimed where several seeds and the interval agree."""
    rng, cases = np.random.default_rng(0), [f"c{index:02d}" for index in range(20)]
    base = {seed: rng.uniform(0.6, 0.8, 20) for seed in range(3)}

    def paired(pair, grid):
        first, second = pair
        gain = {"duo": 0.05, "rw": 0.01 if second.seed else -0.01}[second.objective]
        assert first.seed == second.seed
        table = pd.DataFrame(
            {"case": cases, "group": cases, "first": base[first.seed], "second": base[first.seed] + gain}
        )
        return table[second.seed :].set_index("case")  # each seed lacks others

    def row(name, objective, seeds):
        made = [Training("small", objective=objective, seed=seed) for seed in seeds]
        for cell in made:
            finish(grid, cell, dice={})
        return Entry(name, "Dice", tuple(made), lambda grid, cell: None)

    grid = Grid(tmp_path)
    rows = (row("plain", "plain", range(3)), row("DUO", "duo", range(3)), row("RW", "rw", [0, 1, 5]))
    monkeypatch.setattr(against, "_paired", paired)
    duo, rw = compare_rows(Table("t", "", "", rows, baseline="plain"), grid)
    assert (duo.row, duo.baseline, duo.run) == ("DUO", "plain", "train-small-unet-duo-all-s0")
    assert (duo.signs, duo.claim, duo.cases) == ("+++", "helps", 18)
    np.testing.assert_allclose([duo.difference, duo.low, duo.high], 5, atol=1e-9)
    assert (rw.signs, rw.claim, rw.cases) == ("-+", "no claim", 19), "seed 5 has no baseline"


def test_a_half_finished_table_says_so(planned, tmp_path):
    grid, table = Grid(tmp_path), table_of(planned, "table6")
    finish(grid, Training("lits"), dice={"liver": 0.95, "tumour": 0.70}, iou={})
    finish(grid, Training("lits", objective="en"), failed="lits_007: found |a| <file> of 0 bytes")
    page = write_reproduced(table, grid, {"preset": "paper"}, "aleaseg reproduce table6")
    markdown, html = (tmp_path / "table6.md").read_text(), page.read_text()
    assert "| baseline | 70.00 (paper 69.31, +0.69) | 95.00 |" in markdown
    assert "| EN | – (paper 69.87) | – |" in markdown
    assert "1 of 6 finished" in markdown
    assert r"lits\_007: found \|a\| \<file\> of 0 bytes" in markdown
    assert "&lt;file&gt; of 0 bytes" in html
    assert "<file>" not in html
    assert "labels look swapped there" in markdown
    rows = (tmp_path / "table6.csv").read_text().splitlines()
    assert rows[0] == "row,column,ours,spread,paper,difference,done,of,why"
    assert rows[1] == "baseline,target Dice,70,,69.31,0.69,1,1,"


# -- cuts -----------------------------------------------------------------------------------------


def a_run(folder, auv, every=None, classes=None):
    run = Run(folder)
    folder.mkdir(parents=True)
    lines = [f"c{n:02d},{'' if v is None else v}" for n, v in enumerate(auv)]
    (folder / "cases.csv").write_text("\n".join(["case,auv", *lines]))
    if every:
        lines = [f"c{n:02d},{v}" for n, v in enumerate(every)]
        (folder / "every_measure.csv").write_text("\n".join(["case,fisher", *lines]))
    if classes:
        lines = [f"c{n:02d},tumour,{'' if v is None else v}" for n, v in enumerate(classes)]
        (folder / "scores.csv").write_text("\n".join(["case,class,auv", *lines]))
    return run


def test_a_cut_keeps_what_the_quantile_keeps(tmp_path):
    cases = [f"c{n:02d}" for n in range(20)]
    run = a_run(tmp_path / "run", [n / 20 for n in range(20)])
    for keep, count in ((0.95, 19), (0.9, 18)):
        kept = kept_cases(run, Subset("auv", keep, "own"), cases)
        assert kept == cases[:count]
        assert len(kept_at_random(cases, Subset("random", keep, lot=1))) == count
    assert kept_at_random(cases, Subset("random", 0.9, lot=1)) != kept_at_random(
        cases, Subset("random", 0.9, lot=2)
    )


def test_a_certainty_is_cut_at_its_low_end(tmp_path):
    cases = [f"c{n:02d}" for n in range(10)]
    run = a_run(tmp_path / "run", [0.5] * 10, every=[n / 10 for n in range(10)])
    assert kept_cases(run, Subset("fisher", 0.9, "task"), cases) == cases[1:]


def test_a_case_without_the_class_stays(tmp_path):
    cases = [f"c{n:02d}" for n in range(11)]
    values = [None, *(n / 10 for n in range(10))]
    run = a_run(tmp_path / "run", [0.5] * 11, classes=values)
    assert kept_cases(run, Subset("auv", 0.9, "own", target="tumour"), cases) == cases[:-1]
    empty = a_run(tmp_path / "empty", [None] * 11, classes=[None] * 11)
    with pytest.raises(UsageError, match="to cut by"):
        kept_cases(empty, Subset("auv", 0.9, "own", target="tumour"), cases)


def test_static_weights_need_the_scores_of_an_eye():
    cell = Training("lits", objective="static_s", eye="own")
    assert cell.needs == (Scores("lits", "own", "foreground"),)
