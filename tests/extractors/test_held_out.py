"""Which fold may speak of which case: read from nnU-Net's lists, checked against what folds left."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aleaseg.errors import UsageError
from aleaseg.extractors.held_out import HeldOut, held_out

NAME = "Dataset001_Small"
SPLITS = [
    {"train": ["c", "d"], "val": ["a", "b"]},
    {"train": ["a", "b", "d"], "val": ["c"]},
]


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    folder = tmp_path / "nnUNet_results" / NAME / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    folder.mkdir(parents=True)
    return folder


def put(folder, splits=SPLITS):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "splits_final.json").write_text(json.dumps(splits))


def validated(results, fold, *cases, summary=False):
    folder = results / f"fold_{fold}" / "validation"
    folder.mkdir(parents=True)
    if summary:
        entries = [{"prediction_file": f"C:\\runs\\fold_0\\validation\\{case}.nii.gz"} for case in cases]
        (folder / "summary.json").write_text(json.dumps({"metric_per_case": entries}))
    for case in () if summary else cases:
        for ending in (".nii.gz", ".npz", ".pkl"):
            (folder / f"{case}{ending}").touch()


def find(results, cases=4):
    return held_out(results, NAME, ".nii.gz", cases)


def test_only_the_fold_that_did_not_see_a_case(results):
    put(results)
    known = find(results)
    assert [known.folds(case) for case in "abcd"] == [(0,), (0,), (1,), ()]
    assert known.folds("new") is None


@given(
    st.lists(st.tuples(st.frozensets(st.sampled_from("abcdef")), st.frozensets(st.sampled_from("abcdef"))))
)
def test_a_fold_is_never_asked_of_what_it_trained_on(sides):
    train, val = tuple(side for side, _ in sides), tuple(side for _, side in sides)
    known = HeldOut(train, val, None)
    for case in "abcdef":
        folds = known.folds(case)
        if folds is None:
            assert all(case not in side for side in (*train, *val))
        else:
            assert all(case in val[fold] and case not in train[fold] for fold in folds)


def test_the_hash_knows_lists_and_not_their_order(results):
    put(results)
    before = find(results).sha256
    put(results, [{side: cases[::-1] for side, cases in fold.items()} for fold in SPLITS])
    assert find(results).sha256 == before
    put(results, [SPLITS[0], {"train": ["a", "b"], "val": ["c"]}])
    assert find(results).sha256 != before


@pytest.mark.parametrize("place", ["results", "dataset", "variable", "sibling"])
def test_where_splits_are_looked_for(results, tmp_path, monkeypatch, place):
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("nnUNet_preprocessed", str(elsewhere))
    folders = {
        "results": results,
        "dataset": results.parent,
        "variable": elsewhere / NAME,
        "sibling": tmp_path / "nnUNet_preprocessed" / NAME,
    }
    put(folders[place])
    assert find(results).source == folders[place] / "splits_final.json"


def test_what_is_given_along_comes_first(results, tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    put(tmp_path / NAME, SPLITS[::-1])
    put(results)
    assert find(results).folds("c") == (1,)


def test_without_splits_the_places_are_named(results, tmp_path):
    validated(results, 0, "a", "b")
    with pytest.raises(UsageError) as caught:
        find(results)
    said = str(caught.value)
    assert "no splits_final.json" in said
    assert "accounts for 2 of 4 cases" in said
    assert str(tmp_path / "nnUNet_preprocessed" / NAME) in said
    assert "put the file that nnU-Net trained with into the results folder" in said


@pytest.mark.parametrize("summary", [False, True], ids=["files", "exported model"])
def test_folds_that_account_for_every_case_need_no_splits(results, summary):
    validated(results, 0, "a", "b", summary=summary)
    validated(results, 1, "c", "d", summary=summary)
    known = find(results)
    assert [known.folds(case) for case in "abcd"] == [(0,), (0,), (1,), (1,)]
    assert known.folds("new") is None


@pytest.mark.parametrize("cases", [3, 5, None])
def test_folds_that_do_not_are_not_believed(results, cases):
    validated(results, 0, "a", "b")
    validated(results, 1, "c", "d")
    with pytest.raises(UsageError, match="no splits_final"):
        find(results, cases)


def test_folds_that_overlap_are_not_believed(results):
    validated(results, 0, "a", "b")
    validated(results, 1, "b", "c")
    with pytest.raises(UsageError, match="accounts for 3 of 4 cases"):
        find(results)


def test_splits_of_another_training_are_refused(results):
    put(results)
    validated(results, 0, "a", "b")
    validated(results, 1, "d")
    with pytest.raises(
        UsageError, match=r"fold 1 was validated on 'd' .* it was trained with another file"
    ):
        find(results)


def test_a_fold_beyond_the_list_speaks_of_no_training_case(results):
    put(results)
    validated(results, 5, "a", "d")
    validated(results, "all", "a", "b", "c", "d")
    assert [find(results).folds(case) for case in "abcd"] == [(0,), (0,), (1,), ()]


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '[{"train": ["a"]}]', '[{"train": ["a"], "val": [1]}]', "[[]]"]
)
def test_damaged_splits(results, content):
    (results / "splits_final.json").write_text(content)
    with pytest.raises(UsageError, match=r"splits_final\.json is (damaged|not a splits_final)"):
        find(results)
