"""Verbs on workers, as a user types them: what they write is what they write without."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from distributed import Client

from aleaseg.cluster import Cluster
from aleaseg.evaluation import evaluating

# A worker's GPU that computes as its processor does, and writes down who used it.
GPU = """
import os
import torch


def on_gpu(call):
    def placed(*args, **more):
        if "cuda" in map(str, (*args[1:], *more.values())):
            with open({log!r}, "a") as log:
                print(os.getpid(), file=log)
            args = [*args[:1], *("cpu" if str(value) == "cuda" else value for value in args[1:])]
            more = {{name: "cpu" if str(value) == "cuda" else value for name, value in more.items()}}
        return call(*args, **more)

    return placed


torch.cuda.is_available = lambda: True
torch.cuda.is_bf16_supported = lambda *args, **more: False
for owner in (torch.Tensor, torch.nn.Module):
    owner.to = on_gpu(owner.to)
for name in ("zeros", "ones", "empty", "full", "arange", "tensor", "as_tensor"):
    setattr(torch, name, on_gpu(getattr(torch, name)))
"""
TABLES = ("cases.csv", "scores.csv", "measures.csv", "check.csv")
GIVEN = ("--extractor", "variance")
BENCH = ("--folds", "2", "--steps", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def dask(tmp_path_factory, start_dask):
    """The file of a scheduler with two workers that live as long as this file, and a call that starts more."""
    with start_dask(tmp_path_factory.mktemp("dask")) as (_, file, start):
        start("--nthreads", 1, "--nworkers", 2)
        yield file, start


@pytest.fixture(scope="module")
def workers(dask):
    """The file of their scheduler."""
    return dask[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory, write_small, type_here):
    """A small data set, and its audit by this machine alone."""
    folder = tmp_path_factory.mktemp("verbs")
    write_small(folder / "data", 8)
    options = (*GIVEN, "--predictions", folder / "data" / "labelsTr")
    done = type_here("score", folder / "data", "-o", folder / "alone", *options)
    assert done.returncode == 0, done.stderr
    return folder, options


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """Twenty discs in noise, which three raters outline."""
    folder = tmp_path_factory.mktemp("raters") / "discs"
    (folder / "npz").mkdir(parents=True)
    for index in range(20):
        rng = np.random.default_rng([5, index])
        distance = np.linalg.norm((np.indices((16, 16)).T - rng.uniform(6, 10, 2)).T, axis=0)
        raters = np.stack([distance < radius for radius in rng.normal((3, 4, 5), 0.4)])
        image = 100 * (distance < 4) + rng.normal(0, 10, (16, 16))
        np.savez_compressed(folder / "npz" / f"d{index:02d}", image=image.astype(np.float32), raters=raters)
    patients = [{"case": f"d{index:02d}", "patient": f"p{index // 2:02d}"} for index in range(20)]
    (folder / "meta.json").write_text(json.dumps(patients))
    return folder


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory, write_small):
    """Cases enough for a bench."""
    folder = tmp_path_factory.mktemp("bench") / "data"
    write_small(folder, 24, faults=False)
    return folder


def tables(folder):
    """What a verb wrote down in numbers, by its place; without what tells how long it took."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.csv")}
    return {name: text for name, text in found.items() if b"seconds" not in text.partition(b"\n")[0]}


@pytest.fixture
def compare(workers, monkeypatch, type_here):
    """Type a verb without and with a scheduler: the same numbers, and these functions were done by workers."""
    sent = set()
    call = Cluster.__call__

    def spy(self, function, items, **more):
        sent.add(getattr(function, "func", function).__name__)
        return call(self, function, items, **more)

    monkeypatch.setattr(Cluster, "__call__", spy)

    def both(folder, functions, *words):
        alone, there = folder / "alone", folder / "there"
        for out, more in ((alone, ()), (there, ("--scheduler", workers))):
            assert not sent
            done = type_here(*words, "-o", out, *more)
            assert done.returncode == 0, done.stderr
        assert functions <= sent
        sent.clear()
        assert not [*there.glob(".workers*")]
        assert tables(alone) == tables(there)
        return alone, there

    return both


def test_an_audit_on_workers_is_the_audit(place, type_aleaseg):
    folder, options = place
    done = type_aleaseg("audit", folder / "data", "-o", folder / "run", *options, "--scheduler", "local:2")
    assert done.returncode == 0, done.stderr
    for table in TABLES:
        assert (folder / "run" / table).read_bytes() == (folder / "alone" / table).read_bytes(), table
    assert (folder / "run" / "report" / "index.html").is_file()
    assert not [*(folder / "run").glob(".workers*")]


def test_predict_and_evaluate(tmp_path, place, compare, monkeypatch, type_here):
    folder, _ = place
    small = ["--preset", "small", "--steps", "2", "--patch", "8,8,8", "--batch", "2", "--device", "cpu"]
    done = type_here("train", folder / "data", "-o", tmp_path / "model", *small)
    assert done.returncode == 0, done.stderr
    asked = ("predict", tmp_path / "model", folder / "data", "--device", "cpu")
    alone, there = compare(tmp_path / "predicted", {"_predict_case"}, *asked)
    masks = {path.name: path.read_bytes() for path in alone.glob("*.nii.gz")}
    assert len(masks) == 8
    assert {path.name: path.read_bytes() for path in there.glob("*.nii.gz")} == masks
    monkeypatch.setattr(evaluating, "_WORTH_VOXELS", 0)
    alone, _ = compare(tmp_path / "evaluated", {"_measure_one"}, "evaluate", folder / "data", there)
    assert len((alone / "metrics.csv").read_text().splitlines()) > 8


@pytest.mark.slow
def test_bench_confidence_and_whose_gpu_it_is(tmp_path, discs, compare, dask, type_here):
    asked = ["bench", "confidence", discs, "--seeds", "1", "--batch", "2", "--patch", "16,16"]
    asked += ["--labels", "threshold:.6", *BENCH]
    alone, _ = compare(tmp_path, {"_fill"}, *asked)
    assert "confidence_cases.csv" in tables(alone)

    # A GPU is looked for among the workers, and there alone.
    file, start = dask
    on_gpus = (*asked, "--device", "cuda", "-o", tmp_path / "gpus", "--scheduler", file)
    refused = type_here(*on_gpus)
    assert refused.returncode == 2
    assert "no worker declares a GPU" in refused.stderr
    (tmp_path / "gpu.py").write_text(GPU.format(log=str(tmp_path / "used")))
    worker = start("--nthreads", 1, "--resources", "GPU=1", "--preload", tmp_path / "gpu.py")
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(3, timeout=180)
    done = type_here(*on_gpus)
    worker.terminate()
    assert done.returncode == 0, done.stderr
    assert len({*(tmp_path / "used").read_text().split()}) == 1
    assert tables(tmp_path / "gpus") == tables(alone)


@pytest.mark.slow
def test_bench_raters(tmp_path, discs, compare):
    alone, _ = compare(tmp_path, {"_run_fold", "_score"}, "bench", "raters", discs, *BENCH)
    assert "raters_cases.csv" in tables(alone)


@pytest.mark.slow
def test_bench_detect(tmp_path, spoilt, compare):
    asked = ("--draws", "1", "--no-swap-in", "--groups", r"_(\d\d)$", *BENCH)
    alone, _ = compare(tmp_path, {"_run_fold", "_score"}, "bench", "detect", spoilt, *asked)
    assert "detection.csv" in tables(alone)


@pytest.mark.slow
def test_bench_downstream(tmp_path, spoilt, compare):
    asked = ["--measures", "softmin", "--randoms", "1", "--trainings", "1"]
    asked += ["--groups", r"_(\d\d)$", *BENCH]
    compare(tmp_path, {"_run_fold", "_train"}, "bench", "downstream", spoilt, *asked)


@pytest.mark.slow
def test_reproduce(tmp_path, spoilt, compare):
    asked = ["--preset", "tiny", "--steps", "2", "--crossfit-steps", "2", "--device", "cpu"]
    asked += ["--part", "1", "--parts", "6"]
    functions = {"_train_there", "_predict_case"}
    _, there = compare(tmp_path, functions, "reproduce", "table2", "--data", spoilt, *asked)
    done = [json.loads(path.read_text()) for path in sorted(there.glob("cells/*.json"))]
    assert done
    assert not [cell["failed"] for cell in done if "failed" in cell]


def test_parts_say_what_comes_next(place, type_here):
    folder, options = place
    words = ("score", folder / "data", "-o", folder / "parts", *options, "--part")
    first = type_here(*words, "1/2")
    assert first.returncode == 0, first.stderr
    assert "Part 1/2 is done; 1 of the others is not: 2." in " ".join(first.stdout.split())
    refused = type_here(*words, "1/2", "--scheduler", "local:2")
    assert refused.returncode == 2
    assert "leave --part or --scheduler out" in refused.stderr
    refused = type_here("merge", folder / "parts")
    assert refused.returncode == 2
    assert "cases are not scored yet" in refused.stderr


def test_an_unknown_scheduler_is_one_line(place, type_here):
    folder, options = place
    done = type_here("audit", folder / "data", "-o", folder / "no", *options, "--scheduler", "nonsense")
    assert done.returncode == 2
    assert "unknown scheduler 'nonsense'; expected local:4" in done.stderr


def test_without_a_scheduler_nothing_of_it_is_imported(tmp_path, write_small):
    write_small(tmp_path / "data", 4)
    code = (
        "import sys\n"
        "from aleaseg.cli import app\n"
        f"words = ['score', {str(tmp_path / 'data')!r}, '-o', {str(tmp_path / 'run')!r}, '--extractor', 'variance',\n"
        f"         '--predictions', {str(tmp_path / 'data' / 'labelsTr')!r}]\n"
        "app(words, standalone_mode=False)\n"
    )
    after = "found = {name.partition('.')[0] for name in sys.modules} & {'distributed', 'dask', 'dask_jobqueue'}\n"
    mine = "print('imported:', sorted(found), 'aleaseg.cluster' in sys.modules)\n"
    code = code.replace("app(words", "try:\n    app(words") + f"finally:\n    {after}    {mine}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "imported: [] False" in done.stdout, done.stdout + done.stderr
