"""What all tests share."""

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent


def pytest_configure(config):
    import torch

    from aleaseg.extras import spare_monai

    torch.set_num_threads(1)
    spare_monai()  # as the program does
    # Files are tested side by side, one to a core: a verb that started a worker for every core would start them anew
    # in every test. Tests of workers say how many they want.
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data; the test skips where it is absent."""
    folder = Path(os.environ.get("ALEASEG_TEST_DATA", HERE.parent.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            "no real data here: ALEASEG_TEST_DATA names a folder with Dataset004_Hippocampus and the others"
        )
    return folder


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder of real weights; the test skips where there is none, and fails where one is named in vain."""
    named = os.environ.get("ALEASEG_TEST_WEIGHTS")
    folder = Path(named) if named else HERE.parent.parent / "shared" / "weights"
    assert not named or folder.is_dir(), f"ALEASEG_TEST_WEIGHTS: {folder} is not a folder"
    if not folder.is_dir():
        pytest.skip(
            "no real weights here: ALEASEG_TEST_WEIGHTS names a folder with mobile_sam_fused.safetensors"
        )
    return folder


SMALL = (12, 16, 16)


def small_case(index, seed=0, shape=SMALL):
    """A ball in two halves on noise: image float32 and label, each (D, H, W)."""
    rng = np.random.default_rng([seed, index])
    grid = np.indices(shape)
    centre = np.array(shape) / 2 + rng.uniform(-1.5, 1.5, len(shape))
    radius = min(shape) / 2.6 + rng.uniform(-0.4, 0.4)
    inside = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))) < radius
    label = inside.astype(np.uint8)
    label[inside & (grid[-1] > centre[-1])] = 2
    return (label * 100 + rng.normal(0, 15, shape)).astype(np.float32), label


def write_small(folder, cases=24, *, seed=0, shape=SMALL, faults=True, ids=None):
    """A small nnU-Net data set; returns case -> its fault. Groups are `g0` and `g1`."""
    from aleaseg.case import Geometry
    from aleaseg.readers.voxels import write_nifti

    found = {}
    ids = ids or [f"g{index % 2}_{index:02d}" for index in range(cases)]
    geometry = Geometry(shape, (2.0, 1.0, 1.0)[-len(shape) :], None)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, case in enumerate(ids):
        image, label = small_case(index, seed, shape)
        if faults and index == 3:
            label, found[case] = np.roll(label, (5, 5), (1, 2)), "mask shifted"
        if faults and index == 8:
            image = image + np.random.default_rng(1).normal(0, 40, shape).astype(np.float32)
            found[case] = "noise"
        if faults and index == 13:
            label, found[case] = np.array([0, 2, 1], np.uint8)[label], "classes swapped"
        write_nifti(folder / "imagesTr" / f"{case}_0000.nii.gz", image, geometry)
        write_nifti(folder / "labelsTr" / f"{case}.nii.gz", label, geometry)
    about = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "left": 1, "right": 2},
        "numTraining": len(ids),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(about))
    return found


def type_command(*words, cwd=None, env=None, timeout=180):
    """The command line as a user types it: no terminal, 80 columns."""
    script = Path(sys.executable).with_name("aleaseg")
    return subprocess.run(
        [script, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1", **(env or {})},
        timeout=timeout,
    )


def folds_here(run, plan, todo, workers, seconds, progress):
    """In the place of `run_folds`: by this process, one after the other."""
    from aleaseg.predictions import fold, processes
    from aleaseg.work import elsewhere

    if elsewhere() is not None:
        processes.run_folds(run, plan, todo, workers, seconds, progress)
        return
    for number in todo:
        with redirect_stdout(io.StringIO()):  # what it tells its parent
            fold.main(str(run.path), number, seconds)
        progress("train", number + 1, len(plan.folds))


def type_in_process(*words, cwd=None, env=None):
    """The command line as `type_command` has it, in this process on one core: what it needs is imported already."""
    from aleaseg.cli import main
    from aleaseg.predictions import crossfit

    out, err, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        for name, value in {"COLUMNS": "80", "LOKY_MAX_CPU_COUNT": "1", **(env or {})}.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        patch.setattr(crossfit, "run_folds", folds_here)
        patch.setattr(sys, "argv", ["aleaseg", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Finished:
    """A small data set, audited once from the command line."""

    dataset: Path
    run: Path
    faults: dict
    done: subprocess.CompletedProcess
    options: tuple = ("--groups", r"^(g\d)", "--steps", "8")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Finished:
    """24 small cases, three of them spoilt, audited by two folds of eight steps."""
    folder = tmp_path_factory.mktemp("finished")
    faults = write_small(folder / "data set")
    done = type_command("audit", folder / "data set", "-o", folder / "run", *Finished.options)
    assert done.returncode == 0, done.stderr
    return Finished(folder / "data set", folder / "run", faults, done)


@pytest.fixture(scope="session")
def type_aleaseg():
    """type_aleaseg("check", path, ...) -> CompletedProcess."""
    return type_command


@pytest.fixture(scope="session")
def type_here():
    """type_here("check", path, ...) -> CompletedProcess, without a process of its own."""
    return type_in_process


@pytest.fixture(scope="session", name="write_small")
def _write_small():
    """write_small(folder, cases=24, ...): a small nnU-Net data set."""
    return write_small


@pytest.fixture(scope="session", name="small_case")
def _small_case():
    """small_case(index) -> image, label."""
    return small_case


def _chromium(profile, *more):
    """A real browser without a window; the test skips where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with chromedriver here")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--window-size=1400,1000",
        f"--user-data-dir={profile}",
        *more,
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_script_timeout(120)  # a machine may be busy
    return browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A real browser without a window."""
    browser = _chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def browser_with_webgl(tmp_path_factory):
    """One that draws in three dimensions, by software; the test skips where it cannot."""
    software = "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"
    browser = _chromium(tmp_path_factory.mktemp("profile"), *software)
    if not browser.execute_script("return Boolean(document.createElement('canvas').getContext('webgl2'))"):
        browser.quit()
        pytest.skip("no WebGL in this Chromium")
    yield browser
    browser.quit()


@pytest.fixture
def another_browser(tmp_path):
    """A second one, which shares nothing with the first."""
    browser = _chromium(tmp_path / "profile")
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def barriers():
    """barriers(browser): what axe-core finds on the page that stands in somebody's way, serious or critical."""
    found = importlib.util.find_spec("axe_core_python")
    if found is None:
        pytest.skip("axe-core-python is not installed")
    script = (Path(found.origin).parent / "axe.min.js").read_text("utf-8")

    def look(browser):
        # By the debugger: the page's own policy lets nothing in.
        browser.execute_cdp_cmd("Runtime.evaluate", {"expression": script})
        said = browser.execute_async_script(
            "const done = arguments[0];"
            "axe.run(document).then((result) => done([result.passes.length, result.violations.map((one) => ("
            "[one.impact, one.id, one.nodes.map((node) => node.html).slice(0, 5)]))]))"
        )
        assert said[0] > 20, "it looked at nothing"
        return [one for one in said[1] if one[0] in ("serious", "critical")]

    return look


@pytest.fixture
def one_process(monkeypatch):
    """Everything in this process: folds one after the other, no worker pools."""

    from aleaseg.predictions import crossfit, fold

    given = []

    def run_folds(run, plan, todo, workers, seconds, progress):
        given.append(seconds)
        for number in todo:
            fold.main(str(run.path), number, None if seconds is None else min(seconds, 0.5))

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    monkeypatch.setattr(crossfit, "run_folds", run_folds)
    return given
