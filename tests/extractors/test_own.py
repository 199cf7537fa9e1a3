"""The package's own eye: its weights, its maps, its opinions of masks, and an audit without any training."""

import os
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from aleaseg.case import Case, Dataset, Geometry, Stored, Voxels
from aleaseg.errors import UsageError, WeightsRefused
from aleaseg.extractors import ExtractorSettings, NoMap, checked
from aleaseg.extractors.base import settled
from aleaseg.extractors.checkpoint import file_sha256
from aleaseg.extractors.normalize import foreground_normalized, unit
from aleaseg.extractors.opinions import give_opinions
from aleaseg.extractors.own import SHA256, Own, prompt_boxes
from aleaseg.loaded import loaded
from aleaseg.measures import regions
from aleaseg.networks.prompted import look, paste
from aleaseg.predictions.opinion import Opinions, write_opinion
from aleaseg.readers import open_dataset
from aleaseg.run import Run
from aleaseg.testing import check_extractor


def ball(shape=(9, 40, 50), noise=8.0):
    """A bright ball in noise, and its mask."""
    grid = np.indices(shape)
    middle = [n // 2 for n in shape]
    scale = [1.5, 1, 1][-len(shape) :]
    away = np.sqrt(sum((f * (g - m)) ** 2 for f, g, m in zip(scale, grid, middle, strict=True)))
    mask = (away < 9).astype(np.uint8)
    rng = np.random.default_rng(0)
    return (40 + 60 * mask + rng.normal(0, noise, shape)).astype(np.float32), mask


def thing(image, mask, classes=("ball", "none")):
    geometry = Geometry(image.shape, (2.0, 1.0, 1.0)[-image.ndim :])
    case = Case(
        "c", (), (), lambda: Voxels(image[None], geometry), lambda: Voxels(mask, geometry), lambda: geometry
    )
    values = {name: (number,) for number, name in enumerate(classes, start=1)}
    return case, Dataset("d", Path("."), "nnunet", (case,), values, ("MRI",))


def eye(dataset, predictions=None, **asked):
    return Own(settled(ExtractorSettings("own", **asked), Own.traits), dataset, predictions)


def filled_boxes(mask, *, solid):
    """(D, H, W): 1 inside the boxes that prompt."""
    region = np.zeros(mask.shape, np.float32)
    for z, (x0, y0, x1, y1) in prompt_boxes(mask, solid=solid).items():
        region[z, int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = 1
    return region


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_the_weights_are_those_of_the_package_and_small():
    path = Path(str(files("aleaseg.networks") / "prompted.safetensors"))
    assert file_sha256(path) == SHA256
    assert path.stat().st_size < 16e6


@pytest.mark.parametrize(
    ("prompt", "normalize"), [("label_slice_boxes", "foreground"), ("label_box", "raw")]
)
def test_it_keeps_the_contract(prompt, normalize):
    case, dataset = thing(*ball())
    (found,) = check_extractor(eye(dataset, prompt=prompt, normalize=normalize), case)
    assert found.values.shape == (found.z_range[1] - found.z_range[0], 64, 64)
    assert list(eye(dataset).class_maps(case))[1] == NoMap("none", "absent")


@pytest.mark.parametrize("prompt", ["label_slice_boxes", "label_box"])
def test_it_finds_a_ball_better_than_its_box_does(tmp_path, prompt):
    image, mask = ball()
    case, dataset = thing(image, mask)
    one = eye(dataset, prompt=prompt, normalize="raw").opinions(case)["ball"]
    write_opinion(Run(tmp_path), "c", mask.shape, {"ball": one}, "own")
    (found,) = Opinions(Run(tmp_path), dataset).read(case)
    box = filled_boxes(mask > 0, solid=prompt == "label_box") > 0
    assert dice(found.mask("ball"), mask > 0) > 0.85
    assert dice(found.mask("ball"), mask > 0) > dice(box, mask > 0) + 0.05


def test_a_picture_is_a_stack_of_one():
    image, mask = ball((40, 50))
    case, dataset = thing(image, mask)
    flat = next(iter(eye(dataset).class_maps(case)))
    assert flat.values.shape == (64, 64)
    thin, same = thing(image[None], mask[None])
    np.testing.assert_array_equal(next(iter(eye(same).class_maps(thin))).values[0], flat.values)


def test_boxes_that_prompt():
    mask = np.zeros((5, 8, 9), bool)
    mask[1, 2:4, 3:6] = mask[3, 5, 7] = True
    each = filled_boxes(mask, solid=False)
    assert each[1].sum() == 6
    assert each[3].sum() == 1
    assert not each[[0, 2, 4]].any()
    solid = filled_boxes(mask, solid=True)
    assert (solid[1:4] == solid[2]).all()
    assert solid[2].sum() == 4 * 5
    assert not solid[[0, 4]].any()


def test_other_weights_are_refused_or_taken_by_name(tmp_path, monkeypatch):
    _, dataset = thing(*ball())
    monkeypatch.setattr("aleaseg.extractors.own.SHA256", "0" * 64)
    with pytest.raises(WeightsRefused, match="not the file that came with the package; install it again"):
        eye(dataset).load()
    assert eye(dataset, weights="random:3").identity()["weights"] == "random (seed 3)"
    other = tmp_path / "other.safetensors"
    other.write_bytes(Path(str(files("aleaseg.networks") / "prompted.safetensors")).read_bytes())
    assert eye(dataset, weights=str(other)).network is not None
    assert len(eye(dataset, weights=str(other)).identity()["weights"]) == 64


@pytest.mark.parametrize("normalize", ["raw", "foreground"])
@pytest.mark.parametrize("prompt", ["label_slice_boxes", "label_box"])
def test_it_sees_what_it_would_see_of_the_whole_volume_normalised(prompt, normalize):
    image, mask = ball((9, 70, 90))
    case, dataset = thing(image, mask, ("ball",))
    one = eye(dataset, prompt=prompt, normalize=normalize)
    (found,) = one.class_maps(case)
    region = torch.from_numpy(filled_boxes(mask > 0, solid=prompt == "label_box"))
    part = slice(*found.z_range)
    seen = one.normalized(case, image, mask)
    if normalize == "foreground":
        whole = foreground_normalized(image, mask)
        np.testing.assert_array_equal(seen, unit(whole, float(whole.min()), float(whole.max())))
    logits, _ = look(one.network, torch.from_numpy(seen[part]), region[part])
    np.testing.assert_array_equal(found.values, logits.numpy())
    outline = Opinions(None, dataset)._prediction(mask.shape, "own", {"ball": one.opinions(case)["ball"]})
    assert found.overlap == pytest.approx(dice(outline.mask("ball"), mask > 0), abs=2e-3)


@pytest.mark.parametrize(("shape", "thick"), [((9, 300, 380), 130), ((9, 70, 90), 12), ((3, 30, 40), 25)])
@pytest.mark.parametrize("scale", [None, 1])
def test_whole_numbers_and_a_few_slices_at_a_time_change_nothing(shape, thick, scale, monkeypatch):
    """Windows larger and smaller than the network's square, beyond the border too."""
    monkeypatch.setattr(regions, "_SLAB", 2 * shape[1] * shape[2])
    rng = np.random.default_rng(1)
    mask = np.zeros(shape, np.int16)
    mask[1:, 5 : 5 + thick, -thick:] = 1
    image = rng.integers(-1000, 1000, shape).astype(np.int16)
    case, dataset = thing(image.astype(np.float32), mask, ("block",))
    for normalize in ("raw", "foreground"):
        one = eye(dataset, prompt="label_slice_boxes", normalize=normalize)
        held = loaded(case, Stored((image,), (None,), case.read_geometry()), mask)
        if scale:
            held = loaded(case, Stored((image,), ((1.0, 0.0),), case.read_geometry()), mask)
        (found,) = one.class_maps(held)
        seen = one.normalized(case, image.astype(np.float32), mask)
        region = torch.from_numpy(filled_boxes(mask > 0, solid=False))
        logits, _ = look(one.network, torch.from_numpy(seen[1:]), region[1:])
        np.testing.assert_array_equal(found.values, logits.numpy())
        said = one.opinions(held)["block"]
        outline = paste(torch.from_numpy(said.logits), said.window, shape[1:]).numpy() > 0
        assert said.first == 1
        assert found.overlap == dice(outline, mask[1:] > 0)


# -- opinions of a data set -------------------------------------------------------------------------


def test_opinions_are_given_once_and_anew_where_a_file_changes(tmp_path, write_small, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    write_small(tmp_path / "data", 3)
    dataset, run = open_dataset(tmp_path / "data"), Run(tmp_path / "run")
    steps = []
    about = give_opinions(run, dataset, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert about["failed"] == {}
    written = {case.id: run.prediction_file(case.id).stat().st_mtime_ns for case in dataset.cases}
    first = dataset.cases[0].label_files[0]
    first.touch()
    give_opinions(run, dataset)
    again = {case.id: run.prediction_file(case.id).stat().st_mtime_ns for case in dataset.cases}
    assert [case for case in written if written[case] != again[case]] == [dataset.cases[0].id]


def test_opinions_are_of_the_channel_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    image, mask = ball()
    case, dataset = thing(image, mask)
    both = Voxels(
        np.stack([np.random.default_rng(1).normal(0, 1, image.shape), image]), case.read_geometry()
    )
    two = replace(dataset, cases=(replace(case, read_image=lambda: both),), channels=("T1", "T2"))
    found = {}
    for channel in (0, 1):
        run = Run(tmp_path / str(channel))
        give_opinions(run, two, channel=channel)
        (found[channel],) = Opinions(run, two).read(case)
    assert dice(found[1].mask("ball"), mask > 0) > 0.85
    assert dice(found[1].mask("ball"), mask > 0) > dice(found[0].mask("ball"), mask > 0)


def test_one_bad_case_stops_nobody(tmp_path, write_small, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    write_small(tmp_path / "data", 3)
    dataset = open_dataset(tmp_path / "data")
    dataset.cases[1].image_files[0].write_bytes(b"nothing")
    about = give_opinions(Run(tmp_path / "run"), dataset)
    assert list(about["failed"]) == [dataset.cases[1].id]
    assert len(list((tmp_path / "run" / "predictions").glob("*"))) == 2


# -- as typed ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fast(tmp_path_factory, write_small, type_aleaseg):
    folder = tmp_path_factory.mktemp("fast")
    write_small(folder / "data", 24)
    done = type_aleaseg("audit", folder / "data", "-o", folder / "run", "--fast", timeout=600)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_an_audit_without_training(fast):
    folder, done = fast
    assert "Looking at masks" in done.stderr
    assert "Cross-fitting" not in done.stderr
    run = Run(folder / "run")
    assert run.manifest["predictions"]["source"] == "own"
    assert run.manifest["extractor"]["name"] == "own"
    assert not (folder / "run" / "models").exists()
    cases = run.cases
    assert cases[["doubt", "image_doubt", "label_doubt", "auv", "oof_dice"]].notna().all().all()
    assert "No network was trained on this data" in " ".join(done.stdout.split())
    # The prediction is that network's outline already: it gives no second opinion on itself.
    assert "own_dice" not in set(run.measures["measure"])
    assert (folder / "run" / "report" / "index.html").exists()


def test_new_cases_against_it(fast, tmp_path, write_small, type_here):
    folder, _ = fast
    write_small(tmp_path / "new", 3, seed=5)
    refused = type_here("score", tmp_path / "new", "-o", tmp_path / "no", "--reference", folder / "run")
    assert refused.returncode == 2
    assert "give --fast, as it did" in refused.stderr
    done = type_here(
        "score",
        tmp_path / "new",
        "-o",
        tmp_path / "run",
        "--reference",
        folder / "run",
        "--fast",
    )
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "run" / "cases.csv")["doubt"].notna().all()


def test_fast_and_predictions_exclude_one_another(fast, tmp_path, type_here):
    folder, _ = fast
    done = type_here(
        "audit",
        folder / "data",
        "-o",
        tmp_path / "run",
        "--fast",
        "--predictions",
        folder / "data" / "labelsTr",
    )
    assert done.returncode == 2
    assert "leave --fast or --predictions out" in done.stderr


def test_without_labels_fast_is_the_image_axis_alone(fast, tmp_path, type_here):
    folder, _ = fast
    shutil.copytree(folder / "data" / "imagesTr", tmp_path / "images")
    done = type_here("score", tmp_path / "images", "-o", tmp_path / "run", "--fast")
    assert done.returncode == 0, done.stderr
    assert Run(tmp_path / "run").manifest["extractor"]["name"] == "variance"
    unlabelled = open_dataset(tmp_path / "images")
    with pytest.raises(UsageError, match="looks at labels"):
        checked(ExtractorSettings("own"), unlabelled, None)


def test_a_prompt_from_predictions_needs_no_label():
    image, mask = ball()
    case, dataset = thing(image, mask)

    class One:
        def mask(self, name):
            return mask > 0 if name == "ball" else np.zeros(mask.shape, bool)

    class Some:
        source = "folder"

        def read(self, case):
            return [One()]

    bare = replace(case, read_label=None)
    found = list(eye(dataset, Some(), prompt="pseudo", normalize="raw").class_maps(bare))
    assert found[0].values.shape[1:] == (64, 64)
    assert found[1] == NoMap("none", "no_box")
