"""`aleaseg bench` as a user types it."""

import hashlib
import json
import re
from functools import partial

import pytest

OPTIONS = ("--draws", "1", "--folds", "2", "--steps", "6", "--groups", r"_(\d\d)$", "--device", "cpu")


def bench(typed, data, out, *more):
    return typed("bench", "detect", data, "-o", out, *OPTIONS, *more)


@pytest.fixture(scope="module")
def benched(tmp_path_factory, write_small, type_aleaseg):
    """A whole bench of 24 small cases: data, folder, what was printed."""
    folder = tmp_path_factory.mktemp("bench")
    write_small(folder / "data set", 24, faults=False)
    before = digest(folder / "data set")
    done = bench(partial(type_aleaseg, timeout=400), folder / "data set", folder / "bench", "--no-swap-in")
    assert done.returncode == 0, done.stderr
    assert digest(folder / "data set") == before
    return folder / "data set", folder / "bench", done


def digest(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_writes_what_the_docs_promise(benched):
    _, out, done = benched
    for name in ("cases", "detection", "differences", "swap_in", "ranks", "dice", "confounds"):
        assert (out / f"{name}.csv").is_file()
    assert "doubt" in done.stdout
    assert "AUROC" in done.stdout
    assert f"Page: {out / 'index.html'}" in done.stdout.replace("\n", "")
    assert max(len(line) for line in done.stdout.splitlines() if not line.startswith("Page")) <= 80
    truth = json.loads((out / "draws" / "0" / "truth.json").read_text())
    assert len(truth["faults"]) == round(0.2 * 24)


def test_the_page_names_folders_and_no_paths(benched):
    data, out, _ = benched
    text = (out / "bench.md").read_text() + (out / "index.html").read_text()
    assert str(data.parent) not in text
    assert re.search(r"aleaseg bench detect '?data set'?", text.replace("&#39;", "'"))


def test_called_again_it_does_nothing_again(benched, type_here):
    data, out, _ = benched
    weights = sorted((out / "draws" / "0" / "models").glob("*.safetensors"))
    before = [path.stat().st_mtime_ns for path in weights]
    tables = (out / "detection.csv").read_bytes()
    done = bench(type_here, data, out, "--no-swap-in")
    assert done.returncode == 0, done.stderr
    assert [path.stat().st_mtime_ns for path in weights] == before
    assert (out / "detection.csv").read_bytes() == tables


def test_other_settings_are_refused_and_named(benched, type_here):
    data, out, _ = benched
    done = type_here("bench", "detect", data, "-o", out, "--draws", "1", "--folds", "3", "--steps", "6")
    assert done.returncode == 2
    assert "folds: 2 then, 3 now" in done.stderr


def test_what_cannot_work_is_said_in_one_line(tmp_path, benched, write_small, type_here):
    data, _, _ = benched
    write_small(tmp_path / "few", 8, faults=False)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    for words, said in (
        (("bench", "detect", tmp_path / "few", "-o", tmp_path / "b"), "at least 20"),
        (("bench", "detect", data, "-o", tmp_path / "c", "--share", "1.5"), "share is 1.5"),
        (("bench", "detect", data, "-o", tmp_path / "taken"), "holds other files"),
        (("bench", "raters", data, "-o", tmp_path / "d"), "npz"),
    ):
        done = type_here(*words)
        assert done.returncode == 2, (words, done.stdout, done.stderr)
        assert said in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2, done.stderr
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["notes.txt"]


def test_what_was_typed_once_is_answered_with_what_to_type_now(type_here, tmp_path):
    for words, now in (
        (("x", "-o", "y"), "type: aleaseg bench detect x -o y"),
        (("x y", "--downstream", "-o", "z"), "type: aleaseg bench downstream 'x y' -o z"),
        (("--raters", "x", "-o", "y", "--steps", "3"), "type: aleaseg bench raters x -o y --steps 3"),
    ):
        done = type_here("bench", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.rstrip().endswith(now), done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("bench", "option"),
    [("raters", "--draws"), ("raters", "--classes"), ("downstream", "--swap-in"), ("detect", "--randoms")],
)
def test_the_option_of_another_bench_is_refused(type_here, bench, option):
    done = type_here("bench", bench, "x", "-o", "y", option, "1")
    assert done.returncode == 2
    assert f"No such option: {option}" in done.stderr
