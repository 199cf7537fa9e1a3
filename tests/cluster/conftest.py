"""A scheduler and workers, started as somebody would."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


def dask(*words, folder, environment=None):
    """A program of Dask's; what it says is kept beside it."""
    before = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (folder / f"{words[0]}.log").open("ab") as log:
        return subprocess.Popen(
            [Path(sys.executable).with_name("dask"), *map(str, words)],
            cwd=folder,
            env={**os.environ, **before, **(environment or {})},
            stdout=log,
            stderr=log,
        )


@contextmanager
def _start_dask(folder):
    file, started = folder / "scheduler.json", []
    started.append(
        dask("scheduler", "--scheduler-file", file, "--port", 0, "--no-dashboard", folder=folder)
    )

    def start(*words, environment=None):
        words = ("worker", "--scheduler-file", file, "--no-dashboard", *words)
        started.append(dask(*words, folder=folder, environment=environment))
        return started[-1]

    try:
        deadline = time.monotonic() + 120
        while not (file.is_file() and file.read_text().endswith("}")):
            assert time.monotonic() < deadline, (folder / "scheduler.log").read_text()
            time.sleep(0.1)
        yield started[0], file, start
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def start_dask():
    """start_dask(folder): a scheduler that somebody has started, its file, and a call that starts workers."""
    return _start_dask
