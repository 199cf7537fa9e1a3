"""`aleaseg evaluate` and `aleaseg compare` as a user types them, on real hippocampi."""

import csv
import hashlib
import json
import shutil

import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

from aleaseg.case import Geometry
from aleaseg.cli import app
from aleaseg.errors import UsageError
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import write_nifti

PAGE = "docs/evaluate.md"


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def hippocampi(data, tmp_path_factory):
    """Eight real cases, predictions that are their masks eroded, and others that are their masks shifted."""
    folder = tmp_path_factory.mktemp("hippocampi")
    source = data / "Dataset004_Hippocampus"
    for name in ("imagesTr", "labelsTr"):
        (folder / "data" / name).mkdir(parents=True)
    shutil.copy(source / "dataset.json", folder / "data" / "dataset.json")
    for case in open_dataset(source).cases[:8]:
        for path in (*case.image_files, *case.label_files):
            shutil.copy(path, folder / "data" / path.parent.name / path.name)
        label = case.read_label()
        inner = ndimage.binary_erosion(label.array > 0)
        changed = {"eroded": label.array * inner, "shifted": np.roll(label.array, 1, axis=1)}
        for name, array in changed.items():
            (folder / name).mkdir(exist_ok=True)
            write_nifti(folder / name / f"{case.id}.nii.gz", array.astype(np.uint8), label.geometry)
    return folder


@pytest.fixture(scope="module")
def evaluated(hippocampi, type_aleaseg):
    before = digest(hippocampi)
    done = type_aleaseg(
        "evaluate",
        hippocampi / "data",
        hippocampi / "shifted",
        "-o",
        hippocampi / "out",
        "--against",
        hippocampi / "eroded",
    )
    assert done.returncode == 0, done.stderr
    after = digest(hippocampi)
    assert {name: hashed for name, hashed in after.items() if not name.startswith("out")} == before
    return hippocampi, done


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def narrow(done):
    return max(
        len(line)
        for line in done.stdout.splitlines()
        if not line.startswith(("Page:", "Tables:", "not measured"))
    )


def test_it_prints_the_numbers_and_what_they_mean(evaluated):
    folder, done = evaluated
    assert narrow(done) <= 80
    out = " ".join(done.stdout.split())
    assert "8 cases against" in out
    for name in ("all", "anterior", "posterior", "HD95 mm", "NSD"):
        assert name in out
    assert "shifted compared with eroded, 8 cases in 8 groups" in out
    assert "shifted is better than eroded: its Dice is" in out
    assert f"Page: {folder / 'out' / 'index.html'}" in out
    assert done.stderr.split("\n")[:2] == ["Starting ...", "Measuring ..."]


def test_it_writes_what_the_docs_promise(evaluated):
    folder, _ = evaluated
    out = folder / "out"
    tables = ("metrics", "cases", "summary", "risk_coverage", "reliability")
    files = {"manifest.json", "summary.md", *(f"{name}.csv" for name in tables)}
    assert files | {"against", "assets", "comparison.csv", "comparison.md", "index.html"} == {
        p.name for p in out.iterdir()
    }
    # Its page is its own, and one file; beside it stands that of the comparison.
    assert files | {"index.html"} == {path.name for path in (out / "against").iterdir()}
    rows = rows_of(out / "metrics.csv")
    assert len(rows) == 16
    # A whole mask shifted by one voxel of 1 mm.
    assert {row["hd95_mm"] for row in rows} == {"1"}
    assert all(0.5 < float(row["dice"]) < 1 for row in rows)
    assert {row["error"] for row in rows} == {""}
    about = json.loads((out / "manifest.json").read_text())
    assert about["columns"]["hd95_mm"]["direction"] == "low = good"


def test_another_evaluation_is_refused_and_nothing_overwritten(evaluated, type_here):
    folder, _ = evaluated
    before = digest(folder)
    words = (
        "evaluate",
        folder / "data",
        folder / "shifted",
        "-o",
        folder / "out",
        "--against",
        folder / "eroded",
    )
    other = type_here(*words, "--tolerance", "2")
    assert other.returncode == 2
    assert "tolerance: '1' then, '2' now" in other.stderr
    into_data = type_here("evaluate", folder / "data", folder / "shifted", "-o", folder / "shifted")
    assert into_data.returncode == 2
    assert "holds other files" in into_data.stderr
    assert digest(folder) == before


def test_compare_makes_one_table_and_one_page(evaluated, type_aleaseg, tmp_path):
    folder, _ = evaluated
    done = type_aleaseg("compare", folder / "out" / "against", folder / "out", "-o", tmp_path / "compared")
    assert done.returncode == 0, done.stderr
    assert narrow(done) <= 80
    assert (tmp_path / "compared" / "index.html").is_file()
    made, again = (rows_of(each / "comparison.csv") for each in (tmp_path / "compared", folder / "out"))
    assert [row["difference"] for row in made] == [row["difference"] for row in again]


def test_bad_cases_are_named_and_the_others_measured(hippocampi, type_here, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(hippocampi / "shifted", bad)
    paths = sorted(bad.iterdir())
    ids = [path.name.removesuffix(".nii.gz") for path in paths]
    truncated, other_grid, unknown, missing = paths[:4]
    cases = open_dataset(hippocampi / "data").cases
    truncated.write_bytes(truncated.read_bytes()[:500])
    shape = cases[1].read_geometry().shape
    cut = Geometry((shape[0] - 1, *shape[1:]), (1.0, 1.0, 1.0))
    write_nifti(other_grid, cases[1].read_label().array[1:], cut)
    write_nifti(unknown, cases[2].read_label().array * 5, cases[2].read_geometry())
    missing.unlink()
    table = tmp_path / "unsure.csv"
    table.write_text("case,uncertainty\n" + "".join(f"{case},{place}\n" for place, case in enumerate(ids)))
    # The reference as a folder of masks, whose classes are those of the data set above it.
    done = type_here(
        *("evaluate", hippocampi / "data" / "labelsTr", bad, "-o", "out", "--both-empty", "perfect"),
        *("--confidence", "unsure.csv", "--groups", r"_(\d+)", "--tolerance", "0.5,anterior=2"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert narrow(done) <= 80
    rows = rows_of(tmp_path / "out" / "metrics.csv")
    errors = {row["case"]: row["error"] for row in rows if row["error"]}
    expected = (truncated.name, "shape", "label values 5, 10", "no prediction")
    for case_id, said in zip(ids, expected, strict=False):
        assert said in errors[case_id]
        assert f"not measured: {case_id}: found" in done.stdout
    fine = [row["case"] for row in rows_of(tmp_path / "out" / "cases.csv") if row["status"] == "ok"]
    assert fine == ids[4:]
    assert "AURC by uncertainty" in done.stdout
    assert "Page: out/index.html" in done.stdout
    assert "4 could not be" in (tmp_path / "out" / "index.html").read_text()
    (risk,) = rows_of(tmp_path / "out" / "risk_coverage.csv")
    assert (risk["confidence"], risk["direction"]) == ("uncertainty", "high = unsure")
    known = [row for row in rows if not row["error"]]
    assert {(row["class"], row["tolerance_mm"]) for row in known} == {
        ("anterior", "2"),
        ("posterior", "0.5"),
    }
    assert {row["group"] for row in known} == {case[len("hippocampus_") :] for case in fine}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["{r}", "nowhere"], ["nowhere is not a folder"]),
        (["nowhere", "{p}"], ["nowhere does not exist"]),
        (["{r}", "{r}/imagesTr"], ["no prediction of any of the 8 cases"]),
        (["{r}", "{p}", "--classes", "spleen"], ["spleen"]),
        (["{r}", "{p}", "--groups", "(unclosed"], ["--groups", "regular expression"]),
        (["{r}", "{p}", "--tolerance", "far"], ["--tolerance", "far"]),
        (["{r}", "{p}", "--confidence", "none.csv"], ["--confidence", "none.csv"]),
        (["{r}", "{p}", "--against", "{p}"], ["given twice"]),
        (["{r}", "{p}", "--against", "nowhere"], ["nowhere"]),
        (["{p}", "{p}", "--classes", "a=1,a=2"], ["--classes"]),
    ],
)
def test_arguments_that_cannot_work_are_refused_and_leave_nothing(
    hippocampi, tmp_path, words, parts, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    places = {"r": hippocampi / "data", "p": hippocampi / "shifted"}
    given = ["evaluate", *(word.format(**places) for word in words), "-o", "out"]
    refused = CliRunner().invoke(app, given).exception
    assert isinstance(refused, UsageError), refused  # which ends with status 2
    for part in parts:
        assert part in str(refused)
    assert not (tmp_path / "out").exists()


def test_compare_says_what_it_lacks(hippocampi, tmp_path, type_here):
    done = type_here("compare", hippocampi / "eroded", hippocampi / "shifted", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "--reference" in done.stderr
    assert not (tmp_path / "out").exists()
    alone = type_here("compare", hippocampi / "eroded", "-o", tmp_path / "out")
    assert alone.returncode == 2
    assert "two folders or more" in alone.stderr


def test_every_column_is_documented(request):
    from aleaseg.evaluation.columns import CASE_COLUMNS, METRIC_COLUMNS

    page = (request.config.rootpath / PAGE).read_text()
    assert not [name for name in {*METRIC_COLUMNS, *CASE_COLUMNS} if f"`{name}`" not in page]
