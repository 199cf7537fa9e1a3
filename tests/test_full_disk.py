"""A disk without room: the error names the file that could not be written, and nothing half-written stays."""

import errno
import os

import pytest

from aleaseg.run import naming, write_aside, write_json


def full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace", "fdopen"])
def test_the_file_is_named(tmp_path, monkeypatch, call):
    path = tmp_path / "cases" / "a.json"
    write_json(path, {"old": 1})
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_json(path, {"new": 2})
    assert caught.value.filename == str(path)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]
    assert '"old"' in path.read_text()


def test_a_folder_in_its_place_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_aside(tmp_path / "a", b"x")
    assert caught.value.filename == str(tmp_path / "a")


def test_other_errors_pass():
    with pytest.raises(ValueError, match="x"), naming("a"):
        raise ValueError("x")
