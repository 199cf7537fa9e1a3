"""Into nnU-Net's folder and out again, byte for byte."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aleaseg.errors import UsageError
from aleaseg.selection import applied_to, apply, existing_splits, plan, undo, write
from aleaseg.selection import nnunet as module
from aleaseg.selection.folds import leave_out, nnunet_folds

IDS = [f"case_{i:03d}" for i in range(100)]
# A person's own formatting, to be given back as it was.
OWN = (
    json.dumps([{"val": IDS[:20], "train": IDS[20:]}, {"val": IDS[80:], "train": IDS[:80]}]).encode()
    + b"\n\n"
)


@pytest.fixture
def splits_in(hundred):
    """Write the splits for a folder, as the command line does; give RUN/selection."""

    def make(folder, worst=5):
        write(plan(hundred, worst=worst), splits=existing_splits(folder))
        return hundred.path / "selection"

    return make


@pytest.mark.parametrize("original", [OWN, None])
def test_apply_and_undo_give_back_every_byte(splits_in, make_preprocessed, tree, original):
    folder = make_preprocessed(IDS, original)
    if original:
        os.utime(folder / "splits_final.json", (1_000_000_000, 1_000_000_000))
    before = tree(folder)
    lines = apply(splits_in(folder), folder)
    assert "fold `all`" in " ".join(lines)
    assert applied_to(splits_in(folder)) == [folder]
    folds = json.loads((folder / "splits_final.json").read_text())
    old = json.loads(original) if original else nnunet_folds(IDS)
    assert folds == leave_out(old, IDS[95:])
    assert [fold["val"] for fold in folds] == [fold["val"] for fold in old]
    assert (folder / "splits_final.json.before_aleaseg").exists() == bool(original)
    undo(*applied_to(splits_in(folder)))
    assert tree(folder) == before
    assert applied_to(splits_in(folder)) == []
    if original:
        assert (folder / "splits_final.json").stat().st_mtime == 1_000_000_000


@pytest.mark.parametrize("original", [OWN, None])
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(st.integers(0, 12), st.just("undo")), max_size=5))
def test_any_order_of_applying_and_undoing_ends_where_it_began(
    splits_in, make_preprocessed, tree, tmp_path, original, steps
):
    folder = tmp_path / "preprocessed" / "Dataset009_Thing"
    folder = folder if folder.exists() else make_preprocessed(IDS, original)
    before = tree(folder)
    applied = False
    for step in steps:
        if step == "undo":
            if applied:
                undo(folder)
            applied = False
        else:
            apply(splits_in(folder, worst=step), folder)
            applied = True
            if original:
                assert (folder / "splits_final.json.before_aleaseg").read_bytes() == original
    if applied:
        undo(folder)
    assert tree(folder) == before


def test_the_second_selection_starts_from_the_original(splits_in, make_preprocessed):
    folder = make_preprocessed(IDS, OWN)
    apply(splits_in(folder, worst=9), folder)
    apply(splits_in(folder, worst=1), folder)
    assert json.loads((folder / "splits_final.json").read_text()) == leave_out(
        json.loads(OWN), ["case_099"]
    )


@pytest.mark.parametrize("original", [OWN, None])
@pytest.mark.parametrize("kill_at", range(4))
def test_a_kill_at_any_write_loses_nothing(
    splits_in, make_preprocessed, tree, monkeypatch, original, kill_at
):
    folder = make_preprocessed(IDS, original)
    before, selection = tree(folder), splits_in(folder)
    count = 0

    def dying(real):
        def call(*arguments, **named):
            nonlocal count
            count += 1
            if count > kill_at:
                raise KeyboardInterrupt
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_aside", dying(module.write_aside))
        patch.setattr(module, "write_json", dying(module.write_json))
        if kill_at < (4 if original else 3):
            with pytest.raises(KeyboardInterrupt):
                apply(selection, folder)
    apply(selection, folder)
    undo(folder)
    assert tree(folder) == before


def test_undo_after_a_kill_in_the_middle_of_undo(splits_in, make_preprocessed, tree):
    folder = make_preprocessed(IDS, OWN)
    before = tree(folder)
    apply(splits_in(folder), folder)
    os.replace(folder / "splits_final.json.before_aleaseg", folder / "splits_final.json")
    undo(folder)
    assert tree(folder) == before


def test_a_change_by_someone_else_is_not_lost(splits_in, make_preprocessed):
    folder = make_preprocessed(IDS, OWN)
    selection = splits_in(folder)
    apply(selection, folder)
    (folder / "splits_final.json").write_bytes(b"[]")
    with pytest.raises(UsageError, match="was changed since it was applied"):
        undo(folder)
    with pytest.raises(UsageError, match="was changed since it was applied"):
        apply(selection, folder)
    assert (folder / "splits_final.json").read_bytes() == b"[]"
    undo(folder, force=True)
    assert (folder / "splits_final.json").read_bytes() == OWN


def test_a_lost_original_is_said_and_nothing_is_done(splits_in, make_preprocessed):
    folder = make_preprocessed(IDS, OWN)
    apply(splits_in(folder), folder)
    (folder / "splits_final.json.before_aleaseg").write_bytes(b"something else")
    ours = (folder / "splits_final.json").read_bytes()
    with pytest.raises(UsageError, match="is missing or changed"):
        undo(folder)
    assert (folder / "splits_final.json").read_bytes() == ours


def test_folds_of_a_person_are_not_replaced_by_nnunets(hundred, make_preprocessed):
    folder = make_preprocessed(IDS, OWN)
    write(plan(hundred, worst=5))
    with pytest.raises(UsageError, match="validation must not change"):
        apply(hundred.path / "selection", folder)
    assert (folder / "splits_final.json").read_bytes() == OWN
    assert not (folder / "splits_final.json.before_aleaseg").exists()


def test_undo_without_apply(make_preprocessed):
    with pytest.raises(UsageError, match="nothing is applied"):
        undo(make_preprocessed(IDS, OWN))


def test_apply_without_splits(hundred, make_preprocessed):
    write(plan(hundred, worst=5), "csv")
    with pytest.raises(UsageError, match=r"splits_final\.json does not exist"):
        apply(hundred.path / "selection", make_preprocessed(IDS))


def test_the_wrong_folder_is_left_alone(splits_in, make_preprocessed, tmp_path, tree):
    selection = splits_in(make_preprocessed(IDS))
    raw = tmp_path / "nnUNet_raw" / "Dataset009_Thing"
    (raw / "imagesTr").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for folder, message in (
        (raw, r"is a raw data set; nnU-Net reads splits from nnUNet_preprocessed/Dataset009_Thing"),
        (tmp_path / "elsewhere", "no plans"),
        (tmp_path / "preprocessed", "no plans"),
        (tmp_path / "nowhere", "is not a folder"),
    ):
        before = tree(folder)
        with pytest.raises(UsageError, match=message):
            apply(selection, folder)
        assert tree(folder) == before


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["other_001"], "has no case 'case_000'"),
        ([*IDS, "zz"], "has 1 cases that the run does not know, such as 'zz'"),
    ],
)
def test_the_folder_of_another_data_set(hundred, make_preprocessed, ids, message):
    write(plan(hundred, worst=5))
    with pytest.raises(UsageError, match=message):
        apply(hundred.path / "selection", make_preprocessed(ids))


def test_a_link_is_not_replaced(splits_in, make_preprocessed, tmp_path):
    folder = make_preprocessed(IDS)
    selection = splits_in(folder)
    (tmp_path / "real.json").write_bytes(OWN)
    (folder / "splits_final.json").symlink_to(tmp_path / "real.json")
    with pytest.raises(UsageError, match="is a link"):
        apply(selection, folder)
