"""The page of one evaluation: what it says, and what it does where something is missing."""

import re
import shutil
from html import unescape

import numpy as np
import pandas as pd
import pytest

from aleaseg.evaluation import EvaluationSettings, evaluate
from aleaseg.evaluation.curves import reliability_svg
from aleaseg.evaluation.maps import worth_a_look
from aleaseg.evaluation.reliability import Reliability, reliability_of, reliability_table

IDS = [f"c{index}" for index in range(6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, balls):
    made = tmp_path_factory.mktemp("reported")
    balls.write_dataset(made / "data", [*IDS, "lost"])
    balls.write_predictions(made / "soft", IDS, soft=True)
    return made


@pytest.fixture(scope="module")
def found(folder):
    settings = EvaluationSettings(str(folder / "data"), str(folder / "soft"), cues=("gradient",))
    return evaluate(settings, folder / "out")


def words(page):
    return " ".join(
        unescape(re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", page.read_text(), flags=re.S)).split()
    )


def test_counts_are_those_of_the_voxels_themselves(folder, found, balls):
    """Entropy and errors of one case, worked out from its files."""
    p = np.load(folder / "soft" / "c2.npz")["probabilities"].astype(float)
    u = -(p * np.log(p)).sum(0) / np.log(3)
    wrong = p.argmax(0) != balls.label_of("c2")
    rows = found.reliability[found.reliability["case"] == "c2"]
    assert rows["voxels"].sum() == u.size
    assert rows["wrong"].sum() == wrong.sum() > 0
    for row in rows.to_dict("records"):
        inside = (u >= row["low"]) & (u < row["high"])
        # A voxel on an edge may fall on either side of it, by rounding.
        assert abs(inside.sum() - row["voxels"]) <= 1
        assert abs((inside & wrong).sum() - row["wrong"]) <= 1


def test_the_curve_is_of_all_cases_together():
    rows = [
        {"case": f"c{index}", "reliability": np.array([[90, 0, index], [9, 0, index]])}
        for index in range(6)
    ]
    table = reliability_table([*rows, {"case": "failed"}])
    assert len(table) == 6 + 5  # no row for an empty bin
    curve = reliability_of(table, {f"c{index}": f"p{index}" for index in range(6)}, bins=3)
    assert curve.voxels.tolist() == [540, 0, 15]
    assert curve.wrong[[0, 2]].tolist() == [0.1, 1.0]
    assert np.isnan(curve.wrong[1])
    assert curve.cases == 6
    assert reliability_of(table[:0], {}) is None


def test_points_lie_where_their_numbers_are():
    nothing = np.full(4, np.nan)
    drawn = reliability_svg(
        Reliability(np.array([10, 10, 0, 10]), np.array([0.0, 0.5, np.nan, 1.0]), nothing, nothing, 3)
    )
    marks = re.findall(
        r'class="wrong"[^>]*|transform="translate\(([\d.]+) ([\d.]+)\)"[^>]*class="wrong"', drawn
    )
    places = [
        (float(x), float(y)) for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)[^>]*wrong", drawn)
    ]
    assert len(marks) == 3
    (x0, y0), (x1, y1), (x3, y3) = places
    assert x1 - x0 == pytest.approx((x3 - x0) / 3, abs=0.02)
    assert y0 - y1 == pytest.approx((y0 - y3) / 2, abs=0.02)
    assert y0 > y3


def test_cases_worth_a_look_are_the_lowest_and_the_most_unsure_of_the_others():
    cases = pd.DataFrame(
        {
            "case": list("abcdef"),
            "dice": [0.9, 0.1, np.nan, 0.5, 0.8, 0.7],
            "boundary_uncertainty": [0.2, 0.9, 0.8, 0.1, np.nan, 0.3],
        }
    )
    assert worth_a_look(cases, 2) == (["b", "d"], ["c", "f"])


def test_the_page_says_what_failed_and_how_to_read_it(found):
    assert found.page == found.path / "index.html"
    said = words(found.page)
    assert "6 cases measured, 1 could not be" in said
    assert found.errors["lost"] in said
    assert "0.5 = chance" in said
    assert "6 / 6 of 6" in said  # cases that have UR and UCC
    rho = re.search(r"Spearman’s ρ (\S+) \(95% interval", said)[1]
    ranks = found.cases.dropna(subset=["dice"])[["dice", "boundary_uncertainty"]].rank()
    assert float(rho.replace("−", "-")) == pytest.approx(ranks.corr().iloc[0, 1], abs=0.005)
    assert found.page.read_text().count('class="over"') == 6
    assert "no map of" not in said


def test_it_is_one_file(found):
    assert not (found.path / "assets").exists()
    page = found.page.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert "<script" not in page
    assert "@import" not in page


def test_masks_alone_have_no_map_and_the_page_says_so(folder, tmp_path):
    shutil.copytree(folder / "data" / "labelsTr", tmp_path / "masks")
    settings = EvaluationSettings(
        str(tmp_path / "masks"), str(folder / "soft"), classes="left=1,right=2", only_predicted=True
    )
    page = evaluate(settings, tmp_path / "out").page
    assert 'class="over"' not in page.read_text()
    assert page.read_text().count('class="outline first"') >= 6
    assert "there is no image, and so no map of uncertainty" in words(page)


def test_without_probabilities_and_without_images_that_can_be_read_the_page_is_there(
    folder, tmp_path, balls
):
    balls.write_dataset(tmp_path / "data", IDS)
    balls.write_predictions(tmp_path / "hard", IDS)
    (tmp_path / "data" / "imagesTr" / "c3_0000.nii.gz").write_bytes(b"damaged")
    found = evaluate(EvaluationSettings(str(tmp_path / "data"), str(tmp_path / "hard")), tmp_path / "out")
    assert found.errors == {}
    said = words(found.page)
    assert "No uncertainty is known" in said
    assert "No confidence of the cases is known" in said
    assert len(found.reliability) == 0
    others = EvaluationSettings(
        str(tmp_path / "data"), str(tmp_path / "hard"), against=str(tmp_path / "hard")
    )
    evaluate(others, tmp_path / "compared")
    assert not (tmp_path / "compared" / "index.html").exists()  # which is for the comparison's page
