"""What was acknowledged is there, once, and stays as it was."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from aleaseg.errors import UsageError
from aleaseg.review.decisions import Decisions, on_network
from aleaseg.review.event import Event


def made(case="a", rater="ann", verdict="drop", kind="verdict", **more):
    verdict = verdict if kind == "verdict" else None
    more = {"at": "2026-01-01T00:00:00.000+00:00", **more}
    return Event(str(uuid.uuid4()), more.pop("at"), rater, case, kind, verdict=verdict, **more)


def undo(event, **more):
    return made(event.case, more.pop("rater", event.rater), kind="undo", undoes=event.uuid, **more)


@pytest.fixture
def decisions(tmp_path):
    opened = Decisions(tmp_path / "review" / "decisions.sqlite")
    yield opened
    opened.close()


def holding(decisions):
    return [(one.case, one.class_name, one.rater, one.verdict) for one in decisions.holding()]


def test_the_last_word_of_each_rater_holds(decisions):
    events = [
        made(),
        made(rater="bob", verdict="keep"),
        made(verdict="unsure"),
        made(class_name="liver", verdict="re-annotate"),
        made("b"),
    ]
    assert decisions.add(events) == [1, 2, 3, 4, 5]
    assert holding(decisions) == [
        ("a", "", "bob", "keep"),
        ("a", "", "ann", "unsure"),
        ("a", "liver", "ann", "re-annotate"),
        ("b", "", "ann", "drop"),
    ]
    assert [one.case for one in decisions.holding({"b"})] == ["b"]
    assert decisions.changed(4) == {"b"}


def test_an_undo_brings_back_what_held_before(decisions):
    first, second = made(), made(verdict="keep")
    decisions.add([first, second])
    decisions.add([undo(second)])
    assert holding(decisions) == [("a", "", "ann", "drop")]
    decisions.add([undo(first)])
    assert holding(decisions) == []
    assert [one["undone"] for one in decisions.events()] == [1, 1, 0, 0]


def test_an_undo_is_of_one_s_own_and_once(decisions):
    event = made()
    decisions.add([event])
    wrong = [undo(event, rater="bob"), made("b", kind="undo", undoes=event.uuid)]
    wrong.append(made(kind="undo", undoes=str(uuid.uuid4())))
    for one in wrong:
        with pytest.raises(ValueError, match="undo"):
            decisions.add([one])
    taken = undo(event)
    decisions.add([taken])
    for one in (undo(event), undo(taken)):
        with pytest.raises(ValueError, match="undo"):
            decisions.add([one])
    assert decisions.last() == 2


def test_sent_twice_it_is_there_once(decisions):
    event = made()
    assert decisions.add([event]) == [1]
    assert decisions.add([event, event]) == [1, 1]
    assert len(decisions.events()) == 1


def test_another_event_of_the_same_uuid_is_refused_and_none_of_its_company_kept(decisions):
    event = made()
    decisions.add([event])
    other = Event(**{**event.__dict__, "verdict": "keep"})
    with pytest.raises(ValueError, match="another event"):
        decisions.add([made("b"), other])
    assert holding(decisions) == [("a", "", "ann", "drop")]
    # What the server saw at the time does not make it another one.
    decisions.add([Event(**{**event.__dict__, "label_stamp": "later"})])
    assert decisions.events()[0]["label_stamp"] == ""


@pytest.mark.parametrize("sql", ["UPDATE event SET verdict = 'keep'", "DELETE FROM event"])
def test_nothing_is_changed_or_deleted(decisions, sql):
    decisions.add([made()])
    with sqlite3.connect(decisions.path) as base, pytest.raises(sqlite3.IntegrityError, match="never"):
        base.execute(sql)
    base.close()
    assert holding(decisions) == [("a", "", "ann", "drop")]


def test_the_table_itself_refuses_what_makes_no_sense(decisions):
    sql = (
        "INSERT INTO event (uuid, at, rater, session, case_id, class, kind, verdict, payload, blind, image_stamp, "
        "label_stamp, run_stamp) VALUES ('u', 'x', 'r', '', 'a', '', ?, ?, '{}', 0, '', '', '')"
    )
    base = sqlite3.connect(decisions.path)
    for kind, verdict in (("verdict", None), ("verdict", "burn"), ("note", "keep"), ("erase", None)):
        with pytest.raises(sqlite3.IntegrityError):
            base.execute(sql, (kind, verdict))
    base.close()


def test_two_processes_write_side_by_side(decisions):
    other = Decisions(decisions.path)
    for number in range(20):
        (decisions if number % 2 else other).add([made(str(number))])
    assert len(decisions.events()) == len(other.events()) == 20
    other.close()


def test_a_full_disk_keeps_nothing_of_it_and_says_so(decisions):
    decisions.add([made()])
    (pages,) = decisions._rows("PRAGMA page_count", [])[0]
    decisions._rows(f"PRAGMA max_page_count = {pages}", [])
    many = [made(str(number), payload={"text": "x" * 3000}, kind="note") for number in range(50)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        decisions.add(many)
    assert decisions.last() == 1
    decisions._rows("PRAGMA max_page_count = 100000", [])
    assert len(decisions.add(many)) == 50


def test_a_file_that_is_none_is_named(tmp_path):
    path = tmp_path / "decisions.sqlite"
    path.write_bytes(b"no database " * 100)
    with pytest.raises(UsageError, match=r"decisions\.sqlite"):
        Decisions(path)
    assert path.read_bytes() == b"no database " * 100


def test_reading_changes_nothing(decisions):
    decisions.add([made()])
    reader = Decisions(decisions.path, read_only=True)
    assert holding(reader) == [("a", "", "ann", "drop")]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.add([made()])
    reader.close()


def test_network_drives_are_known(tmp_path):
    mounts = tmp_path / "mounts"
    lines = [
        "/dev/sda / ext4 rw 0 0",
        "server:/x /net/my\\040data nfs4 rw 0 0",
        "//s/x /net/données cifs rw 0 0",
    ]
    mounts.write_text("\n".join(lines), "utf-8")
    if sys.platform.startswith("linux"):
        assert not on_network(tmp_path / "a", mounts)
        assert on_network(Path("/net/my data/run/decisions.sqlite"), mounts)
        assert on_network(Path("/net/données/run"), mounts)
        assert not on_network(Path("/net/my data2/x"), mounts)


# -- killed for real ----------------------------------------------------------------------------------

WRITER = """
import sys, uuid
from pathlib import Path
from aleaseg.review.decisions import Decisions
from aleaseg.review.event import Event
decisions = Decisions(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    events = [
        Event(str(uuid.uuid4()), "2026-01-01T00:00:00.000+00:00", "ann", "a", "verdict", verdict="drop")
        for _ in range(3)
    ]
    sys.stdout.write("about " + " ".join(event.uuid for event in events) + "\\n")
    sys.stdout.flush()
    decisions.add(events)
    sys.stdout.write("saved " + " ".join(event.uuid for event in events) + "\\n")
    sys.stdout.flush()
"""


def killed(path, times):
    """(acknowledged uuids, in threes; all that were ever about to be written)."""
    chance = random.Random(times)
    saved, about = [], []
    for _ in range(times):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0, 0.06))
        os.kill(process.pid, signal.SIGKILL)
        told, _ = process.communicate()
        for line in told.splitlines():
            word, *uuids = line.split(" ")
            if len(uuids) == 3 and len(uuids[-1]) == 36:
                (saved if word == "saved" else about).append(uuids)
    return saved, about


def check_killed(path, times):
    saved, about = killed(path, times)
    decisions = Decisions(path)
    there = [one["uuid"] for one in decisions.events()]
    decisions.close()
    assert len(there) == len(set(there))
    assert {one for three in saved for one in three} <= set(there)
    # All or none of what was written together.
    for three in about:
        assert len(set(three) & set(there)) in (0, 3)
    assert len(saved) > times / 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path):
    check_killed(tmp_path / "decisions.sqlite", 6)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_hundred_kills_lose_nothing_that_was_acknowledged(tmp_path):
    check_killed(tmp_path / "decisions.sqlite", 100)
