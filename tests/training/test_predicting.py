"""Masks on the images' own grids, that other programs read; nothing overwritten, nobody held up."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from aleaseg.case import Geometry
from aleaseg.errors import AleasegError, SettingsDiffer, UsageError
from aleaseg.evaluation import EvaluationSettings, evaluate
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import read_image, read_label, write_nifti, write_png
from aleaseg.training import PredictSettings, TrainerSettings, predict, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory, write_small):
    """A data set of ten cases, and a model of it after forty steps."""
    folder = tmp_path_factory.mktemp("trained")
    write_small(folder / "data", 10, faults=False, shape=(8, 12, 12))
    settings = TrainerSettings(str(folder / "data"), steps=40, epochs=2, batch=2, device="cpu")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.cpu_count", lambda: 1)
        return train(settings, folder / "model").model, folder / "data"


@pytest.fixture
def asked(trained):
    """asked(images, **more) -> settings."""
    model, _ = trained
    return lambda images, **more: PredictSettings(str(model.path), str(images), device="cpu", **more)


def test_held_out_cases_are_predicted_on_their_own_grid_and_evaluate_reads_them(trained, asked, tmp_path):
    model, data = trained
    told = []
    done = predict(
        asked(data, held_out=True, probabilities=True),
        tmp_path / "out",
        progress=lambda *three: told.append(three),
    )
    held = model.plan.held_out
    assert sorted(done.masks) == list(held)
    assert done.failed == {}
    assert told == [("predict", 0, 2), ("predict", 1, 2), ("predict", 2, 2)]
    for case, mask in done.masks.items():
        found, image = read_label(mask, case), read_image([data / "imagesTr" / f"{case}_0000.nii.gz"], case)
        assert found.geometry == image.geometry
        if image.geometry.affine is not None:
            np.testing.assert_allclose(found.geometry.affine, image.geometry.affine)
        assert set(np.unique(found.array)) == {0, 1, 2}
        with np.load(mask.with_name(f"{case}.npz")) as archive:
            soft = archive["probabilities"].astype(np.float32)
        assert soft.shape == (3, *image.geometry.shape)
        np.testing.assert_allclose(soft.sum(axis=0), 1, atol=4e-3)
        sure = np.sort(soft, axis=0)
        clear = sure[-1] - sure[-2] > 0.01
        np.testing.assert_array_equal(soft.argmax(axis=0)[clear], found.array[clear])
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "left": 1, "right": 2}
    assert about["file_ending"] == ".nii.gz"
    settings = EvaluationSettings(str(data), str(tmp_path / "out"), only_predicted=True)
    summary = evaluate(settings, tmp_path / "evaluation", workers=1).summary.set_index(["metric", "class"])
    assert summary.loc[("dice", "all"), "mean"] > 0.7
    assert summary.loc[("ece", "all"), "cases"] == 2


def test_nothing_is_overwritten_and_what_is_there_is_not_made_again(trained, asked, tmp_path):
    _, data = trained
    settings = asked(data, held_out=True)
    first, second = predict(settings, tmp_path / "out").masks.values()
    first.unlink()
    second.write_bytes(b"mine")
    again = predict(settings, tmp_path / "out")
    assert first.exists()
    assert second.read_bytes() == b"mine"
    assert len(again.masks) == 2
    with pytest.raises(SettingsDiffer, match="probabilities: False then, True now"):
        predict(replace(settings, probabilities=True), tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        predict(settings, tmp_path / "other")


def test_bad_images_are_named_and_the_others_are_predicted(trained, asked, tmp_path, small_case):
    images = tmp_path / "imagesTs"
    images.mkdir()
    geometry = Geometry((8, 12, 12), (2.0, 1.0, 1.0), None)
    good = small_case(50, shape=(8, 12, 12))[0]
    write_nifti(images / "good_0000.nii.gz", good, geometry)
    write_nifti(images / "nan_0000.nii.gz", np.full((8, 12, 12), np.nan, np.float32), geometry)
    write_nifti(images / "flat_0000.nii.gz", good[0], Geometry((12, 12), (1.0, 1.0), None))
    write_nifti(images / "two_0000.nii.gz", good, geometry)
    write_nifti(images / "two_0001.nii.gz", good, geometry)
    (images / "text_0000.nii.gz").write_text("no image")
    huge = Geometry((8, 12, 12), (200.0, 100.0, 100.0), None)
    write_nifti(images / "huge_0000.nii.gz", good, huge)
    done = predict(asked(images), tmp_path / "out")
    assert list(done.masks) == ["good"]
    assert (tmp_path / "out" / "good.nii.gz").is_file()
    assert sorted(done.failed) == ["flat", "huge", "nan", "text", "two"]
    assert all(text.startswith(f"{case}: ") for case, text in done.failed.items())
    assert "1 files" in done.failed["two"]
    assert "NaN" in done.failed["nan"]


def test_one_file_and_a_format_that_is_not_written(trained, asked, tmp_path):
    import SimpleITK

    _, data = trained
    source = sorted((data / "imagesTr").iterdir())[0]
    alone = predict(asked(source), tmp_path / "alone")
    assert [path.name for path in alone.masks.values()] == ["g0_00.nii.gz"]
    folder = tmp_path / "images"
    folder.mkdir()
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(source)), str(folder / "scan.nrrd"))
    done = predict(asked(folder), tmp_path / "out")
    mask = done.masks["scan"]
    assert mask.name == "scan.nii.gz"
    np.testing.assert_array_equal(
        read_label(mask, "scan").array, read_label(alone.masks["g0_00"], "a").array
    )
    (tmp_path / "image.txt").write_text("no image")
    with pytest.raises(UsageError, match="cannot be read as an image"):
        predict(asked(tmp_path / "image.txt"), tmp_path / "none")
    with pytest.raises(UsageError):
        predict(asked(tmp_path / "nowhere"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_pictures_get_pictures(tmp_path, one_process):
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index in range(6):
        mask = np.zeros((24, 28), np.uint8)
        mask[6:16, 8 + index : 20] = 1
        image = (60 + 120 * mask + rng.normal(0, 9, mask.shape)).clip(0, 255).astype(np.uint8)
        write_png(tmp_path / "data" / "images" / f"c{index}.png", image)
        write_png(tmp_path / "data" / "masks" / f"c{index}.png", mask * 255)
    settings = TrainerSettings(str(tmp_path / "data"), steps=2, epochs=1, batch=2, device="cpu")
    model = train(settings, tmp_path / "model").model
    done = predict(PredictSettings(str(model.path), str(tmp_path / "data"), device="cpu"), tmp_path / "out")
    assert sorted(path.name for path in done.masks.values()) == [f"c{index}.png" for index in range(6)]
    with Image.open(done.masks["c0"]) as picture:
        assert picture.size == (28, 24)
        assert set(np.unique(np.asarray(picture))) <= {0, 1}
    found = evaluate(
        EvaluationSettings(str(tmp_path / "data"), str(tmp_path / "out")), tmp_path / "eval", workers=1
    )
    assert not found.errors


def test_a_full_disk_stops_and_keeps_what_is_finished(trained, asked, tmp_path, monkeypatch):
    import errno

    from aleaseg.training import predicting

    _, data = trained
    written, write = [], predicting.write_nifti

    def full(path, array, geometry):
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, array, geometry)

    with monkeypatch.context() as patched:
        patched.setattr(predicting, "write_nifti", full)
        with pytest.raises(AleasegError, match=r"mask of \w+ could not be written .*No space left"):
            predict(asked(data, held_out=True), tmp_path / "out")
    assert written[0].exists()
    assert len(predict(asked(data, held_out=True), tmp_path / "out").masks) == 2


def test_channels_in_files_of_their_own(tmp_path):
    from aleaseg.training.images import open_images

    for name in ("a_0000", "a_0001", "b_0000", "c_0001", "c_0000", "d_0000", "d_0001", "d_0002"):
        write_nifti(
            tmp_path / f"{name}.nii.gz",
            np.ones((3, 4, 5), np.float32),
            Geometry((3, 4, 5), (1.0, 1.0, 1.0), None),
        )
    cases, wrong = open_images(tmp_path, 2)
    # One file may hold both channels: that is seen when it is read.
    assert [(case.id, len(case.image_files)) for case in cases] == [("a", 2), ("b", 1), ("c", 2)]
    assert [finding.case for finding in wrong] == ["d"]
    assert [path.name for path in cases[2].image_files] == ["c_0000.nii.gz", "c_0001.nii.gz"]


def test_series_whose_ids_are_paths_get_files(trained, asked, tmp_path):
    from aleaseg.training.predicting import _files

    _, data = trained
    first, second, third = open_dataset(data).cases[:3]
    cases = [replace(first, id="p1/ct"), replace(second, id="p2/ct"), replace(third, id="p1_ct")]
    masks, failed = _files(cases, tmp_path)
    assert {case: path.name for case, path in masks.items()} == {
        "p1/ct": "p1_ct.nii.gz",
        "p2/ct": "p2_ct.nii.gz",
    }
    assert failed["p1_ct"].startswith("p1_ct: found the name p1_ct, which is also that of p1/ct")


def test_a_held_out_case_that_is_not_there(trained, asked, tmp_path, small_case):
    folder = tmp_path / "images"
    folder.mkdir()
    write_nifti(
        folder / "new.nii.gz",
        small_case(7, shape=(8, 12, 12))[0],
        Geometry((8, 12, 12), (2.0, 1.0, 1.0), None),
    )
    with pytest.raises(UsageError, match="holds no case that the training held out to predict"):
        predict(asked(folder, held_out=True), tmp_path / "out")


@pytest.fixture(scope="module")
def several(tmp_path_factory, write_small):
    """A data set, and small models of it: two plain ones, one with dropout, one evidential, one of other classes."""
    folder = tmp_path_factory.mktemp("several")
    write_small(folder / "data", 8, faults=False, shape=(8, 12, 12))
    found = {"data": folder / "data"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.cpu_count", lambda: 1)
        for name, more in {
            "one": {},
            "two": {"seed": 1},
            "dropout": {"dropout": 0.2},
            "edl": {"objective": "edl"},
            "other": {"classes": "left"},
        }.items():
            settings = TrainerSettings(
                str(folder / "data"), steps=12, epochs=1, batch=2, device="cpu", **more
            )
            found[name] = train(settings, folder / name).model.path
    return found


def _maps(done):
    """case -> (probabilities, uncertainty, labels)."""
    found = {}
    for case, mask in done.masks.items():
        with np.load(mask.with_name(f"{case}.npz")) as archive:
            found[case] = (
                archive["probabilities"].astype(np.float32),
                archive["uncertainty"].astype(np.float32),
                read_label(mask, case).array,
            )
    return found


def _ask(several, name, out, **more):
    return _maps(
        predict(
            PredictSettings(
                str(several[name]),
                str(several["data"]),
                held_out=True,
                probabilities=True,
                device="cpu",
                **more,
            ),
            out,
        )
    )


def test_uncertainty_is_the_entropy_and_of_evidence_k_over_a(several, tmp_path):
    for p, u, _ in _ask(several, "one", tmp_path / "plain").values():
        entropy = -(p * np.log(np.clip(p, 1e-7, 1))).sum(axis=0) / np.log(3)
        np.testing.assert_allclose(u, entropy, atol=0.02)
    for p, u, label in _ask(several, "edl", tmp_path / "edl").values():
        assert u.min() > 0
        assert u.max() <= 1
        # alpha = p A with A = 3 / u, and no alpha is below 1: what a softmax would not know.
        assert (p * 3 / u >= 1 - 0.02).all()
        sure = np.sort(p, axis=0)
        clear = sure[-1] - sure[-2] > 0.01
        np.testing.assert_array_equal(p.argmax(axis=0)[clear], label[clear])


def test_an_ensemble_is_the_mean_of_its_members_probabilities(several, tmp_path):
    one, two = (_ask(several, name, tmp_path / name) for name in ("one", "two"))
    both = _ask(several, "one", tmp_path / "both", members=str(several["two"]))
    for case, (p, u, _) in both.items():
        mean = (one[case][0] + two[case][0]) / 2
        np.testing.assert_allclose(p, mean, atol=2e-3)
        entropy = -(mean * np.log(np.clip(mean, 1e-7, 1))).sum(axis=0) / np.log(3)
        np.testing.assert_allclose(u, entropy, atol=0.02)


def test_the_networks_of_cross_fitting_are_an_ensemble(several, tmp_path):
    from aleaseg.predictions.crossfit import CrossfitSettings, crossfit
    from aleaseg.run import Run

    run = Run(tmp_path / "run")
    crossfit(run, open_dataset(several["data"]), CrossfitSettings(folds=2, steps=2, workers=1))
    done = predict(
        PredictSettings(str(run.path), str(several["data"]), probabilities=True, device="cpu"),
        tmp_path / "out",
    )
    assert len(done.masks) == 8
    assert len(Run(done.path).manifest["settings"]["weights"]) == 2
    (run.path / "models" / "fold_1.safetensors").unlink()
    with pytest.raises(UsageError, match=r"fold_1\.safetensors does not exist"):
        predict(PredictSettings(str(run.path), str(several["data"]), device="cpu"), tmp_path / "again")


def test_dropout_is_drawn_by_seed_and_case_and_asked_for_where_there_is_some(several, tmp_path):
    first, again, other, plain = (
        _ask(several, "dropout", tmp_path / name, **more)
        for name, more in {
            "first": {"passes": 3},
            "again": {"passes": 3},
            "other": {"passes": 3, "seed": 1},
            "plain": {},
        }.items()
    )
    for case, (p, _, _) in first.items():
        np.testing.assert_array_equal(p, again[case][0])
        assert not np.array_equal(p, other[case][0])
        assert not np.array_equal(p, plain[case][0])
    with pytest.raises(UsageError, match="has none; train it with --dropout"):
        _ask(several, "one", tmp_path / "none", passes=3)


def test_mirrored_images_are_turned_back(several, tmp_path):
    from aleaseg.training.asking import Asking

    class Places(torch.nn.Module):
        """Says 1 where the image is bright; blind to where that is."""

        divisor = (1, 1, 1)

        def forward(self, x):
            return torch.cat((-x, x), dim=1)

    image = np.random.default_rng(0).normal(size=(1, 4, 6, 5)).astype(np.float32)
    single, kind = Asking([Places()], (4, 6, 5))("c", image)
    assert kind == "logit"
    np.testing.assert_allclose(single[1], image[0], atol=1e-5)
    flipped, kind = Asking([Places()], (4, 6, 5), flips=True)("c", image)
    assert kind == "probability"
    np.testing.assert_allclose(flipped[1], 1 / (1 + np.exp(-2 * image[0])), atol=1e-5)
    evidence, kind = Asking([Places()], (4, 6, 5), evidential=True, flips=True)("c", image)
    assert kind == "evidence"
    np.testing.assert_allclose(evidence[1], image[0], atol=1e-5)
    found = _ask(several, "one", tmp_path / "flips", flips=True)
    plain = _ask(several, "one", tmp_path / "plain")
    assert any(not np.array_equal(found[case][0], plain[case][0]) for case in plain)


def test_noise_is_one_field_of_a_case_at_every_level(several, tmp_path):
    from aleaseg.run import Run
    from aleaseg.training.asking import add_noise

    image = np.zeros((2, 5, 6))
    weak, strong = add_noise(image, "c", 0, 0.1), add_noise(image, "c", 0, 0.3)
    np.testing.assert_allclose(3 * weak, strong, rtol=1e-6)
    assert not np.allclose(weak, add_noise(image, "d", 0, 0.1))
    assert not np.allclose(weak, add_noise(image, "c", 0, 0.1, seed=1))
    np.testing.assert_allclose(add_noise(image, "c", 0.5, 0.1), 0.5 + weak, rtol=1e-5)
    assert abs(float(add_noise(np.zeros((1, 200, 200)), "c", 0, 1).std()) - 1) < 0.02
    clean = _ask(several, "one", tmp_path / "clean")
    noisy = _ask(several, "one", tmp_path / "noisy", noise="0.5")
    assert Run(tmp_path / "noisy").manifest["settings"]["noise"] == [0.0, 0.5]
    assert all(not np.array_equal(noisy[case][0], clean[case][0]) for case in clean)
    assert PredictSettings("", "", noise="mu=0.1,sigma=0.3").noise == (0.1, 0.3)
    assert PredictSettings("", "", noise=0.2).noise == (0.0, 0.2)
    for wrong in ("much", "-1", "mu=1,size=2", "nan"):
        with pytest.raises(UsageError, match="expected its standard deviation"):
            PredictSettings("", "", noise=wrong)


def test_what_does_not_go_together_is_refused(several, tmp_path):
    with pytest.raises(UsageError, match=r"differs from .* in its classes"):
        _ask(several, "one", tmp_path / "a", members=str(several["other"]))
    with pytest.raises(UsageError, match="some of the models are evidential"):
        _ask(several, "one", tmp_path / "b", members=str(several["edl"]))
    assert not (tmp_path / "a").exists()


def test_a_folder_of_predictions_states_its_uncertainty(several, tmp_path):
    from aleaseg.errors import ShapeMismatch, Unreadable
    from aleaseg.predictions.folder import read_prediction

    maps = _ask(several, "edl", tmp_path / "edl")
    dataset = open_dataset(several["data"])
    case_id, (p, u, _) = next(iter(maps.items()))
    path = tmp_path / "edl" / f"{case_id}.npz"
    found = read_prediction(path, dataset[case_id], dataset)
    np.testing.assert_allclose(found.uncertainty(), u)
    for wrong, error in ((u[1:], ShapeMismatch), (u * 3, Unreadable), (u * np.nan, Unreadable)):
        np.savez(tmp_path / "wrong.npz", probabilities=p, uncertainty=wrong)
        with pytest.raises(error, match="uncertainty"):
            read_prediction(tmp_path / "wrong.npz", dataset[case_id], dataset)


def test_cases_that_a_model_was_trained_on_are_told(several, tmp_path):
    from aleaseg.run import Run

    def asked(**more):
        return PredictSettings(str(several["one"]), str(several["data"]), device="cpu", **more)

    done = predict(asked(), tmp_path / "all")
    (note,) = done.notes
    assert "of the 8 cases have the ids of cases that a model was trained on" in note
    assert Run(done.path).manifest["notes"] == [note]
    assert predict(asked(held_out=True), tmp_path / "held").notes == ()
