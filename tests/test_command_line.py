"""The command line as a user types it: what it prints, how it ends, and what it leaves behind."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import aleaseg
from aleaseg.errors import SelectionRefused
from aleaseg.run import Run, read_table

HEAVY = ("torch", "monai", "pandas", "SimpleITK", "nibabel", "sklearn", "skimage", "scipy")


def lines(text):
    return [line for line in text.splitlines() if line.strip()]


def one_line(done, *parts):
    """Standard error says one thing, in one line, and no traceback is anywhere."""
    assert "Traceback" not in done.stdout + done.stderr
    said = [line for line in lines(done.stderr) if line.startswith("aleaseg: ")]
    assert len(said) == 1, done.stderr
    for part in parts:
        assert part in done.stderr, done.stderr


def test_help_imports_nothing_heavy():
    code = f"import sys, aleaseg.cli; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_verb_in_80_columns(type_aleaseg):
    done = type_aleaseg("--help")
    assert done.returncode == 0
    for verb in ("audit", "score", "check", "report", "select", "demo"):
        assert f" {verb} " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "0 done; 1 done" in " ".join(done.stdout.split())


def test_an_audit_ends_with_suspects_reasons_and_the_page(finished):
    out = " ".join(finished.done.stdout.split())
    assert "most doubtful of 24 cases" in out
    assert f"Page: {(finished.run / 'report' / 'index.html').as_uri()}" in out
    assert (finished.run / "report" / "index.html").exists()
    for line in finished.done.stdout.splitlines():
        assert len(line) <= 80 or line.startswith(("Page: ", "Look and decide: ", "Next: "))
    # A line where a stage begins; on a slow machine others say how far it is.
    assert [line for line in lines(finished.done.stderr) if line.endswith(" ...")] == [
        "Starting ...",
        "Reading headers ...",
        "Checking files ...",
        "Preparing cases ...",
        "Cross-fitting ...",
        "Scoring cases ...",
        "Mapping the doubt ...",
        "Drawing pages ...",
    ]


def test_the_spoilt_cases_are_the_most_doubtful(finished):
    cases = Run(finished.run).cases.set_index("case")
    assert set(cases["doubt"].nlargest(3).index) == set(finished.faults)
    assert (cases.loc[list(finished.faults), "doubt"] > 0.5).all()
    kind = {fault: case for case, fault in finished.faults.items()}
    assert cases["image_doubt"].idxmax() == kind["noise"]
    assert cases["image_doubt"].max() > 0.5
    for fault in ("mask shifted", "classes swapped"):
        assert cases.loc[kind[fault], "label_doubt"] > max(0.5, cases.loc[kind[fault], "image_doubt"])
    assert "uneven_w=" in cases.loc[kind["noise"], "reasons"]
    assert "order:left and right=" in cases.loc[kind["classes swapped"], "reasons"]


def test_the_same_again_changes_nothing_and_other_settings_are_refused(finished, type_here):
    tables = {p.name: p.read_bytes() for p in finished.run.glob("*.csv")}
    again = type_here("score", finished.dataset, "-o", finished.run, *finished.options)
    assert again.returncode == 0, again.stderr
    assert {p.name: p.read_bytes() for p in finished.run.glob("*.csv")} == tables
    other = type_here(
        "audit", finished.dataset, "-o", finished.run, "--groups", r"^(g\d)", "--steps", "9", "--seed", "4"
    )
    assert other.returncode == 2
    one_line(other, "steps: 8 then, 9 now", "seed: 0 then, 4 now", "-o")
    assert "groups" not in other.stderr
    assert {p.name: p.read_bytes() for p in finished.run.glob("*.csv")} == tables


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--extractor", "medsam9"], ["unknown extractor 'medsam9'", "auto, task, variance"]),
        (["--predictions", "nowhere"], ["nowhere", "is not a folder"]),
        (["--groups", "(unclosed"], ["--groups", "regular expression"]),
        (["--classes", "spleen"], ["spleen"]),
        (["--reference", "nowhere"], ["nowhere"]),
        (["--sites", "none.csv"], ["--sites", "none.csv"]),
    ],
)
def test_arguments_that_cannot_work_end_with_2_and_leave_nothing(
    finished, type_here, tmp_path, words, parts
):
    done = type_here("audit", finished.dataset, "-o", tmp_path / "run", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    one_line(done, *parts)
    assert not (tmp_path / "run").exists()


def test_typers_own_refusals_end_with_2(type_aleaseg, tmp_path):
    for words in (["audit", tmp_path], ["audit", tmp_path, "-o", "x", "--steps", "0"], ["auditt"]):
        done = type_aleaseg(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_data_set(type_here, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "thesis.txt").write_text("important")
    for folder in ("letters", "nowhere"):
        done = type_here("audit", tmp_path / folder, "-o", tmp_path / "run")
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert folder in done.stderr
        assert "imagesTr" in done.stderr, "it says what would be one"
    assert not (tmp_path / "run").exists()


def test_a_folder_with_other_files_is_not_written_into(finished, type_here, tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    done = type_here("audit", finished.dataset, "-o", tmp_path)
    assert done.returncode == 2
    one_line(done, "holds other files")
    done = type_here("audit", finished.dataset, "-o", tmp_path / "thesis.txt")
    assert done.returncode == 2
    one_line(done, "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("verb", ["report", "select"])
def test_a_folder_that_is_no_run(type_here, tmp_path, verb):
    done = type_here(verb, tmp_path)
    assert done.returncode == 2
    one_line(done, str(tmp_path), "does not exist")
    assert not list(tmp_path.iterdir())


def test_check_prints_a_table_or_json(finished, type_aleaseg, tmp_path):
    done = type_aleaseg("check", finished.dataset, "-o", tmp_path / "found", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["cases"] == 24
    assert told["closing"].startswith(
        "24 cases, 2 classes from dataset.json (left, right); 49 files: 48 used"
    )
    assert {path.name for path in (tmp_path / "found").iterdir()} == {"check.csv", "check.json"}


def test_select_says_what_a_cut_removes_and_writes_it(finished, type_aleaseg):
    done = type_aleaseg("select", finished.run, "--worst", "3")
    assert done.returncode == 0, done.stderr
    splits = json.loads((finished.run / "selection" / "splits_final.json").read_text())
    for fold in splits:
        assert not set(fold["train"]) & set(finished.faults)
    for case in finished.faults:
        assert case in done.stdout
    assert "the two lie the other way round" in " ".join(done.stdout.replace("│", " ").split())
    refused = type_aleaseg("select", finished.run, "--worst", "12")
    assert refused.returncode == 2
    one_line(refused, "force")
    assert "Nothing was written." in refused.stdout


def test_a_dry_run_says_which_and_why_and_writes_nothing(finished, type_here, tmp_path):
    run = shutil.copytree(finished.run, tmp_path / "run", ignore=shutil.ignore_patterns("selection"))
    done = type_here("select", run, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("Nothing was written (--dry-run).")
    assert set(re.findall(r"g\d_\d\d", done.stdout)) == set(finished.faults)
    assert not (run / "selection").exists()


def test_the_next_step_of_the_audit_is_the_default_cut(finished, type_aleaseg):
    (said,) = [line for line in lines(finished.done.stdout) if line.startswith("Next: ")]
    command = said.removeprefix("Next: ")
    assert shlex.split(command) == ["aleaseg", "select", str(finished.run)]
    page = (finished.run / "report" / "index.html").read_text()
    assert f'<code id="next-command">{command}</code>' in page
    dropped = type_aleaseg(*shlex.split(command)[1:], "--dry-run").stdout
    assert f"leaves out the {len(finished.faults)} cases with a doubt above 0.5" in " ".join(
        finished.done.stdout.split()
    )
    assert f"{len(finished.faults)} of 24 cases dropped" in dropped


def test_cases_are_kept_dropped_and_listed_by_hand(finished, type_here, tmp_path):
    run = shutil.copytree(finished.run, tmp_path / "run", ignore=shutil.ignore_patterns("selection"))
    first, second, third = sorted(finished.faults)
    sound = next(case for case in ("g0_00", "g1_01") if case not in finished.faults)
    done = type_here("select", run, "--keep", first, "--drop", sound, "--as", "csv")
    assert done.returncode == 0, done.stderr
    table = read_table(run / "selection" / "selection.csv").set_index("case")
    gone = {case for case, kept in table["kept"].items() if str(kept).lower() == "false"}
    assert gone == {second, third, sound}
    (tmp_path / "flagged.txt").write_text(f"# mine\n{sound}\n\n{first}\n")
    listed = type_here("select", run, "--list", tmp_path / "flagged.txt", "--dry-run")
    assert "2 of 24 cases dropped: those that flagged.txt lists" in listed.stdout
    assert second not in listed.stdout
    wrong = type_here("select", run, "--drop", f"{first}x")
    assert wrong.returncode == 2
    one_line(wrong, first, "near it")


# -- what every program has --------------------------------------------------------------------------


def test_version_and_short_help(type_aleaseg):
    assert lines(type_aleaseg("--version").stdout) == [f"aleaseg {aleaseg.__version__}"]
    for words in (["-h"], ["audit", "-h"], ["bench", "-h"], ["bench", "detect", "-h"]):
        short, long = type_aleaseg(*words), type_aleaseg(*words[:-1], "--help")
        assert (short.returncode, short.stdout) == (0, long.stdout)


def test_python_dash_m_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "aleaseg", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"aleaseg {aleaseg.__version__}\n")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("aleaseg au", {"audit"}),
        ("aleaseg bench d", {"detect", "downstream"}),
        ("aleaseg audit --ref", {"--reference", "--refit"}),
        ("aleaseg audit x --device c", {"cpu", "cuda"}),
    ],
)
def test_a_shell_completes_verbs_options_and_choices(type_aleaseg, typed, completed):
    words = typed.split()
    env = {"_ALEASEG_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    assert set(type_aleaseg(env=env).stdout.split()) == completed


def test_a_flag_takes_nothing_and_every_option_says_what_it_takes(type_aleaseg):
    for words in (["audit"], ["train"], ["select"], ["bench", "downstream"], ["weights", "fetch"]):
        text = type_aleaseg(*words, "--help").stdout
        assert "bool>" not in text
        assert "<" not in text, "a type in place of a word"


# -- what cannot be meant ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option", [("--folds", "3"), ("--steps", "10"), ("--budget", "5"), ("--predictions", "oof")]
)
def test_fast_trains_nothing_and_refuses_what_is_about_training(type_here, tmp_path, option):
    done = type_here("audit", tmp_path, "-o", tmp_path / "run", "--fast", *option)
    assert done.returncode == 2
    one_line(done, "--fast", option[0], "leave")


def test_check_says_where_it_wrote(finished, type_aleaseg, tmp_path):
    done = type_aleaseg("check", finished.dataset, "-o", tmp_path / "found")
    assert f"Written: {tmp_path / 'found' / 'check.csv'}" in done.stdout
    quiet = type_aleaseg("check", finished.dataset, "--json", "-o", tmp_path / "found")
    assert json.loads(quiet.stdout)["cases"] == 24, "what is piped stays JSON"
    assert "Written: " in quiet.stderr


def test_a_cut_is_planned_once_and_a_refusal_shows_it(finished, tmp_path, monkeypatch, capsys):
    from aleaseg import selection
    from aleaseg.cli import app

    run = shutil.copytree(finished.run, tmp_path / "run", ignore=shutil.ignore_patterns("selection"))
    planned = []
    plan = selection.plan
    monkeypatch.setattr(selection, "plan", lambda *run, **cut: planned.append(cut) or plan(*run, **cut))
    with pytest.raises(SelectionRefused, match="force"):
        typer.main.get_command(app)(["select", str(run), "--worst", "12"], standalone_mode=False)
    out = capsys.readouterr().out
    assert "12 of 24 cases dropped" in out
    assert out.rstrip().endswith("Nothing was written.")
    assert "forced:" not in out
    assert len(planned) == 1
    assert not (run / "selection").exists()


def test_the_demo_installs_no_linter():
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make here")
    root = Path(__file__).resolve().parent.parent
    for goal, dev in (("demo", False), ("test", True)):
        done = subprocess.run(
            [make, "-n", "-B", goal], cwd=root, capture_output=True, text=True, check=True
        )
        assert ("[dev]" in done.stdout) == dev
        assert "pip install" in done.stdout
