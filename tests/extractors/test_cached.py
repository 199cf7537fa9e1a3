"""Kept class maps: the same as made, found again by content, and never for another question."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_medsam2 import TinyMedSAM2

from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.errors import UsageError, WeightsRefused
from aleaseg.extractors import ExtractorSettings, make_extractor
from aleaseg.extractors.base import settled
from aleaseg.extractors.cached import Cached
from aleaseg.testing import check_extractor


@pytest.fixture
def thing(small_case):
    image, label = small_case(0)
    geometry = Geometry(image.shape, (2.0, 1.0, 1.0))
    case = Case(
        "c",
        (),
        (),
        lambda: Voxels(image[None], geometry),
        lambda: Voxels(label, geometry),
        lambda: geometry,
    )
    return case, Dataset("d", Path("."), "nnunet", (case,), {"left": (1,), "none": (3,)}, ("MRI",))


def cached(dataset, folder, **given):
    settings = settled(ExtractorSettings("medsam2", weights="random", **given), TinyMedSAM2.traits)
    return Cached(TinyMedSAM2(settings, dataset), folder)


def test_what_is_read_is_what_was_made(thing, tmp_path):
    case, dataset = thing
    eye = cached(dataset, tmp_path)
    made, read = list(eye.class_maps(case)), list(eye.class_maps(case))
    assert len(list(tmp_path.iterdir())) == 1
    assert [type(one) for one in made] == [type(one) for one in read]
    for one, other in zip(made, read, strict=True):
        for name, value in vars(one).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value, getattr(other, name))
            else:
                assert value == getattr(other, name), name


def test_it_keeps_the_contract(thing, tmp_path):
    case, dataset = thing
    assert [one.name for one in check_extractor(cached(dataset, tmp_path), case)] == ["left"]


def test_weights_are_loaded_before_a_run_all_the_same(thing, tmp_path):
    """What does not fit is refused then, not at the first case that is not kept."""
    _, dataset = thing
    settings = settled(ExtractorSettings("medsam2", weights="nowhere.pt"), TinyMedSAM2.traits)
    with pytest.raises(WeightsRefused, match=r"nowhere\.pt"):
        Cached(TinyMedSAM2(settings, dataset), tmp_path).load()


def test_another_question_is_another_file(thing, tmp_path):
    case, dataset = thing
    image, label = case.read_image(), case.read_label()
    list(cached(dataset, tmp_path).class_maps(case))
    spoilt = Voxels(image.array + (image.array > 90), image.geometry)
    moved = Voxels(np.roll(label.array, 1, 1), label.geometry)
    for number, (eye, one) in enumerate(
        [
            (cached(dataset, tmp_path), replace(case, read_image=lambda: spoilt)),
            (cached(dataset, tmp_path), replace(case, read_label=lambda: moved)),
            (cached(dataset, tmp_path, normalize="raw"), case),
            (cached(replace(dataset, classes={"left": (1, 2)}), tmp_path), case),
        ],
        start=2,
    ):
        list(eye.class_maps(one))
        assert len(list(tmp_path.iterdir())) == number


def test_a_look_that_was_broken_off_keeps_nothing(thing, tmp_path):
    case, dataset = thing
    next(cached(dataset, tmp_path).class_maps(case))
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named(thing, tmp_path):
    case, dataset = thing
    list(cached(dataset, tmp_path).class_maps(case))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UsageError, match=r"safetensors is damaged .*delete it"):
        list(cached(dataset, tmp_path).class_maps(case))


def test_what_depends_on_predictions_is_refused(thing, tmp_path):
    _, dataset = thing
    with pytest.raises(UsageError, match="--cache keeps what depends on the image"):
        cached(dataset, tmp_path, prompt="pseudo")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file; expected a folder"):
        cached(dataset, tmp_path / "file")
    with pytest.raises(UsageError, match="--cache"):
        make_extractor(ExtractorSettings("variance", cache=str(tmp_path)), dataset)
