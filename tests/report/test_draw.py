"""Pictures are made once, and one bad case stops no other."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from aleaseg.pages.places import Sought
from aleaseg.report.draw import Wanted, draw_cases, drawn, mosaic_file, pictures_file, thumbnail_file
from aleaseg.where.keeping import Mapper
from aleaseg.where.kept import DoubtMap


@pytest.fixture
def report(fake):
    return fake.run.path / "report"


def draw(fake, report, ids=None, sought=(), slices=False, **options):
    wanted = dict.fromkeys(ids or fake.ids, Wanted(sought, slices))
    return draw_cases(fake.run, fake.dataset, wanted, report, fake.predictions, **options)


def test_pictures_are_made_once_and_again_when_something_changes(fake, report):
    calls = []
    draw(fake, report, workers=1, progress=lambda *numbers: calls.append(numbers))
    assert calls[-1] == (24, 24)
    files = [pictures_file(report, one) for one in fake.ids] + [
        thumbnail_file(report, one) for one in fake.ids
    ]
    times = {path: path.stat().st_mtime_ns for path in files}

    calls.clear()
    draw(fake, report, workers=1, progress=lambda *numbers: calls.append(numbers))
    assert calls == []
    assert times == {path: path.stat().st_mtime_ns for path in files}

    record = next(fake.run.records())
    fake.run.write_case(replace(record, image_hash="another"))
    thumbnail_file(report, fake.ids[-1]).unlink()
    draw(fake, report, workers=1, progress=lambda *numbers: calls.append(numbers))
    assert calls[-1] == (2, 2)
    assert pictures_file(report, record.case).stat().st_mtime_ns > times[pictures_file(report, record.case)]


def test_a_new_map_of_doubt_is_drawn_and_one_on_another_grid_is_named(fake, report, made):
    one = fake.ids[:1]
    draw(fake, report, one, workers=1)
    assert "doubt" not in pictures_file(report, one[0]).read_text()
    stamp = Mapper.of(fake.run, fake.dataset).stamp(fake.dataset[one[0]])
    for shape, said in (
        (made.SHAPE, '"doubt":"data:image/png'),
        ((9, 9, 9), "The map of doubt is (9, 9, 9)"),
    ):
        DoubtMap.of(np.full(shape, 0.5, np.float32), 0.02, stamp).write(fake.run.map_file(one[0]))
        calls = []
        draw(fake, report, one, workers=1, progress=lambda *numbers, calls=calls: calls.append(numbers))
        assert calls[-1] == (1, 1)
        assert said in pictures_file(report, one[0]).read_text().replace(": ", ":").replace(
            "doubt is(", "doubt is ("
        )


def test_other_reasons_are_drawn_anew(fake, report):
    one = fake.ids[:1]
    draw(fake, report, one, workers=1)
    before = drawn(report, one[0])
    assert before.ways["d"] == "in the head-foot direction"
    calls = []
    across = (Sought("uneven_d", "image", "d"),)
    draw(fake, report, one, across, workers=1, progress=lambda *numbers: calls.append(numbers))
    assert calls[-1] == (1, 1)
    assert drawn(report, one[0]).plane.startswith(("coronal", "sagittal"))


def test_all_slices_are_drawn_where_they_are_wanted_and_go_again(fake, report):
    one = fake.ids[:1]
    files = [mosaic_file(report, one[0], background) for background in (False, True)]
    draw(fake, report, one, workers=1, slices=True)
    assert all(path.exists() for path in files)
    draw(fake, report, one, workers=1)
    assert not any(path.exists() for path in files)


def test_a_slice_without_a_mask_says_so(fake, report, made):
    def empty_below(seed):
        voxels = made.label(seed)
        voxels.array[...] = 0
        voxels.array[0, 0, 0] = 1
        return voxels

    cases = tuple(
        replace(case, read_label=functools.partial(empty_below, k))
        for k, case in enumerate(fake.dataset.cases)
    )
    fake.dataset = fake.dataset.with_cases(cases)

    class Far:
        def read(self, case):
            return [made.Prediction(made.label(0).array)]

    fake.predictions = Far()
    draw(fake, report, fake.ids[:1], workers=1)
    assert drawn(report, fake.ids[0]).empty == ("mask",)


def test_one_bad_case_stops_no_other_and_is_tried_again(fake, report, made):
    bad = made.NASTY[0]
    fake.dataset = made.dataset_of(fake.ids, bad=[bad])
    for _ in range(2):
        troubles = draw(fake, report, workers=1)
        assert list(troubles) == [bad]
        assert "a file of 0 bytes" in troubles[bad]
    assert "a file of 0 bytes" in pictures_file(report, bad).read_text()
    assert not thumbnail_file(report, bad).exists()
    assert thumbnail_file(report, fake.ids[1]).exists()


def test_an_error_of_another_kind_names_itself(fake, report, made):
    class Wrong:
        def read(self, case):
            raise ValueError("unlucky\nnumbers")

    fake.predictions = Wrong()
    troubles = draw(fake, report, ids=fake.ids[:1], workers=1)
    assert troubles == {fake.ids[0]: "ValueError: unlucky numbers"}


def test_a_prediction_on_another_grid_is_named_and_not_drawn(fake, report, made):
    class Other:
        def read(self, case):
            return [made.Prediction(case.read_label().array[:3])]

    fake.predictions = Other()
    assert draw(fake, report, ids=fake.ids[:1], workers=1) == {}
    text = pictures_file(report, fake.ids[0]).read_text()
    assert "it is not drawn" in text
    assert '"oof":null' in text


def test_several_predictions_vote(fake, report, made):
    class Folds:
        def read(self, case):
            array = case.read_label().array
            return [made.Prediction(array), made.Prediction(array), made.Prediction(array * 0)]

    fake.predictions = Folds()
    draw(fake, report, ids=fake.ids[:1], workers=1)
    # Two of three agree with the mask.
    assert '"reason":"mask"' in pictures_file(report, fake.ids[0]).read_text()


def test_workers_that_cannot_load_the_work_leave_it_to_this_process(fake, report, made, monkeypatch):
    # The made-up classes live in a file that no other process can import.
    monkeypatch.setattr("aleaseg.report.draw._WORTH_WORKERS", 1)
    assert draw(fake, report, workers=2) == {}
    assert all(thumbnail_file(report, one).exists() for one in fake.ids)
