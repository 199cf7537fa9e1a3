"""How a folder is begun: new, empty, or begun alike; what a kill leaves of the first file is ours."""

import dataclasses
import json
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.run import Run, begin, kind_of


def test_a_new_an_empty_and_a_folder_of_its_own_are_begun(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        assert begin(tmp_path / name, "training", {"steps": 5, "patch": (1, 2)}, about={"columns": {}})
        assert not begin(tmp_path / name, "training", {"steps": 5, "patch": (1, 2)})
        manifest = Run(tmp_path / name).manifest
        assert manifest["settings"] == {"steps": 5, "patch": [1, 2]}
        assert manifest["columns"] == {}
        assert {"aleaseg", "created", "versions"} <= set(manifest)
        assert kind_of(tmp_path / name) == "training"


@pytest.mark.parametrize("left", [".manifest.json.8f3k2_.part", ".manifest.json.abc123"])
def test_what_a_kill_leaves_of_the_manifest_hinders_nobody(tmp_path, left):
    (tmp_path / left).write_bytes(b'{"kind": "tra')
    assert begin(tmp_path, "training", {})


@pytest.mark.parametrize("foreign", ["notes.txt", ".hidden", "cases"])
def test_other_files_are_somebody_elses(tmp_path, foreign):
    (tmp_path / foreign).write_text("mine")
    with pytest.raises(
        UsageError, match="holds other files and is not a training; give an empty or a new folder"
    ):
        begin(tmp_path, "training", {})
    assert (tmp_path / foreign).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UsageError, match="is a file"):
        begin(tmp_path / foreign, "training", {})


def test_another_kind_is_named(tmp_path):
    begin(tmp_path, "audit", {})
    with pytest.raises(UsageError, match="is an audit, not a training"):
        begin(tmp_path, "training", {})


def test_other_settings_are_named_and_checksums_are_not_shown(tmp_path):
    begin(tmp_path, "audit", {"seed": 0, "case_ids": "a" * 64, "device": "cpu"})
    with pytest.raises(SettingsDiffer, match=r"\(seed: 0 then, 1 now\)"):
        begin(tmp_path, "audit", {"seed": 1, "case_ids": "a" * 64, "device": "cpu"})
    with pytest.raises(SettingsDiffer, match=r"\(case ids: others than then\)"):
        begin(tmp_path, "audit", {"seed": 0, "case_ids": "b" * 64, "device": "cpu"})
    assert not begin(
        tmp_path, "audit", {"seed": 0, "case_ids": "a" * 64, "device": "cuda"}, free=("device",)
    )
    assert Run(tmp_path).manifest["settings"]["device"] == "cuda"


def test_a_setting_that_came_later_had_its_default(tmp_path):
    begin(tmp_path, "audit", {"seed": 0})
    assert not begin(tmp_path, "audit", {"seed": 0, "scenario": None}, usual={"scenario": None})
    with pytest.raises(SettingsDiffer, match="scenario: None then, 'a' now"):
        begin(tmp_path, "audit", {"seed": 0, "scenario": "a"}, usual={"scenario": None})


def test_folders_of_earlier_versions_are_known(tmp_path):
    for name, manifest, kind in (
        ("audit", {"settings": {"seed": 3}}, "audit"),
        ("bench", {"bench": {"kind": "detection", "share": 0.2}}, "detection bench"),
        ("training", {"kind": "training", "settings": {}}, "training"),
        ("nothing", ["a list"], None),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
        assert kind_of(tmp_path / name) == kind
    assert not begin(tmp_path / "audit", "audit", {"seed": 3})
    assert not begin(tmp_path / "bench", "detection bench", {"share": 0.2})


values = st.none() | st.booleans() | st.integers(-9, 9) | st.text(string.ascii_letters, max_size=4)
asked = st.dictionaries(st.text(string.ascii_lowercase, min_size=1, max_size=3), values | st.lists(values))


@settings(max_examples=60, deadline=None)
@given(first=asked, second=asked)
def test_the_same_again_is_gone_on_with_and_anything_else_is_refused(tmp_path_factory, first, second):
    folder: Path = tmp_path_factory.mktemp("begun")
    begin(folder, "audit", first)
    before = Run(folder).manifest_file.read_bytes()
    assert not begin(
        folder, "audit", {name: tuple(v) if isinstance(v, list) else v for name, v in first.items()}
    )
    if any(first.get(name) != value for name, value in second.items()):
        with pytest.raises(SettingsDiffer):
            begin(folder, "audit", second)
    else:
        assert not begin(folder, "audit", second)
    assert Run(folder).manifest_file.read_bytes() == before


def test_settings_of_every_verb_can_be_kept(tmp_path):
    """What stands in a manifest comes back as it was asked, whatever the verb."""
    from aleaseg.bench.settings import DetectSettings
    from aleaseg.evaluation import EvaluationSettings

    for number, one in enumerate((DetectSettings("d"), EvaluationSettings("r", "p"))):
        folder = tmp_path / str(number)
        for new in (True, False):
            assert begin(folder, "thing", dataclasses.asdict(one)) is new
