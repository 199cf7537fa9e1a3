"""What `aleaseg export` writes, as a user types it."""

import json
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image

import aleaseg
from aleaseg.readers import open_dataset
from aleaseg.where.files import difference
from aleaseg.where.keeping import kept_map, suspects

SHIFTED = "case <03>"


def dataset_of(run):
    return open_dataset(run.manifest["settings"]["dataset"])


def test_the_suspects_as_nifti_on_their_masks_grid(mapped, tmp_path, type_aleaseg):
    out = tmp_path / "out put"
    done = type_aleaseg("export", mapped.path, "-o", out)
    assert done.returncode == 0, done.stderr
    assert "high = doubtful" in " ".join(done.stdout.split())
    folders = sorted(path.name for path in out.iterdir())
    assert len(folders) == len(suspects(mapped.cases))
    (folder,) = [path for path in out.iterdir() if path.name.startswith("case__03_")]
    mask = nibabel.load(next(iter(dataset_of(mapped)[SHIFTED].label_files)))
    found = {path.name.partition(".")[0]: nibabel.load(path) for path in folder.iterdir()}
    assert set(found) == {"doubt", "prediction", "disagreement"}
    for one in found.values():
        assert one.shape == mask.shape
        np.testing.assert_allclose(one.affine, mask.affine, atol=1e-5)
    doubt = np.asarray(found["doubt"].dataobj)
    np.testing.assert_allclose(doubt.T, kept_map(mapped, SHIFTED).doubt(), atol=1e-6)
    assert doubt.dtype == np.float32
    assert 0.5 < doubt.max() <= 1
    label, other = np.asarray(mask.dataobj), np.asarray(found["prediction"].dataobj)
    np.testing.assert_array_equal(np.asarray(found["disagreement"].dataobj) > 0, label != other)


def test_named_cases_are_written_whether_suspects_or_not(mapped, tmp_path, type_here):
    fine = next(case for case in mapped.cases["case"] if case not in suspects(mapped.cases))
    done = type_here("export", mapped.path, "-o", tmp_path / "out", "--cases", fine)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "out").iterdir()
    doubt = np.asarray(nibabel.load(folder / "doubt.nii.gz").dataobj)
    assert 0 < doubt.max() <= 1


def test_what_cannot_work_is_refused(mapped, tmp_path, type_here):
    done = type_here("export", mapped.path, "-o", tmp_path / "out", "--cases", "case <99>")
    assert done.returncode == 2
    assert "has no case" in done.stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    done = type_here("export", mapped.path, "-o", tmp_path / "full")
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    assert not (tmp_path / "out").exists()


def test_a_bad_case_is_named_and_the_others_are_written(mapped, tmp_path, type_here):
    run = tmp_path / "run"
    shutil.copytree(mapped.path, run)
    data = tmp_path / "data"
    shutil.copytree(dataset_of(mapped).root, data)
    about = json.loads((run / "manifest.json").read_text())
    about["settings"]["dataset"] = str(data)
    (run / "manifest.json").write_text(json.dumps(about))
    (data / "labelsTr" / f"{SHIFTED}.nii.gz").write_bytes(b"")
    done = type_here("export", run, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert SHIFTED in done.stdout + done.stderr
    assert len(list((tmp_path / "out").iterdir())) == len(suspects(mapped.cases)) - 1


def pictures(folder, count=22):
    """Discs on noise as PNG; the seventh is drawn in blocks."""
    rows, columns = np.mgrid[:40, :44]
    for name in ("images", "masks", "predictions"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        radius = 11 + rng.uniform(-0.5, 0.5)
        disc = ((rows - 20 - rng.uniform(-1, 1)) ** 2 + (columns - 22) ** 2 < radius**2).astype(np.uint8)
        image = (60 * disc + rng.normal(90, 12, disc.shape)).clip(0, 255).astype(np.uint8)
        mask = np.kron(disc[2::5, 2::5], np.ones((5, 5), np.uint8))[:40, :44] if number == 7 else disc
        mask = np.pad(mask, ((0, 0), (0, disc.shape[1] - mask.shape[1])))
        Image.fromarray(image).save(folder / "images" / f"p{number:02d}.png")
        Image.fromarray(mask).save(folder / "masks" / f"p{number:02d}.png")
        Image.fromarray(disc).save(folder / "predictions" / f"p{number:02d}.png")
    return folder


def test_pictures_are_written_as_pictures(tmp_path, type_here):
    folder = pictures(tmp_path / "data")
    predictions = folder.rename(tmp_path / "data_") / "predictions"
    predictions = predictions.rename(tmp_path / "predictions")
    (tmp_path / "data_").rename(folder)
    run = aleaseg.audit(folder, tmp_path / "run", extractor="variance", predictions=str(predictions))
    done = type_here("export", run.path, "-o", tmp_path / "out", "--cases", "p07")
    assert done.returncode == 0, done.stderr
    found = {path.name: np.asarray(Image.open(path)) for path in (tmp_path / "out" / "p07").iterdir()}
    assert set(found) == {"doubt.png", "prediction.png", "disagreement.png"}
    doubt = found["doubt.png"]
    assert doubt.dtype == np.uint8
    apart = found["disagreement.png"] > 0
    assert doubt[apart].mean() > 128 > 3 * doubt[~apart].mean()


def test_arrays_are_written_as_arrays(tmp_path, type_here):
    rng = np.random.default_rng(0)
    for number in range(21):
        label = np.zeros((6, 16, 16), np.uint8)
        label[1:5, 4 : 12 + number % 2, 4:12] = 1
        (tmp_path / "npz").mkdir(exist_ok=True)
        np.savez(
            tmp_path / "npz" / f"a{number:02d}.npz",
            imgs=(label * 80 + rng.integers(20, 60, label.shape)).astype(np.uint8),
            gts=label,
            spacing=np.array([1.0, 1.0, 2.5]),
        )
    run = aleaseg.audit(tmp_path / "npz", tmp_path / "run", extractor="variance", predictions="own")
    done = type_here("export", run.path, "-o", tmp_path / "out", "--cases", "a03")
    assert done.returncode == 0, done.stdout + done.stderr
    with np.load(tmp_path / "out" / "a03" / "doubt.npz", allow_pickle=False) as found:
        assert found["doubt"].shape == found["prediction"].shape == (6, 16, 16)
        assert 0 <= found["doubt"].min() <= found["doubt"].max() <= 1


def test_what_is_there_once_where_two_differ():
    mask, predicted = np.meshgrid(range(4), range(4))
    found = difference(mask, predicted, ignore=3)
    for m, p, code in zip(mask.ravel(), predicted.ravel(), found.ravel(), strict=True):
        expected = 0 if m in (p, 3) else 1 if p == 0 else 2 if m == 0 else 3
        assert code == expected, (m, p)


@pytest.mark.parametrize("words", [("export",), ("export", "nowhere", "-o", "x")])
def test_the_help_and_a_wrong_folder(type_here, tmp_path, words):
    done = type_here(*words)
    assert done.returncode == 2
