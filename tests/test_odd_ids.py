"""Case ids that try to break files, tables and pages, through audit, select and report."""

import csv
import json
import os

import pytest

from aleaseg.case import Geometry
from aleaseg.readers.voxels import write_nifti
from aleaseg.run import Run

GEOMETRY = Geometry((12, 16, 16), (2.0, 1.0, 1.0), None)
ODD = [
    "=HYPERLINK(1)",
    "-dash",
    "+plus",
    "@at",
    "'quoted'",
    '"double"',
    "<script>alert(1)<script>",
    "sp ace  two",
    "semi;colon, comma",
    "ünï 名前",
    "$x^2$ [bold]red[/bold]",
    "%s {0} #hash",
    "..",
    "nan",
    "007",
    "new\nline",
    os.fsdecode(b"caf\xe9"),
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory, type_aleaseg, write_small):
    """A data set of such ids, one of them by `../` in the `dataset` key, audited from the command line."""
    folder = tmp_path_factory.mktemp("odd")
    data, outside = folder / "data", folder / "elsewhere"
    write_small(data, 0, faults=False, ids=["gone"])
    for name in ("imagesTr", "labelsTr"):
        (data / name / f"gone{'_0000' if name == 'imagesTr' else ''}.nii.gz").unlink()
    outside.mkdir()
    entries = {}
    from_conftest = write_small.__globals__["small_case"]
    try:
        for index, case in enumerate([*ODD, "../../climber", *(f"plain{i}" for i in range(6))]):
            image, label = from_conftest(index)
            target = outside if "/" in case else data
            stem = case.replace("/", "_").lstrip(".") or "dots"  # a leading dot hides a file
            paths = target / "imagesTr" / f"{stem}_0000.nii.gz", target / "labelsTr" / f"{stem}.nii.gz"
            for path, array in zip(paths, (image, label), strict=True):
                path.parent.mkdir(exist_ok=True)
                write_nifti(path, array, GEOMETRY)
            entries[case] = {
                "images": [os.path.relpath(paths[0], data)],
                "label": os.path.relpath(paths[1], data),
            }
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this file system has no such names ({error})")
    about = json.loads((data / "dataset.json").read_text())
    about["dataset"] = entries
    (data / "dataset.json").write_text(json.dumps(about))
    groups = folder / "groups.csv"
    with groups.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "group"])
        writer.writerows([case, f"p{index % 2}"] for index, case in enumerate(entries))
    words = ("--extractor", "variance", "--steps", "2", "--groups", groups)
    return folder, type_aleaseg("audit", data, "-o", folder / "run", *words)


def test_it_is_audited_like_any_other(odd):
    folder, done = odd
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    cases = Run(folder / "run").cases
    assert set(cases["case"]) == {*ODD, "../../climber", *(f"plain{i}" for i in range(6))}
    assert cases["doubt"].notna().all()


def test_nothing_is_written_outside_the_run(odd):
    folder, _ = odd
    assert sorted(path.name for path in folder.iterdir()) == ["data", "elsewhere", "groups.csv", "run"]
    assert sorted(path.name for path in folder.parent.iterdir() if "climber" in path.name) == []
    for path in (folder / "run").rglob("*"):
        assert path.name.isascii()
        assert not set(path.name) & set("<>\"'= \n")


def test_no_cell_of_a_table_is_a_formula(odd):
    folder, _ = odd
    for path in (folder / "run").glob("*.csv"):
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            for row in csv.reader(file):
                for cell in row:
                    if cell[:1] in ("=", "+", "-", "@"):
                        float(cell)  # a number may be negative


def test_no_page_holds_markup_of_an_id(odd):
    folder, _ = odd
    pages = list((folder / "run" / "report").rglob("*.html"))
    assert pages
    for page in pages:
        assert "<script>alert(1)" not in page.read_text(encoding="utf-8", errors="surrogatepass")


def test_select_and_report_work_too(odd, type_here):
    folder, _ = odd
    chosen = type_here("select", folder / "run", "--worst", "3", "--as", "csv")
    assert chosen.returncode == 0, chosen.stderr
    chosen = type_here("select", folder / "run", "--worst", "3")
    assert chosen.returncode == 0, chosen.stderr
    splits = json.loads(
        (folder / "run" / "selection" / "splits_final.json").read_text(errors="surrogatepass")
    )
    seen = {case for fold in splits for case in fold["train"] + fold["val"]}
    cases = Run(folder / "run").cases
    assert seen <= set(cases["case"])
    page = type_here("report", folder / "run")
    assert page.returncode == 0, page.stderr
    assert "Traceback" not in chosen.stderr + page.stderr


def test_a_terminal_that_knows_ascii_only(odd, type_aleaseg):
    folder, _ = odd
    done = type_aleaseg("select", folder / "run", "--worst", "4", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.isascii()


def test_groups_by_a_table_of_odd_ids(odd):
    folder, _ = odd
    cases = Run(folder / "run").cases.set_index("case")
    assert [cases.loc[case, "group"] for case in ODD] == [f"p{index % 2}" for index in range(len(ODD))]
