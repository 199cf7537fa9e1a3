"""What the scripts of the review work out without a page: their own tests, run by Node where it is there."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parents[1] / "src" / "aleaseg" / "review" / "assets"


@pytest.fixture(scope="module")
def node():
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node here")
    return found


@pytest.mark.parametrize("tests", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name)
def test_the_scripts_keep_their_tests(node, tests):
    done = subprocess.run([node, "--test", tests], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", sorted(ASSETS.glob("*.js")), ids=lambda path: path.name)
def test_every_script_can_be_read(node, script):
    done = subprocess.run([node, "--check", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_no_script_is_long():
    assert max(len(script.read_text("utf-8").splitlines()) for script in ASSETS.glob("*.js")) <= 400


def test_every_script_is_served():
    from aleaseg.review.routes import SCRIPTS

    assert {path.name for path in ASSETS.glob("*.js")} <= {name for name, _ in SCRIPTS}
