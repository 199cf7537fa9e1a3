"""Dealing faults: by seed, in turn, in memory; files stay as they are."""

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pytest
from joblib.externals.loky.cloudpickle_wrapper import dumps, loads

from aleaseg.bench.faults import Dealt, deal, put_in, spoil, with_faults
from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.corruption import FAULTS, ImpossibleFault
from aleaseg.readers import open_dataset


def dataset(tmp_path, small_case, cases=24, shape=(12, 16, 16), classes=2, groups=4, labels=True):
    """Cases in memory."""
    geometry = Geometry(shape, (1.0,) * len(shape))

    def case(index):
        image, label = small_case(index, 0, shape)
        label = np.minimum(label, classes)
        return Case(
            f"c{index:02}",
            (),
            (),
            lambda: Voxels(image[None], geometry),
            (lambda: Voxels(label, geometry)) if labels else None,
            lambda: geometry,
            group=f"g{index % groups}" if groups else "",
        )

    names = {"left": (1,), "right": (2,)}
    return Dataset(
        "d",
        tmp_path,
        "nnunet",
        tuple(case(index) for index in range(cases)),
        dict(list(names.items())[:classes]),
        ("MRI",),
    )


def test_the_same_draw_is_the_same_deal_and_another_is_another(tmp_path, small_case):
    data = dataset(tmp_path, small_case)
    first, again, other = (deal(data, draw, share=0.25) for draw in (3, 3, 4))
    assert first == again
    assert set(first[0]) != set(other[0])
    assert len(first[0]) == len(other[0]) == 6


def test_every_kind_is_dealt_in_turn_to_the_share_of_the_cases(tmp_path, small_case):
    data = dataset(tmp_path, small_case, cases=48)
    truth, impossible = deal(data, 0, share=0.75)
    assert len(truth) == 36
    counts = {name: sum(dealt.fault == name for dealt in truth.values()) for name in FAULTS}
    possible = [name for name in FAULTS if name not in impossible]
    assert set(impossible) <= {"drop_component"}, "the balls are one piece"
    assert {counts[name] for name in possible} <= {1, 2}
    assert all(counts[name] == 0 for name in impossible)
    for case_id, dealt in truth.items():
        assert dealt.axis == FAULTS[dealt.fault].axis
        assert dealt.level == "medium"
        if dealt.donor:
            assert dealt.donor != case_id
            assert data[dealt.donor].group != data[case_id].group
        assert bool(dealt.donor) == FAULTS[dealt.fault].needs_donor
        assert Dealt.from_dict(json.loads(json.dumps(asdict(dealt)))) == dealt


def test_what_the_data_cannot_have_is_listed(tmp_path, small_case):
    flat = dataset(tmp_path, small_case, cases=40, shape=(24, 24), classes=1)
    truth, impossible = deal(flat, 0, share=0.7)
    assert {"drop_slices", "repeat_slices", "slice_order", "swap_classes"} <= set(impossible)
    assert impossible == sorted(impossible, key=list(FAULTS).index)
    assert not {dealt.fault for dealt in truth.values()} & set(impossible)
    assert len(truth) == 28, "the other kinds fill the share"


def test_one_group_has_no_donors_and_no_groups_are_groups_of_one(tmp_path, small_case):
    alone = dataset(tmp_path, small_case, groups=1)
    with pytest.raises(ImpossibleFault, match="no other case has a mask that could be used"):
        spoil(alone, alone.cases[0], "other_case", "medium", 0)
    free = dataset(tmp_path, small_case, groups=0)
    dealt, _ = spoil(free, free.cases[0], "other_case", "medium", 0)
    assert dealt.donor in {case.id for case in free.cases[1:]}


def test_a_case_without_a_label_has_no_fault_of_the_mask(tmp_path, small_case):
    bare = dataset(tmp_path, small_case, labels=False)
    with pytest.raises(ImpossibleFault, match="c00 has no label"):
        spoil(bare, bare.cases[0], "dilate", "medium", 0)
    assert spoil(bare, bare.cases[0], "noise", "medium", 0)[0].axis == "image"


def test_what_runs_out_later_is_not_called_impossible(tmp_path, small_case, monkeypatch):
    from aleaseg.bench import faults

    data = dataset(tmp_path, small_case)
    given = []
    really = faults.spoil

    def rarely(dataset, case, fault, level, draw):
        if fault == "dilate" and given:
            raise ImpossibleFault("one case only")
        dealt = really(dataset, case, fault, level, draw)
        given.extend([case.id] if fault == "dilate" else [])
        return dealt

    names = ("dilate", "erode", "noise")
    monkeypatch.setattr(faults, "spoil", rarely)
    monkeypatch.setattr(faults, "FAULTS", {name: FAULTS[name] for name in names})
    truth, impossible = faults.deal(data, 0, share=0.5)
    assert impossible == []
    counts = [sum(dealt.fault == name for dealt in truth.values()) for name in names]
    assert counts[0] == 1
    assert sorted(counts[1:]) in ([5, 6],)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_case_is_read_with_what_was_said_of_it(tmp_path, small_case, fault):
    data = dataset(tmp_path, small_case, cases=6)
    case = data.cases[2]
    for level in FAULTS[fault].strengths:
        try:
            dealt, done = spoil(data, case, fault, level, 5)
        except ImpossibleFault:
            assert fault == "drop_component"
            continue
        spoilt = with_faults(data, {case.id: dealt})
        assert [other for other in spoilt.cases if other.id != case.id] == [
            other for other in data.cases if other.id != case.id
        ]
        sent = loads(dumps(spoilt[case.id]))
        for one in (spoilt[case.id], sent):
            image, label = one.read_image().array, one.read_label().array
            if dealt.axis == "image":
                np.testing.assert_array_equal(image, done.array)
                np.testing.assert_array_equal(label, case.read_label().array)
                assert not np.array_equal(image, case.read_image().array)
            else:
                np.testing.assert_array_equal(label, done.array)
                np.testing.assert_array_equal(image, case.read_image().array)
                assert not np.array_equal(label, case.read_label().array)
        lent = data[dealt.donor].read_label().array if dealt.donor else None
        array = case.read_image().array if dealt.axis == "image" else case.read_label().array
        np.testing.assert_array_equal(put_in(array, fault, level, dealt.seed, lent).array, done.array)
        assert spoil(data, case, fault, level, 5)[0] == dealt
        assert spoil(data, case, fault, level, 6)[0].seed != dealt.seed


def test_no_file_is_touched(tmp_path, write_small):
    def hashes():
        return {
            path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in sorted(tmp_path.rglob("*"))
            if path.is_file()
        }

    write_small(tmp_path / "data", 12, faults=False)
    before = hashes()
    data = open_dataset(tmp_path / "data", groups=r"^(g\d)")
    truth, _ = deal(data, 1, share=0.5)
    changed = 0
    for clean, case in zip(data.cases, with_faults(data, truth).cases, strict=True):
        changed += not (
            np.array_equal(case.read_image().array, clean.read_image().array)
            and np.array_equal(case.read_label().array, clean.read_label().array)
        )
    assert changed == len(truth) == 6
    assert hashes() == before
