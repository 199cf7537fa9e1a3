"""What is promised and not found is an error or a note, never silence; and advice does no harm."""

import json
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image

from aleaseg.case import Geometry
from aleaseg.checks import check
from aleaseg.checks.turned import geometry_advice
from aleaseg.errors import UsageError
from aleaseg.readers import open_dataset
from aleaseg.readers.splits import read_splits
from aleaseg.readers.voxels import write_nifti

SHAPE = (6, 7, 8)
AFFINE = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]])
GEOMETRY = Geometry(SHAPE, (2.0, 1.0, 1.0), AFFINE)


@pytest.fixture
def root(tmp_path, write_small):
    write_small(tmp_path, cases=6, faults=False)
    return tmp_path


def found(path):
    return {(one.case, one.severity, one.check) for one in check(open_dataset(path)).findings}


class TestLabels:
    def gone(self, root):
        shutil.rmtree(root / "labelsTr")

    def linked_to_nothing(self, root):
        self.gone(root)
        (root / "labelsTr").symlink_to("/mnt/not-mounted/labelsTr")

    def empty(self, root):
        self.gone(root)
        (root / "labelsTr").mkdir()

    def of_another_format(self, root):
        for path in list((root / "labelsTr").iterdir()):
            path.rename(path.with_name(path.name.replace(".nii.gz", ".vtk")))

    @pytest.mark.parametrize(
        ("how", "told"),
        [
            ("gone", "there is no labelsTr"),
            ("linked_to_nothing", "a link to /mnt/not-mounted/labelsTr, which is not there"),
            ("empty", "labelsTr/ is empty"),
            (
                "of_another_format",
                "labelsTr/ holds 6 files, none of which is a label that is read (g0_00.vtk",
            ),
        ],
    )
    def test_declared_and_not_found_is_an_error(self, root, how, told, type_here):
        getattr(self, how)(root)
        (error,) = check(open_dataset(root)).errors
        assert error.check == "labels_not_found"
        assert told in error.found
        assert type_here("check", root).returncode == 1

    def test_images_alone_can_still_be_predicted(self, root):
        from aleaseg.training.images import open_images

        self.gone(root)
        cases, wrong = open_images(root, 1)
        assert len(cases) == 6
        assert wrong == []

    def test_labels_with_another_ending_are_read_and_told(self, root):
        for path in list((root / "labelsTr").iterdir()):
            nibabel.save(nibabel.load(path), str(path).removesuffix(".gz"))
            path.unlink()
        assert found(root) == {("", "note", "file_ending")}
        assert all(case.has_label for case in open_dataset(root).cases)

    @pytest.mark.parametrize("folder", ["gt", "Ground Truth", "segs"])
    def test_a_folder_that_may_be_labels_is_taken_and_told(self, root, folder):
        (root / "dataset.json").unlink()
        (root / "imagesTr").rename(root / "images")
        (root / "labelsTr").rename(root / folder)
        assert found(root) == {("", "note", "guessed")}
        assert open_dataset(root).has_labels

    def test_a_folder_of_any_name_is_not_taken_and_told(self, root):
        (root / "dataset.json").unlink()
        (root / "labelsTr").rename(root / "drawn by hand")
        dataset = open_dataset(root)
        assert not dataset.has_labels
        told = {finding.check: finding for finding in dataset.findings}
        assert told.keys() == {"labels_or_not", "passed_over"}
        assert "--label 'drawn by hand/*'" in told["labels_or_not"].advice
        assert open_dataset(root, label="drawn by hand/*").has_labels

    def test_two_folders_of_labels_are_refused_with_what_to_type(self, root):
        (root / "dataset.json").unlink()
        shutil.copytree(root / "labelsTr", root / "masks")
        with pytest.raises(
            UsageError, match=r"labelsTr/ \(6 files\), masks/ \(6 files\); .*--label 'labelsTr/\*'"
        ):
            open_dataset(root)
        assert open_dataset(root, label="masks/*").has_labels


class TestEndings:
    def test_no_case_vanishes_by_its_ending(self, root):
        for case in ("g0_02", "g1_03"):
            for path in (root / f"imagesTr/{case}_0000.nii.gz", root / f"labelsTr/{case}.nii.gz"):
                path.rename(str(path).replace(".nii.gz", ".NII.GZ"))
        image = root / "imagesTr/g0_04_0000.nii.gz"
        nibabel.save(nibabel.load(image), root / "imagesTr/g0_04_0000.nii")
        image.unlink()
        result = check(open_dataset(root))
        assert result.n_cases == 6
        (note,) = result.findings
        assert note.check == "file_ending"
        assert {path.name for path in note.files} >= {"g0_02.NII.GZ", "g1_03_0000.NII.GZ", "g0_04_0000.nii"}
        assert "g0_04_0000.nii" in note.found

    def test_all_of_another_kind_are_refused_with_what_to_write(self, root):
        about = json.loads((root / "dataset.json").read_text())
        (root / "dataset.json").write_text(json.dumps({**about, "file_ending": ".nrrd"}))
        with pytest.raises(UsageError, match=r"6 of its 6 files end in \.nii\.gz: say so as file_ending"):
            open_dataset(root)


class TestAdvice:
    def test_a_file_of_folds_with_a_mark_is_read(self, tmp_path):
        folds = [{"train": ["a"], "val": ["b"]}]
        path = tmp_path / "splits_final.json"
        path.write_bytes(b"\xef\xbb\xbf" + json.dumps(folds).encode())
        assert read_splits(path) == folds

    def test_nobody_is_told_to_delete_a_file_of_his(self, tmp_path):
        path = tmp_path / "splits_final.json"
        path.write_text("[{]")
        with pytest.raises(UsageError) as caught:
            read_splits(path)
        said = str(caught.value).removeprefix(str(path))
        assert said != str(caught.value), "the file is named"
        assert "delete" not in said

    def turned(self):
        """The same block of the world, two axes the other way."""
        affine = AFFINE.copy()
        for axis in (1, 2):
            affine[:3, 3] += affine[:3, axis] * (SHAPE[axis] - 1)
            affine[:3, axis] *= -1
        return Geometry(SHAPE, GEOMETRY.spacing_mm, affine)

    def test_a_turned_label_is_to_be_reoriented(self, tmp_path):
        rng = np.random.default_rng(0)
        mask = np.zeros(SHAPE, np.uint8)
        mask[2:4, 1:3, 1:3] = 1
        for name, label, where in (("a", mask, GEOMETRY), ("b", mask[:, ::-1, ::-1], self.turned())):
            write_nifti(
                tmp_path / f"images/{name}.nii.gz", rng.normal(size=SHAPE).astype(np.float32), GEOMETRY
            )
            write_nifti(tmp_path / f"labels/{name}.nii.gz", label, where)
        (error,) = check(open_dataset(tmp_path)).errors
        assert (error.case, error.check) == ("b", "geometry")
        assert "reorient the label" in error.advice
        assert {path.name for path in error.files} == {"b.nii.gz"}

    def test_a_moved_label_is_to_be_looked_at(self):
        moved = AFFINE.copy()
        moved[0, 3] = 40
        said = geometry_advice(GEOMETRY, Geometry(SHAPE, GEOMETRY.spacing_mm, moved))
        assert "look at both" in said
        assert "copy" not in said

    def test_a_second_mask_is_to_be_merged(self, tmp_path):
        rng = np.random.default_rng(0)
        for sub in ("images", "masks"):
            (tmp_path / sub).mkdir()
        mask = np.zeros((8, 9), np.uint8)
        mask[2:5, 2:6] = 255
        for n in range(4):
            Image.fromarray(rng.integers(0, 255, (8, 9), dtype=np.uint8)).save(
                tmp_path / f"images/b{n}.png"
            )
            Image.fromarray(mask).save(tmp_path / f"masks/b{n}_mask.png")
        Image.fromarray(mask).save(tmp_path / "masks/b3_mask_1.png")
        (error,) = check(open_dataset(tmp_path)).errors
        assert (error.case, error.check) == ("b3", "same_id")
        assert error.found == "2 masks: b3_mask.png, b3_mask_1.png"
        assert (
            error.advice
            == "merge them into one file, or choose with --label PATTERN, such as --label '*_mask.png'"
        )
        chosen = open_dataset(tmp_path, label="*_mask.png")
        assert len(chosen) == 4
        assert dict(chosen.account.known) == {"file not asked for": 1}
