"""The five data sets as they are handed out; what is missing is said; the split stays."""

import json
import shutil

import pytest

from aleaseg.errors import UsageError
from aleaseg.readers import open_dataset
from aleaseg.reproduce.datasets import KNOWN, find_sources, prepare, with_target


@pytest.fixture(scope="module")
def prepared(paper_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    sources, missing = find_sources(paper_data)
    assert not missing
    return {source.name: prepare(source, out) for source in sources}


def test_all_five_are_found(prepared):
    assert list(prepared) == list(KNOWN)
    assert {name: len(data.classes) for name, data in prepared.items()} == {
        "lits": 2,
        "totalseg": 3,
        "word": 16,
        "feta": 7,
        "kits23": 3,
    }
    assert prepared["lits"].target == prepared["kits23"].target == "tumour"
    assert all(data.of_paper for data in prepared.values())
    assert "30 labelled cases here, 131 in the paper" in prepared["lits"].notes[0]


@pytest.mark.parametrize("name", KNOWN)
def test_views_hold_the_files_themselves(prepared, name, paper_data):
    data = prepared[name]
    whole, training = open_dataset(data.whole), open_dataset(data.training)
    assert len(whole) == 30
    assert len(training) == data.train
    assert not whole.findings
    fold = json.loads(data.split.read_text())[0]
    assert {case.id for case in training.cases} == set(fold["train"])
    assert not set(fold["train"]) & set(fold["val"])
    assert {case.id for case in whole.cases} == {*fold["train"], *fold["val"]}
    for case in whole.cases:
        for path in (*case.image_files, *case.label_files):
            assert path.resolve().is_relative_to(paper_data.resolve())


def test_a_fifth_is_held_out_and_totalsegmentator_has_its_own_split(prepared):
    assert {name: data.test for name, data in prepared.items()} == {
        "lits": 6,
        "totalseg": 3,
        "word": 6,
        "feta": 6,
        "kits23": 6,
    }
    assert json.loads(prepared["totalseg"].split.read_text())[0]["val"] == ["s0000", "s0010", "s0020"]


def test_the_split_is_the_same_again_and_kept(paper_data, tmp_path):
    sources, _ = find_sources(paper_data, ["lits"])
    first = prepare(sources[0], tmp_path)
    again = prepare(sources[0], tmp_path / "elsewhere")
    assert first.split.read_bytes() == again.split.read_bytes()
    fold = {"train": ["lits_000", "lits_001"], "val": ["lits_002"]}
    first.split.write_text(json.dumps([fold]))
    assert (prepare(sources[0], tmp_path).train, prepare(sources[0], tmp_path).test) == (2, 1)


def test_one_data_set_itself(paper_data):
    sources, missing = find_sources(paper_data / "kits23")
    assert [source.name for source in sources] == ["kits23"]
    assert "volume-N.nii and segmentation-N.nii" in missing["lits"]


def test_lits_as_a_task_of_the_decathlon(tmp_path, write_small):
    write_small(tmp_path / "Task03_Liver", cases=6)
    (source,), _ = find_sources(tmp_path)
    assert (source.name, source.title) == ("lits", "LiTS")
    assert prepare(source, tmp_path / "out").target == "right"  # its files name no tumour: the last class


@pytest.mark.parametrize("name", ["Dataset300_FetalHead", "Dataset301_Splits", "Dataset302_Crossword"])
def test_a_name_that_only_contains_one_of_the_papers_is_another_data_set(tmp_path, write_small, name):
    write_small(tmp_path / name, cases=6)
    (source,), _ = find_sources(tmp_path)
    assert source.known is None


def test_any_data_set_of_nnunet(small_data, tmp_path):
    (source,), _ = find_sources(small_data)
    data = prepare(source, tmp_path)
    assert (data.name, data.title, data.of_paper, data.train, data.test) == ("small", "Small", False, 24, 6)
    assert with_target(data, "left").target == "left"
    with pytest.raises(UsageError, match="no class 'liver'; expected one of: left, right"):
        with_target(data, "liver")


def test_groups_stay_on_one_side(small_data, tmp_path):
    (source,), _ = find_sources(small_data)
    data = prepare(source, tmp_path, groups=r"^(g\d)")
    fold = json.loads(data.split.read_text())[0]
    assert len({case[:2] for case in fold["val"]}) == 1
    assert not {case[:2] for case in fold["val"]} & {case[:2] for case in fold["train"]}


def test_nothing_there_says_what_was_expected(tmp_path):
    with pytest.raises(UsageError) as caught:
        find_sources(tmp_path)
    assert all(known.expected in str(caught.value) for known in KNOWN.values())


def test_a_name_that_is_not_there(small_data):
    with pytest.raises(UsageError, match="no data set 'brats'"):
        find_sources(small_data, ["brats"])
    # One of the paper's is missed, not refused, where another is there.
    with pytest.raises(UsageError, match="KiTS23: expected case_00000"):
        find_sources(small_data, ["kits23"])


def test_images_without_a_mask_are_left_out(paper_data, tmp_path):
    shutil.copytree(paper_data / "LiTS", tmp_path / "LiTS")
    (tmp_path / "LiTS" / "Training Batch 1" / "segmentation-3.nii").unlink()
    (source,), _ = find_sources(tmp_path)
    assert len(source.pairs) == 29


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(UsageError, match="cannot be listed"):
        find_sources(tmp_path / "nowhere")
