"""What no name and no header tells: masks among images, a mask that is turned round, a format of its own, a pipe."""

import importlib.util
import json
import os
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from aleaseg.checks import check
from aleaseg.errors import NotADataset, UsageError
from aleaseg.readers import open_dataset

_SPEC = importlib.util.spec_from_file_location("layouts", Path(__file__).with_name("layouts.py"))
layouts = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(layouts)


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(seed).integers(0, 255, (20, 22), dtype=np.uint8)
    Image.fromarray(grey).save(path)


def mask(path, seed=0, inside=255, outside=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.full((20, 22), outside, np.uint8)
    array[5:12, 5 + seed % 3 : 14] = inside
    Image.fromarray(array).save(path)


def kinds(dataset):
    return {finding.check: finding for finding in check(dataset).findings if finding.check != "same_image"}


class TestMasksAmongImages:
    @pytest.mark.parametrize(
        ("image", "others"),
        [
            ("Image_0{}L.jpg", ["Image_0{}L_1stHO.png", "Image_0{}L_2ndHO.png"]),
            ("Data/ISIC_{}.jpg", ["Part1_Truth/ISIC_{}_part.png"]),
            ("p{}/t2.png", ["p{}/lesion.png", "p{}/prostate.png"]),
            ("c{}_CT.png", ["c{}_OAR_L.png", "c{}_OAR_R.png"]),
        ],
    )
    def test_nobody_takes_them_for_images_and_what_is_told_works(self, tmp_path, image, others):
        for number in range(3):
            picture(tmp_path / image.format(number), number)
            for name in others:
                mask(tmp_path / name.format(number), number)
        with pytest.raises(UsageError, match="look like masks") as caught:
            open_dataset(tmp_path)
        typed = re.search(r"--image '(.*?)' --label '(.*?)'", str(caught.value))
        dataset = open_dataset(tmp_path, image=typed[1], label=typed[2])
        assert [case.label_files[0].name for case in dataset.cases] == [
            Path(others[0]).name.format(number) for number in range(3)
        ]
        assert dataset.findings == ()

    def test_masks_alone_are_no_data_set(self, tmp_path):
        for number in range(3):
            mask(tmp_path / f"c{number}.png", number)
        assert kinds(open_dataset(tmp_path))["masks_alone"].severity == "note"

    def test_empty_masks_tell_nothing_and_hide_nothing(self, tmp_path):
        for number in range(5):
            picture(tmp_path / f"a{number}.jpg", number)
            mask(tmp_path / f"b{number}.png", number, inside=255 if number == 2 else 0)
        with pytest.raises(UsageError, match="look like masks"):
            open_dataset(tmp_path)

    def test_images_with_few_grey_levels_are_images(self, tmp_path):
        for number in range(3):
            coarse = np.random.default_rng(number).integers(0, 9, (20, 22), dtype=np.uint8)
            Image.fromarray(coarse).save(tmp_path / f"a{number}.png")
        assert len(open_dataset(tmp_path)) == 3

    def test_the_image_may_be_the_mask(self, tmp_path):
        for number in range(3):
            mask(tmp_path / f"images/a{number}.png", number, inside=1)
            mask(tmp_path / f"masks/a{number}.png", number)
        assert kinds(open_dataset(tmp_path))["image_is_mask"].severity == "note"


class TestMasksBesideSeries:
    @pytest.mark.parametrize("name", ["labels/p{}.nii.gz", "p{}/mask.nii.gz", "truth/{}.nii.gz"])
    def test_in_another_format_they_are_missed(self, tmp_path, dicom, name):
        for number in range(2):
            array = np.random.default_rng(number).integers(0, 99, (5, 8, 8))
            dicom.write_series(tmp_path / f"p{number}", array, series=f"1.2.{number}")
            layouts.label(tmp_path / name.format(number), number)
        error = kinds(open_dataset(tmp_path))["labels_not_found"]
        assert error.severity == "error"
        assert name.format(0) in error.found

    def test_pictures_slice_by_slice_too(self, tmp_path, dicom):
        dicom.write_series(tmp_path / "1/DICOM", np.random.default_rng(0).integers(0, 99, (5, 20, 22)))
        for number in range(5):
            mask(tmp_path / f"1/Ground/liver_{number}.png", inside=255 * (number == 2))
        assert "labels_not_found" in kinds(open_dataset(tmp_path))

    def test_a_copy_of_a_slice_is_passed_over(self, tmp_path, dicom):
        array = np.random.default_rng(0).integers(0, 99, (5, 8, 8))
        dicom.write_series(tmp_path / "p", array)
        sound = open_dataset(tmp_path).cases[0].read_image().array
        first = sorted((tmp_path / "p").iterdir())[2]
        (tmp_path / "p" / f"{first.stem} (1){first.suffix}").write_bytes(first.read_bytes())
        voxels = open_dataset(tmp_path).cases[0].read_image()
        assert np.array_equal(voxels.array, sound)
        assert [(note.check, "second copies" in note.found) for note in voxels.notes] == [
            ("passed_over", True)
        ]


class TestValues:
    def test_zero_that_lies_inside_is_told(self, tmp_path):
        for number in range(3):
            picture(tmp_path / f"images/a{number}.png", number)
            mask(tmp_path / f"masks/a{number}.png", number, inside=0, outside=255)
        assert "255 along the border" in kinds(open_dataset(tmp_path))["background_inside"].found

    def test_negative_numbers_are_no_class(self, tmp_path):
        for number in range(3):
            layouts.image(tmp_path / f"images/a{number}.nii.gz", number)
            array = np.zeros(layouts.SHAPE, np.int16)
            array[1:3, 1:4, 1:5], array[0] = 1, -1
            (tmp_path / "labels").mkdir(exist_ok=True)
            layouts.write_nifti(tmp_path / f"labels/a{number}.nii.gz", array, layouts.GEOMETRY)
        dataset = open_dataset(tmp_path)
        assert dict(dataset.classes) == {"foreground": (1,)}
        assert "-1 at" in kinds(dataset)["undeclared_value"].found

    def test_colours_of_nifti_are_channels(self, tmp_path):
        colours = np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
        for at, name in enumerate("RGB"):
            colours[name] = np.random.default_rng(at).integers(0, 99, (6, 5, 4))
        (tmp_path / "images").mkdir()
        nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "images/a.nii.gz")
        dataset = open_dataset(tmp_path)
        assert len(dataset.channels) == 3
        assert check(dataset).findings == ()


class TestNames:
    def test_a_pipe_is_named_and_not_opened(self, tmp_path):
        for number in range(2):
            picture(tmp_path / f"images/a{number}.png", number)
            mask(tmp_path / f"masks/a{number}.png", number)
        for name in ("images/b.png", "dataset.json"):
            os.mkfifo(tmp_path / name)
        dataset = open_dataset(tmp_path)
        assert kinds(dataset)["passed_over"].found.startswith("a pipe")
        assert [path for path, _ in dataset.account.passed_over] == ["dataset.json", "images/b.png"]

    @pytest.mark.parametrize("folder", ["@eaDir", "__MACOSX", "#recycle"])
    def test_folders_of_systems_hold_no_cases(self, tmp_path, folder):
        for number in range(2):
            picture(tmp_path / f"images/a{number}.png", number)
            mask(tmp_path / f"masks/a{number}.png", number)
            picture(tmp_path / f"images/{folder}/a{number}.png", number)
        dataset = open_dataset(tmp_path)
        assert (len(dataset), dict(dataset.account.known)) == (2, {"hidden folder": 1})

    def test_what_lies_in_folders_or_other_formats_is_told(self, tmp_path):
        layouts.nnunet(tmp_path / "a")
        for path in list((tmp_path / "a/imagesTr").iterdir()):
            (path.parent / path.stem).mkdir()
            path.rename(path.parent / path.stem / path.name)
        with pytest.raises(NotADataset, match=r"holds folders \(c0_0000.nii, .*move the files"):
            open_dataset(tmp_path / "a")
        (tmp_path / "b/images").mkdir(parents=True)
        np.save(tmp_path / "b/images/x.npy", np.zeros(3))
        with pytest.raises(NotADataset, match=r"below it: 1 \.npy"):
            open_dataset(tmp_path / "b")

    def test_a_note_on_names_is_about_the_case(self, tmp_path):
        for number in range(3):
            for kind in ("flair", "t1"):
                layouts.image(tmp_path / f"S_{number}/S_{number}_{kind}.nii", number)
            layouts.label(
                tmp_path / f"S_{number}/{'x_Segm' if number == 1 else f'S_{number}_seg'}.nii", number
            )
        result = check(open_dataset(tmp_path))
        assert result.n_cases == 3
        assert {finding.case for finding in result.findings if finding.check == "names_differ"} == {"S_1"}

    def test_bids_masks_of_lesions(self, tmp_path):
        for number in range(2):
            where = f"sub-0{number}/ses-1"
            layouts.image(tmp_path / where / f"dwi/sub-0{number}_ses-1_adc.nii.gz", number)
            layouts.label(tmp_path / "derivatives" / where / f"sub-0{number}_ses-1_msk.nii.gz", number)
        dataset = open_dataset(tmp_path)
        assert [bool(case.label_files) for case in dataset.cases] == [True, True]


class TestLists:
    def listed(self, folder, key="label", parts=("training",)):
        for number in range(2 * len(parts)):
            layouts.image(folder / f"i/a{number}.nii.gz", number)
            layouts.label(folder / f"l/a{number}.nii.gz", number)
        entries = [{"image": f"i/a{n}.nii.gz", key: f"l/a{n}.nii.gz"} for n in range(2 * len(parts))]
        path = folder / "datalist.json"
        path.write_text(json.dumps({part: entries[2 * at : 2 * at + 2] for at, part in enumerate(parts)}))
        return open_dataset(path)

    def test_labels_under_another_key_are_missed(self, tmp_path):
        assert "image, mask" in kinds(self.listed(tmp_path, "mask"))["labels_not_found"].found

    def test_that_parts_are_joined_is_said(self, tmp_path):
        dataset = self.listed(tmp_path, parts=("training", "validation"))
        assert dataset.account.guesses == ("training and validation are parts of one data set",)
