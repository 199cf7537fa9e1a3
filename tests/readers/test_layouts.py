"""Every layout: which cases, which classes, what is told about the rest."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aleaseg.errors import NotADataset, ShapeMismatch, UsageError
from aleaseg.readers import open_dataset
from aleaseg.readers.classes import evenly
from aleaseg.readers.voxels import write_png


def ids(dataset):
    return [case.id for case in dataset.cases]


def told(dataset):
    """All that is told of cases, and of the data set as a whole but for files that were passed over."""
    return [(one.case, one.check) for one in dataset.findings if one.check != "passed_over"]


@pytest.fixture
def nnunet(tmp_path, write, image, label):
    """nnunet(**changes): two cases of one channel, and a dataset.json with changes."""

    def _nnunet(**changes):
        for case in ("a", "b"):
            write(tmp_path / "imagesTr" / f"{case}_0000.nii.gz", image[0])
            write(tmp_path / "labelsTr" / f"{case}.nii.gz", label)
        declared = {
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, "liver": 1, "tumour": 2},
            "numTraining": 2,
            "file_ending": ".nii.gz",
        }
        declared = {key: value for key, value in {**declared, **changes}.items() if value is not None}
        (tmp_path / "dataset.json").write_text(json.dumps(declared))
        return tmp_path

    return _nnunet


class TestNnunet:
    def test_cases_classes_and_voxels(self, nnunet, image, label):
        dataset = open_dataset(nnunet(name="Livers"))
        assert (dataset.name, dataset.layout, dataset.channels, dataset.ignore) == (
            "Livers", "nnunet", ("CT",), None,
        )  # fmt: skip
        assert ids(dataset) == ["a", "b"]
        assert dataset.classes == {"liver": (1,), "tumour": (2,)}
        assert [case.group for case in dataset.cases] == ["a", "b"]
        for case in pickle.loads(pickle.dumps(dataset)).cases:
            np.testing.assert_array_equal(case.read_image().array, image)
            np.testing.assert_array_equal(case.read_label().array, label)
            assert case.read_geometry() == case.read_image().geometry
        assert ids(open_dataset(nnunet() / "dataset.json")) == ["a", "b"]

    def test_regions_and_ignore(self, nnunet):
        labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
        dataset = open_dataset(nnunet(labels=labels, regions_class_order=[1, 2]))
        assert dataset.classes == {"whole": (1, 2), "core": (2,)}
        assert dataset.ignore == 3
        assert dataset.values == (1, 2)

    def test_the_older_form(self, nnunet):
        dataset = open_dataset(
            nnunet(channel_names=None, modality={"0": "MRI"}, labels={"0": "background", "1": "anterior"})
        )
        assert dataset.classes == {"anterior": (1,)}
        assert dataset.channels == ("MRI",)

    def test_decathlon_files_without_channel_numbers(self, nnunet, write, image, label):
        root = nnunet(channel_names=None, modality={"0": "T1", "1": "T2"}, file_ending=None)
        for case in ("a", "b"):
            (root / "imagesTr" / f"{case}_0000.nii.gz").unlink()
            write(root / "imagesTr" / f"{case}.nii.gz", np.concatenate([image, image]))
        write(root / "imagesTr" / "c_0007.nii.gz", np.concatenate([image, image]))
        write(root / "labelsTr" / "c_0007.nii.gz", label)
        dataset = open_dataset(root)
        assert ids(dataset) == ["a", "b", "c_0007"]
        assert dataset["c_0007"].read_image().array.shape == (2, 4, 5, 6)

    def test_channels(self, nnunet, write, image):
        root = nnunet(channel_names={"0": "T1", "1": "T2"})
        write(root / "imagesTr" / "a_0001.nii.gz", image[0] + 1)
        dataset = open_dataset(root)
        assert ids(dataset) == ["a"]
        assert told(dataset) == [("b", "channels")]
        assert dataset.findings[0].found == "1: b_0000.nii.gz"
        np.testing.assert_array_equal(dataset["a"].read_image().array, np.concatenate([image, image + 1]))
        write(root / "imagesTr" / "b_0002.nii.gz", image[0])
        assert told(open_dataset(root)) == [("b", "channels")]

    def test_too_few_channels_in_every_file_are_found_when_read(self, nnunet):
        dataset = open_dataset(nnunet(channel_names={"0": "T1", "1": "T2"}))
        with pytest.raises(ShapeMismatch, match="1 channel"):
            dataset["a"].read_image()

    def test_pairs_that_miss(self, nnunet):
        root = nnunet()
        (root / "imagesTr" / "a_0000.nii.gz").rename(root / "imagesTr" / "c_0000.nii.gz")
        (root / "imagesTr" / "._b_0000.nii.gz").write_bytes(b"macOS")
        dataset = open_dataset(root)
        assert ids(dataset) == ["b"]
        assert told(dataset) == [("a", "missing_image"), ("c", "missing_label")]
        assert all(finding.severity == "error" for finding in dataset.findings)

    @pytest.mark.parametrize("folder_stays", [True, False])
    def test_no_labels_at_all(self, nnunet, folder_stays):
        root = nnunet()
        for path in (root / "labelsTr").iterdir():
            path.unlink()
        if not folder_stays:
            (root / "labelsTr").rmdir()
        dataset = open_dataset(root)
        assert ids(dataset) == ["a", "b"]
        assert not dataset.has_labels
        (finding,) = dataset.findings
        assert (finding.case, finding.severity, finding.check) == ("", "error", "labels_not_found")
        assert finding.found == ("labelsTr/ is empty" if folder_stays else "there is no labelsTr")
        assert dataset["a"].read_label is None

    def test_dataset_key(self, nnunet, write, image, label, tmp_path, monkeypatch):
        write(tmp_path / "elsewhere" / "scan.nii.gz", image[0])
        mask = write(tmp_path / "elsewhere" / "mask.nii.gz", label)
        monkeypatch.setenv("SCANS", str(tmp_path / "elsewhere"))
        monkeypatch.delenv("NOT_SET", raising=False)
        listed = {
            "relative": {"images": ["elsewhere/scan.nii.gz"], "label": "elsewhere/mask.nii.gz"},
            "../up": {"images": ["$SCANS/scan.nii.gz"], "label": str(mask)},
            "dots": {"images": ["imagesTr/../elsewhere/scan.nii.gz"], "label": "${SCANS}/mask.nii.gz"},
            "unset": {"images": ["$NOT_SET/scan.nii.gz"], "label": "$SCANS/mask.nii.gz"},
            "broken": ["elsewhere/scan.nii.gz"],
            "bare": {"images": ["elsewhere/scan.nii.gz"]},
        }
        dataset = open_dataset(nnunet(dataset=listed, numTraining=3))
        assert ids(dataset) == ["../up", "dots", "relative"]
        assert sorted(told(dataset)) == [
            ("bare", "missing_label"), ("broken", "dataset_key"), ("unset", "unset_variable"),
        ]  # fmt: skip
        for case in dataset.cases:
            np.testing.assert_array_equal(case.read_image().array, image)
            np.testing.assert_array_equal(case.read_label().array, label)

    def test_classes_that_are_kept(self, nnunet, label):
        dataset = open_dataset(nnunet(), classes="tumour")
        assert dataset.classes == {"tumour": (2,)}
        np.testing.assert_array_equal(dataset["a"].read_label().array, np.where(label == 2, 2, 0))
        assert open_dataset(nnunet(), classes=" liver = 1 ").classes == {"liver": (1,)}
        for classes, match in (
            ("spleen", "no class 'spleen'; the data set has liver, tumour"),
            ("liver=2", "'liver' is 1"),
            ("liver=x", "cannot be read"),
            ("liver,tumour=2", "some names only"),
            ("liver,,tumour", "has no name"),
            ("", "has no name"),
            ("liver,liver", "is there twice"),
        ):
            with pytest.raises(UsageError, match=match):
                open_dataset(nnunet(), classes=classes)

    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            ({"labels": None}, "found no labels"),
            ({"channel_names": None}, "found no channel_names"),
            ({"channel_names": {"x": "CT"}}, "not numbers"),
            ({"labels": {"liver": "one"}}, "the label 'liver' is 'one'"),
            ({"file_ending": ".npz"}, "file_ending is '.npz'"),
            ({"file_ending": ".nrrd"}, "no file that ends in .nrrd"),
            ({"dataset": ["a"]}, "`dataset` holds a list"),
        ],
    )
    def test_dataset_json_that_cannot_be_used(self, nnunet, changes, match):
        with pytest.raises(NotADataset, match=match):
            open_dataset(nnunet(**changes))

    def test_dataset_json_that_is_damaged(self, nnunet):
        root = nnunet()
        (root / "dataset.json").write_text('{"labels": ')
        with pytest.raises(NotADataset, match=r"is not valid JSON .*line 1"):
            open_dataset(root)
        (root / "dataset.json").write_text("[]")
        with pytest.raises(NotADataset, match="holds a list"):
            open_dataset(root)


class TestFolder:
    def pictures(self, root, masks, names=None, folder="masks"):
        names = names or [f"p{number}" for number in range(len(masks))]
        for sub in ("images", folder):
            (root / sub).mkdir(exist_ok=True)
        for name, mask in zip(names, masks, strict=True):
            write_png(root / "images" / f"{name}.png", np.arange(12, dtype=np.uint8).reshape(3, 4))
            write_png(root / folder / f"{name}.png", np.asarray(mask, np.uint8) * np.ones((3, 4), np.uint8))
        return root

    def test_binary_masks_are_zero_and_one(self, tmp_path):
        masks = [np.array([0, 255, 0, 255]), 0, 255]
        dataset = open_dataset(self.pictures(tmp_path, masks))
        assert (dataset.layout, dataset.classes, dataset.channels) == (
            "folder", {"foreground": (1,)}, ("image",),
        )  # fmt: skip
        found = [sorted(np.unique(case.read_label().array).tolist()) for case in dataset.cases]
        assert found == [[0, 1], [0], [1]]

    def test_a_third_value_in_a_binary_data_set_stays_to_be_found(self, tmp_path):
        names = [f"p{number:02d}" for number in range(30)]
        root = self.pictures(tmp_path, [np.array([0, 1, 0, 1])] * 30, names)
        passed_over = sorted(set(names) - set(evenly(names, 24)))
        assert passed_over
        for name in passed_over:
            write_png(root / "masks" / f"{name}.png", np.full((3, 4), 2, np.uint8))
        dataset = open_dataset(root)
        assert dataset.classes == {"foreground": (1,)}
        assert set(dataset[passed_over[0]].read_label().array.ravel().tolist()) == {2}

    def test_several_values_are_classes(self, tmp_path):
        dataset = open_dataset(self.pictures(tmp_path, [np.array([0, 1, 3, 0]), 0]))
        assert dataset.classes == {"class_1": (1,), "class_3": (3,)}
        kept = open_dataset(tmp_path, classes="class_3")
        assert sorted(np.unique(kept["p0"].read_label().array).tolist()) == [0, 3]
        named = open_dataset(tmp_path, classes="liver=1,tumour=3,both=1+3")
        assert named.classes == {"liver": (1,), "tumour": (3,), "both": (1, 3)}
        with pytest.raises(UsageError, match="the data set has class_1, class_3"):
            open_dataset(tmp_path, classes="liver")

    def test_the_one_class_can_be_named(self, tmp_path):
        self.pictures(tmp_path, [np.array([0, 255, 0, 255])])
        for classes in ("lesion", "lesion=1"):
            dataset = open_dataset(tmp_path, classes=classes)
            assert dataset.classes == {"lesion": (1,)}
            assert sorted(np.unique(dataset["p0"].read_label().array).tolist()) == [0, 1]
        declared = open_dataset(tmp_path, classes="lesion=255")
        assert declared.classes == {"lesion": (255,)}
        assert sorted(np.unique(declared["p0"].read_label().array).tolist()) == [0, 255]

    def test_masks_that_are_pictures_are_refused(self, tmp_path):
        self.pictures(tmp_path, [0])
        shades = np.arange(600, dtype=np.uint16).reshape(20, 30)
        write_png(tmp_path / "masks" / "p0.png", shades)
        with pytest.raises(UsageError, match="600 different label values"):
            open_dataset(tmp_path)

    @pytest.mark.parametrize(
        ("image_name", "label_name", "case"),
        [
            ("a.nii.gz", "a.nii.gz", "a"),
            ("a.nii.gz", "a.nrrd", "a"),
            ("a_0000.nii.gz", "a.nii.gz", "a"),
            ("a.nii.gz", "a_mask.nii.gz", "a"),
            ("a.nii.gz", "a_seg.mha", "a"),
            ("a_0000.nii.gz", "a_label.nii.gz", "a"),
            ("a_image.nii.gz", "a_label.nii.gz", "a"),
            ("a (1).nii.gz", "a (1)-segmentation.nii.gz", "a (1)"),
            ("ct_mask.nii.gz", "ct_mask.nii.gz", "ct_mask"),
            ("x_0012.nii.gz", "x_0012.nii.gz", "x_0012"),
        ],
    )
    def test_habits_of_names(self, tmp_path, write, image, label, image_name, label_name, case):
        write(tmp_path / "images" / "case.nii.gz", image[0]).rename(tmp_path / "images" / image_name)
        (tmp_path / "labels").mkdir()
        if label_name.endswith("nii.gz"):
            write(tmp_path / "labels" / label_name, label)
        else:
            import SimpleITK

            path = str(tmp_path / "labels" / label_name)
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(label), path)
        dataset = open_dataset(tmp_path)
        assert ids(dataset) == [case]
        assert dataset.findings == ()
        np.testing.assert_array_equal(dataset[case].read_label().array, label)

    def test_channels_without_dataset_json(self, tmp_path, write, image, label):
        for case in ("a", "b"):
            for number in range(2):
                write(tmp_path / "imagesTr" / f"{case}_000{number}.nii.gz", image[0] + number)
            write(tmp_path / "labelsTr" / f"{case}.nii.gz", label)
        dataset = open_dataset(tmp_path)
        assert ids(dataset) == ["a", "b"]
        assert dataset.channels == ("channel_0", "channel_1")
        assert dataset["a"].read_image().array.shape == (2, 4, 5, 6)

    def test_pairs_that_miss_and_names_that_collide(self, tmp_path):
        root = self.pictures(tmp_path, [0, 0, 0])
        (root / "masks" / "p0.png").rename(root / "masks" / "q.png")
        write_png(root / "masks" / "p1_mask.png", np.zeros((3, 4), np.uint8))
        dataset = open_dataset(root)
        assert ids(dataset) == ["p2"]
        assert told(dataset) == [("p0", "missing_label"), ("p1", "same_id"), ("q", "missing_image")]

    def test_images_alone(self, tmp_path):
        for root in (tmp_path / "flat", tmp_path / "deep"):
            root.mkdir()
            self.pictures(root, [0, 0])
        for path in (tmp_path / "deep" / "masks").iterdir():
            path.unlink()
        (tmp_path / "deep" / "masks").rmdir()
        for root in (tmp_path / "deep", tmp_path / "flat" / "images"):
            dataset = open_dataset(root)
            assert ids(dataset) == ["p0", "p1"]
            assert not dataset.has_labels
            assert dataset.classes == {}

    def test_colour_and_gray_in_one_data_set(self, tmp_path):
        root = self.pictures(tmp_path, [0, 0])
        colour = np.random.default_rng(0).integers(0, 255, (3, 3, 4), dtype=np.uint8)
        write_png(root / "images" / "p0.png", colour)
        dataset = open_dataset(root)
        assert dataset.channels == ("red", "green", "blue")
        assert [case.read_image().array.shape for case in dataset.cases] == [(3, 3, 4)] * 2

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.text(
                st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
            )
            .map(lambda name: "x" + name)
            .filter(lambda name: len(name.encode()) < 200),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    def test_odd_names(self, tmp_path_factory, names):
        root = self.pictures(tmp_path_factory.mktemp("odd"), [255] * len(names), names)
        dataset = open_dataset(root)
        assert ids(dataset) == sorted(names)
        assert dataset.findings == ()
        assert all(case.read_label().array.all() for case in dataset.cases)

    @pytest.mark.parametrize(
        "name", ["a b", "=1+1", "<script>x", "it's", 'q"q', "ü", "..b", "-x", "\udcff"]
    )
    def test_names_that_could_do_harm(self, tmp_path, name):
        dataset = open_dataset(self.pictures(tmp_path, [255], [f"c{name}"]))
        case = pickle.loads(pickle.dumps(dataset))[f"c{name}"]
        assert case.read_label().array.all()
        assert case.read_image().array.shape == (1, 3, 4)


class TestStructures:
    @pytest.fixture
    def root(self, tmp_path, write, image, label):
        for case in ("s1", "s2"):
            write(tmp_path / case / "ct.nii.gz", image[0])
            write(tmp_path / case / "segmentations" / "liver.nii.gz", label > 0)
        write(tmp_path / "s1" / "segmentations" / "aorta.nii.gz", (label == 0) * np.uint8(255))
        return tmp_path

    def test_merged_into_one_label_map(self, root, label):
        dataset = open_dataset(root)
        assert (dataset.layout, dataset.channels) == ("structures", ("CT",))
        assert dataset.classes == {"aorta": (1,), "liver": (2,)}
        assert ids(dataset) == ["s1", "s2"]
        voxels = pickle.loads(pickle.dumps(dataset))["s1"].read_label()
        np.testing.assert_array_equal(voxels.array, np.where(label > 0, 2, 1))
        assert voxels.notes == ()
        assert len(dataset["s1"].label_files) == 2
        np.testing.assert_array_equal(dataset["s2"].read_label().array, np.where(label > 0, 2, 0))

    def test_overlap_is_told_and_the_later_wins(self, root, write, label):
        write(root / "s1" / "segmentations" / "spleen.nii.gz", label == 2)
        voxels = open_dataset(root)["s1"].read_label()
        assert (voxels.array[label == 2] == 3).all()
        (note,) = voxels.notes
        assert (note.case, note.severity, note.check) == ("s1", "note", "overlap")
        assert note.found == "liver and spleen at 1 voxels"

    def test_some_of_them(self, root, label):
        dataset = open_dataset(root, classes="aorta")
        assert dataset.classes == {"aorta": (1,)}
        np.testing.assert_array_equal(dataset["s1"].read_label().array, label == 0)
        # The other case has none of it: an empty mask on the image's grid, not a missing label.
        assert dataset["s2"].has_label
        assert not dataset["s2"].read_label().array.any()
        assert dataset["s2"].read_label().array.shape == label.shape
        with pytest.raises(UsageError, match="the data set has aorta, liver"):
            open_dataset(root, classes="spleen")

    def test_one_case_and_missing_parts(self, root, write, image):
        one = open_dataset(root / "s1")
        assert ids(one) == ["s1"]
        (root / "s2" / "ct.nii.gz").unlink()
        write(root / "s3" / "mri.nii.gz", image[0])
        (root / "empty").mkdir()
        dataset = open_dataset(root)
        assert ids(dataset) == ["s1"]
        assert told(dataset) == [("s2", "missing_image"), ("s3", "missing_label")]

    def test_masks_that_do_not_fit(self, root, write, label):
        from aleaseg.case import Geometry
        from aleaseg.errors import BadVoxels
        from aleaseg.readers.voxels import write_nifti

        write(root / "s2" / "segmentations" / "liver.nii.gz", label)  # 0, 1 and 2
        with pytest.raises(BadVoxels, match="two values"):
            open_dataset(root)["s2"].read_label()
        small = Geometry((3, 5, 6), (1.0, 1.0, 1.0), None)
        write_nifti(root / "s1" / "segmentations" / "liver.nii.gz", label[1:] > 0, small)
        with pytest.raises(ShapeMismatch, match=r"\(3, 5, 6\) in liver.nii.gz"):
            open_dataset(root)["s1"].read_label()


class TestNotADataset:
    def test_what_was_seen_and_what_is_known(self, tmp_path):
        for name in ("notes.txt", "a.xlsx"):
            (tmp_path / name).write_text("x")
        (tmp_path / "old").mkdir()
        with pytest.raises(NotADataset) as caught:
            open_dataset(tmp_path)
        text = str(caught.value)
        assert "it holds 1 folder (old) and 2 files (a.xlsx, notes.txt)" in text
        for layout in ("dataset.json", "masks/", "segmentations", "DICOM"):
            assert layout in text

    def test_empty_missing_and_a_file(self, tmp_path):
        with pytest.raises(NotADataset, match="it is empty"):
            open_dataset(tmp_path)
        with pytest.raises(NotADataset, match="does not exist"):
            open_dataset(tmp_path / "none")
        (tmp_path / "x.nii.gz").write_bytes(b"x")
        with pytest.raises(NotADataset, match="Not a directory"):
            open_dataset(tmp_path / "x.nii.gz")

    def test_a_folder_of_data_sets(self, nnunet, tmp_path):
        inner = tmp_path.parent / (tmp_path.name + "_outer")
        inner.mkdir()
        nnunet().rename(inner / "Dataset001_A")
        with pytest.raises(NotADataset, match="the data set is in Dataset001_A/: give that folder"):
            open_dataset(inner)


class TestGroups:
    def test_expressions(self, nnunet):
        root = nnunet()
        assert [case.group for case in open_dataset(root, groups="[ab]").cases] == ["a", "b"]
        dataset = open_dataset(root, groups="(a)", sites="^(a|z)")
        assert [case.group for case in dataset.cases] == ["a", "b"]
        assert [case.site for case in dataset.cases] == ["a", ""]
        with pytest.raises(UsageError, match=r"--groups: '\(a' is not a regular expression"):
            open_dataset(root, groups="(a")
        with pytest.raises(UsageError, match="matches none of the 2 cases, such as 'a'"):
            open_dataset(root, sites="patient")

    def test_tables(self, nnunet, tmp_path):
        root = nnunet()
        table = tmp_path / "groups.csv"
        table.write_text("case,group,site\na,p1,Ulm\nzzz,p9,Bonn\n")
        dataset = open_dataset(root, groups=str(table), sites=str(table))
        assert [(case.group, case.site) for case in dataset.cases] == [("p1", "Ulm"), ("b", "")]
        table.write_text("id,group\na,p1\n")
        with pytest.raises(UsageError, match="has the columns id, group; expected case,group"):
            open_dataset(root, groups=str(table))
        with pytest.raises(UsageError, match="cannot be read"):
            open_dataset(root, groups=str(tmp_path / "none.csv"))
        table.write_text("case,group\nz,p1\n")
        with pytest.raises(UsageError, match="names none of the 2 cases"):
            open_dataset(root, groups=str(table))


def test_a_folder_that_is_not_there_is_said_not_to_exist(tmp_path):
    with pytest.raises(NotADataset, match=r"nowhere does not exist; expected one of"):
        open_dataset(tmp_path / "nowhere")
