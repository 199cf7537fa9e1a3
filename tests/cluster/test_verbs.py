"""Verbs on workers, as a user types them."""

import subprocess
import sys

import pytest

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

TABLES = ("cases.csv", "scores.csv", "measures.csv", "check.csv")
GIVEN = ("--extractor", "variance")


@pytest.fixture(scope="module")
def place(tmp_path_factory, write_small, type_aleaseg):
    """A small data set, and its audit by this machine alone."""
    folder = tmp_path_factory.mktemp("verbs")
    write_small(folder / "data", 8)
    options = (*GIVEN, "--predictions", folder / "data" / "labelsTr")
    done = type_aleaseg("score", folder / "data", "-o", folder / "alone", *options)
    assert done.returncode == 0, done.stderr
    return folder, options


def test_an_audit_on_workers_is_the_audit(place, type_aleaseg):
    folder, options = place
    done = type_aleaseg("audit", folder / "data", "-o", folder / "run", *options, "--scheduler", "local:2")
    assert done.returncode == 0, done.stderr
    for table in TABLES:
        assert (folder / "run" / table).read_bytes() == (folder / "alone" / table).read_bytes(), table
    assert (folder / "run" / "report" / "index.html").is_file()
    assert not [*(folder / "run").glob(".workers*")]


def test_parts_say_what_comes_next(place, type_aleaseg):
    folder, options = place
    words = ("score", folder / "data", "-o", folder / "parts", *options, "--part")
    first = type_aleaseg(*words, "1/2")
    assert first.returncode == 0, first.stderr
    assert "Part 1/2 is done; 1 of the others is not: 2." in " ".join(first.stdout.split())
    refused = type_aleaseg(*words, "1/2", "--scheduler", "local:2")
    assert refused.returncode == 2
    assert "leave --part or --scheduler out" in refused.stderr
    refused = type_aleaseg("merge", folder / "parts")
    assert refused.returncode == 2
    assert "cases are not scored yet" in refused.stderr


def test_an_unknown_scheduler_is_one_line(place, type_aleaseg):
    folder, options = place
    done = type_aleaseg("audit", folder / "data", "-o", folder / "no", *options, "--scheduler", "nonsense")
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
