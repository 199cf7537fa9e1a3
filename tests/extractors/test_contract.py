"""Every extractor keeps the contract that plug-in authors are given, and the contract can be broken."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_medsam2 import TinyMedSAM2

from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.extractors import ClassMap, ExtractorSettings, NoMap, make_extractor
from aleaseg.extractors.base import Cost, Extractor, Traits, settled
from aleaseg.predictions import Prediction
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
    return case, Dataset(
        "d", Path("."), "nnunet", (case,), {"left": (1,), "right": (2,), "none": (3,)}, ("MRI",)
    )


class Given:
    source = "folder"

    def __init__(self, label):
        rng = np.random.default_rng(0)
        self.one = Prediction(
            rng.normal(size=(4, *label.shape)).astype(np.float32),
            "logit",
            label.shape,
            {"left": (1,), "right": (2,), "none": (3,)},
        )

    def read(self, case):
        return [self.one]


@pytest.mark.parametrize(
    ("prompt", "normalize"),
    [
        ("label_box", "foreground"),
        ("label_slice_boxes", "raw"),
        ("auto_box", "raw"),
        ("pseudo", "foreground"),
    ],
)
def test_medsam2(thing, prompt, normalize):
    case, dataset = thing
    settings = ExtractorSettings("medsam2", prompt, normalize, weights="random")
    given = Given(case.read_label().array) if prompt == "pseudo" else None
    found = check_extractor(TinyMedSAM2(settled(settings, TinyMedSAM2.traits), dataset, given), case)
    assert len(found) == {"auto_box": 1, "pseudo": 3}.get(prompt, 2)


def test_task_and_variance(thing):
    case, dataset = thing
    given = Given(case.read_label().array)
    assert len(check_extractor(make_extractor("task", dataset, given), case)) == 3
    assert len(check_extractor(make_extractor("variance", dataset), case)) == 2
    bare = replace(case, read_label=None)
    unlabelled = make_extractor("variance", replace(dataset, cases=(bare,)))
    assert [one.name for one in check_extractor(unlabelled, bare)] == [""]


class Sound(Extractor):
    name = "sound"
    traits = Traits("for the test")

    def identity(self):
        return {"name": "sound"}

    def cost(self, shape, classes):
        return Cost(1.0, 1)

    def class_maps(self, case):
        values = case.read_image().array[0]
        yield ClassMap("left", values, "logit", (0, len(values)))
        yield NoMap("right", "absent")


def broken(**methods):
    return type("Broken", (Sound,), methods)


def as_map(**fields):
    def class_maps(self, case):
        for one in Sound.class_maps(self, case):
            yield replace(one, **fields) if isinstance(one, ClassMap) else one

    return class_maps


def drifting(self, case):
    self.calls = getattr(self, "calls", 0) + 1
    yield ClassMap("left", case.read_image().array[0] + self.calls, "logit", (0, 12))


def spoiling(self, case):
    array = case.read_image().array
    array += 1
    yield NoMap("left", "absent")


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"identity": lambda self: {"name": "sound", "x": int}}, "JSON"),
        ({"identity": lambda self: {"name": "other"}}, "with the name"),
        ({"cost": lambda self, shape, classes: Cost(-1.0, 1)}, "below 0"),
        ({"class_maps": as_map(values=np.zeros((12, 16, 16)))}, "float32"),
        ({"class_maps": as_map(values=np.zeros((16, 16), np.float32))}, "2 axes"),
        ({"class_maps": as_map(values=np.full((12, 16, 16), np.nan, np.float32))}, "not finite"),
        ({"class_maps": as_map(kind="score")}, "kind 'score'"),
        ({"class_maps": as_map(name="liver")}, "does not have"),
        ({"class_maps": as_map(z_range=(3, 3))}, "z_range"),
        ({"class_maps": as_map(presence=(1.0,))}, "1 presences"),
        ({"class_maps": lambda self, case: iter([NoMap("left", "not there")])}, "one word"),
        ({"class_maps": drifting}, "not deterministic"),
        ({"class_maps": spoiling}, "image was changed"),
    ],
)
def test_what_breaks_the_contract_is_told(thing, methods, message):
    case, dataset = thing
    settings = settled(ExtractorSettings("sound"), Sound.traits)
    check_extractor(Sound(settings, dataset), case)
    with pytest.raises((AssertionError, TypeError), match=message):
        check_extractor(broken(**methods)(settings, dataset), case)
