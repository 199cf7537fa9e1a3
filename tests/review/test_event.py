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
NOTE = {"kind": "note", "verdict": None}


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
        ({"payload": {"text": "of a verdict"}}, "payload of kind verdict"),
        ({**NOTE, "payload": {"text": "x" * 9000}}, "payload has more than"),
        ({**NOTE, "payload": {"text": float("nan")}}, "expected a text"),
        ({**NOTE, "payload": {"text": "a", "more": 1}}, "expected text in it"),
        ({**NOTE, "payload": {}}, "expected text in it"),
        ({**NOTE, "kind": "reasons", "payload": {"codes": "blur"}}, "expected a list"),
        ({**NOTE, "kind": "reasons", "payload": {"codes": [3]}}, "expected a text"),
        ({"at": "0001-01-01T00:00:00+10:00"}, "at is"),
        ({"blind": "false"}, "blind"),
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


@pytest.mark.parametrize("character", ["x", "я", "\U0001f4a9", '"', "\n"])
def test_a_note_as_long_as_the_page_allows_is_kept_in_every_script(character):
    text = character * 4000  # maxlength of its field
    assert Event.read({**GOOD, **NOTE, "payload": {"text": text}}, case="a").payload == {"text": text}


def test_half_a_character_of_a_note_can_be_written_to_a_file():
    found = Event.read({**GOOD, **NOTE, "payload": {"text": "cut \ud83d"}}, case="a")
    assert found.payload["text"].encode("utf-8") == b"cut ?"
