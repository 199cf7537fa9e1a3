"""The maps of a run: whose they are, what they say, when they are made again; and what no damage stops."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aleaseg.errors import Unreadable
from aleaseg.measures.boundary import boundary_shape
from aleaseg.measures.doubt import LabelReference, LabelSignals
from aleaseg.measures.doubt_map import belief, border_doubt
from aleaseg.readers import open_dataset
from aleaseg.report.draw import Wanted, draw_cases, pictures_file
from aleaseg.run import Run, read_json, write_json
from aleaseg.where.keeping import LEAST, Mapper, keep_maps, kept_map, suspects
from aleaseg.where.kept import DoubtMap
from aleaseg.where.making import make_map, usual_borders

SHIFTED = "case <03>"


def dataset_of(run):
    return open_dataset(run.manifest["settings"]["dataset"])


@pytest.fixture
def copy(mapped, tmp_path):
    """The run, to be changed."""
    return Run(shutil.copytree(mapped.path, tmp_path / "run"))


def predicted(mapped, case):
    from aleaseg.predictions import open_predictions

    return open_predictions(mapped, dataset_of(mapped)).read(dataset_of(mapped)[case])[0].labels()


def test_each_suspect_has_a_map_and_nobody_else(mapped):
    cases = mapped.cases
    doubtful = set(cases["case"][pd.to_numeric(cases["doubt"]) > 0.5])
    assert SHIFTED in doubtful
    assert set(suspects(cases)) == doubtful
    assert {case for case in cases["case"] if kept_map(mapped, case) is not None} == doubtful
    assert len(list((mapped.path / "maps").iterdir())) == len(doubtful)


def test_a_map_is_what_its_parts_say(mapped):
    """Disagreement by distance (labels alone are predicted), the border against the medians of the population."""
    case = dataset_of(mapped)[SHIFTED]
    label, other = case.read_label().array, predicted(mapped, SHIFTED)
    usual = usual_borders(mapped.population)
    masks = {name: np.isin(label, values) for name, values in dataset_of(mapped).classes.items()}
    image = case.read_image().array
    border = np.max([border_doubt(mask, usual[name], image) for name, mask in masks.items()], axis=0)
    agreed = belief(label, other, (2.0, 1.0, 1.0))
    expected = 1 - agreed * (1 - border)
    found = kept_map(mapped, SHIFTED).doubt()
    np.testing.assert_allclose(found, np.where(expected < LEAST, 0, expected), atol=0.5 / 255 + 1e-6)
    # It points at what was spoilt: the mask was shifted, and the prediction was not.
    assert found[label != other].mean() > 5 * found[label == other].mean()
    blind = dataclasses.replace(Mapper.of(mapped, dataset_of(mapped)), predictions=None)
    alone = blind.make(case).doubt()
    np.testing.assert_allclose(alone, np.where(border < LEAST, 0, border), atol=0.5 / 255 + 1e-6)


def test_what_is_usual_is_the_median_of_the_population(mapped):
    usual = usual_borders(mapped.population)
    for name, values in dataset_of(mapped).classes.items():
        shapes = [
            boundary_shape(np.isin(case.read_label().array, values)) for case in dataset_of(mapped).cases
        ]
        for key, found in (
            ("roughness", usual[name].roughness),
            ("step", np.log(usual[name].step)),
            ("step_across", np.log(usual[name].step_across)),
        ):
            assert found == pytest.approx(np.median([shape[key] for shape in shapes])), key
    assert usual_borders({"label": None}) == {}
    assert usual_borders({"label": {"classes": ["of an older version"]}}) == {}


def test_contrasts_stand_at_the_number_of_their_channel():
    """Twelve channels, in the order of their names as texts: 10 comes before 2."""
    rng = np.random.default_rng(0)
    names = tuple(sorted(f"rim_contrast@{channel}" for channel in range(12)))
    values = [10.0 + float(name.partition("@")[2]) + rng.normal(0, 0.1, (30, 1)) for name in names]
    nothing = np.zeros((30, 1))
    signals = LabelSignals(
        ("a",), rng.uniform(90, 110, (30, 1)), nothing + 0.9, nothing, nothing, nothing,
        rng.normal(size=(30, 1, 3)), np.full(30, 0.8), None, rng.uniform(0.1, 0.2, (30, 1, 3)),
        np.stack(values, axis=-1), names,
    )  # fmt: skip
    found = usual_borders({"label": LabelReference.fit(signals).to_dict()})["a"].contrast
    np.testing.assert_allclose(found, 10 + np.arange(12), atol=0.2)


def test_what_is_there_is_left_and_what_is_not_is_made_again(copy):
    dataset = dataset_of(copy)
    files = {path: path.stat().st_mtime_ns for path in (copy.path / "maps").iterdir()}
    contents = {path: path.read_bytes() for path in files}
    done = []
    assert keep_maps(copy, dataset, progress=lambda now, total: done.append((now, total))) == {}
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert done == []
    gone, damaged, *_ = files
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:100])
    stranger = copy.path / "maps" / "0123456789abcdef0123.npz"
    stranger.write_bytes(b"of a case that is no suspect any more")
    half_written = copy.path / "maps" / ".x.npz.a1b2.part"
    half_written.write_bytes(b"of another process")
    assert keep_maps(copy, dataset, progress=lambda now, total: done.append((now, total))) == {}
    assert done[-1] == (2, 2)
    # Bit by bit as before: two machines make one run.
    assert {path: path.read_bytes() for path in files} == contents
    assert not stranger.exists()
    assert half_written.exists()


def test_another_population_makes_them_anew(copy):
    before = {path: path.read_bytes() for path in (copy.path / "maps").iterdir()}
    population = read_json(copy.path / "population.json")
    for scale in population["label"]["scales"]["shape"]:
        scale["center"] /= 2
    write_json(copy.path / "population.json", population)
    keep_maps(copy, dataset_of(copy))
    assert all(path.read_bytes() != content for path, content in before.items())


def test_the_page_shows_no_map_of_a_mask_that_has_changed_since(copy, tmp_path):
    dataset = dataset_of(copy)
    case, other = dataset[SHIFTED], dataset["case <04>"]
    changed = dataclasses.replace(case, label_files=other.label_files, read_label=other.read_label)
    said = []
    for number, one in enumerate((case, changed)):
        report = tmp_path / str(number)
        draw_cases(copy, dataset.with_cases([one]), {SHIFTED: Wanted()}, report, None, workers=1)
        line = pictures_file(report, SHIFTED).read_text("utf-8").splitlines()[1]
        found = json.loads(line[line.index("{") : line.rindex("}") + 1])
        said.append((all("doubt" in plane for plane in found["planes"]), found["notes"]))
    assert said[0] == (True, [])
    assert not said[1][0]
    assert "before the files of this case changed" in said[1][1][0]


def test_a_bad_case_is_named_and_stops_nobody(copy):
    dataset = dataset_of(copy)
    shutil.rmtree(copy.path / "maps")

    def broken():
        raise Unreadable(SHIFTED, "a file of 0 bytes", "a mask", "copy it again")

    def mistaken():
        raise ZeroDivisionError("nobody thought of it")

    other = suspects(copy.cases)[-1]
    readers = {SHIFTED: broken, other: mistaken}
    cases = [
        dataclasses.replace(case, read_label=readers[case.id]) if case.id in readers else case
        for case in dataset.cases
    ]
    troubles = keep_maps(copy, dataset.with_cases(cases))
    assert set(troubles) == set(readers)
    assert "a file of 0 bytes" in troubles[SHIFTED]
    assert troubles[other] == f"{other}: ZeroDivisionError: nobody thought of it"
    assert kept_map(copy, SHIFTED) is None
    assert {case for case in suspects(copy.cases) if kept_map(copy, case)} == set(
        suspects(copy.cases)
    ) - set(readers)


def test_no_doubts_no_maps(copy):
    table = pd.read_csv(copy.path / "cases.csv")
    table["doubt"] = 0.2
    table.to_csv(copy.path / "cases.csv", index=False)
    assert keep_maps(copy, dataset_of(copy)) == {}
    assert list((copy.path / "maps").glob("[!.]*")) == []
    assert suspects(table.drop(columns="doubt")) == []


def test_what_nobody_annotated_is_not_doubtful(mapped):
    dataset = dataset_of(mapped)
    (name, values), (_, (unseen,)) = dataset.classes.items()
    ignoring = dataclasses.replace(dataset, ignore=unseen, classes={name: values})
    case = dataset[SHIFTED]
    found = make_map(case, ignoring, None, usual_borders(mapped.population))
    assert found.any()
    assert not found[case.read_label().array == unseen].any()


# -- on disk -------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.sampled_from([(9, 11), (4, 6, 5), (3, 3, 1)]), st.floats(0, 1))
def test_a_map_comes_back_in_steps_of_a_byte(tmp_path_factory, seed, shape, share):
    rng = np.random.default_rng(seed)
    doubt = (rng.random(shape) * (rng.random(shape) < share)).astype(np.float32)
    path = tmp_path_factory.mktemp("map") / "maps" / "x.npz"
    DoubtMap.of(doubt, 0.1, "stamp").write(path)
    back = DoubtMap.read(path)
    assert (back.stamp, back.shape) == ("stamp", shape)
    np.testing.assert_allclose(back.doubt(), np.where(doubt < 0.1, 0, doubt), atol=0.5 / 255 + 1e-6)


def test_a_map_is_cut_to_what_it_says(tmp_path):
    doubt = np.zeros((200, 300, 300), np.float32)
    doubt[90:110, 10:40, 250:260] = 0.8
    DoubtMap.of(doubt, 0.02).write(tmp_path / "x.npz")
    assert (tmp_path / "x.npz").stat().st_size < 2000
    assert DoubtMap.read(tmp_path / "x.npz").part.shape == (20, 30, 10)


def saved(path, **arrays):
    np.savez(path, **arrays)


GOOD = {"part": np.ones((2, 2), np.uint8), "corner": [1, 1], "shape": [4, 4], "stamp": np.array("s")}


@pytest.mark.parametrize(
    "wrong",
    [
        {"corner": [3, 3]},
        {"corner": [-1, 0]},
        {"shape": [4, 4, 4]},
        {"part": np.ones((2, 2))},
        {"part": np.array([[object()]])},
        {"corner": np.array(["a", "b"])},
    ],
)
def test_what_is_no_map_is_none(tmp_path, wrong):
    saved(tmp_path / "good.npz", **GOOD)
    assert DoubtMap.read(tmp_path / "good.npz") is not None
    saved(tmp_path / "bad.npz", **{**GOOD, **wrong})
    assert DoubtMap.read(tmp_path / "bad.npz") is None
    (tmp_path / "cut.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:-30])
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("cut", "empty", "missing"):
        assert DoubtMap.read(tmp_path / f"{name}.npz") is None
