"""What the scripts of the pages work out without a page: their own tests, run by Node where it is there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src" / "aleaseg"
SCRIPTS = sorted(SOURCE.glob("*/assets/*.js"))
ROOMS = {"report", "review"}


def name_of(path):
    return f"{path.parents[1].name}/{path.name}"


@pytest.fixture(scope="module")
def node():
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node here")
    return found


@pytest.mark.parametrize("tests", sorted(HERE.glob("*/*.test.mjs")), ids=lambda path: path.name)
def test_the_scripts_keep_their_tests(node, tests):
    done = subprocess.run([node, "--test", tests], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_every_script_can_be_read(node, script):
    done = subprocess.run([node, "--check", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_no_script_has_what_is_likely_a_mistake():
    oxlint = shutil.which("oxlint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if oxlint is None:
        pytest.skip("oxlint is not installed")
    root = HERE.parent
    done = subprocess.run(
        [oxlint, "src/aleaseg", "tests"], cwd=root, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout
    assert f"on {len([*SCRIPTS, *HERE.glob('*/*.test.mjs')])} files" in done.stdout


def test_no_script_is_long():
    assert {path.parents[1].name for path in SCRIPTS} >= ROOMS
    assert max(len(script.read_text("utf-8").splitlines()) for script in SCRIPTS) <= 400


def test_every_script_of_the_review_is_served():
    from aleaseg.review.routes import SCRIPTS as SERVED

    own = {path.name for path in SCRIPTS if path.parents[1].name == "review"}
    assert own == {name for name, owner in SERVED if owner == "aleaseg.review"}
