"""Cases out, corrected masks in: checked, laid over the data set, scored again; the originals stay as they are."""

import hashlib
import json
import shutil
import uuid
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

import aleaseg
from aleaseg.case import Geometry
from aleaseg.errors import UsageError
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import read_image, read_label, write_nifti
from aleaseg.review.decisions import Decisions
from aleaseg.review.event import Event
from aleaseg.review.handing import hand_out
from aleaseg.review.returning import take_back
from aleaseg.review.scenes import slicer_scene, snap_workspace
from aleaseg.review.session import DECISIONS
from aleaseg.review.stamps import label_stamp
from aleaseg.run import read_json

ANEW, PREDICTED = "case <03>", "case <05>"  # the first was shifted on purpose


def dataset_of(run):
    return open_dataset(run.manifest["settings"]["dataset"])


@pytest.fixture
def asked(fresh):
    """One case to annotate again, with a reason and a note, and one to be replaced by its prediction."""
    decisions, dataset = Decisions(fresh.path / DECISIONS), dataset_of(fresh)
    at = "2026-01-01T00:00:00.000+00:00"
    for case, verdict in ((ANEW, "re-annotate"), (PREDICTED, "use-prediction"), ("case <07>", "re-scan")):
        stamp = label_stamp(dataset[case])
        decisions.add(
            [Event(str(uuid.uuid4()), at, "ann", case, "verdict", verdict=verdict, label_stamp=stamp)]
        )
    note = {"text": "=lower\npole is missing"}
    decisions.add([Event(str(uuid.uuid4()), at, "ann", ANEW, "note", payload=note)])
    decisions.close()
    return fresh


def held(run):
    """What every file of the data set holds."""
    root = dataset_of(run).root
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()
    }


def folder_of(out, case):
    return out / read_json(out / "corrections.json")["cases"][case]["folder"]


def test_out_and_in_again(asked, tmp_path, type_aleaseg, type_here):
    before = held(asked)
    out = tmp_path / "to correct"
    done = type_aleaseg("corrections", asked.path, "-o", out)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "to scan again: 1 (case <07>)" in said
    assert f"--take '{out}' -o DATASET" in said
    case = dataset_of(asked)[ANEW]
    label, predicted = case.read_label().array, np.roll(case.read_label().array, 1, axis=2)
    folder = folder_of(out, ANEW)
    np.testing.assert_array_equal(
        read_image([folder / "image.nii.gz"], ANEW).array, case.read_image().array
    )
    for name, expected in (("mask", label), ("corrected", label), ("prediction", predicted)):
        np.testing.assert_array_equal(read_label(folder / f"{name}.nii.gz", ANEW).array, expected)
    apart = read_label(folder / "disagreement.nii.gz", ANEW).array
    np.testing.assert_array_equal(apart == 1, (label > 0) & (predicted == 0))
    np.testing.assert_array_equal(apart == 2, (label == 0) & (predicted > 0))
    np.testing.assert_array_equal(apart == 3, (label != predicted) & (label > 0) & (predicted > 0))
    proposed = read_label(folder_of(out, PREDICTED) / "corrected.nii.gz", PREDICTED).array
    old = dataset_of(asked)[PREDICTED].read_label().array
    np.testing.assert_array_equal(proposed, np.roll(old, 1, axis=2))
    listed = pd.read_csv(out / "reading_list.csv", keep_default_na=False)
    assert sorted(listed["case"]) == [ANEW, PREDICTED]
    assert "pole is missing" in listed.set_index("case").loc[ANEW, "note"]

    # Somebody draws the mask where it belongs.
    mended = np.roll(label, (-5, -5), (1, 2))
    write_nifti(folder / "corrected.nii.gz", mended.astype(np.uint8), case.read_geometry())
    back = tmp_path / "back"
    done = type_here("corrections", asked.path, "--take", out, "-o", back)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 corrected, 0 unchanged, 0 refused" in done.stdout
    assert held(asked) == before
    whole = open_dataset(back / "whole")
    assert len(whole) == 24
    np.testing.assert_array_equal(whole[ANEW].read_label().array, mended)
    np.testing.assert_array_equal(
        whole["case <07>"].read_label().array, dataset_of(asked)["case <07>"].read_label().array
    )
    np.testing.assert_array_equal(whole[ANEW].read_image().array, case.read_image().array)
    # Before and after, against the frozen population.
    after = pd.read_csv(back / "run" / "cases.csv").set_index("case")
    was = asked.cases.set_index("case")
    assert sorted(after.index) == [ANEW, PREDICTED]
    assert float(after.loc[PREDICTED, "oof_dice"]) == pytest.approx(1)
    assert f"{float(was.loc[PREDICTED, 'oof_dice']):.2f} -> 1.00" in done.stdout


def test_what_nobody_touched_is_unchanged(asked, tmp_path):
    hand_out(asked, tmp_path / "out", [ANEW])
    back = take_back(asked, tmp_path / "out", tmp_path / "back")
    assert (back.corrected, back.unchanged, back.refused) == ({}, (ANEW,), {})
    assert not (tmp_path / "back").exists()


def shorter(label, geometry):
    return label[1:], Geometry(label[1:].shape, geometry.spacing_mm, geometry.affine)


def unknown(label, geometry):
    return np.where(label == 1, 9, label), geometry


def elsewhere(label, geometry):
    return label, Geometry(geometry.shape, geometry.spacing_mm, geometry.affine + np.eye(4))


@pytest.mark.parametrize(
    ("change", "said"), [(shorter, "shape"), (unknown, "label values 9"), (elsewhere, "mm from")]
)
def test_a_mask_that_does_not_fit_is_refused_and_the_others_taken(asked, tmp_path, change, said):
    hand_out(asked, tmp_path / "out")
    path = folder_of(tmp_path / "out", ANEW) / "corrected.nii.gz"
    found = read_label(path, ANEW)
    array, geometry = change(found.array, found.geometry)
    write_nifti(path, array.astype(np.uint8), geometry)
    back = take_back(asked, tmp_path / "out", tmp_path / "back")
    assert list(back.corrected) == [PREDICTED]
    assert said in back.refused[ANEW]
    np.testing.assert_array_equal(
        open_dataset(tmp_path / "back" / "whole")[ANEW].read_label().array,
        dataset_of(asked)[ANEW].read_label().array,
    )


def test_masks_of_one_name_in_two_folders_stay_two(tmp_path, write_small):
    """As `case/seg.nii.gz` is: each case gets its own correction back."""
    data = tmp_path / "data"
    write_small(data, ids=["a", "b"], faults=False)
    about = read_json(data / "dataset.json")
    about["dataset"] = {}
    for case in ("a", "b"):
        (data / case).mkdir()
        about["dataset"][case] = {"images": [f"imagesTr/{case}_0000.nii.gz"], "label": f"{case}/seg.nii.gz"}
    shutil.copytree(data / "labelsTr", tmp_path / "predictions")
    for case in ("a", "b"):
        (data / "labelsTr" / f"{case}.nii.gz").rename(data / case / "seg.nii.gz")
    (data / "dataset.json").write_text(json.dumps(about))
    run = aleaseg.audit(
        data, tmp_path / "run", extractor="variance", predictions=str(tmp_path / "predictions")
    )
    hand_out(run, tmp_path / "out", ["a", "b"])
    drawn = {}
    for case in ("a", "b"):
        path = folder_of(tmp_path / "out", case) / "corrected.nii.gz"
        found = read_label(path, case)
        drawn[case] = np.roll(found.array, 1, axis=1).astype(np.uint8)
        write_nifti(path, drawn[case], found.geometry)
    back = take_back(run, tmp_path / "out", tmp_path / "back")
    assert sorted(back.corrected) == ["a", "b"]
    whole = open_dataset(tmp_path / "back" / "whole")
    for case in ("a", "b"):
        np.testing.assert_array_equal(whole[case].read_label().array, drawn[case])


def test_what_cannot_be_is_named(asked, fresh, tmp_path):
    with pytest.raises(UsageError, match="no case 'none'"):
        hand_out(asked, tmp_path / "out", ["none"])
    hand_out(asked, tmp_path / "out", [ANEW])
    with pytest.raises(UsageError, match="is not empty"):
        hand_out(asked, tmp_path / "out", [ANEW])
    with pytest.raises(UsageError, match="is not empty"):
        take_back(asked, tmp_path / "out", tmp_path / "out")
    with pytest.raises(UsageError, match="does not exist"):
        take_back(asked, tmp_path / "nowhere", tmp_path / "back")


def test_without_anything_to_correct_it_says_what_to_do(fresh, tmp_path, type_here):
    done = type_here("corrections", fresh.path, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "aleaseg review" in done.stderr


CLASSES = {"whole": (1, 3), "left 'a'": (1,), "right": (3,)}
LABELS, OTHERS = ["corrected.nii.gz", "mask.nii.gz"], ["disagreement.nii.gz"]


def parsed(text):
    return ElementTree.fromstring(text.partition("?>")[2])


def test_a_scene_of_slicer_holds_together():
    """Every reference has its node; every label map its file, its colours; the first lies over the image."""
    scene = parsed(slicer_scene("image.nii.gz", LABELS, CLASSES, OTHERS))
    ids = {one.get("id"): one for one in scene}
    assert len(ids) == len(scene)
    named = {}
    for node in scene:
        for each in filter(None, node.get("references", "").split(";")):
            role, _, target = each.partition(":")
            assert target in ids
            named[node.get("id"), role] = ids[target]
    volumes = [one for one in scene if one.tag in ("Volume", "LabelMapVolume")]
    files = [named[one.get("id"), "storage"].get("fileName") for one in volumes]
    assert files == ["image.nii.gz", *LABELS, *OTHERS]
    assert all(name.startswith(one.get("name")) for one, name in zip(volumes, files, strict=True))
    tables = [named[one.get("id"), "display"].get("colorNodeID") for one in volumes[1:]]
    assert tables == ["vtkMRMLColorTableNode1"] * 2 + ["vtkMRMLColorTableNodeLabels"]
    views = [one for one in scene if one.tag == "SliceComposite"]
    assert [one.get("singletonTag") for one in views] == ["Red", "Green", "Yellow"]
    for view in views:
        assert named[view.get("id"), "backgroundVolume"] is volumes[0]
        assert named[view.get("id"), "labelVolume"] is volumes[1]


def test_slicer_reads_as_many_colours_as_are_announced():
    table = next(one for one in parsed(slicer_scene("i.nii", LABELS, CLASSES)) if one.tag == "ColorTable")
    # The size is known before the colours come, and the type before the size.
    assert [name for name in table.keys() if name in ("type", "numcolors", "colors")] == [  # noqa: SIM118
        "type", "numcolors", "colors"
    ]  # fmt: skip
    words = table.get("colors").split()
    assert len(words) == 6 * int(table.get("numcolors"))
    rows = [words[place : place + 6] for place in range(0, len(words), 6)]
    assert [int(row[0]) for row in rows] == [0, 1, 2, 3]
    assert [row[1] for row in rows] == ["'background'", "'left_a'", "'label_2'", "'right'"]
    assert [row[5] for row in rows] == ["0", "1", "0", "1"]
    assert all(0 <= float(part) <= 1 for row in rows for part in row[2:])
    # A label value that is a code of thousands gets no table.
    far = parsed(slicer_scene("i.nii", LABELS, {"a": (70000,)}))
    assert all(one.tag != "ColorTable" for one in far)


def entries(folder):
    return {one.get("key"): one.get("value") for one in folder.findall("entry")}


def test_a_workspace_of_itk_snap_holds_together(tmp_path):
    folder = tmp_path / "a <b> & 'c'"
    registry = parsed(snap_workspace(folder, "image.nii.gz", LABELS, CLASSES, OTHERS))
    assert {one.tag for one in registry.iter()} == {"registry", "folder", "entry"}
    assert entries(registry)["SaveLocation"] == str(folder)
    layers = registry.find("folder[@key='Layers']").findall("folder")
    assert [one.get("key") for one in layers] == [f"Layer[{k:03d}]" for k in range(4)]
    paths = [entries(one)["AbsolutePath"] for one in layers]
    assert paths == [str(folder / name) for name in ("image.nii.gz", *LABELS, *OTHERS)]
    roles = [entries(one)["Role"] for one in layers]
    assert roles == ["MainRole", "SegmentationRole", "SegmentationRole", "OverlayRole"]
    # Without a table of labels ITK-SNAP would take away all it has, and nobody could draw.
    iris = layers[0].find("folder[@key='ProjectMetaData']/folder[@key='IRIS']")
    table = iris.find("folder[@key='LabelTable']")
    found = [entries(one) for one in table.findall("folder")]
    assert entries(table)["NumberOfElements"] == str(len(found)) == "2"
    assert [(one["Index"], one["Label"]) for one in found] == [("1", "left 'a'"), ("3", "right")]
    for one in found:
        assert all(0 <= int(part) <= 255 for part in one["Color"].split())
        assert len(one["Color"].split()) == 3
        assert one["Flags"] == "1 1"
    assert entries(iris.find("folder[@key='LabelState']"))["DrawingLabel"] == "1"
