"""Every file below a data set is used, known to be something else, or named: for every layout and every mishap."""

import importlib.util
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aleaseg.checks import as_json, check, closing
from aleaseg.errors import AleasegError
from aleaseg.readers import open_dataset

_SPEC = importlib.util.spec_from_file_location("layouts", Path(__file__).with_name("layouts.py"))
layouts = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(layouts)
CASES, LAYOUTS, image, label = layouts.CASES, layouts.LAYOUTS, layouts.image, layouts.label


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """made(layout): a sound data set, made once."""
    kept = {}

    def _made(layout):
        if layout not in kept:
            kept[layout] = tmp_path_factory.mktemp("made") / layout
            kept[layout].mkdir()
            LAYOUTS[layout](kept[layout])
        return kept[layout]

    return _made


def all_files(root):
    """Paths of everything that is not a folder, links not followed into other folders."""
    return sorted(
        (Path(here) / name).relative_to(root).as_posix()
        for here, folders, names in os.walk(root)
        for name in (*names, *(one for one in folders if (Path(here) / one).is_symlink()))
    )


def unsaid(root, dataset, result):
    """Files that are neither used, nor known, nor named: has to be empty."""
    account = dataset.account
    files = all_files(root)
    used = {
        os.path.relpath(path, root)
        for case in dataset.cases
        for path in (*case.image_files, *case.label_files)
    } | {os.path.relpath(path, root) for finding in result.findings for path in finding.files}
    named = {path for path, _ in account.passed_over}
    rest = [path for path in files if path not in used and path not in named]
    # What is known is counted by kind; a folder of ours or a hidden one counts once for all that is in it.
    if dict(account.known).get("hidden folder"):
        rest = [path for path in rest if not any(part.startswith(".") for part in Path(path).parts[:-1])]
    return rest if len(rest) > sum(account.known.values()) else []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sound_data_set_is_used_whole(made, layout):
    dataset = open_dataset(made(layout))
    result = check(dataset)
    assert len(dataset) == CASES
    assert [finding for finding in result.findings if finding.check != "same_image"] == []
    assert dataset.account.passed_over == ()
    files = all_files(made(layout))
    beside = [path for path in files if path.endswith(".json")]
    assert dataset.account.used == len(files) - len(beside)
    assert "none passed over" in closing(result)
    assert as_json(result)["files"]["used"] == dataset.account.used
    assert dataset.has_labels == (layout != "images_alone")


def renamed(path, new):
    path.rename(path.with_name(new))


ENDING = {".gz": ".nii.gz"}


def ending_of(path):
    return ENDING.get(path.suffix, path.suffix)


def stem_of(path):
    return path.name.removesuffix(ending_of(path))


def a_folder(path):
    path.unlink()
    path.mkdir()
    image(path / "inner.nii", 99)


def dead_link(path):
    path.unlink()
    path.symlink_to("/not/mounted/x.nii.gz")


MISHAPS = {
    "renamed": lambda path: renamed(path, f"other{ending_of(path)}"),
    "capitals": lambda path: renamed(path, path.name.upper()),
    "ending in capitals": lambda path: renamed(path, stem_of(path) + ending_of(path).upper()),
    "another ending": lambda path: renamed(path, stem_of(path) + ".xyz"),
    "no ending": lambda path: renamed(path, stem_of(path)),
    "unfinished": lambda path: renamed(path, path.name + ".part"),
    "hidden": lambda path: renamed(path, "." + path.name),
    "doubled ending": lambda path: renamed(path, path.name + ending_of(path)),
    "blank": lambda path: renamed(path, stem_of(path) + " " + ending_of(path)),
    "suffix": lambda path: renamed(path, f"{stem_of(path)}_v2{ending_of(path)}"),
    "mask suffix": lambda path: renamed(path, f"{stem_of(path)}-label{ending_of(path)}"),
    "packed": lambda path: renamed(path, path.name + ".zip"),
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "text": lambda path: path.write_text("<html>not found</html>"),
    "of another type": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50)),
    "gone": lambda path: path.unlink(),
    "dead link": dead_link,
    "a folder": a_folder,
    "copied": lambda path: shutil.copy(path, path.with_name(f"{stem_of(path)} copy{ending_of(path)}")),
    "copied, other ending": lambda path: shutil.copy(path, path.with_name(stem_of(path) + ".nrrd")),
    "shadow": lambda path: path.with_name("._" + path.name).write_bytes(b"\0\5\x16\7"),
    "moved up": lambda path: path.rename(path.parent.parent / path.name),
    "moved down": lambda path: (
        (path.parent / "deeper").mkdir() or path.rename(path.parent / "deeper" / path.name)
    ),
}
# After this the file is as good as before.
HARMLESS = ("shadow",)
# Where a case is one file, nothing says that there was one more.
ONE_FILE = ("medsam", "raters", "images_alone")


@pytest.mark.parametrize("mishap", MISHAPS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_mishap_is_never_unsaid(made, layout, mishap, tmp_path):
    sound = made(layout)
    files = [path for path in all_files(sound) if not path.endswith(".json")]
    for number, name in enumerate({files[1], files[-2]}):
        root = tmp_path / f"{number}" / layout
        shutil.copytree(sound, root)
        MISHAPS[mishap](root / name)
        said_or_used(root, mishap, name)


def opened(root):
    """The data set, or what the refusal says."""
    try:
        return open_dataset(root), ""
    except AleasegError as error:
        return None, str(error)


def said_or_used(root, mishap, name):
    dataset, refused = opened(root)
    if dataset is None:
        assert root.name in refused or name.rpartition("/")[2] in refused
        return
    result = check(dataset)
    assert unsaid(root, dataset, result) == []
    assert closing(result).count("\n") == 0
    if root.name in ONE_FILE and not (root / name).exists() and len(all_files(root)) == CASES - 1:
        return
    whole = len(dataset) >= CASES and not result.findings
    # Nothing is said only where all cases are there, under other names perhaps.
    assert whole or result.findings or mishap in HARMLESS, f"{name}: {closing(result)}"
    lost = {
        "gone",
        "another ending",
        "no ending",
        "unfinished",
        "hidden",
        "packed",
        "emptied",
        "cut",
        "text",
    }
    if mishap in lost:
        assert result.findings, f"{name}: {closing(result)}"


FOREIGN = {
    ".DS_Store": b"\0",
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "README.md": b"text",
    "notes.xlsx": b"PK",
    "AUTORUN.INF": b"[autorun]",
    "viewer.exe": b"MZ",
    "model.pth": b"PK",
    "case.stl": b"solid",
    "backup.tar.gz": b"\x1f\x8b",
    "nobody knows.qqq": b"?",
    "naked": b"?",
    ".hidden.nii.gz": b"?",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_foreign_files_cost_nothing_and_are_said(made, layout, tmp_path):
    root = tmp_path / layout
    shutil.copytree(made(layout), root)
    for name, content in FOREIGN.items():
        (root / name).write_bytes(content)
    (root / "gone").symlink_to("/not/mounted")
    (root / ".git").mkdir()
    dataset = open_dataset(root)
    result = check(dataset)
    assert len(dataset) == CASES
    assert result.errors == ()
    assert unsaid(root, dataset, result) == []
    assert {path for path, _ in dataset.account.passed_over} == {
        "case.stl", "backup.tar.gz", "nobody knows.qqq", "naked", ".hidden.nii.gz", "gone",
    }  # fmt: skip
    assert dict(dataset.account.known)["hidden folder"] == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_this_package_wrote_is_no_case(made, layout, tmp_path, type_aleaseg):
    root = tmp_path / layout
    shutil.copytree(made(layout), root)
    first = type_aleaseg("check", root, "-o", root / "found here")
    (root / "run" / "work").mkdir(parents=True)
    (root / "run" / "manifest.json").write_text('{"aleaseg": "0.1.0"}')
    image(root / "run" / "work" / "x.nii.gz", 5)
    dataset = open_dataset(root)
    assert first.returncode == 0, first.stdout
    assert len(dataset) == CASES
    assert dict(dataset.account.known)["folder that aleaseg wrote"] == 2
    assert dataset.account.passed_over == ()


def test_names_that_differ_in_their_accents_alone_are_one_case(tmp_path):
    name = "é1"
    image(tmp_path / "images" / f"{unicodedata.normalize('NFC', name)}.png", 1)
    label(tmp_path / "masks" / f"{unicodedata.normalize('NFD', name)}.png", 1)
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 1
    assert [(one.severity, one.check) for one in dataset.findings] == [("note", "names_differ")]


def test_a_folder_linked_into_itself_ends(tmp_path):
    for n in range(2):
        image(tmp_path / f"images/p{n}.png", n)
        label(tmp_path / f"masks/p{n}.png", n)
    (tmp_path / "images" / "again").symlink_to(tmp_path / "images", target_is_directory=True)
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    assert [case.id for case in open_dataset(tmp_path).cases] == ["p0", "p1"]


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)


@pytest.mark.slow
@settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(sorted(MISHAPS)), st.integers(0, 40), st.just("")),
            st.tuples(st.just("new name"), st.integers(0, 40), NAMES),
            st.tuples(st.just("new file"), st.integers(0, 40), NAMES),
            st.tuples(st.just("folder renamed"), st.integers(0, 40), NAMES),
        ),
        min_size=1,
        max_size=4,
    ),
)
@example(layout="pair", steps=[("folder renamed", 0, "gt")])
@example(layout="brats", steps=[("folder renamed", 0, ".0")])
def test_trees_of_any_kind(made, tmp_path_factory, layout, steps):
    root = tmp_path_factory.mktemp("fuzz") / layout
    shutil.copytree(made(layout), root, symlinks=True)
    for what, number, name in steps:
        files = [path for path in all_files(root) if not path.endswith(".json")]
        if not files:
            break
        path = root / files[number % len(files)]
        try:
            if what == "new name":
                renamed(path, name)
            elif what == "new file":
                (path.parent / name).write_bytes(b"?" * number)
            elif what == "folder renamed":
                path.parent != root and path.parent.rename(path.parent.with_name(name))
            elif path.is_file():
                MISHAPS[what](path)
        except OSError:
            continue
    dataset, refused = opened(root)
    if dataset is None:
        assert len(refused) > 20
    else:
        assert unsaid(root, dataset, check(dataset)) == []
    shutil.rmtree(root)
