"""What a person sees while a verb works, and when it ends."""

import io
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

from aleaseg.case import Finding
from aleaseg.cli import terminal
from aleaseg.cli.pace import Pace
from aleaseg.cli.terminal import progress_bars, show_findings, show_outcome


def finding(case):
    return Finding(case, "error", "unreadable_image", "a NIfTI image", "a file of 0 bytes", "copy it again")


def test_in_a_pipe_something_is_said_at_once_and_where_a_stage_begins(capsys):
    with progress_bars() as progress:
        assert capsys.readouterr().err == "Starting ...\n"
        progress("check", 0, 3)
        progress("check", 3, 3)
        progress("train", 0, 9)
        assert capsys.readouterr().err == "Checking files ...\nCross-fitting ...\n"
        progress("a stage of a plug-in", 1, 2)
        assert capsys.readouterr().err == "A stage of a plug-in ...\n"


def test_in_a_pipe_no_stage_is_silent_for_longer_than_half_a_minute(capsys, monkeypatch):
    assert terminal._QUIET_SECONDS == 30
    monkeypatch.setattr(terminal, "_QUIET_SECONDS", 0.15)
    with progress_bars() as progress:
        time.sleep(0.4)
        progress("train", 2, 9)
        time.sleep(0.4)
        progress("train", 9, 9)
        time.sleep(0.4)
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["Starting ...", "Starting: on its way, 0.0 min"]
    assert "Cross-fitting: 2 of 9, 0.0 min" in said
    assert "Cross-fitting: done, what follows is on its way, 0.0 min" in said
    time.sleep(0.3)
    assert not capsys.readouterr().err, "it ends with the verb"


def test_a_stage_that_tells_enough_by_itself_is_left_alone(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "_QUIET_SECONDS", 0.5)
    with progress_bars() as progress:
        for stage in ("check", "prepare", "train", "score"):
            progress(stage, 0, 1)
            time.sleep(0.2)
    assert [line for line in capsys.readouterr().err.splitlines() if not line.endswith(" ...")] == []


def test_bars_leave_room_for_what_ctrl_c_prints():
    """A line as wide as the terminal wraps when ^C comes behind it, and is then drawn twice."""
    out = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    with terminal._bars(out) as progress:
        progress("train", 123456, 1234567)
        progress("swap-in", 3, 3)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.file.getvalue())
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", drawn) if line.strip()]
    assert any("Cross-fitting" in line and "123456/1234567" in line for line in lines)
    assert max(map(len, lines)) <= 76


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "... and 10 more; `-o FOLDER` writes all of them"),
        (Path("RUN/check.csv"), "all are in RUN/check.csv"),
    ],
)
def test_findings_that_are_not_shown_are_where_they_were_written(capsys, written, said):
    show_findings(tuple(finding(f"ct_{index}") for index in range(60)), written)
    assert capsys.readouterr().out.rstrip().endswith(said)


def test_a_fault_is_told_once(capsys):
    run = SimpleNamespace(
        path=Path("RUN"), manifest={"notes": ["Two cases are bad."]}, cases=pd.DataFrame({"doubt": [None]})
    )
    troubles = {"ct_1": "ct_1: found a file of 0 bytes", "ct_2": "ct_2: found no slices"}
    show_outcome(SimpleNamespace(run=run, findings=(finding("ct_1"),), troubles=troubles, page=None))
    out = capsys.readouterr().out
    assert out.count("a file of 0 bytes") == 1
    assert "not used: ct_2: found no slices" in out


def test_how_long_it_will_take_is_said_once_by_the_first_steps(capsys, monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(terminal, "Pace", lambda: Pace(lambda: seconds[0]))
    with progress_bars() as progress:
        progress("draws", 0, 3)
        for step in range(0, 6000, 100):
            progress("train", step, 6000)
            seconds[0] += 10
        said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "about" in line] == [
        "Cross-fitting: about 10 minutes to go, then as much again for each of 2 more draws"
    ]


def test_no_time_is_foretold_of_a_short_stage_nor_by_a_first_step_alone():
    seconds = [0.0]
    pace = Pace(lambda: seconds[0])
    assert pace.left("train", 900, 1000) is None  # resumed: these were done before
    seconds[0] = 20.0
    assert pace.left("train", 901, 1000) is None
    assert pace.left("train", 920, 1000) == pytest.approx(80.0)
    assert pace.estimate("score", 0, 4) is None
    seconds[0] = 40.0
    assert pace.estimate("score", 4, 4) is None
