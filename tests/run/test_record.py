"""The record of a case: one file, one version, read as it was written; older ones are read, newer ones named."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.errors import NewerVersion, UsageError
from aleaseg.run import Measured, Record, Run

words = st.text(max_size=8)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def records(draw):
    return Record(
        draw(st.text(min_size=1, max_size=12)),
        status=draw(st.sampled_from(["ok", "partly", "failed"])),
        error=draw(st.none() | words),
        group=draw(words),
        site=draw(words),
        files=draw(
            st.dictionaries(words, st.lists(st.integers(-1, 2**60), min_size=2, max_size=2), max_size=2)
        ),
        image_files=tuple(draw(st.lists(words, max_size=2))),
        label_files=tuple(draw(st.lists(words, max_size=2))),
        image_hash=draw(words),
        seen=draw(words),
        shape=tuple(draw(st.lists(st.integers(1, 9), max_size=3))),
        spacing_mm=tuple(draw(st.lists(st.floats(0.1, 9), max_size=3))),
        present=draw(st.dictionaries(words, st.booleans(), max_size=2)),
        volume_mm3=draw(st.dictionaries(words, numbers, max_size=2)),
        class_maps=draw(st.dictionaries(words, st.just({"kind": "logit", "grid": [2, 3]}), max_size=2)),
        measures=tuple(
            draw(st.lists(st.builds(Measured, words, words, words, numbers, words), max_size=4))
        ),
        model=draw(words),
        features=draw(
            st.dictionaries(words, st.dictionaries(words, st.lists(numbers, max_size=3)), max_size=2)
        ),
    )


@settings(max_examples=80, deadline=None)
@given(records())
def test_read_is_the_inverse_of_write(tmp_path_factory, record):
    run = Run(tmp_path_factory.mktemp("run"))
    run.write_case(record, {"liver": [0.75, 0.25]})
    assert run.record(record.case) == record
    assert list(run.records()) == [record]
    assert run.spectra(record.case) == {"liver": [0.75, 0.25]}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=6), unique=True, min_size=2, max_size=12))
def test_records_come_by_id_whatever_the_names_of_their_files(tmp_path_factory, ids):
    run = Run(tmp_path_factory.mktemp("run"))
    for case in ids:
        run.write_case(Record(case))
    assert [record.case for record in run.records()] == sorted(ids)


def test_an_id_that_is_no_unicode_is_found_again(tmp_path):
    run = Run(tmp_path)
    for case in ("caf\udce9", "a" * 3000, "é" * 2500):
        run.write_case(Record(case))
    assert {record.case for record in run.records()} == {"caf\udce9", "a" * 3000, "é" * 2500}


def test_a_number_that_is_none_is_kept_as_none(tmp_path):
    run = Run(tmp_path)
    run.write_case(Record("a", volume_mm3={"x": math.nan}, measures=(Measured("m", "", "", math.inf),)))
    read = run.record("a")
    assert read.volume_mm3 == {"x": None}
    assert read.measures[0].value is None


def test_a_record_of_the_version_before_is_read_with_its_spectra(tmp_path):
    run = Run(tmp_path)
    row = {"measure": "oof_dice", "variant": "", "class": "liver", "value": 0.5, "status": "ok"}
    old = {
        "case": "a", "status": "ok", "error": None, "group": "g", "site": "", "files": {"f": [1, 2]},
        "image_files": ["f"], "label_files": [], "image_hash": "h", "present": {"liver": True},
        "volume_mm3": {"liver": 3.0}, "class_maps": {"liver": {"kind": "logit"}},
        "spectra": {"liver": [0.9, 0.1]}, "measures": [row], "shape": [2, 3], "spacing_mm": [1.0, 1.0],
        "seen": "s",
    }  # fmt: skip
    run.case_file("a").parent.mkdir()
    run.case_file("a").write_text(json.dumps(old))
    (record,) = run.records()
    assert record.measures == (Measured("oof_dice", "", "liver", 0.5),)
    assert (record.shape, record.group, record.seen) == ((2, 3), "g", "s")
    assert run.spectra("a") == {"liver": [0.9, 0.1]}


def test_a_newer_record_is_named_and_a_damaged_one_is_not_finished(tmp_path):
    run = Run(tmp_path)
    run.write_case(Record("good"))
    run.case_file("cut").write_text('{"case": "cut", "version": 2, "sta')
    run.case_file("empty").write_text("")
    run.case_file("list").write_text("[1, 2]")
    assert [record.case for record in run.records()] == ["good"]
    assert run.record("cut") is None
    run.case_file("new").write_text('{"case": "new", "version": 99}')
    for call in (lambda: list(run.records()), lambda: run.record("new")):
        with pytest.raises(NewerVersion, match=r"'new' has version 99.*newer aleaseg"):
            call()
    with pytest.raises(UsageError, match="lacks entries"):
        Record.from_dict({"version": 2, "measures": []})


def test_records_are_read_one_at_a_time(tmp_path, monkeypatch):
    run = Run(tmp_path)
    for number in range(5):
        run.write_case(Record(f"c{number}"))
    read = []
    whole = Record.read
    monkeypatch.setattr(Record, "read", lambda path: read.append(path) or whole(path))
    records = run.records()
    assert next(records).case == "c0"
    assert len(read) == 1, "the others are not read before they are asked for"


def test_what_belongs_to_other_cases_is_forgotten(tmp_path):
    run = Run(tmp_path)
    for case in ("kept", "gone"):
        run.write_case(Record(case), {"a": [1.0]})
        run.prediction_file(case).parent.mkdir(exist_ok=True)
        run.prediction_file(case).write_bytes(b"")
    run.forget_others(["kept"])
    assert [record.case for record in run.records()] == ["kept"]
    assert not run.spectra_file("gone").exists()
    assert not run.prediction_file("gone").exists()
    assert run.prediction_file("kept").exists()
