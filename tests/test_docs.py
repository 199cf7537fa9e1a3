"""The pages say what is true: snippets run, commands parse, nothing is left out, links lead somewhere."""

import ast
import importlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer

from aleaseg.cli import app

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
# Its snippets are run against a larger run by tests/selection/test_docs.py.
RUN_ELSEWHERE = DOCS / "select.md"
COMMANDS = typer.main.get_command(app).commands
GROUPS = {
    verb: [*command.commands.values()] for verb, command in COMMANDS.items() if hasattr(command, "commands")
}
PAGE_OF = {verb: DOCS / f"{verb}.md" for verb in COMMANDS} | {
    "score": DOCS / "audit.md",
    "predict": DOCS / "train.md",
    "merge": DOCS / "cluster.md",
}

BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


def blocks(page, *languages):
    """(what stands after the fence, text) of each block of these languages."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        (info.strip(), text) for info, text in found if info.split()[:1] and info.split()[0] in languages
    ]


def prose(page):
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def name(page):
    return page.relative_to(ROOT).as_posix()


# -- Python ---------------------------------------------------------------------------------------

WITH_PYTHON = [page for page in PAGES if blocks(page, "python", "py") and page != RUN_ELSEWHERE]


@pytest.fixture(scope="module")
def hippocampus(tmp_path_factory, write_small):
    """A data set under the name that the pages use."""
    data = tmp_path_factory.mktemp("docs") / "Dataset004_Hippocampus"
    write_small(data, ids=[f"hippocampus_{index:03d}" for index in range(60)])
    return data


@pytest.fixture
def a_place(hippocampus, monkeypatch, one_process):
    """The folder of the data set, and of `run` once a page has audited it; training is cut to two steps."""
    from aleaseg.predictions import crossfit

    monkeypatch.setattr(crossfit, "default_steps", lambda *sizes: 2)
    monkeypatch.chdir(hippocampus.parent)
    before = {path: path.read_bytes() for path in hippocampus.rglob("*.*")}
    yield hippocampus.parent
    assert {path: path.read_bytes() for path in hippocampus.rglob("*.*")} == before
    for path in hippocampus.parent.iterdir():
        if path not in (hippocampus, hippocampus.parent / "run"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(hippocampus.parent / "run" / "selection", ignore_errors=True)


def runnable(page):
    """The blocks to run. One that is not run has to say why in its first line."""
    for info, text in blocks(page, "python", "py"):
        if "no-run" in info:
            assert text.startswith("# "), f"{name(page)}: a block that is not run has to say why:\n{text}"
            continue
        yield text


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_python_runs(page, a_place):
    names = {"__name__": "__main__"}
    for number, text in enumerate(runnable(page), start=1):
        exec(compile(text, f"{name(page)}, block {number}", "exec"), names)
    for table in a_place.glob("*/cases.csv"):
        assert (table.parent / "report" / "index.html").is_file()


def test_the_page_that_is_run_elsewhere_is_run_there():
    text = (ROOT / "tests" / "selection" / "test_docs.py").read_text()
    assert "select.md" in text
    assert "exec(" in text


# -- the command line -----------------------------------------------------------------------------


def command_lines(page):
    """What a reader would type: the lines of console, bash and sh blocks, without what is printed."""
    for info, text in blocks(page, "console", "bash", "sh", "shell"):
        lines = text.replace("\\\n", " ").splitlines()
        if info.startswith("console"):
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        for line in lines:
            words = shlex.split(line, comments=True)
            if words and Path(words[0]).name == "aleaseg":
                yield words[1:]


def typed(words):
    """The command that words name, and what stands after them: `bench detect` is one within another."""
    command, rest = typer.main.get_command(app), list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    assert not hasattr(command, "commands") or not rest, f"no verb {' '.join(words)!r}"
    return command, rest


LINES = [(page, words) for page in PAGES for words in command_lines(page)]


@pytest.mark.parametrize(("page", "words"), LINES, ids=[f"{name(p)}: {' '.join(w)}" for p, w in LINES])
def test_commands_parse(page, words):
    if words in ([], ["--help"]):
        return
    if "--help" in words or "--version" in words:
        return
    command, rest = typed(words)
    command.make_context(" ".join(words), rest)  # raises for an unknown option or a missing argument


def test_a_wrong_command_would_be_found():
    for verb, words in (("audit", ["DATASET", "-o", "RUN", "--extrator", "task"]), ("audit", ["DATASET"])):
        with pytest.raises(Exception, match=r"No such option|Missing"):
            COMMANDS[verb].make_context(verb, words)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_within_sentences_exist(page):
    for code in re.findall(r"`aleaseg ([a-z][^`]*)`", prose(page)):
        words = code.split()
        assert words[0] in COMMANDS, f"`aleaseg {code}`"
        command, rest = typed(words) if words[0] in GROUPS else (COMMANDS[words[0]], words[1:])
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for word in rest:
            assert not word.startswith("-") or word in options, f"`aleaseg {code}`: {word}"


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_verb_and_option_is_documented(verb):
    page = PAGE_OF[verb]
    text = page.read_text(encoding="utf-8")
    assert f"aleaseg {verb}" in text
    for command in GROUPS.get(verb, [COMMANDS[verb]]):
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("-") and option != "--help":
                    assert re.search(rf"`{option}[` ]", prose(page)), (
                        f"{name(page)} does not explain {option}"
                    )
    assert page.name in (DOCS / "index.md").read_text(encoding="utf-8")


def test_the_docs_hold_the_text_of_every_help():
    done = subprocess.run([sys.executable, DOCS / "command_line.py"], capture_output=True, check=True)
    assert done.stdout.decode() == (DOCS / "command_line.md").read_text(encoding="utf-8"), (
        "run: python docs/command_line.py > docs/command_line.md"
    )


def test_the_picture_of_the_way_is_the_one_that_its_script_draws():
    done = subprocess.run([sys.executable, DOCS / "way.py"], capture_output=True, check=True)
    assert done.stdout.decode() == (DOCS / "images" / "way.svg").read_text(encoding="utf-8"), (
        "run: python docs/way.py > docs/images/way.svg"
    )


# -- measures, reasons, findings ------------------------------------------------------------------


def all_docs():
    return "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))


def test_every_column_is_documented():
    from aleaseg.measures.image_quality import image_statistics
    from aleaseg.measures.mask_quality import mask_statistics
    from aleaseg.scoring import columns

    noise = np.random.default_rng(0).normal(size=(16, 16, 16))
    named = {*columns.CASE_COLUMNS, *columns.SCORE_COLUMNS, *columns.MEASURE_COLUMNS, *columns.COLUMNS}
    named |= {f"img_{statistic}" for statistic in image_statistics(noise, (1, 1, 1))}
    named |= set(mask_statistics(noise > 0, (1, 1, 1)))
    text = all_docs()
    assert not sorted(column for column in named if f"`{column}`" not in text)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "<!-- end -->" in page.read_text("utf-8")], ids=name
)
def test_tables_of_measures_are_made_from_the_table_of_measures(page):
    from aleaseg.scoring.index import filled

    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "write them anew: python -m aleaseg.scoring.index docs"


def test_the_index_has_every_measure_its_page_and_its_function():
    from aleaseg.scoring.catalogue import MEASURES

    index = (DOCS / "measures" / "index.md").read_text(encoding="utf-8")
    for measure in MEASURES.values():
        (row,) = re.findall(rf"^\| `{re.escape(measure.name)}` \|.*$", index, re.M)
        assert measure.direction.value in row
        assert f"({measure.page}.md)" in row
        module, _, function = measure.formula.partition("aleaseg.measures.")[2].partition(".")
        found = importlib.import_module(f"aleaseg.measures.{module}")
        for part in function.split("."):
            found = getattr(found, part)
        assert found is measure.function


def test_every_reason_is_documented_with_its_sentence():
    from aleaseg.measures import reasons

    page = (DOCS / "measures" / "doubt.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+(?::[\w ]+)?=[^`]+)` \| (.*) \|$", page, re.M))
    for code, sentence in rows.items():
        assert reasons.in_words(code) == [sentence]
        of_class = re.search(r":([\w ]+)=", code)
        assert not of_class or sentence.startswith(f"{of_class[1]}: ")
    # A reason of a mask names its class; softmin and the mixture are the whole case's.
    masks = {code for code in rows if ":" in code or code.startswith(("softmin", "mask"))}
    of_masks = {re.split("[:=]", code)[0] for code in masks}
    of_images = {re.split("[_=]", code)[0] for code in set(rows) - masks}
    assert of_masks == set(reasons._MASK)
    assert of_images == set(reasons._IMAGE)


def test_every_status_of_a_row_is_documented():
    rooms = ROOT / "src" / "aleaseg"
    literals = {
        part.value
        for path in (*(rooms / "scoring").glob("*.py"), rooms / "run" / "record.py")
        for part in ast.walk(ast.parse(path.read_text()))
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }
    page = (DOCS / "audit.md").read_text(encoding="utf-8")
    for status in (
        "absent",
        "both_empty",
        "no_prediction",
        "no_energy",
        "undefined",
        "ok",
        "partly",
        "failed",
    ):
        assert status in literals, "documented, but never written"
        assert f"`{status}`" in page


def finding_names():
    """Names of checks that stand in the source as they are: the third argument of a Finding."""
    for path in [*(ROOT / "src/aleaseg/readers").glob("*.py"), *(ROOT / "src/aleaseg/checks").glob("*.py")]:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("Finding", "_note", "note"):
                # One that is read back from a file has no arguments of its own.
                third = call.args[2 if call.func.id == "Finding" else 1 :][:1]
                yield from (each.value for each in third if isinstance(each, ast.Constant))
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "_refusal":
                yield f"nnunet_{call.args[0].value}"
    # Those that are put together.
    yield from (f"{kind}_image" for kind in ("unreadable", "nan", "infinite", "constant"))
    yield from ("unreadable_label", "image_values", "label_values", "image_shapes", "label_shapes")
    yield from ("spacing_far_out", "size_far_out", "same_id", "missing_image", "missing_label")
    yield from ("listed_missing", "not_listed", "listed_twice", "dataset_key")


def test_every_finding_is_documented():
    page = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("check.md", "formats.md"))
    names = set(finding_names())
    assert len(names) > 20
    assert not sorted(check for check in names if f"`{check}`" not in page)


def test_every_note_on_headers_is_written_somewhere():
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    table = page.partition("## Notes on headers")[2].partition("## ")[0]
    told = {
        check for row in re.findall(r"^\| (`.+?`) \|", table, re.M) for check in re.findall(r"`(\w+)`", row)
    }
    assert len(told) > 15
    assert not sorted(told - set(finding_names()))


def test_every_measure_has_its_sources():
    for page in (DOCS / "measures").glob("*.md"):
        assert re.search(r"^(## )?Sources?\b|arXiv \d{4}", page.read_text(encoding="utf-8"), re.M), (
            f"{page.name} cites nothing"
        )
        assert f"measures/{page.name}" in (DOCS / "index.md").read_text(encoding="utf-8")


# -- the house ------------------------------------------------------------------------------------


def test_floors_are_those_that_are_held():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0][
        "layers"
    ]
    told = [
        text.strip() for _, text in BLOCK.findall((DOCS / "architecture.md").read_text(encoding="utf-8"))
    ]
    assert "\n".join(layer.replace("(", "").replace(")", "") for layer in layers) in told


def test_layout_names_what_is_there():
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    layout = next(text for _, text in BLOCK.findall(page) if text.startswith("src/aleaseg/"))
    package = ROOT / "src" / "aleaseg"
    there = {path.name + ("/" if path.is_dir() else "") for path in package.iterdir()}
    there -= {"__init__.py", "__pycache__/", "py.typed"}
    assert set(re.findall(r"^  (\S+)", layout, re.M)) == there


# -- links ----------------------------------------------------------------------------------------


def anchor(heading):
    """As GitHub makes it."""
    bare = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", bare).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name(page)}: {target}"
        if fragment and there.suffix == ".md":  # a picture's says for which colours of the site it is
            headings = re.findall(r"^#+ (.+)$", prose(there), re.M)
            assert fragment in map(anchor, headings), f"{name(page)}: {target}"


def test_the_method_names_functions_and_tests_that_are_there():
    page = DOCS / "method.md"
    named = re.findall(r"\[`([\w.]+)`\]\((\S+\.py)\)", page.read_text(encoding="utf-8"))
    assert len(named) > 40
    for words, path in named:
        source = ast.parse((page.parent / path).read_text(encoding="utf-8"))
        defined = {
            part.name for part in ast.walk(source) if isinstance(part, ast.FunctionDef | ast.ClassDef)
        }
        assert set(words.split(".")) <= defined, f"{words} in {path}"


def test_pages_name_no_machine():
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(work|tmp|home|root)\b", page.read_text(encoding="utf-8")), page
