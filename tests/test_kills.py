"""Every verb that makes a folder, killed for real (SIGKILL) at random moments, and gone on with.

The moments are counted in files that have appeared, so that they mean the same on any machine. What was
finished at the kill is not made again, and in the end the tables are those of a run that nobody disturbed.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")

GROUPS = ("--groups", r"^(g\d)")


@dataclass(frozen=True)
class Verb:
    """What is typed, what of the folder is finished once it is there, and what is compared in the end."""

    words: tuple
    finished: tuple = ()
    tables: tuple = ("cases.csv",)


@pytest.fixture(scope="module")
def made(tmp_path_factory, write_small, type_aleaseg):
    """A small data set, a model, predictions and two evaluations; the verbs to be killed."""
    folder = tmp_path_factory.mktemp("kills")
    data = folder / "data" / "small"
    write_small(data)
    few = ("--steps", "4", "--patch", "8,8,8", "--batch", "2")
    for words in (
        ("train", data, "-o", folder / "model", *few),
        ("predict", folder / "model", data, "-o", folder / "masks"),
        ("evaluate", data, folder / "masks", "-o", folder / "one"),
        ("evaluate", data, data / "labelsTr", "-o", folder / "two"),
    ):
        done = type_aleaseg(*words)
        assert done.returncode == 0, done.stderr
    return {
        "audit": Verb(
            ("audit", data, *GROUPS, "--steps", "8"),
            ("cases/*.json", "models/fold_*.json", "predictions/*"),
            ("cases.csv", "scores.csv", "measures.csv"),
        ),
        "score": Verb(
            ("score", data, "--extractor", "variance", "--predictions", data / "labelsTr"),
            ("cases/*.json",),
            ("cases.csv", "scores.csv", "measures.csv"),
        ),
        "bench": Verb(
            ("bench", "detect", data, *GROUPS, "--steps", "6", "--folds", "2", "--draws", "1", "--no-swap-in"),
            ("draws/*/cases/*.json", "draws/*/models/fold_*.json", "draws/*/truth.json"),
            ("detection.csv",),
        ),
        "train": Verb(
            ("train", data, "--steps", "40", "--epochs", "8", "--patch", "8,8,8", "--batch", "2"),
            ("copies/*", "plan.json"),
            ("model.safetensors",),
        ),
        "predict": Verb(("predict", folder / "model", data), ("*.nii.gz",), ()),
        "evaluate": Verb(
            ("evaluate", data, folder / "masks"), (), ("metrics.csv", "cases.csv", "summary.csv", "summary.md")
        ),
        "compare": Verb(
            ("compare", folder / "one", folder / "two"), (), ("comparison.csv",)
        ),
        "reproduce": Verb(
            ("reproduce", "table2", "--data", data, "--preset", "tiny", "--steps", "2", "--crossfit-steps", "2",
             "--randoms", "1", "--device", "cpu", *GROUPS),
            ("cells/*.json",),
            ("table2.csv",),
        ),
    }  # fmt: skip


def files_of(folder):
    """Everything in a folder that is there this moment."""
    found = []
    for root, _, names in os.walk(folder):
        found += [Path(root, name) for name in names]
    return found


def kill_at(words, folder, files, seconds=120):
    """Type a command and kill it once so many files are there; whether it was still running then."""
    script = Path(sys.executable).with_name("aleaseg")
    process = subprocess.Popen(
        [script, *map(str, words), "-o", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    until = time.monotonic() + seconds
    while process.poll() is None and len(files_of(folder)) < files:
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.003)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


def contents(folder, tables):
    return {name: (folder / name).read_bytes() for name in tables}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["audit", "score", "bench", "train", "predict", "evaluate", "compare", "reproduce"]
)
def test_killed_at_random_moments_it_goes_on(made, name, tmp_path, type_aleaseg):
    verb = made[name]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = type_aleaseg(*verb.words, "-o", whole, timeout=600)
    assert done.returncode == 0, done.stderr
    most, moments = len(files_of(whole)), random.Random(name)
    kills, kept = 0, {}
    for moment in (0, 1, *sorted(moments.randint(1, most) for _ in range(4))):
        kills += kill_at(verb.words, killed, moment)
        # A copy of the case that is there may belong to a worker that still writes: only what was
        # finished before this start counts.
        for path, stamp in kept.items():
            if path.exists():
                assert path.stat().st_mtime_ns == stamp, f"{path.name} was finished and is made again"
        kept = {path: path.stat().st_mtime_ns for pattern in verb.finished for path in killed.glob(pattern)}
    assert kills >= 2, "it was not killed"
    done = type_aleaseg(*verb.words, "-o", killed, timeout=600)
    assert done.returncode == 0, done.stderr
    assert contents(killed, verb.tables) == contents(whole, verb.tables)
    for pattern in verb.finished:
        names = [{path.name for path in folder.glob(pattern)} for folder in (whole, killed)]
        assert names[0] == names[1], f"{pattern}: something is lost or doubled"
    if name == "predict":
        assert {path.name: path.read_bytes() for path in killed.glob("*.nii.gz")} == {
            path.name: path.read_bytes() for path in whole.glob("*.nii.gz")
        }
    assert json.loads((killed / "manifest.json").read_text())["kind"]
