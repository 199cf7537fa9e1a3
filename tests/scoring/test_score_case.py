"""One case: every number is that of the whole volume, class by class, and every file is read once."""

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from aleaseg.case import Dataset, Geometry
from aleaseg.extractors import ExtractorSettings, make_extractor
from aleaseg.measures import image_quality
from aleaseg.measures import regions as regions_module
from aleaseg.measures.boundary import boundary_contrast, boundary_shape
from aleaseg.measures.image_quality import image_statistics
from aleaseg.measures.label_agreement import softmin
from aleaseg.measures.mask_quality import mask_statistics
from aleaseg.predictions import Prediction
from aleaseg.predictions.folder import PredictionFolder
from aleaseg.readers import nifti
from aleaseg.readers.voxels import lazy_case, write_nifti
from aleaseg.scoring.record import score_case

SHAPE, SPACING, IGNORED = (14, 24, 22), (2.0, 0.75, 0.5), 9  # a header holds single precision
# One class of several values, two that overlap, one that is nowhere.
CLASSES = {"one": (1,), "both": (2, 3), "outer": (1, 2, 3, 4), "none": (7,)}
VALUES = (1, 2, 3, 4, 7)


def scene(seed, shape=SHAPE, background=0.5):
    """A label map of blobs, one channel of grey values in 16 bits, and a prediction that is a little off."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    shares = background + (1 - background) * np.array([0, 0.4, 0.6, 0.8])
    label = np.digitize(field, np.quantile(field, shares)).astype(np.uint8)
    label[rng.random(shape) < 0.02] = IGNORED
    label[0, 0, :3] = 6  # what nobody declares
    image = np.rint(40 * label + rng.normal(0, 12, shape) - 1000).astype(np.int16)
    predicted = np.roll(np.where(label > 4, 0, label), 1, axis=2)
    return image, label, predicted


def made(folder, seed=0, shape=SHAPE, channels=1, background=0.5):
    image, label, predicted = scene(seed, shape, background)
    geometry = Geometry(shape, SPACING, None)
    images = [folder / "images" / f"a_{number:04d}.nii.gz" for number in range(channels)]
    for number, path in enumerate(images):
        write_nifti(path, (image + 3 * number * np.arange(shape[2])).astype(np.int16), geometry)
    write_nifti(folder / "labels" / "a.nii.gz", label, geometry)
    write_nifti(folder / "predictions" / "a.nii.gz", predicted, geometry)
    case = lazy_case("a", images, folder / "labels" / "a.nii.gz", channels=channels)
    names = tuple(f"MR {number}" for number in range(channels))
    dataset = Dataset("d", folder, "nnunet", (case,), CLASSES, names, IGNORED, declared=VALUES)
    return case, dataset, PredictionFolder(folder / "predictions", dataset)


def by_the_book(case, dataset, predicted):
    """Measure, variant, class -> value, from whole volumes, one class after another."""
    image, label = case.read_image().array, case.read_label().array
    valid, found, several = label != IGNORED, {}, len(image) > 1
    for number, channel in enumerate(image):
        for name, value in image_statistics(channel, SPACING).items():
            found[f"img_{name}{f'_{number}' if several else ''}", "", ""] = value
    for name, values in CLASSES.items():
        mask = np.isin(label, values)
        for measure, value in (*mask_statistics(mask, SPACING).items(), *boundary_shape(mask).items()):
            found[measure, "", name] = value
        for number, channel in enumerate(image):
            for measure, value in boundary_contrast(mask, channel, valid).items():
                found[measure, str(number) if several else "", name] = value
        one, other = mask & valid, np.isin(predicted, values) & valid
        total = one.sum() + other.sum()
        found["oof_dice", "", name] = 2 * (one & other).sum() / total if total else np.nan
        if not one.any():
            found["false_positive_mm3", "", name] = other.sum() * np.prod(SPACING)
    return found


def assert_same(record, expected):
    rows = {(row.measure, row.variant, row.class_name): row.value for row in record.measures}
    assert len(rows) == len(record.measures), "a number twice"
    known = {key: float(value) for key, value in expected.items() if np.isfinite(value)}
    assert {key: value for key, value in rows.items() if value is not None} == known
    assert set(rows) == set(expected)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_every_number_is_that_of_whole_volumes(tmp_path, monkeypatch, seed, channels):
    case, dataset, predictions = made(tmp_path, seed, channels=channels)
    expected = by_the_book(case, dataset, scene(seed)[2])
    monkeypatch.setattr(regions_module, "_SLAB", 700)  # of less than two slices
    record, _ = score_case(case, dataset, predictions, None)
    assert record.error is None
    assert_same(record, expected)
    assert record.present == {"one": True, "both": True, "outer": True, "none": False}
    volumes = {row.class_name: row.value for row in record.measures if row.measure == "volume_mm3"}
    assert record.volume_mm3 == volumes


class Given:
    """Predictions that are there already."""

    source = "folder"

    def __init__(self, *found):
        self.found = list(found)

    def read(self, case):
        return self.found


@pytest.mark.parametrize("regions", [False, True])
def test_softmin_and_overlap_of_soft_predictions(tmp_path, regions):
    case, dataset, _ = made(tmp_path)
    label = case.read_label().array
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (len(CLASSES) if regions else 1 + len(VALUES), *SHAPE)).astype(np.float32)
    found = Prediction(logits, "logit", SHAPE, CLASSES, regions)
    record, _ = score_case(case, dataset, Given(found), None)
    rows = {(row.measure, row.variant, row.class_name): row.value for row in record.measures}
    valid = label != IGNORED
    if regions:
        masks = dict(zip(CLASSES, logits > 0, strict=True))
        p = 1 / (1 + np.exp(-logits.astype(float)))
        given = np.min(
            [np.where(np.isin(label, v), q, 1 - q) for v, q in zip(CLASSES.values(), p, strict=True)],
            axis=0,
        )
    else:
        winner = np.array([0, *VALUES])[logits.argmax(axis=0)]
        masks = {name: np.isin(winner, values) for name, values in CLASSES.items()}
        p = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=0)
        places = np.select([label == value for value in VALUES], range(1, 1 + len(VALUES)), 0)
        given = np.take_along_axis(p, places[None], axis=0)[0]
    seen = np.any(list(masks.values()), axis=0) & valid
    close = (
        ndimage.maximum_filter((seen | ((label != 0) & valid)).astype(np.uint8), 11, mode="constant") > 0
    )
    assert rows["softmin", "", ""] == pytest.approx(softmin(given[valid]), rel=1e-4)
    assert rows["softmin", "near", ""] == pytest.approx(softmin(given[valid & close]), rel=1e-4)
    for name, values in CLASSES.items():
        one, other = np.isin(label, values) & valid, masks[name] & valid
        assert rows["oof_dice", "", name] == pytest.approx(
            2 * (one & other).sum() / (one.sum() + other.sum()), nan_ok=True
        )


@pytest.mark.parametrize("eye", ["variance", "own"])
def test_each_file_is_read_once(tmp_path, monkeypatch, eye):
    case, dataset, predictions = made(tmp_path)
    read, headers = [], []
    voxels, header = nifti.read_voxels, nifti.read_header
    monkeypatch.setattr(nifti, "read_voxels", lambda path, *more: read.append(path) or voxels(path, *more))
    monkeypatch.setattr(
        nifti, "read_header", lambda path, *more: headers.append(path) or header(path, *more)
    )
    extractor = make_extractor(ExtractorSettings(eye), dataset, predictions)
    record, _ = score_case(case, dataset, predictions, extractor)
    assert record.error is None
    assert any(row.measure in ("intensity_variance", "perception_scale") for row in record.measures)
    files = [*case.image_files, *case.label_files, tmp_path / "predictions" / "a.nii.gz"]
    assert sorted(read) == sorted(files)
    # The voxels' reader looks at the header, and nobody looks again.
    assert [headers.count(path) for path in files[:2]] == [1, 1]


def test_memory_is_a_few_bytes_a_voxel(tmp_path, monkeypatch):
    shape = (50, 144, 144)
    case, dataset, predictions = made(tmp_path, shape=shape, background=0.95)
    score_case(case, dataset, predictions, None)
    # What is made of a part or a sample at a time does not grow with the volume.
    monkeypatch.setattr(regions_module, "_SLAB", 2**13)
    monkeypatch.setattr(image_quality, "_PART", 2**14)
    monkeypatch.setattr(image_quality, "_SAMPLE", 2000)
    monkeypatch.setattr(image_quality, "_LINES", 50)
    tracemalloc.start()
    try:
        score_case(case, dataset, predictions, None)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The image as it is stored 2, the label 2, the values 4, and what is made of them; boxes here are whole volumes.
    assert most / np.prod(shape) < 17
