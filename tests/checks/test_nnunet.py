"""What nnU-Net refuses is said, and what it takes is not: beside nnU-Net's own check where it is installed."""

import json
import multiprocessing
import shutil
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest

from aleaseg.case import Geometry
from aleaseg.checks import check
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import write_nifti

SHAPE = (4, 5, 6)


def geometry(spacing=(2.0, 1.0, 1.0)):
    return Geometry(
        SHAPE, spacing, np.diag([1.0, 1.0, 1.0, 1.0])[:, [2, 1, 0, 3]] @ np.diag([*spacing, 1.0])
    )


def write(root, case, label_name=None, image_name=None, label_spacing=(2.0, 1.0, 1.0)):
    rng = np.random.default_rng(int(case[1:]))
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 1:4, 1:5] = 1
    mask[2] = 2
    write_nifti(
        root / "imagesTr" / (image_name or f"{case}_0000.nii.gz"),
        rng.normal(size=SHAPE).astype(np.float32),
        geometry(),
    )
    write_nifti(root / "labelsTr" / (label_name or f"{case}.nii.gz"), mask, geometry(label_spacing))


def declare(root, **changes):
    declared = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "a": 1, "b": 2},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    declared = {key: value for key, value in {**declared, **changes}.items() if value is not None}
    (root / "dataset.json").write_text(json.dumps(declared))


def sound(root):
    for case in ("c0", "c1", "c2"):
        write(root, case)
    declare(root)


def rename(root, old, new):
    (root / old).rename(root / new)


def labels_carry_a_channel(root):
    for path in list((root / "labelsTr").iterdir()):
        path.rename(path.with_name(path.name.replace(".nii", "_0000.nii")))


def no_channels(root):
    for path in list((root / "imagesTr").iterdir()):
        path.rename(path.with_name(path.name.replace("_0000", "")))


def bom(root):
    (root / "dataset.json").write_bytes(b"\xef\xbb\xbf" + (root / "dataset.json").read_bytes())


def copied_by_a_mac(root):
    shutil.copy(root / "imagesTr/c0_0000.nii.gz", root / "imagesTr/._c0_0000.nii.gz")


# what is done -> the notes that say it; nothing: nnU-Net takes it, and so do we
DONE = {
    "nothing": (lambda root: None, set()),
    "another number": (lambda root: declare(root, numTraining=100), {"num_training"}),
    "no number": (lambda root: declare(root, numTraining=None), {"nnunet_keys"}),
    "no ending": (lambda root: declare(root, file_ending=None), {"nnunet_keys"}),
    "labels carry a channel": (labels_carry_a_channel, {"nnunet_label_names"}),
    "images carry none": (no_channels, {"nnunet_image_names"}),
    "one image carries none": (
        lambda root: rename(root, "imagesTr/c1_0000.nii.gz", "imagesTr/c1.nii.gz"),
        {"nnunet_image_names"},
    ),
    "capitals": (
        lambda root: rename(root, "imagesTr/c1_0000.nii.gz", "imagesTr/c1_0000.NII.GZ"),
        {"file_ending"},
    ),
    "a gap in the labels": (
        lambda root: declare(root, labels={"background": 0, "a": 1, "b": 2, "c": 4}),
        {"nnunet_labels"},
    ),
    "no background": (lambda root: declare(root, labels={"a": 1, "b": 2}), {"nnunet_labels"}),
    "ignore within": (
        lambda root: declare(root, labels={"background": 0, "a": 2, "ignore": 1}),
        {"nnunet_labels"},
    ),
    "ignore on top": (
        lambda root: declare(root, labels={"background": 0, "a": 1, "b": 2, "ignore": 3}),
        set(),
    ),
    "regions": (
        lambda root: declare(
            root, labels={"background": 0, "whole": [1, 2], "b": 2}, regions_class_order=[1, 2]
        ),
        set(),
    ),
    "a byte order mark": (bom, {"nnunet_json"}),
    "a shadow": (copied_by_a_mac, {"nnunet_hidden_files"}),
    "a label named otherwise": (
        lambda root: rename(root, "labelsTr/c1.nii.gz", "labelsTr/c1_seg.nii.gz"),
        {"names_differ"},
    ),
    "a spacing nearly the same": (
        lambda root: write(root, "c1", label_spacing=(2.002, 1.0, 1.0)),
        {"nnunet_spacing"},
    ),
    "another spacing": (
        lambda root: write(root, "c1", label_spacing=(2.5, 1.0, 1.0)),
        {"geometry", "nnunet_spacing"},
    ),
    "a label too many": (lambda root: write(root, "c7", image_name="c1_0000.nii.gz"), {"missing_image"}),
    "an image too many": (lambda root: write(root, "c7", label_name="c1.nii.gz"), {"missing_label"}),
    "folders in small letters": (lambda root: rename(root, "labelsTr", "labelstr"), {"nnunet_folders"}),
}
# A label without an image is nothing to nnU-Net.
TAKEN = ("a label too many",)


@pytest.mark.parametrize("what", DONE)
def test_what_is_said(tmp_path, what):
    sound(tmp_path)
    change, expected = DONE[what]
    change(tmp_path)
    assert {finding.check for finding in check(open_dataset(tmp_path)).findings} == expected


@pytest.mark.parametrize("what", DONE)
def test_nnunet_itself_says_so(tmp_path, what, monkeypatch):
    integrity = pytest.importorskip(
        "nnunetv2.experiment_planning.verify_dataset_integrity", reason="nnunetv2 is not installed"
    )
    from nnunetv2.utilities import utils

    class Threads:
        Pool = ThreadPool

    monkeypatch.setattr(utils, "Pool", ThreadPool)
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: Threads)
    sound(tmp_path)
    change, expected = DONE[what]
    change(tmp_path)
    try:
        integrity.verify_dataset_integrity(str(tmp_path), 2)
        refused = False
    except Exception:
        refused = True
    assert refused == (bool(expected) and what not in TAKEN)


def test_the_older_form_is_not_judged(tmp_path):
    sound(tmp_path)
    declare(
        tmp_path, channel_names=None, modality={"0": "MR"}, labels={"0": "background", "1": "a", "2": "b"}
    )
    assert check(open_dataset(tmp_path)).findings == ()


def test_regions_need_an_order(tmp_path):
    sound(tmp_path)
    declare(tmp_path, labels={"background": 0, "whole": [1, 2], "b": 2})
    assert {finding.check for finding in check(open_dataset(tmp_path)).findings} == {"nnunet_labels"}


@pytest.mark.parametrize(
    ("folds", "told"),
    [
        ([{"train": ["c0", "c1"], "val": ["c2"]}], []),
        ([{"train": ["c0", "c1"], "val": ["c9"]}], ["1 others: c9"]),
        ([{"train": ["c0", "c1"], "val": ["c1"]}], ["1: c1"]),
        ({"train": []}, ["what nnU-Net cannot read"]),
    ],
)
def test_splits_beside_the_data(tmp_path, folds, told):
    sound(tmp_path)
    (tmp_path / "splits_final.json").write_text(json.dumps(folds))
    findings = check(open_dataset(tmp_path)).findings
    assert [(finding.check, finding.found) for finding in findings] == [
        ("nnunet_splits", text) for text in told
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Dataset004_A", False),
        ("any", False),
        ("Dataset4_A", True),
        ("dataset004_A", True),
        ("Task004_A", True),
    ],
)
def test_names_of_folders(tmp_path, name, told):
    (tmp_path / name).mkdir()
    sound(tmp_path / name)
    assert [finding.check for finding in check(open_dataset(tmp_path / name)).findings] == [
        "nnunet_name"
    ] * told
