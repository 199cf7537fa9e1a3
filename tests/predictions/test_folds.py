"""Folds: groups together, sizes even, the same from the same seed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.predictions.folds import default_folds, make_folds

groupings = st.dictionaries(
    st.text(max_size=6), st.integers(0, 12).map(str), min_size=2, max_size=60
).filter(lambda groups: len(set(groups.values())) > 1)


@settings(max_examples=80, deadline=None)
@given(groupings, st.integers(2, 6), st.integers(0, 3))
def test_every_case_once_and_groups_together(groups, folds, seed):
    dealt = make_folds(groups, folds, seed)
    assert sorted(case for fold in dealt for case in fold) == sorted(groups)
    assert len(dealt) == min(folds, len(set(groups.values())))
    assert all(dealt)
    for group in set(groups.values()):
        assert sum(any(groups[case] == group for case in fold) for fold in dealt) == 1
    largest = max(list(groups.values()).count(group) for group in set(groups.values()))
    sizes = [len(fold) for fold in dealt]
    assert max(sizes) - min(sizes) <= largest
    assert make_folds(dict(reversed(groups.items())), folds, seed) == dealt


def test_single_cases_are_dealt_evenly_and_the_seed_decides():
    groups = {f"case{index:03d}": str(index) for index in range(203)}
    first, again, other = (make_folds(groups, 5, seed) for seed in (0, 0, 1))
    assert sorted(map(len, first)) == [40, 40, 41, 41, 41]
    assert first == again != other


def test_large_groups_are_dealt_first():
    groups = {f"big{index}": "big" for index in range(5)} | {
        f"one{index}": f"{index}" for index in range(5)
    }
    for seed in range(5):
        assert sorted(map(len, make_folds(groups, 2, seed))) == [5, 5]


def test_one_group_cannot_be_cross_fitted():
    with pytest.raises(ValueError, match="at least two groups"):
        make_folds({"a": "p", "b": "p"})


def test_small_data_sets_have_more_folds():
    assert [default_folds(cases) for cases in (2, 99, 100, 5000)] == [5, 5, 3, 3]
