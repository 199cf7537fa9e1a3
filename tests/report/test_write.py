"""The folder as a whole."""

import json
import re

import pandas as pd
import pytest

from aleaseg.errors import UsageError
from aleaseg.report import write_report
from aleaseg.report.columns import describe, for_page
from aleaseg.run import Run, file_name, read_json, write_json
from aleaseg.scoring.columns import describe_columns


def received(path):
    """What a data file hands to the page."""
    kind, key, value = json.loads(
        f"[{path.read_text().partition('ALEASEG.receive(')[2].rpartition(')')[0]}]"
    )
    return kind, key, value


def write(fake, dataset=True, **options):
    return write_report(
        fake.run, fake.dataset if dataset else None, predictions=fake.predictions, workers=1, **options
    )


def test_everything_is_in_one_folder_and_nothing_comes_from_outside(fake):
    page = write(fake)
    assert page == fake.run.path / "report" / "index.html"
    for html in (page, page.with_name("case.html")):
        text = html.read_text("utf-8")
        assert "Content-Security-Policy" in text
        assert "https://" not in text
        assert "http://" not in text
        for name in re.findall(r'(?:src|href)="([^"#:]+)"', text):
            assert (page.parent / name).is_file(), name
    for case_id in fake.ids:
        kind, key, case = received(page.parent / "cases" / f"{file_name(case_id)}.js")
        assert (kind, key, case["case"]) == ("case", file_name(case_id), case_id)
    for script in (page.parent / "assets").glob("*.js"):
        wrong = r"innerHTML|fetch\(|XMLHttpRequest|\beval\b|document\.write"
        assert not re.search(wrong, script.read_text())


def test_names_stay_text(fake, made):
    page = write(fake)
    text = page.read_text("utf-8")
    assert "Fake &lt;i&gt;set&lt;/i&gt;" in text
    assert "a note with &lt;em&gt;" in text
    assert made.NASTY[0] not in text
    assert "<b>" not in text
    for script in [page.parent / "data" / "index.js", *(page.parent / "cases").glob("*.js")]:
        assert "<" not in script.read_text("ascii")
    names = {path.name for path in page.parent.rglob("*")}
    assert all(re.fullmatch(r"[\w.-]+", name) for name in names)


def test_rows_are_the_most_doubtful_first_and_columns_fit_together(fake):
    _, _, index = received(write(fake).parent / "data" / "index.js")
    doubt = index["numbers"]["doubt"]
    assert doubt == sorted(doubt, reverse=True)
    assert index["case"][0] == fake.ids[0]
    assert index["hash"][0] == file_name(fake.ids[0])
    assert {len(column) for column in index["numbers"].values()} == {24}
    first = [index["reasons"]["texts"][place] for place in index["reasons"]["rows"][0]]
    assert [axis for axis, *_ in first] == ["mask", "image"]
    assert first[1][1:] == ["more noise than usual", "robust z +6.2"]
    columns = {column["name"]: column for column in index["columns"]}
    assert columns["doubt"]["text"].startswith("the larger of image and label doubt")
    assert columns["img_noise"]["role"] == "statistic"
    pairs = {(entry["measure"], entry["confound"]): entry for entry in index["confounds"]}
    assert pairs["auv", "volume_mm3"]["rho"] == pytest.approx(1)
    assert pairs["auv", "depth"]["rho"] is None
    assert pairs["auv", "class_set"]["kind"] == "eta"


def test_a_case_knows_where_it_stands(fake):
    page = write(fake)
    _, _, case = received(page.parent / "cases" / f"{file_name(fake.ids[-1])}.js")
    statistics = {entry["name"]: entry for entry in case["statistics"]}
    assert statistics["auv"]["standing"] == 1
    assert statistics["oof_dice"]["standing"] == 0
    assert case["error"] == "one <line>"
    assert [entry["class"] for entry in case["classes"]] == ["head", "tail & <b>"]
    assert case["classes"][0]["standing"]["perception_scale"] == 1
    assert case["files"] == [f"/images/{fake.ids[-1]}.nii.gz"]


def test_a_second_time_nothing_is_written(fake):
    page = write(fake)
    times = {path: path.stat().st_mtime_ns for path in page.parent.rglob("*") if path.is_file()}
    write(fake)
    assert times == {path: path.stat().st_mtime_ns for path in page.parent.rglob("*") if path.is_file()}


def test_without_the_data_set_there_are_no_pictures_and_it_says_so(fake):
    page = write(fake, dataset=False)
    assert "The images were not at /nowhere" in page.read_text("utf-8")
    _, _, index = received(page.parent / "data" / "index.js")
    assert set(index["thumb"]) == {0}


def test_few_cases_have_no_auv_and_the_page_says_why(tmp_path, made):
    fake = made.made_run(tmp_path / "run", count=10, population=False)
    text = write(fake).read_text("utf-8")
    assert "10 cases are fewer than the 20" in text
    assert 'id="histograms"' not in text
    _, _, index = received(tmp_path / "run" / "report" / "data" / "index.js")
    assert index["case"][0] == fake.ids[9]  # the lowest out-of-fold Dice


def test_the_page_counts_errors_and_suspects(fake):
    text = write(fake).read_text("utf-8")
    assert re.search(r"<dd>3 <small>of 24", text)
    assert "1 error<" in text
    assert text.index("severity error") < text.index("severity note")
    assert f">aleaseg select {fake.run.path.resolve()}</code>" in text


def test_a_manifest_that_says_little_is_enough(fake):
    manifest = read_json(fake.run.manifest_file)
    write_json(fake.run.manifest_file, {"dataset": {"name": manifest["dataset"]["name"]}})
    (fake.run.path / "check.json").unlink()
    (fake.run.path / "scores.csv").unlink()
    text = write(fake, dataset=False).read_text("utf-8")
    assert "no labels: the image axis only" in text


def test_what_a_case_left_behind_goes_with_it(fake):
    page = write(fake)
    gone = page.parent / "cases" / f"{file_name('gone')}.js"
    gone.write_text("x")
    write(fake)
    assert not gone.exists()
    assert len(list((page.parent / "cases").iterdir())) == 24


def test_columns_have_titles_and_units():
    frame = pd.DataFrame(
        {"case": ["a", "b"], "volume_mm3": [1.0, 2.0], "fov_mm3": [5.0, 6.0], "depth": ["", ""],
         "img_sharp_h_1": [1.0, 2.0], "img_odd": [0.0, 1.0], "auv": ["", ""], "site": ["", ""]}
    )  # fmt: skip
    columns = {
        column.name: (column.title, column.unit)
        for column in describe(frame, {"columns": describe_columns(frame)})
    }
    assert columns == {
        "volume_mm3": ("Area", "mm²"),
        "fov_mm3": ("Field of view", "mm²"),
        "img_sharp_h_1": ("Sharpness top to bottom channel 1", ""),
        "img_odd": ("Odd", ""),
    }
    frame["depth"] = [3, 4]
    columns = {
        column.name: (column.title, column.unit)
        for column in describe(frame, {"columns": describe_columns(frame)})
    }
    assert columns["volume_mm3"] == ("Volume", "mm³")
    assert columns["depth"] == ("Depth", "slices")


def test_the_manifest_alone_says_what_a_column_is():
    frame = pd.DataFrame({"case": ["a", "b"], "mine": [1.0, 2.0], "auv": [0.0, 1.0], "site": ["x", "y"]})
    said = {"title": "My own", "direction": "low = bad", "role": "measure", "unit": "K", "range": [0, 1]}
    auv, mine, site = describe(frame, {"columns": describe_columns(["auv", "site"]) | {"mine": said}})
    assert (mine.title, mine.unit, mine.role, mine.direction.sign) == ("My own", "K", "score", -1)
    assert for_page(mine)["unit_range"]
    assert (auv.role, auv.direction.sign) == ("score", 1)
    assert site.role == "confound"
    # A manifest that says less, or something that nobody knows, is no reason to show nothing.
    (old,) = describe(frame[["mine"]], {"columns": {"mine": {"direction": "sideways"}}})
    assert (old.title, old.role, old.direction.sign) == ("Mine", "score", 0)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        write_report(Run(tmp_path), None)
