"""Which process does which folds, what is told meanwhile, and which fold is named when one dies.

Processes for real, of a program that does as `aleaseg.predictions.fold` does but trains nothing.
"""

import sys
from types import SimpleNamespace

import pytest

from aleaseg.errors import AleasegError
from aleaseg.predictions.processes import run_folds
from aleaseg.run import Run, read_json

PLAN = SimpleNamespace(folds=(("a", "b"), ("c",), ("d",), ("e",), ("f",)), steps=3, device="cpu")
PROGRAM = """#!{python} -SE
import json, os, pathlib, sys

_, _, module, run, share, *seconds = sys.argv
assert module == "aleaseg.predictions.fold"
for fold in map(int, share.split(",")):
    if fold == {dies}:
        sys.exit("the disk is full")
    for done in range(1, 4 + (2 if fold == 0 else 1)):
        print(json.dumps({{"fold": fold, "done": done}}), flush=True)
    report = {{"process": os.getpid(), "share": share, "seconds": seconds}}
    pathlib.Path(run, "models", f"fold_{{fold}}.json").write_text(json.dumps(report))
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """start(todo, workers, dies=fold): the reports of all folds, and how far it was told to be."""
    python = sys.executable

    def _start(todo, workers, dies=-1, seconds=None):
        script = tmp_path / "python"
        script.write_text(PROGRAM.format(python=python, dies=dies))
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        run, told = Run(tmp_path / "run"), []
        (run.path / "models").mkdir(parents=True, exist_ok=True)
        run_folds(run, PLAN, todo, workers, seconds, lambda stage, done, total: told.append((done, total)))
        return [read_json(path) for path in sorted((run.path / "models").glob("*.json"))], told

    return _start


@pytest.mark.parametrize(
    ("workers", "shares"),
    [
        (1, ["0,1,2,3,4"] * 5),
        (2, ["0,2,4", "1,3", "0,2,4", "1,3", "0,2,4"]),
        (9, ["0", "1", "2", "3", "4"]),
    ],
)
def test_a_process_does_its_share_one_after_the_other(start, workers, shares):
    reports, told = start([0, 1, 2, 3, 4], workers, seconds=2.5)
    assert [report["share"] for report in reports] == shares
    assert len({report["process"] for report in reports}) == min(workers, 5)
    assert {tuple(report["seconds"]) for report in reports} == {("2.5",)}
    total = 5 * 3 + 6
    assert told == [(done, total) for done in range(1, total + 1)]


def test_what_is_done_already_counts_and_is_left_alone(start):
    reports, told = start([2, 4], 1)
    assert [report["share"] for report in reports] == ["2,4", "2,4"]
    assert told == [(done, 21) for done in range(14, 22)]
    assert start([], 3)[1] == []


def test_a_fold_that_dies_is_named_and_those_before_it_are_kept(start, tmp_path):
    with pytest.raises(
        AleasegError, match=r"^fold 3 of cross-fitting stopped: the disk is full; .* resume$"
    ):
        start([0, 1, 2, 3, 4], 2, dies=3)
    assert (tmp_path / "run" / "models" / "fold_1.json").exists()
    assert not (tmp_path / "run" / "models" / "fold_3.json").exists()
    reports, _ = start([3], 2)
    assert len(reports) >= 2
