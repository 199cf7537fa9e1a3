"""`aleaseg info` as a user types it: everything that a report of a problem needs, and nothing of the user."""

import getpass
import importlib.metadata
import json
import os
import platform
import subprocess
import sys

import pytest

import aleaseg
from aleaseg import extras, work


@pytest.fixture(scope="module")
def told(type_aleaseg):
    """What --json prints."""
    done = type_aleaseg("info", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_versions_are_those_that_run(told):
    assert told["aleaseg"] == aleaseg.__version__
    assert told["versions"]["python"] == platform.python_version()
    for package in ("torch", "numpy", "monai", "nibabel"):
        assert told["versions"][package] == importlib.metadata.version(package)


def test_cores_and_memory_are_those_that_work_is_shared_out_by(told):
    assert told["cores"] == work.cores()
    assert told["memory_gib"] == pytest.approx(work.memory_bytes() / 2**30, abs=0.06)


def test_fewer_cores_are_said(type_aleaseg):
    done = type_aleaseg("info", "--json", env={"LOKY_MAX_CPU_COUNT": "1"})
    assert json.loads(done.stdout)["cores"] == 1


def test_an_extra_that_is_not_there_says_what_installs_it(told, monkeypatch):
    monkeypatch.setitem(extras._EXTRAS, "no_such_module", "models")
    assert extras.installed()["models"] is False
    assert set(told["extras"]) == set(extras.installed())
    for extra, said in told["extras"].items():
        assert said == "installed" or said == f"not installed; pip install 'aleaseg[{extra}]'"


def test_weights_that_are_here_are_named(type_aleaseg, tmp_path):
    nothing = {
        "ALEASEG_WEIGHTS": str(tmp_path),
        "HF_HUB_CACHE": str(tmp_path),
        "ALEASEG_CONFIG": str(tmp_path),
    }
    done = type_aleaseg("info", "--json", env=nothing)
    assert json.loads(done.stdout)["weights"] == "none"
    from aleaseg.extractors.weights import CATALOGUE

    (tmp_path / "medsam2").mkdir()
    (tmp_path / "medsam2" / CATALOGUE["medsam2"].file).write_bytes(b"")
    done = type_aleaseg("info", "--json", env=nothing)
    assert json.loads(done.stdout)["weights"] == ["medsam2"]


def test_the_text_says_the_same_and_names_nobody(told, type_aleaseg):
    done = type_aleaseg("info")
    assert (done.returncode, done.stderr) == (0, "")
    for name, value in told["versions"].items():
        assert f"{name} {value}\n" in done.stdout
    assert f"{told['memory_gib']} GiB" in done.stdout
    assert os.path.expanduser("~") not in done.stdout
    for private in {getpass.getuser(), platform.node()} - {"", "localhost"}:
        assert private not in done.stdout.split()


def test_torch_is_imported_only_when_it_is_asked():
    code = (
        "import sys; from aleaseg.cli import info as _; from aleaseg.cli.info import _facts; _facts(False);"
        "print([m for m in ('torch', 'monai', 'pandas', 'SimpleITK', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_devices_are_asked_of_torch(type_aleaseg):
    import torch

    done = type_aleaseg("info", "--devices", "--json")
    devices = json.loads(done.stdout)["devices"]
    if torch.cuda.is_available():
        assert len(devices) == torch.cuda.device_count()
    else:
        assert devices == "cpu alone"
