"""What a release is made of: one version everywhere, pins that fit, archives that are the same bytes, a container."""

import ast
import hashlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import tomllib
import types
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import aleaseg

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def yaml_of(name):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load(text(name))


# -- one version, one set of pins -------------------------------------------------------------------


def test_changelog_citation_and_package_have_one_version():
    newest = re.search(r"^## \[([^\]]+)\]", text("CHANGELOG.md"), re.M)[1]
    assert newest == aleaseg.__version__
    assert yaml_of("CITATION.cff")["version"] == aleaseg.__version__


def test_the_citation_has_what_the_form_asks_for():
    citation = yaml_of("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    for entry in (citation, *citation["references"]):
        assert {"title", "authors", "type"} <= set(entry)
        assert all(author.get("name") or author.get("family-names") for author in entry["authors"])
    assert citation["license"] == PROJECT["license"]


def asked():
    """What the package and its extras ask for, themselves apart."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    found = [Requirement(line) for group in groups for line in group]
    return [each for each in found if each.name != PROJECT["name"]]


def test_the_constraints_pin_what_is_asked_for():
    pins = [Requirement(line) for line in text("constraints.txt").splitlines()]
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(names) == len(set(names))
    version = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    for requirement in asked():
        assert requirement.specifier.contains(version[canonicalize_name(requirement.name)]), str(
            requirement
        )


def test_the_oldest_torch_that_is_tested_is_the_oldest_that_is_claimed():
    (torch,) = [each for each in asked() if each.name == "torch"]
    oldest = re.search(r"^OLDEST_TORCH := (\S+)$", text("Makefile"), re.M)[1]
    assert torch.specifier.contains(oldest)
    assert str(torch.specifier) == f">={oldest.removesuffix('.0')}"


# -- CI ---------------------------------------------------------------------------------------------


def targets():
    return set(re.findall(r"^([a-z][\w-]*):", text("Makefile"), re.M))


def test_every_phony_target_is_there():
    phony = re.search(r"^\.PHONY: (.*)$", text("Makefile"), re.M)[1].split()
    assert set(phony) <= targets()


def test_ci_tries_every_python_that_is_claimed_and_calls_what_is_there():
    workflow = yaml_of(".github/workflows/ci.yml")
    jobs = workflow["jobs"]
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    # PyYAML reads the key `on` as true, as YAML 1.1 has it.
    assert "pull_request" in workflow[True]
    assert pythons == re.search(r"^PYTHONS \?= (.*)$", text("Makefile"), re.M)[1].split()
    named = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.M)
    assert set(named) <= set(pythons)
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    called = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    made = {target for run in called for target in re.findall(r"make ([a-z][\w-]*)", run)}
    assert {"test", "docs", "dist", "matrix-oldest"} == made
    assert made <= targets()


def test_what_pages_and_files_call_is_in_the_makefile():
    for page in ("README.md", "CONTRIBUTING.md", "docs/install.md"):
        for target in re.findall(r"`make ([a-z][\w-]*)`|^\$ make ([a-z][\w-]*)", text(page), re.M):
            assert ("".join(target)) in targets(), page


# -- the container ----------------------------------------------------------------------------------


def instructions():
    """(word, rest) of each instruction of the Dockerfile."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text("Dockerfile"), flags=re.M))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def in_context(path):
    """Whether .dockerignore lets a file of the clone into the build; the last rule that fits decides."""
    parts = path.relative_to(ROOT).as_posix().split("/")
    heads = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    into = True
    for rule in text(".dockerignore").split():
        pattern = rule.removeprefix("!").removeprefix("**/")
        tried = heads if "**/" not in rule else parts
        if any(fnmatch(head, pattern) for head in tried):
            into = rule.startswith("!")
    return into


def context(folder):
    """The files that docker would be given, copied."""
    for path in sorted(ROOT.iterdir()):
        if path.name in (".git", ".venv", ".matrix", "site", "demo", "dist") or not in_context(path):
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, folder / path.name)
    return folder


def test_the_container_copies_what_it_is_given(tmp_path):
    given = context(tmp_path)
    copied = [
        rest.split() for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")
    ]
    assert copied
    for *sources, _ in copied:
        for source in sources:
            assert (given / source).exists(), source
    # All that the wheel is made of, and nothing else of the clone.
    there = {path.name for path in given.iterdir()}
    made_of = {"LICENSE", "NOTICE", "README.md", "hatch_build.py", "pyproject.toml", "src"}
    assert there == {*made_of, "constraints.txt"}


def test_the_container_runs_without_rights_and_pins_one_torch():
    last = dict(instructions())
    assert last["USER"] not in ("root", "0")
    assert [word for word, _ in instructions()].count("FROM") == 2
    assert len(re.findall(r"^torch==", text("constraints.txt"), re.M)) == 1
    python = re.search(r"^ARG PYTHON=(\S+)$", text("Dockerfile"), re.M)[1]
    assert python in yaml_of(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]


def health(port):
    """The exit status of the Dockerfile's health check, asked at another port."""
    rest = dict(instructions())["HEALTHCHECK"]
    words = ast.literal_eval(rest[rest.index("[") :])
    assert words[0] == "python"
    code = words[2].replace("8024", str(port))
    assert code != words[2]
    return subprocess.run([sys.executable, words[1], code], capture_output=True, timeout=60).returncode


def test_the_health_check_hears_the_guard_of_a_review():
    import asyncio

    import uvicorn
    from starlette.applications import Starlette

    from aleaseg.review.safety import Guard

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    guarded = Guard(Starlette(), "secret", "cookie")
    server = uvicorn.Server(uvicorn.Config(guarded, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    try:
        assert health(port) == 0
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
    assert health(port) == 1


# -- archives ---------------------------------------------------------------------------------------


def build(source, out, *what):
    """Wheel and sdist of a folder, as `make dist` builds them."""
    epoch = re.search(r"^export SOURCE_DATE_EPOCH \?= (\d+)$", text("Makefile"), re.M)[1]
    for isolation in (["--no-isolation"], []):
        done = subprocess.run(
            [sys.executable, "-m", "build", *isolation, *what, "-o", out, source],
            capture_output=True,
            text=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        )
        if "hatchling" not in done.stdout + done.stderr or not done.returncode:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.suffix: path for path in out.iterdir()}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def for_an_index(monkeypatch):
    """Of hatch_build.py, without hatchling, which only an environment to build in has."""
    interface = types.ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.for_an_index


RELATIVE = re.compile(r"\]\((?![a-z]+:|#)")


def test_on_a_package_index_no_link_leads_nowhere(for_an_index):
    readme = text("README.md")
    assert RELATIVE.search(readme)
    alone = for_an_index(readme, None)
    assert not RELATIVE.search(alone)
    assert "![" not in alone
    assert "(https://arxiv.org/abs/2604.10963)" in alone
    linked = for_an_index(readme, "https://example.org/aleaseg/")
    assert "(https://example.org/aleaseg/blob/HEAD/docs/install.md)" in linked
    assert not RELATIVE.search(linked)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist of this clone."""
    pytest.importorskip("build", reason="build is not installed")
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.mark.slow
def test_the_same_bytes_from_another_day_the_sdist_and_the_container(built, tmp_path):
    with tarfile.open(built[".gz"]) as archive:
        archive.extractall(tmp_path / "sdist", filter="data")
    (unpacked,) = (tmp_path / "sdist").iterdir()
    for path in unpacked.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o700 if path.is_dir() else 0o600)
    again = build(unpacked, tmp_path / "again")
    assert digest(again[".whl"]) == digest(built[".whl"])
    assert digest(again[".gz"]) == digest(built[".gz"])
    (tmp_path / "context").mkdir()
    inside = build(context(tmp_path / "context"), tmp_path / "inside", "--wheel")
    assert digest(inside[".whl"]) == digest(built[".whl"])


@pytest.mark.slow
def test_the_wheel_holds_everything(built):
    names = set(zipfile.ZipFile(built[".whl"]).namelist())
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    said = zipfile.ZipFile(built[".whl"]).read(metadata).decode()
    assert "# aleaseg" in said
    assert not RELATIVE.search(said)
    package = ROOT / "src" / "aleaseg"
    there = {
        f"aleaseg/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there <= names
    assert any(name.startswith("aleaseg/report/assets/") for name in names)
    for name in ("entry_points.txt", "licenses/LICENSE", "licenses/NOTICE"):
        assert any(found.endswith(f".dist-info/{name}") for found in names)
    assert not any(name.startswith("tests/") for name in names)
    assert f"aleaseg-{aleaseg.__version__}-" in built[".whl"].name


@pytest.mark.slow
def test_the_sdist_holds_what_tests_and_site_need(built):
    with tarfile.open(built[".gz"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "mkdocs.yml",
        "hatch_build.py",
        "docs/site.py",
        "Dockerfile",
        "CITATION.cff",
        "tests/test_release.py",
        "Makefile",
    ):
        assert name in names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("site/", ".venv"))]
