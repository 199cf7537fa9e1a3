"""Work on many cases: every item once, whoever does it and whatever becomes of a worker."""

import os
import signal
import threading
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg import work
from aleaseg.work import (
    cores,
    in_processes,
    in_threads,
    map_cases,
    memory_bytes,
    on_one_core,
    serially,
    side_by_side,
)

GIB = 2**30


def square(number):
    return number * number


def die_in_a_worker(parent, number):
    if os.getpid() != parent and number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def threads_of_torch(number):
    import torch

    return torch.get_num_threads()


@pytest.mark.parametrize("executor", [serially, in_threads, in_processes])
def test_every_item_is_done_once(executor):
    told = []
    found = list(
        map_cases(square, range(7), workers=2, executor=executor, progress=lambda *n: told.append(n))
    )
    assert sorted(found) == [(number, number * number) for number in range(7)]
    assert told == [(done, 7) for done in range(8)]


def test_nothing_to_do_is_nothing_said():
    assert list(map_cases(square, [], progress=lambda *n: pytest.fail("said something"))) == []


def test_what_a_killed_worker_left_is_done_here():
    found = dict(map_cases(partial(die_in_a_worker, os.getpid()), range(6), workers=2))
    assert found == {number: number for number in range(6)}


def test_what_cannot_be_sent_is_done_here():
    lock = threading.Lock()  # cannot be pickled
    found = dict(map_cases(lambda number: (lock.locked(), number), range(3), workers=2))
    assert found == {number: (False, number) for number in range(3)}


def test_an_error_of_the_function_ends_the_map():
    with pytest.raises(ZeroDivisionError):
        list(map_cases(partial(divmod, 1), [0, 1], workers=2))


def test_workers_have_one_thread_each():
    assert {threads for _, threads in map_cases(threads_of_torch, range(2), workers=2)} == {1}


def test_threads_begin_when_the_first_item_has_imported_what_all_need():
    began = []

    def item(number):
        began.append((number, threading.current_thread() is threading.main_thread()))
        return number

    assert sorted(number for _, number in in_threads(item, range(6), 3)) == list(range(6))
    assert began[0] == (0, True)
    assert not any(here for _, here in began[1:])


def test_items_are_drawn_as_workers_become_free():
    drawn = []

    def items():
        for number in range(1000):
            drawn.append(number)
            yield number

    done = in_threads(square, items(), 2)
    next(done)
    next(done)
    assert len(drawn) < 10
    before = threading.active_count()
    done.close()
    assert threading.active_count() < before  # nobody wants the rest, and nobody works on it
    assert len(drawn) < 10


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.floats(0, 400), st.integers(1, 64), st.integers(1, 512))
def test_side_by_side_fits_cores_memory_and_items(items, gib_each, many, gib):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "cores", lambda: many)
        patch.setattr(work, "memory_bytes", lambda: gib * GIB)
        count = side_by_side(items, gib_each * GIB)
        assert 1 <= count <= min(items, many)
        assert count == 1 or count * gib_each <= 0.7 * gib
        assert side_by_side(items, gib_each * GIB, device="cuda") == 1
        assert side_by_side(items, workers=3) == min(3, items)
        patch.setattr(work, "memory_bytes", lambda: None)
        assert side_by_side(items, gib_each * GIB) == min(items, many)


def test_cores_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert cores() == 1


def test_the_memory_of_a_container_counts(tmp_path, monkeypatch):
    whole = memory_bytes()
    (tmp_path / "max").write_text("123456\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(work, "_CGROUPS", (str(tmp_path / "none"), str(tmp_path / "absent")))
    assert memory_bytes() >= whole
    monkeypatch.setattr(work, "_CGROUPS", (str(tmp_path / "none"), str(tmp_path / "max")))
    assert memory_bytes() == 123456


@pytest.mark.parametrize("before", [None, "3"])
def test_one_of_several_side_by_side_takes_one_core_and_gives_back_the_others(monkeypatch, before):
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    if before:
        monkeypatch.setenv("LOKY_MAX_CPU_COUNT", before)
    known = cores()
    with suppress(KeyError), on_one_core():
        assert side_by_side(100) == 1
        raise KeyError
    assert cores() == known
    assert os.environ.get("LOKY_MAX_CPU_COUNT") == before
