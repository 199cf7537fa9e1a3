"""The package as Python sees it: names, lightness, floors, errors, and a script of a few lines."""

import inspect
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import aleaseg
from aleaseg import errors

ROOT = Path(aleaseg.__file__).resolve().parent


def test_the_names_are_pinned():
    assert aleaseg.__all__ == [
        "Case",
        "DUOLoss",
        "Dataset",
        "LabelDenoising",
        "Run",
        "aleatoric_uncertainty_value",
        "audit",
        "check",
        "open_dataset",
        "select",
        "semantic_perception_scale",
        "write_report",
    ]
    for name in aleaseg.__all__:
        assert getattr(aleaseg, name).__doc__
    assert set(aleaseg.__all__) <= set(dir(aleaseg))
    assert re.fullmatch(r"\d+\.\d+\.\d+", aleaseg.__version__)
    with pytest.raises(AttributeError, match="it has Case, DUOLoss, Dataset"):
        aleaseg.no_such_name  # noqa: B018


def test_type_checkers_see_the_same_names():
    text = Path(aleaseg.__file__).read_text()
    declared = re.findall(r"^    from [\w.]+ import (\w+) as \1$", text, re.M)
    assert sorted(declared) == aleaseg.__all__


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import aleaseg; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} <= {"aleaseg", *sys.stdlib_module_names}


def test_every_module_can_be_imported_alone_and_says_what_is_public():
    code = textwrap.dedent(
        """
        import importlib, pkgutil, aleaseg
        for found in pkgutil.walk_packages(aleaseg.__path__, "aleaseg."):
            module = importlib.import_module(found.name)
            assert module.__doc__, found.name
            for name in getattr(module, "__all__", ()):
                assert hasattr(module, name), (found.name, name)
        """
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_floors_hold():
    root = ROOT.parent.parent
    if not (root / "pyproject.toml").exists():
        pytest.skip("installed without its pyproject.toml")
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def test_every_error_is_in_the_tree_of_the_docstring():
    classes = {
        name: item
        for name, item in vars(errors).items()
        if inspect.isclass(item) and issubclass(item, Exception)
    }
    assert sorted(classes) == sorted(name for name in errors.__all__ if name[0].isupper())
    tree = {}
    path = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"^    ([│ ]*)(?:[├└]── )?(\w+)(.*)$", line)
        if match is None or match[2] not in classes:
            continue
        depth = (line.index(match[2]) - 4) // 4
        path = [*path[:depth], match[2]]
        tree[match[2]] = path[-2] if depth else "Exception"
        if depth > 1 or issubclass(classes[match[2]], errors.MissingExtra):
            assert match[3].strip(), f"{match[2]} is not explained"
    assert set(tree) == set(classes)
    for name, parent in tree.items():
        assert parent in [base.__name__ for base in classes[name].__bases__], name


def test_no_error_of_another_kind_is_raised_as_a_bare_exception():
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"raise (Exception|RuntimeError)\(", text), path
        assert not re.search(r"except[^\n]*:\n\s+pass\b", text), path


def test_errors_cross_process_borders():
    import pickle

    for kind in (errors.Unreadable, errors.ShapeMismatch, errors.BadVoxels):
        error = kind("ct 1", "a", "b", "c")
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is kind
        assert str(back) == str(error) == "ct 1: found a; expected b; c"
        assert (back.case, back.found, back.expected, back.advice) == ("ct 1", "a", "b", "c")


def test_a_script_without_a_main_guard(finished, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import aleaseg

            print("started")
            run = aleaseg.audit(
                {str(finished.dataset)!r}, {str(tmp_path / "run")!r},
                predictions={str(finished.dataset / "labelsTr")!r}, extractor="variance",
            )
            worst = run.cases.nlargest(3, "doubt")["case"].tolist()
            aleaseg.select(run, worst=3, write="splits")
            print("worst", *worst)
            again = aleaseg.Run({str(tmp_path / "run")!r})
            print("same", again.cases.equals(run.cases), len(again.scores), len(again.measures) > 0)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("started") == 1, "the workers ran the script again"
    assert "same True 48 True" in done.stdout
    assert (tmp_path / "run" / "selection" / "splits_final.json").exists()
    assert (tmp_path / "run" / "report" / "index.html").exists()


def test_a_frame_to_cut_by(finished):
    run = aleaseg.Run(finished.run)
    assert repr(run) == f"Run({str(finished.run)!r})"
    frame = run.cases
    assert len(frame) == 24
    assert frame["case"].is_unique
    assert list(frame.columns[:2]) == ["case", "status"]
    assert frame["doubt"].between(0, 1).all()
    assert (frame["doubt"] == frame[["image_doubt", "label_doubt"]].max(axis=1)).all()
    assert set(run.scores["class"]) == {"left", "right"}
    with pytest.raises(errors.UsageError, match="does not exist; expected a folder written by"):
        _ = aleaseg.Run(finished.dataset).cases
