"""What lies in RUN/selection afterwards, and that nothing else changed."""

import csv
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.errors import UsageError
from aleaseg.run import Record, read_table
from aleaseg.selection import plan, write
from aleaseg.selection.folds import grouped_folds, leave_out, nnunet_folds

ODD = (
    "=1+1",
    "<script>alert(1)</script>",
    "../../up",
    "Größe 7",
    "日本",
    'quo"te',
    "a, b",
    "-3",
    "'x",
    "no\nline",
)
IDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=5, max_size=40, unique=True
)


# -- folds ------------------------------------------------------------------------------------------


def test_five_folds_are_nnunets_own():
    """`generate_crossval_split` of nnunetv2, written out: KFold over the sorted ids, seed 12345."""
    import numpy as np
    from sklearn.model_selection import KFold

    ids = [f"case_{i:03d}" for i in range(23)]
    expected = [
        {"train": list(np.array(ids)[train]), "val": list(np.array(ids)[val])}
        for train, val in KFold(n_splits=5, shuffle=True, random_state=12345).split(ids)
    ]
    assert nnunet_folds(ids[::-1]) == expected
    # Golden, so that another scikit-learn that shuffles otherwise is noticed.
    assert nnunet_folds(ids)[0]["val"] == ["case_003", "case_008", "case_010", "case_017", "case_019"]


@settings(deadline=None, max_examples=30)
@given(ids=IDS)
def test_every_case_is_validated_once(ids):
    folds = nnunet_folds(ids)
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(ids)
    for fold in folds:
        assert sorted(fold["train"] + fold["val"]) == sorted(ids)


@settings(deadline=None, max_examples=30)
@given(groups=st.dictionaries(st.text(min_size=1), st.sampled_from(["", *"abcdefghij"]), min_size=5))
def test_grouped_folds_keep_groups_together(groups):
    count = len({(bool(group), group or case) for case, group in groups.items()})
    if count < 5:
        with pytest.raises(UsageError, match=f"found {count} groups; expected at least 5"):
            grouped_folds(groups)
        return
    folds = grouped_folds(groups)
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(groups)
    for fold in folds:
        shared = {groups[case] for case in fold["train"]} & {groups[case] for case in fold["val"]}
        assert shared <= {""}


@settings(deadline=None, max_examples=30)
@given(ids=IDS, data=st.data())
def test_leaving_out_never_touches_validation(ids, data):
    dropped = data.draw(st.sets(st.sampled_from(ids), max_size=len(ids) // 2))
    folds = nnunet_folds(ids)
    try:
        left = leave_out(folds, dropped)
    except UsageError:
        assert any(set(fold["train"]) <= dropped for fold in folds)
        return
    assert [fold["val"] for fold in left] == [fold["val"] for fold in folds]
    for before, after in zip(folds, left, strict=True):
        assert after["train"] == [case for case in before["train"] if case not in dropped]


def test_too_few_cases_for_five_folds():
    with pytest.raises(UsageError, match="found 4 cases; expected at least 5"):
        nnunet_folds("abcd")


# -- splits -----------------------------------------------------------------------------------------


def test_splits_without_existing_ones(hundred):
    selection = plan(hundred, worst=5)
    path = write(selection)
    assert path == hundred.path / "selection" / "splits_final.json"
    folds = json.loads(path.read_text())
    assert folds == leave_out(nnunet_folds(selection.why), selection.dropped)
    manifest = json.loads((path.parent / "manifest.json").read_text())
    assert manifest["folds"]["origin"] == "nnU-Net's own five"
    assert manifest["folds"]["val"] == [20] * 5
    assert sum(manifest["folds"]["train"]) == 4 * 95


def test_nothing_dropped_gives_nnunets_file_to_the_byte(hundred):
    path = write(plan(hundred, worst=0))
    expected = json.dumps(nnunet_folds([f"case_{i:03d}" for i in range(100)]), sort_keys=True, indent=4)
    assert path.read_bytes() == expected.encode()


def test_given_splits_are_filtered_in_train_only(hundred, tmp_path):
    given_splits = tmp_path / "splits_final.json"
    fold = {"train": ["case_099", "stranger", "case_000"], "val": ["case_098", "case_001"]}
    given_splits.write_text(json.dumps([fold, fold]))
    before = given_splits.read_bytes()
    folds = json.loads(write(plan(hundred, worst=5), splits=given_splits).read_text())
    assert folds == [{"train": ["stranger", "case_000"], "val": ["case_098", "case_001"]}] * 2
    assert given_splits.read_bytes() == before
    manifest = json.loads((hundred.path / "selection" / "manifest.json").read_text())
    assert manifest["notes"] == ["1 cases of the given splits are not in the run; they stay as they are"]


@pytest.mark.parametrize(
    "content", ["{}", "[]", '[{"train": "a", "val": []}]', '[{"train": ["a"]}]', "no json"]
)
def test_given_splits_that_are_none(hundred, tmp_path, content):
    path = tmp_path / "splits_final.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"splits_final\.json is (no|damaged)"):
        write(plan(hundred, worst=5), splits=path)
    assert not (hundred.path / "selection").exists()


def test_a_fold_must_keep_something_to_train_on(hundred, tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["case_099"], "val": ["case_000"]}]))
    with pytest.raises(UsageError, match="fold 0 would have no case left"):
        write(plan(hundred, worst=5), splits=path)


def test_groups(make_run):
    rows = [
        {"case": f"p{i // 2:02d}_{i % 2}", "group": f"p{i // 2:02d}", "doubt": i / 80} for i in range(40)
    ]
    run = make_run(rows, settings={"groups": r"(p\d+)"})
    selection = plan(run, worst=2)
    write(selection)
    manifest = json.loads((run.path / "selection" / "manifest.json").read_text())
    assert "ignore groups" in manifest["notes"][0]
    folds = json.loads(write(selection, grouped=True).read_text())
    for fold in folds:
        assert not {case[:3] for case in fold["train"]} & {case[:3] for case in fold["val"]}
    assert json.loads((run.path / "selection" / "manifest.json").read_text())["notes"] == []


# -- the manifest of reasons ------------------------------------------------------------------------


def test_every_dropped_case_has_its_reasons(hundred):
    selection = plan(hundred, worst=3)
    write(selection, "csv")
    manifest = json.loads((hundred.path / "selection" / "manifest.json").read_text())
    assert manifest["dropped"][0] == {
        "case": "case_099",
        "score": 0.99,
        "threshold": 0.96,
        "class": "",
        "reasons": "noise=99",
        "by_hand": "",
    }
    assert [row["case"] for row in manifest["dropped"]] == ["case_099", "case_098", "case_097"]
    assert manifest["counts"] == {"cases": 100, "kept": 97, "dropped": 3, "unscored": 0}
    assert manifest["settings"]["worst"] == 3
    assert manifest["harm"][0] == {"kind": "all", "name": "all cases", "before": 100, "after": 97}
    assert all(len(digest) == 64 for digest in manifest["tables_sha256"].values())
    assert manifest["written"] == ["selection.csv"]


# -- csv --------------------------------------------------------------------------------------------


def test_csv_holds_every_case(hundred):
    path = write(plan(hundred, worst=3), "csv")
    frame = read_table(path)
    assert len(frame) == 100
    kept = {"true": True, "false": False}
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["case"] for row in rows if not kept[row["kept"]]] == ["case_097", "case_098", "case_099"]


def test_odd_ids_do_no_harm(make_run, tmp_path, tree):
    rows = [{"case": case, "doubt": 0.9} for case in ODD] + [
        {"case": f"fine_{i}", "doubt": i / 1000} for i in range(90)
    ]
    run = make_run(rows)
    before = tree(tmp_path)
    selection = plan(run)
    assert set(selection.dropped) == set(ODD)
    for form in ("csv", "dataset", "splits"):
        path = write(selection, form)
        text = path.read_text()
        if form == "csv":
            cells = [row[0] for row in csv.reader(text.splitlines(keepends=True))]
            assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
            assert set(read_table(path).case) == {row["case"] for row in rows}
    after = {
        name: digest for name, digest in tree(tmp_path).items() if not name.startswith("run/selection/")
    }
    assert after == before


def test_only_the_selection_folder_is_written(hundred, tmp_path, tree):
    raw = tmp_path / "raw" / "Dataset009_Thing"
    for folder in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (raw / folder).mkdir(parents=True)
        (raw / folder / "case_099.nii.gz").write_bytes(folder.encode())
    before = tree(tmp_path)
    for form in ("splits", "dataset", "csv"):
        write(plan(hundred, worst=5), form)
    after = tree(tmp_path)
    assert {name for name in after if name not in before} == {
        "run/selection/manifest.json",
        "run/selection/selection.csv",
    }
    assert {name: after[name] for name in before} == before


# -- data set ---------------------------------------------------------------------------------------


def test_dataset_refers_and_does_not_copy(hundred, tmp_path):
    raw = tmp_path / "raw" / "Dataset009_Thing"
    raw.mkdir(parents=True)
    about = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": [1, 2], "lesion": 2}}
    about |= {"file_ending": ".nii.gz", "regions_class_order": [1, 2], "numTraining": 100}
    (raw / "dataset.json").write_text(json.dumps(about))
    path = write(plan(hundred, worst=5), "dataset")
    made = json.loads(path.read_text())
    assert made["labels"] == about["labels"]
    assert made["regions_class_order"] == [1, 2]
    assert made["numTraining"] == len(made["dataset"]) == 95
    assert "case_099" not in made["dataset"]
    assert made["dataset"]["case_000"] == {
        "images": [str(raw / "imagesTr" / "case_000_0000.nii.gz")],
        "label": str(raw / "labelsTr" / "case_000.nii.gz"),
    }
    folds = json.loads((path.parent / "splits_final.json").read_text())
    assert {case for fold in folds for case in (*fold["train"], *fold["val"])} == set(made["dataset"])
    own = nnunet_folds([f"case_{i:03d}" for i in range(100)])
    assert [set(fold["val"]) for fold in folds] == [set(fold["val"]) & set(made["dataset"]) for fold in own]
    assert sorted(file.name for file in path.parent.iterdir()) == ["dataset.json", "splits_final.json"]


def test_dataset_from_another_layout(make_run):
    rows = [{"case": f"c{i:02d}", "doubt": i / 100} for i in range(30)]
    made = json.loads(write(plan(make_run(rows, layout="folder"), worst=1), "dataset").read_text())
    assert made["labels"] == {"background": 0, "liver": 1, "lesion": 2}
    assert made["channel_names"] == {"0": "CT"}
    assert made["file_ending"] == ".nii.gz"


def test_dataset_with_values_nnunet_cannot_read(make_run):
    rows = [{"case": f"c{i:02d}", "doubt": i / 100} for i in range(30)]
    run = make_run(rows, layout="folder", classes={"tumour": [255]})
    with pytest.raises(UsageError, match=r"label values are \[255\]; nnU-Net expects 1, 2, 3"):
        write(plan(run, worst=1), "dataset")


def test_dataset_of_one_mask_per_structure(make_run):
    run = make_run([{"case": f"c{i:02d}", "doubt": i / 100} for i in range(30)])
    run.write_case(Record("c00", image_files=("/a/ct.nii.gz",), label_files=("/a/x.nii.gz", "/a/y.nii.gz")))
    with pytest.raises(UsageError, match="c00: found 1 image files and 2 label files"):
        write(plan(run, worst=1), "dataset")


# -- one selection at a time ------------------------------------------------------------------------


def test_a_new_selection_replaces_the_old_one(hundred):
    write(plan(hundred, worst=5), "dataset")
    write(plan(hundred, worst=5), "csv")
    write(plan(hundred, worst=2))
    folder = hundred.path / "selection"
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "splits_final.json"]
    assert json.loads((folder / "manifest.json").read_text())["counts"]["dropped"] == 2


def test_files_of_others_in_the_folder_stay(hundred):
    folder = hundred.path / "selection"
    (folder / "dataset").mkdir(parents=True)
    (folder / "dataset" / "notes.txt").write_text("mine")
    write(plan(hundred, worst=2))
    assert (folder / "dataset" / "notes.txt").read_text() == "mine"


def test_only_known_forms(hundred):
    with pytest.raises(UsageError, match="form is 'xlsx'; expected one of splits, dataset, csv"):
        write(plan(hundred, worst=2), "xlsx")
    with pytest.raises(UsageError, match="splits and grouped"):
        write(plan(hundred, worst=2), splits="x.json", grouped=True)
