"""Cells are done once, by whoever claims them first; one that fails stops no other."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from aleaseg.errors import AleasegError
from aleaseg.reproduce import grid as module
from aleaseg.reproduce.cells import Maps, Scores, Subset, Training
from aleaseg.reproduce.grid import Grid, with_needs

CUT = Subset("auv", 0.9, "own", "foreground")
CELLS = [
    Training("a"),
    Training("a", objective="duo"),
    Training("a", cut=CUT),
    Maps("a", "own", "foreground"),
    Training("a", objective="static_s", eye="medsam2"),
]


def done_by(folder, cells=CELLS, **more):
    """Names of the cells that a run did, in order."""
    found = []

    def do(cell):
        found.append(cell.name)
        return {"dice": {}}

    Grid(folder).run(cells, do, **more)
    return found


def test_names_differ_and_suit_any_file_system():
    cells = with_needs(CELLS)
    assert len({cell.name for cell in cells}) == len(cells) == 7
    assert all(set(cell.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-") for cell in cells)
    assert Training("a", objective="duo:alpha=1", cut=Subset("random", 0.95, lot=2), seed=3).name == (
        "train-a-unet-duo.alpha.1-random2_95-s3"
    )


def test_needs_come_first_and_once():
    names = [cell.name for cell in with_needs(CELLS)]
    assert names.index("scores-a-own-foreground") < names.index(
        "train-a-unet-plain-auv_own_foreground_90-s0"
    )
    assert names.count("scores-a-own-foreground") == 1


def test_done_once(tmp_path):
    assert done_by(tmp_path) == [cell.name for cell in with_needs(CELLS)]
    assert done_by(tmp_path) == []
    made = json.loads((tmp_path / "cells" / f"{CELLS[1].name}.json").read_text())
    assert (made["kind"], made["cell"]["objective"]) == ("training", "duo")
    assert not list((tmp_path / "claims").iterdir())


def test_a_damaged_result_is_done_again(tmp_path):
    done_by(tmp_path)
    (tmp_path / "cells" / f"{CELLS[0].name}.json").write_text("{")
    assert done_by(tmp_path) == [CELLS[0].name]


def test_parts_share_out_every_cell(tmp_path):
    parts = [done_by(tmp_path / str(part), part=part, parts=3) for part in (1, 2, 3)]
    assert set().union(*map(set, parts)) == {cell.name for cell in with_needs(CELLS)}
    # In one folder no cell is done twice.
    together = [name for part in (3, 1, 2) for name in done_by(tmp_path / "one", part=part, parts=3)]
    assert sorted(together) == sorted(cell.name for cell in with_needs(CELLS))


def test_a_failure_is_named_and_the_others_go_on(tmp_path):
    def do(cell):
        if isinstance(cell, Scores) and cell.eye == "medsam2":
            raise AleasegError("no weights")
        if cell == CELLS[1]:
            raise ZeroDivisionError("of ours")
        return {}

    grid = Grid(tmp_path)
    failed = grid.run(CELLS, do)
    assert {cell.name for cell in failed} == {
        "scores-a-medsam2-foreground",
        CELLS[1].name,
        CELLS[4].name,
    }
    assert grid.failed(CELLS[4]) == "scores-a-medsam2-foreground failed: no weights"
    assert grid.failed(CELLS[1]) == "ZeroDivisionError: of ours"
    assert grid.done(CELLS[0])
    # What failed is tried again, and only that.
    assert set(done_by(tmp_path)) == {cell.name for cell in failed}
    assert not grid.failed(CELLS[4])


def test_two_at_a_time(tmp_path, monkeypatch):
    """Both work, no cell twice, and the second waits for what it needs."""
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.02)
    found, lock = [], threading.Lock()

    def do(cell):
        with lock:
            found.append((cell.name, threading.get_ident()))
        time.sleep(0.05)
        return {}

    threads = [threading.Thread(target=Grid(tmp_path).run, args=(CELLS, do)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    names = [name for name, _ in found]
    assert sorted(names) == sorted(cell.name for cell in with_needs(CELLS))
    assert len({who for _, who in found}) == 2


def claim(tmp_path, cell, **owner):
    folder = tmp_path / "claims" / cell.name
    folder.mkdir(parents=True)
    if owner:
        (folder / "owner.json").write_text(json.dumps(owner))
    return folder


def test_a_claim_left_by_a_kill_here_is_taken_over(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    claim(tmp_path, CELLS[0], host=socket.gethostname(), pid=ended.pid)
    assert done_by(tmp_path, CELLS[:1]) == [CELLS[0].name]


def test_a_claim_left_elsewhere_is_taken_over_when_it_is_old(tmp_path):
    folder = claim(tmp_path, CELLS[0], host="another", pid=1)
    assert not module._taken(folder)
    old = time.time() - 3600
    os.utime(folder, (old, old))
    assert module._taken(folder)
    assert not module._taken(folder)


def test_of_two_who_see_a_claim_abandoned_one_takes_it(tmp_path, monkeypatch):
    """The slower one looked at the old claim, and would move away the new one."""
    folder = claim(tmp_path, CELLS[0], host="another", pid=1)
    old = time.time() - 3600
    os.utime(folder, (old, old))
    look = module._abandoned

    def slowly(claimed):
        found = look(claimed)
        monkeypatch.setattr(module, "_abandoned", look)
        assert module._taken(folder)  # the quicker one, meanwhile
        (folder / "owner.json").write_text(json.dumps({"host": "third", "pid": 2}))
        return found

    monkeypatch.setattr(module, "_abandoned", slowly)
    assert not module._taken(folder)
    assert json.loads((folder / "owner.json").read_text())["host"] == "third"


def test_a_claim_taken_over_leaves_nothing(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    claim(tmp_path, CELLS[0], host=socket.gethostname(), pid=ended.pid)
    done_by(tmp_path, CELLS[:1])
    assert not list((tmp_path / "claims").iterdir())


def test_a_claim_is_given_back_when_stopped(tmp_path):
    def do(cell):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Grid(tmp_path).run(CELLS[:1], do)
    assert done_by(tmp_path, CELLS[:1]) == [CELLS[0].name]
