"""Ten thousand cases: listed once, not touched, and nothing held."""

import os
import sys

import pytest

from aleaseg.readers import open_dataset

N = 10_000


class Counter:
    """Counts what the interpreter tells about files; a hook cannot be taken back, so it has a switch."""

    def __init__(self):
        self.on = False
        self.opened = 0
        self.listed = 0
        sys.addaudithook(self._hear)

    def _hear(self, event, args):
        if self.on:
            self.opened += event == "open"
            self.listed += event in ("os.scandir", "os.listdir")


COUNTER = Counter()


@pytest.fixture
def stats(monkeypatch):
    """The number of stat calls so far, as a list of one."""
    calls = [0]
    for name in ("stat", "lstat"):
        real = getattr(os, name)

        def counted(*args, _real=real, **kwargs):
            calls[0] += 1
            return _real(*args, **kwargs)

        monkeypatch.setattr(os, name, counted)
    return calls


def opened(path, stats):
    COUNTER.on, COUNTER.opened, COUNTER.listed = True, 0, 0
    stats[0] = 0
    try:
        dataset = open_dataset(path)
    finally:
        COUNTER.on = False
    return dataset, COUNTER.opened, COUNTER.listed, stats[0]


def touch(folder, names):
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    try:
        for name in names:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    finally:
        os.close(handle)


def test_nnunet(tmp_path, stats):
    touch(tmp_path / "imagesTr", [f"c{number}_0000.nii.gz" for number in range(N)])
    touch(tmp_path / "labelsTr", [f"c{number}.nii.gz" for number in range(N)])
    (tmp_path / "dataset.json").write_text(
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}'
    )
    dataset, files, folders, stat_calls = opened(tmp_path, stats)
    assert len(dataset) == N
    assert files <= 3  # dataset.json alone: by the layout, and by whoever looks for confidences
    assert folders <= 4
    assert stat_calls < 20


def test_folder_pair_looks_into_a_sample_only(tmp_path, stats):
    touch(tmp_path / "images", [f"c{number}.png" for number in range(N)])
    touch(tmp_path / "masks", [f"c{number}.png" for number in range(N)])
    dataset, files, folders, stat_calls = opened(tmp_path, stats)
    assert len(dataset) == N
    assert 24 <= files <= 4 * (24 + 8)
    assert folders <= 4
    assert stat_calls < 100
