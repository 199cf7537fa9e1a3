"""What predictions are measured against: every way to give it, and what is refused."""

import numpy as np
import pytest

from aleaseg.errors import UsageError
from aleaseg.evaluation.reference import open_reference
from aleaseg.readers.voxels import write_nifti


def test_a_data_set(tmp_path, balls):
    balls.write_dataset(tmp_path / "data", ["a1", "a2", "b1"])
    found = open_reference(tmp_path / "data", groups=r"^(\w)\d")
    assert found.pictured
    assert found.dataset.classes == balls.CLASSES
    assert [case.group for case in found.dataset.cases] == ["a", "a", "b"]


def test_test_labels_are_named_by_the_data_set_they_lie_in(tmp_path, balls):
    data = balls.write_dataset(tmp_path / "data", ["a"])
    for name in ("images", "labels"):
        (data / f"{name}Ts").mkdir()
    for case in ("t1", "t2"):
        write_nifti(data / "labelsTs" / f"{case}.nii.gz", balls.label(3), balls.geometry())
        write_nifti(data / "imagesTs" / f"{case}_0000.nii.gz", np.zeros(balls.SHAPE), balls.geometry())
    found = open_reference(data / "labelsTs")
    assert [case.id for case in found.dataset.cases] == ["t1", "t2"]
    assert found.dataset.classes == balls.CLASSES
    assert found.pictured
    assert found.dataset["t1"].image_files == (data / "imagesTs" / "t1_0000.nii.gz",)
    (one,) = open_reference(data / "labelsTs", classes="right").dataset.classes.items()
    assert one == ("right", (2,))
    assert set(
        np.unique(open_reference(data / "labelsTs", classes="right").dataset["t1"].read_label().array)
    ) == {0, 2}


def test_a_folder_of_masks_alone(tmp_path, balls):
    for case in ("a", "b"):
        balls.write_picture(
            tmp_path / "masks" / f"{case}.png", (balls.label(1)[4] > 0).astype(np.uint8) * 255
        )
    found = open_reference(tmp_path / "masks")
    assert not found.pictured
    assert found.dataset.classes == {"foreground": (1,)}
    assert found.dataset["a"].read_label().array.max() == 1
    assert [case.group for case in found.dataset.cases] == ["a", "b"]
    named = open_reference(tmp_path / "masks", classes="lesion")
    assert named.dataset.classes == {"lesion": (1,)}


def test_two_masks_of_one_case_are_a_finding(tmp_path, balls):
    for name in ("a.png", "b.png"):
        balls.write_picture(tmp_path / name, balls.label(1)[4])
    write_nifti(tmp_path / "b.nii.gz", balls.label(1), balls.geometry())
    found = open_reference(tmp_path)
    assert [case.id for case in found.dataset.cases] == ["a"]
    assert [(finding.case, finding.check) for finding in found.dataset.findings] == [("b", "same_id")]


@pytest.mark.parametrize(
    ("make", "given", "said"),
    [
        (lambda folder: None, {}, "does not exist"),
        (lambda folder: folder.mkdir(), {}, "holds no labels"),
        (lambda folder: (folder.mkdir(), (folder / "a.txt").write_text("x")), {}, "holds no labels"),
    ],
)
def test_no_reference(tmp_path, make, given, said):
    make(tmp_path / "r")
    with pytest.raises(UsageError, match=said):
        open_reference(tmp_path / "r", **given)


def test_what_cannot_work_is_said(tmp_path, balls):
    data = balls.write_dataset(tmp_path / "data", ["a"])
    with pytest.raises(UsageError, match="no class 'spleen'"):
        open_reference(data, classes="spleen")
    with pytest.raises(UsageError, match="none of the 1 cases"):
        open_reference(data, groups="zzz")
    with pytest.raises(UsageError, match="none of the 1 cases"):
        open_reference(data / "labelsTr", groups="zzz")
