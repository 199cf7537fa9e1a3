"""Whole runs on small data, two steps each: two cells of every table, figures, going on, sharing out."""

import json
import re

import pytest

from aleaseg.errors import AleasegError, UsageError
from aleaseg.reproduce import SWEEPS, TABLES, ReproduceSettings, plan, reproduce
from aleaseg.reproduce.cells import Maps, Scores, Training
from aleaseg.reproduce.grid import with_needs
from aleaseg.reproduce.work import Worker
from aleaseg.reproduce.writing import write_reproduced

pytestmark = pytest.mark.usefixtures("one_process")


def tiny(data, **more):
    return ReproduceSettings(str(data), "tiny", steps=2, crossfit_steps=2, randoms=1, device="cpu", **more)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The tables of this file share their cells, as a user's would."""
    return tmp_path_factory.mktemp("shared") / "out"


def two_cells(data, out, name, chosen):
    """Do two cells of a table and what they need; write the table."""
    settings = tiny(data)
    made = plan([name], settings, out)
    (table,) = made.tables
    cells = [cell for cell in table.cells if cell.name in chosen] if chosen else table.cells[:2]
    assert len(cells) == 2
    failed = made.grid.run(with_needs(cells), Worker(made.grid, settings, made.datasets))
    assert not failed, [made.grid.failed(cell) for cell in failed]
    page = write_reproduced(table, made.grid, {"preset": "tiny"}, f"aleaseg reproduce {name}")
    return made, cells, page


def numbers_in(out, name):
    """How many entries of a table have a number of ours."""
    rows = (out / f"{name}.csv").read_text().splitlines()[1:]
    return sum(row.split(",")[2] != "" for row in rows)


def test_two_cells_to_a_finished_table_and_page(small_data, shared):
    chosen = ("train-small-unet-plain-all-s0", "train-small-unet-duo-all-s0")
    made, cells, page = two_cells(small_data, shared, "table2", chosen)
    plain, duo = (made.grid.result(cell) for cell in cells)
    assert (plain["train"], plain["test"], plain["steps"]) == (24, 6, 2)
    assert set(plain["dice"]) == {"left", "right"}
    assert plain["dice"] != duo["dice"]
    assert numbers_in(shared, "table2") == 6  # Dice, mIoU and their mean, of two rows
    markdown = (shared / "table2.md").read_text()
    assert "| nnU-Net + DUO | nnU-Net | train-small-unet-duo-all-s0 |" in markdown
    assert "(paper 75.69)" in markdown
    assert (shared / "work" / cells[0].name / "model" / "training.html").is_file()
    assert f"work/{cells[0].name}/model/training.html" in page.read_text()


def test_what_is_finished_is_not_done_again(small_data, shared, monkeypatch):
    from aleaseg.training import training

    two_cells(
        small_data, shared, "table2", ("train-small-unet-plain-all-s0", "train-small-unet-duo-all-s0")
    )
    result = shared / "cells" / "train-small-unet-plain-all-s0.json"
    before = json.loads(result.read_text())
    result.unlink()  # as a kill between training and result leaves it
    monkeypatch.setattr(training, "_fit", lambda *given: pytest.fail("trained again"))
    two_cells(
        small_data, shared, "table2", ("train-small-unet-plain-all-s0", "train-small-unet-duo-all-s0")
    )
    assert json.loads(result.read_text())["dice"] == before["dice"]


def test_a_cell_that_fails_is_named_and_the_others_go_on(small_data, shared, tmp_path, monkeypatch):
    import aleaseg.training

    real = aleaseg.training.train

    def train(settings, *given, **more):
        if settings.objective == "duo" or settings.network != "unet":
            raise AleasegError("the disk is full")
        return real(settings, *given, **more)

    monkeypatch.setattr(aleaseg.training, "train", train)
    found = reproduce(["table2"], tiny(small_data), tmp_path / "out")
    assert set(found.failed.values()) == {"the disk is full"}
    assert len(found.failed) == 5
    markdown = (tmp_path / "out" / "table2.md").read_text()
    assert "1 of 6 finished" in markdown
    assert "train-small-unet-duo-all-s0: the disk is full" in markdown
    assert re.search(r"\| nnU-Net \| \d+\.\d\d", markdown)


def test_parts_and_bad_parts(small_data, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(Worker, "__call__", lambda self, cell: done.append(cell.name) or {"dice": {}})
    first = reproduce(["table6"], tiny(small_data), tmp_path / "out", part=1, parts=2)
    assert (len(done), first.open) == (3, 3)
    assert "3 of 6 finished" in (tmp_path / "out" / "table6.md").read_text()
    second = reproduce(["table6"], tiny(small_data), tmp_path / "out", part=2, parts=2)
    assert (len(set(done)), second.open) == (6, 0)
    with pytest.raises(UsageError, match="part is 3 of 2"):
        reproduce(["table6"], tiny(small_data), tmp_path / "out", part=3, parts=2)


def test_an_eye_without_weights_says_so(small_data, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("ALEASEG_WEIGHTS", str(tmp_path / "weights"))
    settings = tiny(small_data)
    made = plan(["table1"], settings, tmp_path / "out")
    cell = Scores("small", "medsam2", "foreground")
    assert made.grid.run([cell], Worker(made.grid, settings, made.datasets)) == [cell]
    assert "medsam2" in made.grid.failed(cell).lower()


TWO = {
    "table1": ("train-small-unet-plain-auv_variance_90-s0", "train-small-unet-plain-random1_95-s0"),
    "table2": ("train-small-swin_unetr-plain-all-s0", "train-small-umamba-duo-all-s0"),
    "table3": (
        "train-small-unet-plain-fisher_task_90-s0",
        "train-small-unet-duo.certainty.mahalanobis-all-s0",
    ),
    "table4": ("scores-small-task", "train-small-unet-plain-all-s0"),
    "table5": (
        "train-small-unet-plain-auv_own_raw_90-s0",
        "train-small-unet-plain-auv_own_foreground_right_90-s0",
    ),
    "table6": ("train-small-unet-en-all-s0", "train-small-unet-rw-all-s0"),
    "sweep_ratio": (
        "train-small-unet-plain-auv_own_foreground_70-s0",
        "train-small-unet-plain-random1_70-s0",
    ),
    "sweep_alpha": ("train-small-unet-duo.alpha.0-all-s0", "train-small-unet-duo.alpha.2-all-s0"),
    "sweep_beta": ("train-small-unet-duo.beta.0.25-all-s0", "train-small-unet-duo.beta.0.75-all-s0"),
    "sweep_static": ("train-small-unet-static_s-own-all-s0", "train-small-unet-static_freq-own-all-s0"),
    "sweep_dice": (
        "train-small-unet-plain-oof_dice_task_90-s0",
        "train-small-unet-plain-in_sample_dice_task_90-s0",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TABLES, *SWEEPS])
def test_two_cells_of_every_table(name, small_data, shared):
    made, cells, page = two_cells(small_data, shared, name, TWO[name])
    assert page.is_file()
    assert numbers_in(shared, name) >= 2
    for cell in cells:
        if isinstance(cell, Training) and cell.cut is not None and cell.cut.by != "random":
            result = made.grid.result(cell)
            assert result["left_out"] == round(24 * (1 - cell.cut.keep) - 1e-9)
    if name == "table4":
        csv = (shared / "table4.csv").read_text()
        # Two classes make no correlation, 48 cases and classes do.
        assert re.search(r"^Fisher,Pearson,,,0.4402", csv, re.M)
        assert re.search(r"^Fisher,classes,2,", csv, re.M)
        assert re.search(r"^Fisher,cases x classes,\d\d,", csv, re.M)


@pytest.mark.slow
def test_figures(small_data, shared):
    found = reproduce(["figures"], tiny(small_data), shared)
    assert not found.failed
    names = {path.name for path in (shared / "figures").iterdir()}
    assert {"figure2.svg", "figure4_1.svg", "figure7.svg", "figure1_lowest_1.svg"} <= names
    assert {f"figure5_{place}_{how}.svg" for place in (1, 2) for how in ("pca", "tsne")} <= names
    assert {f"figure6_{x}_{y}.svg" for x in ("raw", "foreground") for y in ("entire", "class")} <= names
    page = (shared / "figures.html").read_text()
    assert "Not drawn" not in page
    from xml.etree import ElementTree

    for path in (shared / "figures").iterdir():
        ElementTree.parse(path)


def test_figures_of_nothing_say_why(small_data, tmp_path, monkeypatch):
    def refuse(self, cell):
        raise AleasegError("no room")

    monkeypatch.setattr(Worker, "__call__", refuse)
    found = reproduce(["figures"], tiny(small_data), tmp_path / "out")
    assert Maps("small", "own", "foreground").name in found.failed
    assert found.pages[0].read_text().count("Not drawn") == 6


@pytest.mark.slow
def test_the_command_line(small_data, paper_data, tmp_path, type_aleaseg):
    done = type_aleaseg("reproduce", "all", "--data", paper_data, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "TotalSegmentator: 27 cases to train on" in done.stdout
    assert not list(tmp_path.iterdir())
    wrong = type_aleaseg("reproduce", "table9", "--data", paper_data, "--dry-run")
    assert (wrong.returncode, "unknown table 'table9'" in wrong.stderr) == (2, True)
    empty = type_aleaseg("reproduce", "table2", "--data", tmp_path)
    assert (empty.returncode, "LiTS: expected volume-N.nii" in empty.stderr) == (2, True)
    words = ("--data", small_data, "--preset", "tiny", "--steps", 1, "--part", 1, "--parts", 6)
    done = type_aleaseg("reproduce", "table6", *words, "-o", tmp_path / "out", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "5 cells are not done yet" in done.stdout
    assert f"{tmp_path / 'out' / 'table6.html'}" in done.stdout.replace("\n", "")
