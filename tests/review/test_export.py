"""Decisions leave as files and come back as they were."""

import json
import uuid

import pytest

from aleaseg.review.decisions import Decisions
from aleaseg.review.event import Event
from aleaseg.review.export import as_csv, as_json, from_csv, from_json

CASES = ["=1+1", "a;b", "ünïcödé \u2028", '"quoted"']


SPLEEN = {
    "uuid": "00000000-0000-4000-8000-000000000000", "at": "2026-01-01", "rater": "ann", "case": "a;b",
    "class": "spleen", "kind": "verdict", "verdict": "keep",
}  # fmt: skip


@pytest.fixture
def decisions(tmp_path):
    opened = Decisions(tmp_path / "one.sqlite")
    yield opened
    opened.close()


def made(case, kind="verdict", rater="ann", **more):
    verdict = more.pop("verdict", "drop") if kind == "verdict" else None
    at = "2026-01-01T00:00:00.000+00:00"
    return Event(str(uuid.uuid4()), at, rater, case, kind, verdict=verdict, **more)


@pytest.fixture
def filled(decisions):
    taken = made(CASES[3])
    decisions.add(
        [
            made(CASES[0], seconds=3.5, label_stamp="x.y", blind=True),
            made(CASES[0], "reasons", payload={"codes": ["mask: shifted", "image: blur"]}),
            made(CASES[0], "note", payload={"text": "=cmd|' /C calc'!A0\nsecond, line"}),
            made(
                CASES[1],
                rater="-bob",
                verdict="use-prediction",
                class_name="liver",
                label_stamp="mask of a;b",
            ),
            made(CASES[2], "open"),
            taken,
            made(CASES[3], "undo", undoes=taken.uuid),
        ]
    )
    return decisions


def now(case):
    return {"label_stamp": f"mask of {case}"}


def without_seq(rows):
    return [{key: value for key, value in row.items() if key != "seq"} for row in rows]


def test_everything_comes_back_from_json(filled, tmp_path):
    other = Decisions(tmp_path / "other.sqlite")
    for _ in range(2):  # read in again, it is there once
        other.add(from_json(as_json(filled), CASES, ["liver"]))
    assert without_seq(other.events()) == without_seq(filled.events())
    assert other.holding() == filled.holding()
    other.close()


def test_a_table_has_what_holds_and_comes_back(filled, tmp_path):
    text = as_csv(filled)
    assert not any(
        cell.startswith(("=", "-", "+", "@")) for line in text.splitlines() for cell in line.split(",")
    )
    other = Decisions(tmp_path / "other.sqlite")
    for _ in range(2):
        other.add(from_csv(text, CASES, ["liver"], now))
    assert as_csv(other) == text
    held = [(one.case, one.class_name, one.rater, one.verdict, one.seconds) for one in other.holding()]
    assert held == [("=1+1", "", "ann", "drop", 3.5), ("a;b", "liver", "-bob", "use-prediction", None)]
    assert [one.label_stamp for one in other.holding()] == ["x.y", "mask of a;b"]
    other.close()


def test_a_table_of_three_columns_is_enough():
    (found,) = from_csv("\ufeffcase,rater,verdict\na;b,eve,keep\n", CASES, [], now)
    assert (found.case, found.rater, found.verdict, found.kind) == ("a;b", "eve", "keep", "verdict")
    # It does not say which mask it judged: the one that there is.
    assert found.label_stamp == "mask of a;b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case,verdict\na;b,keep\n", "no column rater"),
        ("case,rater,verdict\nnone,eve,keep\n", "line 2 is about 'none'"),
        ("case,rater,verdict\na;b,eve,keep\na;b,eve,burn\n", "line 3: verdict"),
        ("case,rater,verdict,class\na;b,eve,keep,spleen\n", "class 'spleen'"),
        ("case,rater,verdict,seconds\na;b,eve,keep,long\n", "line 2"),
    ],
)
def test_a_table_that_says_what_cannot_be(text, said):
    with pytest.raises(ValueError, match=said):
        from_csv(text, CASES, ["liver"], now)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([], "no decisions"),
        ({"events": []}, "no decisions"),
        ({"aleaseg review": 1, "events": [3]}, "event 1 is about"),
        ({"aleaseg review": 1, "events": [{"case": "none"}]}, "'none'"),
        ({"aleaseg review": 1, "events": [{"case": ["a;b"]}]}, "event 1 is about"),
        ({"aleaseg review": 1, "events": [{"case": "a;b"}]}, "event 1: uuid"),
        ({"aleaseg review": 1, "events": [SPLEEN]}, "the class 'spleen'"),
    ],
)
def test_json_that_says_what_cannot_be(held, said):
    with pytest.raises(ValueError, match=said):
        from_json(json.dumps(held), CASES, ["liver"])
