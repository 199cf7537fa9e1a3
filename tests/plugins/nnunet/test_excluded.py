"""Selections inside nnU-Net: every fold leaves out what was dropped, validation stays whole."""

import json
import shutil

import pytest

from aleaseg.errors import UsageError
from aleaseg.run import write_json
from aleaseg.selection import apply, undo


@pytest.fixture
def selection(tmp_path, nnunet):
    """RUN/selection that drops case_1, as `aleaseg select` writes it."""
    folds = json.loads((nnunet / "splits_final.json").read_text())
    folds = [{**fold, "train": [case for case in fold["train"] if case != "case_1"]} for fold in folds]
    folder = tmp_path / "run" / "selection"
    write_json(folder / "splits_final.json", folds)
    write_json(folder / "manifest.json", {"dropped": [{"case": "case_1", "score": 0.9}]})
    write_json(tmp_path / "run" / "manifest.json", {"settings": {}})
    return folder


def split(trainer):
    train, val = trainer.do_split()
    return sorted(train), sorted(val)


ALL = [f"case_{number}" for number in range(6)]
KEPT = [case for case in ALL if case != "case_1"]


def test_without_a_selection_every_fold_is_nnunets_own(make_trainer, nnunet):
    folds = json.loads((nnunet / "splits_final.json").read_text())
    assert split(make_trainer(initialize=False)) == (folds[0]["train"], folds[0]["val"])
    assert split(make_trainer(fold="all", initialize=False)) == (ALL, ALL)


def test_an_applied_selection_counts_in_fold_all_too(make_trainer, nnunet, selection):
    apply(selection, nnunet)
    assert split(make_trainer(initialize=False)) == (["case_0", "case_2", "case_3"], ["case_4", "case_5"])
    assert split(make_trainer(fold="all", initialize=False)) == (KEPT, ALL)
    undo(nnunet)
    assert split(make_trainer(fold="all", initialize=False)) == (ALL, ALL)


def test_and_in_folds_beyond_the_list(make_trainer, nnunet, selection):
    drawn = {fold: split(make_trainer(fold=fold, initialize=False)) for fold in range(2, 6)}
    fold = next(fold for fold, (train, _) in drawn.items() if "case_1" in train)
    apply(selection, nnunet)
    train, val = split(make_trainer(fold=fold, initialize=False))
    assert train == [case for case in drawn[fold][0] if case != "case_1"]
    assert val == drawn[fold][1]


def test_the_log_and_the_noise_know_it(make_trainer, nnunet, selection, results):
    apply(selection, nnunet)
    trainer = make_trainer(fold="all")
    assert trainer.cases == KEPT
    assert tuple(trainer.denoising.state.ids) == tuple(KEPT)
    (log,) = results("DUO", "all").glob("training_log_*.txt")
    assert (
        f"1 cases are left out of this fold's training by {selection / 'manifest.json'}, which drops 1 in all; "
        "5 remain" in log.read_text()
    )


def test_the_log_counts_those_that_the_fold_would_have_trained_on(
    make_trainer, selection, results, tmp_path
):
    """Fold 1 trains on case_2 to case_5, and never on case_1, which the selection drops."""
    trainer = make_trainer(fold=1, SELECTION=tmp_path / "run")
    assert len(trainer.cases) == 4
    (log,) = results("DUO", 1).glob("training_log_*.txt")
    assert "0 cases are left out of this fold's training" in log.read_text()
    assert "which drops 1 in all; 4 remain" in log.read_text()


@pytest.mark.parametrize("named", ["run", "run/selection", "run/selection/manifest.json"])
def test_a_selection_that_is_named_need_not_be_applied(make_trainer, selection, tmp_path, named):
    trainer = make_trainer(initialize=False, SELECTION=tmp_path / named)
    assert split(trainer) == (["case_0", "case_2", "case_3"], ["case_4", "case_5"])


def test_none_brings_the_cases_back(make_trainer, nnunet, selection):
    apply(selection, nnunet)
    assert split(make_trainer(fold="all", initialize=False, SELECTION="none")) == (ALL, ALL)


# -- bad input ------------------------------------------------------------------------------------


def test_a_selection_that_is_gone(make_trainer, nnunet, selection):
    apply(selection, nnunet)
    shutil.rmtree(selection)
    assert split(make_trainer(initialize=False))[0] == [
        "case_0",
        "case_2",
        "case_3",
    ]  # the file says it all
    with pytest.raises(UsageError, match=r"selection/manifest\.json, which names the cases .* is gone"):
        make_trainer(fold="all", initialize=False).do_split()


def test_a_selection_that_was_written_again(make_trainer, nnunet, selection):
    apply(selection, nnunet)
    write_json(selection / "splits_final.json", json.loads((nnunet / "splits_final.json").read_text())[:1])
    with pytest.raises(UsageError, match="was written again since it was applied"):
        make_trainer(fold="all", initialize=False).do_split()


@pytest.mark.parametrize(
    ("dropped", "said"),
    [
        ([{"case": "liver_7"}], "leaves out 1 cases, and .*Dataset001_Small has none of them"),
        ([{"case": case} for case in ALL], "leaves fold 0 no case to train on"),
        (["case_1"], "names no dropped cases"),
    ],
    ids=["another data set", "everything", "no manifest of a selection"],
)
def test_a_selection_that_cannot_be(make_trainer, selection, dropped, said):
    write_json(selection / "manifest.json", {"dropped": dropped})
    with pytest.raises(UsageError, match=said):
        make_trainer(initialize=False, SELECTION=selection).do_split()


def test_no_selection_where_one_is_named(make_trainer, tmp_path):
    with pytest.raises(UsageError, match=r"ALEASEG_DUO_SELECTION is .*/nowhere, and no selection is there"):
        make_trainer(initialize=False, SELECTION=tmp_path / "nowhere").do_split()


def test_splits_that_name_a_missing_case(make_trainer, nnunet):
    (nnunet / "nnUNetPlans_small" / "case_3.b2nd").unlink()
    with pytest.raises(
        UsageError, match=r"fold 0 of .*splits_final\.json names the case 'case_3', which is not"
    ):
        make_trainer()
    (nnunet / "nnUNetPlans_small" / "case_5.b2nd").unlink()
    with pytest.raises(UsageError, match=r"'case_3' \(and 1 more\), .* among the 4 preprocessed"):
        make_trainer()


@pytest.mark.parametrize("content", ["{", '[{"train": ["case_1"]}]', "[]"])
def test_damaged_splits(make_trainer, nnunet, content):
    (nnunet / "splits_final.json").write_text(content)
    with pytest.raises(UsageError, match=r"splits_final\.json"):
        make_trainer()
