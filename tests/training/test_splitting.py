"""Who is trained on: drawn by group, given as a file, less what a selection leaves out."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.case import Case, Dataset
from aleaseg.errors import UsageError
from aleaseg.run import write_table
from aleaseg.training.splitting import choose_split, hold_out

laws = settings(deadline=None, derandomize=True, max_examples=40)


def data(count=20, per_group=1):
    cases = [
        Case(f"c{i:02d}", (), (), None, lambda: None, None, group=f"p{i // per_group}")
        for i in range(count)
    ]
    unlabelled = Case("u", (), (), None, None, None, group="u")
    return Dataset("data", Path(), "nnunet", (*cases, unlabelled), {"a": (1,)}, ("MRI",))


@pytest.fixture
def write(tmp_path):
    def _write(name, value):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
        return str(path)

    return _write


def test_a_fifth_is_held_out_whole_groups_and_always_the_same():
    dataset = data(40, per_group=4)
    found = choose_split(dataset)
    assert len(found.held_out) == 8
    assert sorted((*found.train, *found.held_out)) == [case.id for case in dataset.cases if case.has_label]
    assert not {dataset[case].group for case in found.train} & {
        dataset[case].group for case in found.held_out
    }
    assert choose_split(dataset) == found
    assert choose_split(dataset, share=0).held_out == ()
    assert found.folds() == [{"train": list(found.train), "val": list(found.held_out)}]


def test_a_selection_leaves_out_of_the_training_and_holds_the_same_cases_out(tmp_path, write):
    dataset = data()
    plain = choose_split(dataset)
    dropped = [plain.train[3], plain.train[5], plain.held_out[0]]
    manifest = write("run/selection/manifest.json", {"dropped": [{"case": case} for case in dropped]})
    rows = [{"case": case.id, "kept": case.id not in dropped} for case in dataset.cases]
    write_table(tmp_path / "selection.csv", ["case", "kept"], rows)
    wanted = tuple(case for case in plain.train if case not in dropped)
    for path in (manifest, tmp_path / "run", tmp_path / "run" / "selection", tmp_path / "selection.csv"):
        found = choose_split(dataset, selection=str(path))
        assert (found.train, found.held_out) == (wanted, plain.held_out)
        assert found.notes == ("The selection leaves 2 of 16 cases out of the training.",)


def test_ids_that_would_be_formulas_are_found_in_the_table(tmp_path):
    cases = [
        Case(name, (), (), None, lambda: None, None, group=name) for name in ("=a", "'b", "c", "d", "e")
    ]
    dataset = Dataset("data", Path(), "nnunet", tuple(cases), {"a": (1,)}, ("MRI",))
    rows = [{"case": case.id, "kept": case.id not in ("=a", "'b")} for case in cases]
    write_table(tmp_path / "selection.csv", ["case", "kept"], rows)
    found = choose_split(dataset, selection=str(tmp_path / "selection.csv"), share=0)
    assert found.train == ("c", "d", "e")


def test_a_split_is_taken_as_it_is_less_what_a_selection_leaves_out(write):
    folds = [
        {"train": ["c01", "c02"], "val": ["c03"]},
        {"train": ["c03", "c02", "gone"], "val": ["c01"]},
    ]
    path = write("splits_final.json", folds)
    found = choose_split(data(), split=path)
    assert (found.train, found.held_out, found.notes) == (("c01", "c02"), ("c03",), ())
    second = choose_split(data(), split=path, fold=1)
    assert (second.train, second.held_out) == (("c02", "c03"), ("c01",))
    assert second.notes == ("1 cases of the split are not in the data set, such as 'gone'.",)
    # Given as a selection it is the split.
    assert choose_split(data(), selection=path) == found
    cut = write("manifest.json", {"dropped": [{"case": "c02"}, {"case": "c03"}]})
    assert choose_split(data(), split=path, selection=cut).train == ("c01",)
    assert choose_split(data(), split=path, selection=cut).held_out == ("c03",)


def test_groups_on_both_sides_of_a_given_split_are_told(write):
    path = write("splits_final.json", [{"train": ["c00", "c02"], "val": ["c01"]}])
    (note,) = choose_split(data(per_group=2), split=path).notes
    assert note.startswith("1 groups are on both sides of the split, such as 'p0'")


@pytest.mark.parametrize(
    ("name", "value", "options", "message"),
    [
        ("s.json", [{"train": ["x"], "val": ["y"]}], "split", r"names 2 cases, such as 'x', none of which"),
        ("s.json", [{"train": ["c01"], "val": ["c01"]}], "split", "on both sides, such as 'c01'"),
        ("s.json", {"train": []}, "split", "not a splits_final.json"),
        ("s.json", [{"train": [], "val": ["c01"]}], "split", "no case is left to train on"),
        ("m.json", {"dropped": [{"case": "x"}]}, "selection", "selection names 1 cases"),
        ("m.json", {"dropped": [{"case": f"c{i:02d}"} for i in range(20)]}, "selection", "gentler cut"),
        ("m.json", {"kind": "training"}, "selection", "is not a selection"),
    ],
)
def test_files_that_cannot_be_used(write, name, value, options, message):
    with pytest.raises(UsageError, match=message):
        choose_split(data(), **{options: write(name, value)})


def test_paths_that_lead_nowhere(tmp_path, write):
    with pytest.raises(UsageError, match="does not exist; expected a selection"):
        choose_split(data(), selection=str(tmp_path))
    with pytest.raises(UsageError, match=r"does not exist; expected a splits_final\.json"):
        choose_split(data(), split=str(tmp_path / "splits_final.json"))
    path = write("splits_final.json", [{"train": ["c01"], "val": []}])
    with pytest.raises(UsageError, match="no fold 3; the split has the folds 0 to 0"):
        choose_split(data(), split=path, fold=3)
    with pytest.raises(UsageError, match="leave one out"):
        choose_split(data(), split=path, selection=path)
    (tmp_path / "text.json").write_text("no json")
    with pytest.raises(UsageError, match="is damaged"):
        choose_split(data(), split=str(tmp_path / "text.json"))
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="has the columns a, b; expected case and kept"):
        choose_split(data(), selection=str(tmp_path / "t.csv"))


@laws
@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=30), st.floats(0.1, 0.9), st.integers(0, 9)
)
def test_a_group_is_held_out_whole_or_not_at_all(of_case, share, seed):
    groups = {f"case{index:02d}": group for index, group in enumerate(of_case)}
    held = hold_out(groups, share, seed)
    assert not {groups[case] for case in held} & {groups[case] for case in groups if case not in held}
    largest = max(of_case.count(group) for group in of_case)
    assert 0 <= len(held) - round(share * len(groups)) < largest
    assert held == sorted(held) == hold_out(dict(reversed(groups.items())), share, seed)


def test_another_seed_holds_out_others():
    groups = {f"case{index:02d}": f"case{index:02d}" for index in range(40)}
    assert hold_out(groups, 0.25, 0) != hold_out(groups, 0.25, 1)
