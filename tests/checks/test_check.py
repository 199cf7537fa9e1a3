"""Every kind of fault is found in its case, and nothing else is."""

import csv
import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from aleaseg.case import Geometry
from aleaseg.checks import check, join_groups, same_image_groups, summary, write_check
from aleaseg.checks.far_out import far_out
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import write_nifti

SHAPE = (6, 7, 8)
GEOMETRY = Geometry(
    SHAPE, (2.0, 1.0, 1.0), np.array([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]])
)


def write(root, case, image=None, label=None, geometry=GEOMETRY, label_geometry=None):
    seed = int.from_bytes(case.encode(), "big") % 2**32
    if image is None:
        image = np.random.default_rng(seed).normal(size=geometry.shape).astype(np.float32)
    if label is None:
        label = np.zeros(geometry.shape, np.uint8)
        label[2:4, 2:4, 2:4] = 1
    write_nifti(root / "imagesTr" / f"{case}_0000.nii.gz", image, geometry)
    write_nifti(root / "labelsTr" / f"{case}.nii.gz", label, label_geometry or geometry)


@pytest.fixture
def root(tmp_path):
    labels = {"background": 0, "liver": 1, "ignore": 4}
    declared = {"modality": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(declared))
    write(tmp_path, "sound1")
    write(tmp_path, "sound2")
    return tmp_path


def found(root, **kwargs):
    result = check(open_dataset(root), **kwargs)
    return {(finding.case, finding.severity, finding.check) for finding in result.findings}


def only(root):
    """The one finding there is."""
    (finding,) = check(open_dataset(root)).findings
    assert finding.expected
    assert finding.found
    assert finding.advice
    return finding


def test_a_sound_data_set_has_no_findings(root):
    result = check(open_dataset(root))
    assert result.findings == ()
    assert result.image_hashes.keys() == {"sound1", "sound2"}
    assert summary(result) == "2 cases, no errors, no notes"


@pytest.mark.parametrize(
    ("value", "name", "told"),
    [
        (np.nan, "nan_image", "1 voxels of 336 are NaN"),
        (np.inf, "infinite_image", "1 voxels of 336 are infinite"),
        (-np.inf, "infinite_image", "1 voxels of 336 are infinite"),
    ],
)
def test_voxels_that_are_no_numbers(root, value, name, told):
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    image[3, 3, 3] = value
    write(root, "bad", image)
    finding = only(root)
    assert (finding.case, finding.severity, finding.check, finding.found) == ("bad", "error", name, told)


def test_constant_image(root):
    write(root, "bad", np.full(SHAPE, 7, np.int16))
    assert only(root).found == "every voxel is 7"


def test_undeclared_values(root):
    label = np.zeros(SHAPE, np.uint8)
    label[0, 0, :3], label[1], label[2] = 9, 1, 4
    write(root, "bad", label=label)
    finding = only(root)
    assert (finding.check, finding.severity) == ("undeclared_value", "error")
    assert finding.expected == "the values 0, 1, 4"
    assert finding.found == "9 at 3 voxels"


def test_values_that_are_not_whole(root):
    label = np.zeros(SHAPE, np.float32)
    label[0, 0, 0] = 0.25
    write(root, "bad", label=label)
    finding = only(root)
    assert (finding.check, finding.severity) == ("label_values", "error")
    assert "0.25" in finding.found


@pytest.mark.parametrize("values", [(), (4,)])
def test_empty_mask_is_a_note(root, values):
    label = np.zeros(SHAPE, np.uint8)
    for value in values:
        label[0] = value
    write(root, "empty", label=label)
    finding = only(root)
    assert (finding.case, finding.severity, finding.check) == ("empty", "note", "empty_mask")


def test_shape_and_geometry(root):
    write(
        root, "shape", label=np.ones((6, 7, 9), np.uint8), label_geometry=replace(GEOMETRY, shape=(6, 7, 9))
    )
    moved = GEOMETRY.affine.copy()
    moved[0, 3] = 3
    write(root, "moved", label_geometry=replace(GEOMETRY, affine=moved))
    wide = GEOMETRY.affine * [2, 1, 1, 1]
    write(root, "wide", label_geometry=replace(GEOMETRY, affine=wide, spacing_mm=(4.0, 1.0, 1.0)))
    nearly = GEOMETRY.affine.copy()
    nearly[0, 3] = 1e-3
    write(root, "nearly", label_geometry=replace(GEOMETRY, affine=nearly))
    assert found(root) == {
        ("shape", "error", "shape"), ("shape", "note", "no_background"),
        ("moved", "error", "geometry"), ("wide", "error", "geometry"),
    }  # fmt: skip


def test_files_that_cannot_be_read_stop_nothing(root):
    for case in ("cut", "empty", "text", "both"):
        write(root, case)
    cut = root / "imagesTr" / "cut_0000.nii.gz"
    cut.write_bytes(cut.read_bytes()[:200])
    (root / "labelsTr" / "empty.nii.gz").write_bytes(b"")
    (root / "imagesTr" / "text_0000.nii.gz").write_text("<html>")
    for path in (root / "imagesTr" / "both_0000.nii.gz", root / "labelsTr" / "both.nii.gz"):
        path.write_bytes(b"\x1f\x8b rubbish")
    (root / "labelsTr" / "alone.nii.gz").write_bytes(b"")
    result = check(open_dataset(root))
    assert {(finding.case, finding.check) for finding in result.errors} == {
        ("cut", "unreadable_image"), ("empty", "unreadable_label"), ("text", "unreadable_image"),
        ("both", "unreadable_image"), ("both", "unreadable_label"), ("alone", "missing_image"),
    }  # fmt: skip
    assert result.notes == ()
    # The image of a case with a bad label was read all the same.
    assert result.image_hashes.keys() == {"sound1", "sound2", "empty"}
    assert summary(result) == (
        "7 cases, 6 errors (missing_image 1, unreadable_image 3, unreadable_label 2), no notes"
    )


def test_a_crash_in_one_case_stops_nothing(root):
    dataset = open_dataset(root)

    def crash():
        raise RuntimeError("a bug\nof many lines")

    broken = [replace(dataset.cases[0], read_image=crash), *dataset.cases[1:]]
    result = check(dataset.with_cases(broken))
    (finding,) = result.findings
    assert (finding.case, finding.severity, finding.check) == ("sound1", "error", "unforeseen")
    assert finding.found == "RuntimeError: a bug of many lines"
    assert "sound2" in result.image_hashes


def test_ctrl_c_goes_through(root):
    dataset = open_dataset(root)

    def interrupt(done, total):
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        check(dataset, progress=interrupt)
    assert threading.active_count() == before


def test_progress_and_workers(root):
    steps = []
    one = check(open_dataset(root), progress=lambda done, total: steps.append((done, total)), workers=1)
    assert steps == [(0, 2), (1, 2), (2, 2)]
    assert one == check(open_dataset(root), workers=3)


def test_each_file_is_read_once(root):
    dataset = open_dataset(root)
    reads = []

    def counted(what, read):
        def _read():
            reads.append(what)
            return read()

        return _read

    cases = [
        replace(
            case,
            read_image=counted((case.id, "image"), case.read_image),
            read_label=counted((case.id, "label"), case.read_label),
        )
        for case in dataset.cases
    ]
    check(dataset.with_cases(cases))
    assert sorted(reads) == [(case, what) for case in ("sound1", "sound2") for what in ("image", "label")]


def test_twins_share_a_group(root):
    image = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    for case in ("p1_a", "p2_a"):
        write(root, case, image)
    write(root, "p1_b")
    write(root, "p2_b")
    write(root, "nearly", np.where(np.arange(image.size).reshape(SHAPE) == 5, image + 1, image))
    dataset = open_dataset(root, groups=r"^(p\d)")
    result = check(dataset)
    assert {(finding.case, finding.found) for finding in result.notes} == {
        ("p1_a", "the same voxels as p2_a"), ("p2_a", "the same voxels as p1_a"),
    }  # fmt: skip
    assert result.errors == ()
    assert same_image_groups(result) == (("p1_a", "p2_a"),)
    groups = {case.id: case.group for case in join_groups(dataset, result).cases}
    # The frames of both patients, not the twins alone.
    assert len({groups[case] for case in ("p1_a", "p1_b", "p2_a", "p2_b")}) == 1
    assert len(set(groups.values())) == 4


def test_overlap_reaches_the_findings(tmp_path):
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, np.uint8)
    mask[2] = 1
    write_nifti(tmp_path / "s1" / "ct.nii.gz", image, GEOMETRY)
    for name in ("liver", "spleen"):
        write_nifti(tmp_path / "s1" / "segmentations" / f"{name}.nii.gz", mask, GEOMETRY)
    assert found(tmp_path) == {("s1", "note", "overlap")}


def test_written_tables(root):
    write(root, "=cmd()", np.zeros(SHAPE, np.uint8))
    label = np.zeros(SHAPE, np.uint8)
    write(root, "aaa", label=label)
    write_check(root / "run", check(open_dataset(root)))
    with open(root / "run" / "check.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["case", "severity", "check", "expected", "found", "advice", "files"]
    # Errors first; and a case is no formula to a spreadsheet program.
    assert [(row["case"], row["severity"]) for row in rows] == [("'=cmd()", "error"), ("aaa", "note")]
    listed = json.loads((root / "run" / "check.json").read_text())["findings"]
    assert [(one["case"], one["check"]) for one in listed] == [
        ("=cmd()", "constant_image"),
        ("aaa", "empty_mask"),
    ]
    assert listed[0].keys() == rows[0].keys()


class TestFarOut:
    def population(self, n=100, spread=0.1):
        rng = np.random.default_rng(0)
        affine = np.diag([1.0, 1.0, 1.0, 1.0])
        return {
            f"c{number}": Geometry(
                tuple((np.array([30, 60, 60]) * np.exp(rng.normal(size=3) * spread)).astype(int)),
                (3.0, 1.0, 1.0),
                affine,
            )
            for number in range(n)
        }

    @pytest.mark.parametrize("spread", [0.0, 0.1, 0.5])
    def test_a_usual_population_is_quiet(self, spread):
        assert far_out(self.population(spread=spread)) == []

    def test_what_is_far_out_is_told(self):
        cases = self.population()
        cases["thick"] = replace(cases["c0"], spacing_mm=(9.0, 1.0, 1.0))
        cases["huge"] = Geometry((30, 512, 512), (3.0, 1.0, 1.0), cases["c0"].affine)
        cases["turned"] = replace(cases["c0"], affine=np.diag([1.0, -1.0, 1.0, 1.0]))
        cases["flat"] = Geometry((60, 60), (1.0, 1.0))
        notes = {(note.case, note.check) for note in far_out(cases)}
        assert notes == {
            ("thick", "spacing_far_out"), ("thick", "size_far_out"), ("huge", "size_far_out"),
            ("turned", "orientation"), ("flat", "axes"),
        }  # fmt: skip
        assert all(note.severity == "note" for note in far_out(cases))

    def test_what_is_in_many_cases_is_how_the_data_set_is(self):
        cases = self.population()
        for number in range(12):
            cases[f"c{number}"] = Geometry((30, 512, 512), (1.0, 3.0, 3.0), np.diag([1.0, -1.0, 1.0, 1.0]))
        assert far_out(cases) == []

    def test_few_cases_are_no_population(self):
        cases = self.population(18)
        cases["huge"] = Geometry((30, 512, 512), (3.0, 1.0, 1.0), None)
        assert far_out(cases) == []
        assert far_out({}) == []
