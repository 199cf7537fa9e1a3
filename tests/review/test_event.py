"""An event that cannot be is refused at the door, with what is wrong with it."""

import pytest

from aleaseg.review.event import Event

GOOD = {
    "uuid": "00000000-0000-4000-8000-000000000000",
    "at": "2026-01-01T10:00:00+01:00",
    "rater": " ann ",
    "kind": "verdict",
    "verdict": "keep",
    "seconds": 3.14159,
}


def test_it_is_read_into_one_form():
    found = Event.read(GOOD, case="a", label_stamp="l")
    assert (found.rater, found.at, found.seconds) == ("ann", "2026-01-01T09:00:00.000+00:00", 3.1)
    assert (found.case, found.label_stamp, found.class_name, found.blind) == ("a", "l", "", False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uuid": "x"}, "uuid"),
        ({"uuid": GOOD["uuid"].upper().replace("0", "A")}, "uuid"),
        ({"kind": "erase"}, "kind"),
        ({"verdict": "burn"}, "verdict"),
        ({"verdict": None}, "verdict"),
        ({"kind": "note"}, "verdict"),
        ({"kind": "undo", "verdict": None}, "undo"),
        ({"undoes": GOOD["uuid"]}, "undo"),
        ({"rater": ""}, "rater"),
        ({"rater": "a" * 65}, "rater"),
        ({"rater": "a\nb"}, "cannot be shown"),
        ({"rater": 3}, "rater"),
        ({"at": "yesterday"}, "at is"),
        ({"at": None}, "at is"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"payload": []}, "payload"),
        ({"payload": {"text": "x" * 9000}}, "payload"),
        ({"seq": 1}, "seq"),
        ({"image_stamp": "mine"}, "image_stamp"),
    ],
)
def test_what_cannot_be(change, said):
    with pytest.raises(ValueError, match=said):
        Event.read({**GOOD, **change}, case="a")


@pytest.mark.parametrize("sent", [None, 3, "text", [GOOD]])
def test_what_is_no_event(sent):
    with pytest.raises(ValueError, match="object"):
        Event.read(sent, case="a")
