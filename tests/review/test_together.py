"""How far raters agree: which pairs, on which cases."""

from aleaseg.review.agreement import raters_of
from aleaseg.review.decisions import Decision


def one(case, rater, verdict, class_name=""):
    return Decision(case, class_name, rater, verdict, "", None, "", 0)


def test_pairs_are_those_that_judged_one_case_or_more_together():
    said = [
        one("a", "ann", "keep"),
        one("a", "bob", "drop"),
        one("b", "ann", "keep"),
        one("b", "bob", "keep"),
    ]
    said += [one("c", "eve", "drop"), one("b", "eve", "drop", "liver")]
    found = raters_of(said)
    assert found.raters == {"ann": 2, "bob": 2, "eve": 1}
    assert list(found.cohen) == [("ann", "bob")]
    assert found.cohen["ann", "bob"].units == 2
    assert (found.more_pairs, found.disputed) == (0, ("a",))
    assert found.fleiss.units == 0  # no case was judged by all three
    assert found.krippendorff.units == 2


def test_many_raters_are_shown_in_part_and_the_rest_is_counted():
    # Eight of whom the first judged a case alone: 7 * 6 / 2 pairs did together.
    said = [one("alone", "r0", "keep")]
    said += [one(case, f"r{k}", "keep" if k % 2 else "drop") for case in ("a", "b") for k in range(1, 8)]
    found = raters_of(said)
    assert len(found.cohen) == 15
    assert found.more_pairs == 21 - 15
    assert all("r0" not in pair for pair in found.cohen)
    assert found.as_json()["more_pairs"] == 6


def test_nobody_has_decided_yet():
    found = raters_of([])
    assert (found.raters, found.cohen, found.fleiss, found.krippendorff) == ({}, {}, None, None)
