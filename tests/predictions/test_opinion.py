"""Opinions of a prompted network: kept on its small square, read on the case's own grid."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.errors import Unreadable
from aleaseg.networks.prompted import OUTSIDE, paste
from aleaseg.predictions.opinion import Opinion, Opinions, write_opinion
from aleaseg.run import Run

SHAPE = (6, 30, 40)


@pytest.fixture
def thing(tmp_path):
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0))
    case = Case("c", (), (), lambda: Voxels(np.zeros((1, *SHAPE)), geometry), None, lambda: geometry)
    return case, Dataset("d", Path("."), "nnunet", (case,), {"b": (2,), "a": (1,)}, ("MRI",)), Run(tmp_path)


def opinion(first, window, half_inside=8, side=64, slices=3):
    """Yes in the middle of the square, no around it."""
    logits = np.full((slices, side, side), -5, np.float32)
    logits[:, half_inside * 2 : -half_inside * 2, half_inside * 2 : -half_inside * 2] = 5
    return Opinion(logits, first, window)


def test_it_is_pasted_where_it_was_looked_for(thing):
    case, dataset, run = thing
    write_opinion(run, "c", SHAPE, {"a": opinion(2, (20.0, 15.0, 10.0))}, "own")
    (found,) = Opinions(run, dataset).read(case)
    assert found.model == "own"
    label = found.labels()
    expected = np.zeros(SHAPE, int)
    expected[2:5, 10:20, 15:25] = 1  # the inner half of a square from 5 to 25 and 10 to 30
    assert np.abs(label != expected).mean() < 0.01
    assert not found.mask("b").any()
    given = found.given(expected)
    assert given[expected == 1].mean() > 0.85  # half sure along the border
    assert (given[0] > 0.999).all()


def test_where_two_classes_say_yes_the_surest_has_it(thing):
    case, dataset, run = thing
    one = opinion(0, (20.0, 15.0, 10.0), slices=6)
    surer = replace(one, logits=one.logits * 2)
    write_opinion(run, "c", SHAPE, {"a": one, "b": surer}, "own")
    (found,) = Opinions(run, dataset).read(case)
    assert found.mask("b").sum() > 450
    assert found.mask("a").sum() < 0.1 * found.mask("b").sum()


def test_overlapping_classes_stay_apart(thing):
    case, dataset, run = thing
    regions = replace(dataset, classes={"whole": (1, 2), "core": (2,)})
    one = opinion(0, (20.0, 15.0, 10.0), slices=6)
    write_opinion(run, "c", SHAPE, {"whole": one, "core": one}, "own")
    (found,) = Opinions(run, regions).read(case)
    np.testing.assert_array_equal(found.mask("whole"), found.mask("core"))
    assert found.mask("core").any()


def test_pictures_and_masks_without_anything(thing):
    case, dataset, run = thing
    write_opinion(run, "c", (30, 40), {"a": opinion(0, (20.0, 15.0, 10.0), slices=1)}, "own")
    (found,) = Opinions(run, dataset).read(case)
    assert found.mask("a").shape == (30, 40)
    assert 80 < found.mask("a").sum() < 130
    write_opinion(run, "c", SHAPE, {}, "own")
    (nothing,) = Opinions(run, dataset).read(case)
    assert not nothing.labels().any()


def test_no_file_is_no_opinion_and_a_damaged_one_is_named(thing):
    case, dataset, run = thing
    assert Opinions(run, dataset).read(case) == []
    write_opinion(run, "c", SHAPE, {"a": opinion(2, (20.0, 15.0, 10.0))}, "own")
    path = run.prediction_file("c")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(Unreadable, match=r"c: found .*damaged"):
        Opinions(run, dataset).read(case)


@pytest.mark.parametrize("shape", [SHAPE, (30, 40)])
def test_parts_of_the_maps_are_those_of_the_whole(thing, shape):
    """Channels and slices as of the array that pasting each logit gives."""
    case, dataset, run = thing
    slices = shape[0] if len(shape) == 3 else 1
    rng = np.random.default_rng(0)
    said = Opinion(
        rng.normal(0, 5, (min(slices, 3), 64, 64)).astype(np.float16), slices // 3, (22.0, 13.0, 15.0)
    )
    write_opinion(run, "c", shape, {"b": said}, "own")
    (found,) = Opinions(run, dataset).read(case)
    whole = np.full((3, slices, *shape[-2:]), OUTSIDE, np.float16)
    whole[0] = 0
    first = said.first
    whole[2, first : first + len(said.logits)] = paste(
        torch.from_numpy(said.logits.astype(np.float32)), said.window, shape[-2:]
    ).numpy()
    whole = whole.reshape(3, *shape)
    maps = found.maps
    assert (maps.shape, maps.dtype, len(maps)) == (whole.shape, whole.dtype, 3)
    for key in (
        0,
        2,
        -1,
        [2],
        [0, 1, 2],
        slice(None),
        (slice(None), slice(1, 4)),
        (2, slice(0, 2)),
        (0, slice(3, 9)),
    ):
        np.testing.assert_array_equal(maps[key], whole[key])
    label = rng.choice([0, 1, 2, 5], shape)
    held = replace(found, maps=whole)
    np.testing.assert_array_equal(found.labels(), held.labels())
    np.testing.assert_array_equal(found.given(label), held.given(label))
    np.testing.assert_array_equal(found.probability("b"), held.probability("b"))
    if len(shape) == 3:
        np.testing.assert_array_equal(found.slice(1, 7), held.slice(1, 7))


@pytest.mark.parametrize("name", ["own", "eye"])
def test_a_run_is_read_under_the_older_name_of_its_network_too(tmp_path, name):
    from aleaseg.predictions import open_predictions

    run = Run(tmp_path)
    run.update_manifest(predictions={"source": name})
    found = open_predictions(run, Dataset("d", tmp_path, "folder", (), {"a": (1,)}, ("CT",)))
    assert isinstance(found, Opinions)
