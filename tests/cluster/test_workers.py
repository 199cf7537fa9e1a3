"""Maps on the workers of a cluster: real processes, killed for real."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")

from aleaseg.cluster import Cluster, connected, workers  # noqa: E402
from aleaseg.cluster.task import Done  # noqa: E402
from aleaseg.errors import AleasegError, UsageError, WorkerKilled  # noqa: E402
from aleaseg.work import Lost, elsewhere, map_cases, using  # noqa: E402

HERE = os.getpid()
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}


def square(number):
    return number * number, os.getpid()


def threads(number):
    import numpy  # noqa: F401
    from threadpoolctl import threadpool_info

    return {pool["num_threads"] for pool in threadpool_info()}, os.environ["OMP_NUM_THREADS"]


def kills(folder, times, number):
    """So many tries of an item kill their worker; the next one lives."""
    seen = Path(folder) / f"seen_{number}"
    begun = seen.stat().st_size if seen.exists() else 0
    if begun < times.get(number, 0):
        seen.write_bytes(b"." * (begun + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def slow(seconds, number):
    time.sleep(seconds)
    return number


def refuse(number):
    raise UsageError(f"{number} cannot work")


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Two workers of this machine; what their session leaves in the run is nothing."""
    folder, before = tmp_path_factory.mktemp("local"), elsewhere()
    (folder / "data").mkdir()
    with connected("local:2", reads=[folder / "data"], writes=folder / "run") as cluster:
        (session,) = (folder / "run").iterdir()
        assert session.name.startswith(".workers.")
        assert elsewhere() is cluster
        yield cluster
    assert elsewhere() is before
    assert [*(folder / "run").iterdir()] == []


@pytest.fixture
def scheduler(tmp_path, start_dask):
    """A scheduler that somebody has started, its file, and a call that starts workers."""
    with start_dask(tmp_path) as started:
        yield started


def test_every_item_is_done_once_and_not_here(local):
    told = []
    found = dict(map_cases(square, range(20), progress=lambda *n: told.append(n)))
    assert {number: result for number, (result, _) in found.items()} == {n: n * n for n in range(20)}
    assert os.getpid() not in {pid for _, pid in found.values()}
    assert told == [(done, 20) for done in range(21)]


def test_a_worker_has_one_thread(local):
    assert [result for _, result in map_cases(threads, range(2))] == [({1}, "1")] * 2


def test_what_is_asked_of_this_machine_is_done_here(local):
    for asked in ({"here": True, "workers": 1}, {"workers": 1}):
        assert {pid for _, (_, pid) in map_cases(square, range(3), **asked)} == {os.getpid()}


def test_what_cannot_be_sent_is_done_here(local):
    import threading

    lock = threading.Lock()
    assert dict(map_cases(lambda number: (lock.locked(), number), range(3))) == {
        number: (False, number) for number in range(3)
    }


def test_an_error_of_the_function_ends_the_map_in_its_own_words(local):
    with pytest.raises(UsageError, match=r"\d cannot work"):
        list(map_cases(refuse, range(5)))


def test_no_more_at_a_time_than_memory_holds(local, monkeypatch):
    from aleaseg import work

    monkeypatch.setattr(work, "memory_bytes", lambda: 100)
    for bytes_each, at_a_time in ((60, 1), (1, 4)):
        assert local._window(workers._Job(None, range(10), bytes_each, "cpu")) == at_a_time


def test_items_are_sent_in_a_window(local):
    sent = []

    class Items(list):
        def __getitem__(self, place):
            sent.append(place)
            return super().__getitem__(place)

    next(local(square, Items(range(1000)), bytes_each=0, device="cpu"))
    assert len(sent) <= 8


def test_what_kills_is_set_aside_by_name_and_what_was_killed_is_done_again(local, tmp_path):
    # 31 was unlucky once, 40 was so as often as it was tried beside others; 4 kills whoever takes it. Quick items
    # go together, and what went with one that kills is done.
    work = partial(kills, tmp_path, {31: 1, 40: 2, 4: 99})
    found = dict(map_cases(work, range(60), killed=lambda item, error: str(error)))
    # A suspect that lives says that something else kills: then 4 is tried alone once more.
    said = "4: found 4 workers killed while they were at it, the last one alone with it; expected a worker that"
    assert found.pop(4).startswith(said)
    assert found == {number: number for number in range(60) if number != 4}


def test_where_nobody_says_what_becomes_of_it_a_case_that_kills_ends_the_map():
    ended = pytest.raises(WorkerKilled, match=r"^c7: found 3 workers killed; expected")
    with using(lambda *args, **more: iter([(0, Lost("3 workers killed"))])), ended:
        list(map_cases(abs, ["c7"]))


@given(st.floats(1e-7, 1e4), st.integers(1, 10**5), st.integers(1, 200), st.integers(1, 100))
def test_quick_items_go_together(seconds, left, window, count):
    pace = workers._Pace()
    assert pace.size(left, window) == 1  # nobody knows yet
    pace.took(Done([None] * count, seconds * count))
    pace.took(Done([Lost("dead")], None))
    size = pace.size(left, window)
    assert 1 <= size <= 100
    assert size == 1 or size * seconds <= 5.01
    assert size == 1 or size * window <= left / 2


def test_what_was_at_a_killed_worker_goes_by_itself():
    waiting = deque([(5, 0), (6, 0), (7, 0), (2, 1), (3, 1)])
    sent = [workers._together(waiting, most) for most in (2, 9, 9, 9)]
    assert sent == [[(5, 0), (6, 0)], [(7, 0)], [(2, 1)], [(3, 1)]]


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.integers(0, 9), st.integers(0, 6)), st.sets(st.integers(0, 9)))
def test_who_is_set_aside(deaths, deadly):
    """By a cluster in which an item's first tries die, and those of the deadly all."""
    begun, alone = Counter(), []

    class Dying(Cluster):
        def __init__(self):
            self._maps, self.folder = count(), Path()

        def _shared_out(self, job, places, tries):
            for place in places:
                for number in tries:
                    assert number == begun[place] + 1
                    begun[place] += 1
                    if begun[place] > deaths.get(place, 0) and place not in deadly:
                        yield place, "done"
                        break
                else:
                    yield place, Lost("dead")
            if len(tries) == 1:
                alone.append(tuple(places))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "send", lambda function, folder, name: name)
        results = list(Dying()(abs, range(10), bytes_each=0, device="cpu"))
    assert sorted(place for place, _ in results) == list(range(10))
    found = dict(results)
    lost = {place for place, result in found.items() if isinstance(result, Lost)}
    assert deadly <= lost
    # Whoever lives in the third try at the latest is done, whatever the others do.
    assert all(place in deadly or deaths[place] > 2 for place in lost)
    assert all(len(places) == 1 for places in alone)
    # What was set aside was the last to be tried, all of it, and nothing of it lived.
    assert {place for (place,) in alone[len(alone) - len(lost) :]} == lost


@pytest.mark.parametrize("asked", ["nonsense", "local:0", "local:many", "slurm:absent.yaml"])
def test_what_no_scheduler_is_called_is_refused(tmp_path, asked):
    with (
        pytest.raises(UsageError, match=r"unknown scheduler|cannot be read"),
        connected(asked, writes=tmp_path),
    ):
        pass


def test_nobody_answers(tmp_path, monkeypatch):
    from aleaseg.cluster import opening

    monkeypatch.setattr(opening, "_CONNECT_SECONDS", 1)
    answers = pytest.raises(AleasegError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9")
    with answers, connected("tcp://127.0.0.1:9", writes=tmp_path):
        pass


def test_workers_that_somebody_started(tmp_path, scheduler):
    server, file, start = scheduler
    start("--nthreads", 1, "--nworkers", 2)
    with connected(str(file), reads=[tmp_path], writes=tmp_path / "run") as cluster:
        found = dict(map_cases(partial(kills, tmp_path, {0: 1, 1: 1}), range(10)))
        assert found == {number: number for number in range(10)}
        assert cluster.room("cuda") == 0
        # The scheduler goes away in the middle.
        on_its_way = map_cases(partial(slow, 0.5), range(50))
        next(on_its_way)
        server.kill()
        with pytest.raises(AleasegError, match="the scheduler is gone; what is finished is kept"):
            list(on_its_way)


def test_where_the_only_worker_with_room_is_killed_the_one_that_comes_after_it_is_given_the_work(
    tmp_path, scheduler
):
    _, file, start = scheduler
    start("--nthreads", 1, "--memory-limit", "400MB")
    start("--nthreads", 1, "--memory-limit", "2GB")
    with connected(str(file), writes=tmp_path / "run") as cluster:
        cluster.client.wait_for_workers(2, timeout=120)
        assert cluster.room("cpu") == 2
        work = cluster(partial(kills, tmp_path, {0: 1}), range(3), bytes_each=1e9, device="cpu")
        assert dict(work) == {0: 0, 1: 1, 2: 2}


def test_where_nobody_is_there_a_person_is_told_once_and_it_ends_after_a_while(tmp_path, monkeypatch):
    clock, told = [1000.0], []
    monkeypatch.setattr(workers.time, "monotonic", lambda: clock[0])
    client = SimpleNamespace(status="running", scheduler_info=lambda: {"workers": {}})
    cluster = Cluster(client, tmp_path, announce=told.append)

    def wait():
        while clock[0] < 2000:
            clock[0] += 2
            cluster._workers(fresh=True)

    with pytest.raises(AleasegError, match=r"no worker was there for 300 seconds: start some with"):
        wait()
    assert 1300 <= clock[0] < 1304
    assert told == ["No worker is there: start some with `dask worker`; this ends in 278 s."]


def test_a_worker_that_cannot_do_the_work_says_so_before_the_first_case(tmp_path, scheduler):
    _, file, start = scheduler
    start("--nthreads", 2)
    refused = pytest.raises(AleasegError, match="has 2 threads; expected one")
    with refused, connected(str(file), writes=tmp_path / "run"):
        pass


def test_workers_see_the_same_folders_and_versions(tmp_path, monkeypatch):
    from aleaseg.cluster import task

    worker = SimpleNamespace(state=SimpleNamespace(nthreads=1))
    data, session = tmp_path / "data", tmp_path / "run" / ".workers.x.part"
    data.mkdir()
    (data / "case.nii.gz").touch()
    assert "does not see the folder of the run" in task.unfit(session, worker)
    session.mkdir(parents=True)
    task.begin_session(session, [data])
    assert task.unfit(session, worker) == ""
    (data / "case.nii.gz").unlink()
    assert task.unfit(session, worker).startswith(f"does not see {data / 'case.nii.gz'}; expected")
    (data / "case.nii.gz").touch()
    about = json.loads((session / "session.json").read_text())
    about["versions"]["torch"] = "0.1"
    (session / "session.json").write_text(json.dumps(about))
    assert "torch" in task.unfit(session, worker)
    assert "expected 0.1" in task.unfit(session, worker)


def test_a_worker_that_turns_out_not_to_fit_is_passed_over(tmp_path, scheduler):
    _, file, start = scheduler
    (tmp_path / "data").mkdir()
    start("--nthreads", 1)
    with connected(str(file), reads=[tmp_path / "data"], writes=tmp_path / "run") as cluster:
        (tmp_path / "data").rmdir()
        with pytest.raises(
            AleasegError, match=r"no worker is left: tcp://[\d.:]+ does not see .*data; expected"
        ):
            list(map_cases(square, range(3)))
        assert cluster.client.status == "running"


@pytest.mark.parametrize(("gpus", "found"), [(0, "cpu"), (2, "cuda")])
def test_whether_there_is_a_gpu_is_asked_of_the_workers(gpus, found, monkeypatch):
    import torch

    from aleaseg.bench.settings import BenchSettings

    # Whatever there is where the command is typed.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found == "cpu")
    with using(SimpleNamespace(room=lambda device: gpus)):
        assert BenchSettings("data").settled().device == found
        assert BenchSettings("data", device="cpu").settled().device == "cpu"
        if gpus:
            assert BenchSettings("data", device="cuda").settled().device == "cuda"
        else:
            with pytest.raises(UsageError, match="no worker declares a GPU"):
                BenchSettings("data", device="cuda").settled()


def test_a_changed_file_of_work_is_not_opened(tmp_path):
    from aleaseg.cluster import task

    sent = task.send(square, tmp_path, "map0")
    (tmp_path / "map0.pickle").write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not what was sent"):
        task._function(sent)


def test_ctrl_c_leaves_no_worker_behind(tmp_path):
    code = (
        "from functools import partial\n"
        "import sys, time\n"
        "from aleaseg.cluster import connected\n"
        "from aleaseg.work import map_cases\n"
        "if __name__ == '__main__':\n"
        "    with connected('local:2', writes=sys.argv[1]) as cluster:\n"
        "        print(*cluster.client.run(__import__('os').getpid).values(), flush=True)\n"
        "        list(map_cases(time.sleep, [600, 600, 600]))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    for how in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            [sys.executable, script, tmp_path / "run"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        with process.stdout as said:
            pids = list(map(int, said.readline().split()))
        assert len(pids) == 2
        assert all(map(alive, pids))
        time.sleep(0.5)
        # A terminal sends Ctrl-C to all of them.
        (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
        process.wait(60)
        deadline = time.monotonic() + 30
        while any(map(alive, pids)):
            assert time.monotonic() < deadline, how
            time.sleep(0.1)
