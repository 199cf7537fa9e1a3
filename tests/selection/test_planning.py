"""What is kept and dropped, why, and when a cut is refused."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.errors import SelectionRefused, UsageError
from aleaseg.selection import describe, plan, write
from aleaseg.selection.cutting import Cut, judge
from aleaseg.selection.harm import Harm, refusals

SCORES = st.dictionaries(st.text(min_size=1), st.floats(-5, 5), min_size=1, max_size=30)


# -- the cut itself, by its laws --------------------------------------------------------------------


@settings(deadline=None)
@given(scores=SCORES, p=st.floats(0.01, 1))
def test_quantile_keeps_at_least_the_share_and_everything_that_ties(scores, p):
    dropped, decided = judge({"": scores}, Cut(p, None, None), "class")
    kept = set(scores) - set(dropped)
    limit = next(iter(decided.values())).limit
    assert kept == {case for case, value in scores.items() if value <= limit}
    assert len(kept) >= p * len(scores) - 1e-9
    # Eq. 7: the smallest such value; the next smaller one would keep less than p.
    assert sum(value < limit for value in scores.values()) < p * len(scores) + 1e-9


@settings(deadline=None)
@given(scores=SCORES, worst=st.integers(0, 40))
def test_worst_drops_exactly_so_many_and_the_worst(scores, worst):
    dropped, _ = judge({"": scores}, Cut(None, worst, None), "class")
    assert len(dropped) == min(worst, len(scores))
    assert dropped == sorted(scores, key=lambda case: (-scores[case], case))[:worst]


@settings(deadline=None)
@given(scores=SCORES, threshold=st.floats(-5, 5))
def test_threshold_drops_what_is_beyond_it(scores, threshold):
    dropped, _ = judge({"": scores}, Cut(None, None, threshold), "class")
    assert set(dropped) == {case for case, value in scores.items() if value > threshold}


@settings(deadline=None)
@given(a=SCORES, b=SCORES, p=st.floats(0.5, 1))
def test_all_drops_no_less_than_one_class_and_any_no_more(a, b, p):
    cut = Cut(p, None, None)
    alone = set(judge({"a": a}, cut, "class")[0])
    assert alone <= set(judge({"a": a, "b": b}, cut, "all")[0])
    assert set(judge({"a": a, "b": b}, cut, "any")[0]) <= alone | (set(b) - set(a))


@pytest.mark.parametrize(
    ("n", "p", "kept"),
    [(20, 0.95, 19), (20, 0.9, 18), (105, 0.95, 100), (105, 0.9, 95), (83, 0.95, 79), (83, 0.9, 75)],
)
def test_quantile_counts(n, p, kept):
    scores = {f"{i}": float(i) for i in range(n)}
    assert n - len(judge({"": scores}, Cut(p, None, None), "class")[0]) == kept


# -- the plan over a run's tables -------------------------------------------------------------------


def test_defaults_cut_doubt_at_a_half(hundred):
    selection = plan(hundred, force=True)
    assert selection.dropped[0] == "case_099", "worst first"
    assert set(selection.dropped) == {f"case_{i:03d}" for i in range(51, 100)}
    assert selection.why["case_099"].score == 0.99
    assert selection.why["case_099"].threshold == 0.5
    assert selection.why["case_099"].reasons == "noise=99"
    assert selection.settings["by"] == "doubt"
    assert selection.settings["threshold"] == 0.5


def test_other_scores_are_cut_at_their_quantile(hundred):
    selection = plan(hundred.path, by="auv")
    assert set(selection.dropped) == {f"case_{i:03d}" for i in range(95, 100)}
    assert selection.settings["quantile"] == 0.95


def test_a_score_whose_low_end_is_bad_is_cut_there(hundred):
    by_quantile = plan(hundred, by="oof_dice", quantile=0.97)
    assert set(by_quantile.dropped) == {"case_097", "case_098", "case_099"}
    by_threshold = plan(hundred, by="oof_dice", threshold=0.035)
    assert set(by_threshold.dropped) == {"case_097", "case_098", "case_099"}
    assert by_threshold.why["case_099"].score == pytest.approx(0.01)
    assert by_threshold.why["case_099"].threshold == pytest.approx(0.035)
    assert by_threshold.settings["direction"] == "low = bad"


def test_one_class_cases_without_it_stay_and_are_outside_its_distribution(hundred):
    selection = plan(hundred, class_name="lesion", quantile=0.9)
    # 50 cases have lesions (even numbers); a tenth of those goes.
    assert set(selection.dropped) == {f"case_{i:03d}" for i in (90, 92, 94, 96, 98)}
    assert "case_099" in selection.kept
    assert "case_099" in selection.unscored
    assert selection.why["case_098"].class_name == "lesion"


def test_readings_any_and_all(make_run):
    rows = [{"case": f"c{i:02d}", "auv": 0.1} for i in range(20)]
    scores = [{"case": row["case"], "class": k, "present": True, "auv": 0.1} for row in rows for k in "ab"]
    scores[0]["auv"] = 0.9  # c00: a only
    scores[2]["auv"] = scores[3]["auv"] = 0.8  # c01: a and b
    run = make_run(rows, scores, classes={"a": [1], "b": [2]})
    assert plan(run, reading="all", threshold=0.5).dropped == ("c00", "c01")
    assert plan(run, reading="any", threshold=0.5).dropped == ("c01",)
    assert plan(run, reading="all", threshold=0.5).why["c00"].class_name == "a"


def test_cases_without_a_score_and_failed_cases_stay(make_run):
    rows = [{"case": f"c{i:02d}", "doubt": i / 40} for i in range(30)]
    rows[29]["doubt"] = None
    rows[28] = {"case": "c28", "status": "failed", "doubt": 0.99}
    selection = plan(make_run(rows), worst=1)
    assert selection.dropped == ("c27",)
    assert selection.unscored == ("c28", "c29")
    assert {"c28", "c29"} <= set(selection.kept)
    assert selection.why["c28"].score is None


def test_kept_and_dropped_are_all(hundred):
    for cut in ({"quantile": 0.9}, {"worst": 3}, {"threshold": 0.95}, {"worst": 0}):
        selection = plan(hundred, **cut)
        assert sorted((*selection.kept, *selection.dropped)) == sorted(selection.why)
        assert not set(selection.kept) & set(selection.dropped)


# -- the harm ---------------------------------------------------------------------------------------


def test_harm_per_class_and_site(hundred):
    harm = {(row.kind, row.name): (row.before, row.after) for row in plan(hundred, worst=5).harm}
    assert harm == {
        ("all", "all cases"): (100, 95),
        ("class", "liver"): (100, 95),
        ("class", "lesion"): (50, 48),
        ("site", "A"): (50, 48),
        ("site", "B"): (50, 47),
    }


@pytest.mark.parametrize(("worst", "refused"), [(20, False), (21, True)])
def test_a_class_keeps_four_fifths(hundred, worst, refused):
    if refused:
        with pytest.raises(
            SelectionRefused, match=r"class 'liver' would keep 79 of 100 cases.*80%.*nothing"
        ):
            plan(hundred, worst=worst)
        assert plan(hundred, worst=worst, force=True).forced
    else:
        assert not plan(hundred, worst=worst).forced


def test_a_class_keeps_five_cases(make_run):
    rows = [{"case": f"c{i:02d}", "doubt": i / 100} for i in range(60)]
    rare = [{"case": f"c{i:02d}", "class": "rare", "present": i >= 55, "auv": 0.5} for i in range(60)]
    run = make_run(rows, rare, classes={"rare": [1]})
    with pytest.raises(
        SelectionRefused, match=r"'rare' would keep 4 of 5 cases, fewer than the minimum of 5"
    ):
        plan(run, worst=1)
    assert plan(run, worst=1, minimum=4).dropped == ("c59",)


def test_a_class_that_is_rare_already_does_not_stop_other_cuts(make_run):
    rows = [{"case": f"c{i:02d}", "doubt": i / 100} for i in range(60)]
    rare = [{"case": f"c{i:02d}", "class": "rare", "present": i < 2, "auv": 0.5} for i in range(60)]
    assert plan(make_run(rows, rare, classes={"rare": [1]}), worst=3).dropped == ("c59", "c58", "c57")


def test_without_labels_the_data_set_as_a_whole_is_guarded(make_run):
    run = make_run([{"case": f"c{i:02d}", "image_doubt": i / 20} for i in range(20)], scores=[])
    assert len(plan(run, by="image_doubt", worst=4).kept) == 16
    with pytest.raises(SelectionRefused, match="the data set would keep 15 of 20"):
        plan(run, by="image_doubt", worst=5)


@settings(deadline=None)
@given(
    sizes=st.dictionaries(
        st.text(min_size=1), st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1
    ),
    floor=st.floats(0, 1),
    minimum=st.integers(0, 60),
)
def test_what_is_not_refused_keeps_every_floor(sizes, floor, minimum):
    harm = [Harm("class", name, after + lost, after) for name, (after, lost) in sizes.items()]
    refused = refusals(harm, floor, minimum)
    harmed = [
        row
        for row in harm
        if row.after < row.before and (row.after < floor * row.before - 1e-9 or row.after < minimum)
    ]
    assert len(refused) == len(harmed)
    for row, line in zip(harmed, refused, strict=True):
        assert repr(row.name) in line
        assert f"{row.after} of {row.before}" in line


# -- bad arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "beauty"}, r"cannot select by 'beauty'.*auv, doubt, image_doubt, label_doubt, oof_dice"),
        ({"by": "depth"}, "cannot select by 'depth'.*has a bad side"),
        ({"by": "doubt", "class_name": "liver"}, r"scores\.csv that has a bad side: auv, oof_dice"),
        ({"class_name": "spleen"}, "unknown class 'spleen'; expected one of: lesion, liver"),
        ({"quantile": 0.9, "worst": 3}, "found quantile and worst; expected one of"),
        ({"quantile": 0}, "quantile is 0"),
        ({"quantile": 1.5}, "quantile is 1.5"),
        ({"worst": -1}, "worst is -1"),
        ({"threshold": math.nan}, "threshold is nan"),
        ({"floor": 2.0}, "floor is 2"),
        ({"reading": "some"}, "reading is 'some'"),
        ({"reading": "any", "worst": 3}, "worst counts cases of one ranking"),
        ({"reading": "any", "class_name": "liver"}, "looks at every class"),
        ({"by": "image_doubt"}, "no case has a image_doubt; expected at least one"),
    ],
)
def test_bad_arguments_say_what_is_valid(hundred, arguments, message):
    with pytest.raises(UsageError, match=message):
        plan(hundred, **arguments)


def test_fewer_than_twenty_cases_say_so(make_run):
    with pytest.raises(UsageError, match="fewer than 20 cases have no population"):
        plan(make_run([{"case": f"c{i}"} for i in range(6)]))


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        plan(tmp_path)


# -- in words ---------------------------------------------------------------------------------------


def test_describe_shows_what_a_cut_removes(hundred):
    lines = describe(plan(hundred, by="auv", worst=5))
    assert lines[0] == "5 of 100 cases dropped: auv (high = bad), worst 5"
    assert "  class lesion        50 ->    48  96% kept" in lines
    assert any(line.startswith("  site  A") for line in lines)


# -- by hand ----------------------------------------------------------------------------------------


def test_what_is_named_goes_or_stays_whatever_the_score(hundred):
    selection = plan(hundred, worst=3, drop=["case_004", "case_098"], keep=["case_099"])
    assert selection.dropped == ("case_098", "case_097", "case_004")
    assert "case_099" in selection.kept
    assert [selection.why[case].by_hand for case in ("case_004", "case_097", "case_099")] == [
        "dropped",
        "",
        "kept",
    ]
    assert selection.why["case_004"].score == 0.04
    lines = describe(selection)
    assert "dropped by hand: case_004, case_098" in lines
    assert "kept by hand: case_099" in lines


def test_a_list_goes_and_nothing_else(hundred, tmp_path):
    file = tmp_path / "flagged.txt"
    file.write_bytes(b"\xef\xbb\xbf# flagged\r\ncase_007\r\n\r\ncase_003\r\ncase_007\r\n")
    for listed in (file, str(file), ["case_007", "case_003"]):
        selection = plan(hundred, listed=listed)
        assert selection.dropped == ("case_007", "case_003")
        assert selection.why["case_007"].threshold is None
        assert selection.why["case_099"].by_hand == ""
    assert describe(plan(hundred, listed=file))[0] == "2 of 100 cases dropped: those that flagged.txt lists"
    assert plan(hundred, listed=file, keep=["case_003"], drop=["case_009"]).dropped == (
        "case_007",
        "case_009",
    )


def test_a_table_lists_what_it_does_not_keep(hundred, tmp_path):
    write(plan(hundred, worst=2), "csv")
    assert set(plan(hundred, listed=hundred.path / "selection" / "selection.csv").dropped) == {
        "case_099",
        "case_098",
    }
    (tmp_path / "some.csv").write_text("case,note\ncase_001,bad\n")
    assert plan(hundred, listed=tmp_path / "some.csv").dropped == ("case_001",)


def test_a_list_needs_no_score_and_a_failed_case_can_go(make_run):
    run = make_run([{"case": f"c{i}"} for i in range(9)] + [{"case": "bad", "status": "failed"}])
    selection = plan(run, listed=["bad"])
    assert selection.dropped == ("bad",)
    assert "bad" not in selection.unscored


def test_an_id_with_commas_is_one_id_and_others_are_parted(make_run):
    rows = [{"case": case, "doubt": 0.1} for case in ("a,b", "a", "b", *(f"c{i}" for i in range(20)))]
    run = make_run(rows)
    assert plan(run, drop=["a,b"]).dropped == ("a,b",)
    assert plan(run, drop=["a, c1"]).dropped == ("a", "c1")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"drop": ["case_0001"]}, "near it: case_001"),
        ({"drop": ["case_001"], "keep": ["case_001"]}, "is both to be dropped and to be kept"),
        ({"listed": ["case_001"], "worst": 3}, "leave one"),
        ({"listed": ["case_001"], "by": "auv"}, "a list and a score"),
        ({"listed": "nowhere.txt"}, "does not exist"),
    ],
)
def test_what_cannot_be_meant_by_hand(hundred, asked, said):
    with pytest.raises(UsageError, match=said):
        plan(hundred, **asked)


@pytest.mark.parametrize(("content", "said"), [(b"# none\n", "lists no case"), (b"a\0b", "not valid text")])
def test_a_file_that_lists_nothing(hundred, tmp_path, content, said):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        plan(hundred, listed=tmp_path / "list.txt")


def test_what_goes_by_hand_counts_for_the_floor(hundred):
    with pytest.raises(SelectionRefused, match="liver"):
        plan(hundred, drop=[f"case_{i:03d}" for i in range(30)], threshold=0.99)
