"""The tables of a bench, from cases whose faults and scores are planted."""

import doctest
import importlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aleaseg.bench.analysis import analyse
from aleaseg.bench.correlations import (
    class_dice,
    confounds,
    dice,
    ranks,
    weighted_pearson,
    weighted_spearman,
)
from aleaseg.bench.detection import best_published, detection, differences
from aleaseg.bench.result import CASE_FIELDS, CONFOUNDS
from aleaseg.bench.targets import measures_of, missing, pairwise_auroc
from aleaseg.metrics import auroc

N = 40
# The first cases of a draw get these; `dilate` is dealt in draw 0 alone.
DEALT = {
    0: ["dilate"] * 3 + ["drop_class"] * 3 + ["motion"] * 4,
    1: ["drop_class"] * 5 + ["motion"] * 5,
}
AXIS = {"": "clean", "dilate": "mask", "drop_class": "mask", "motion": "image"}


def one_draw(number):
    rng = np.random.default_rng([7, number])
    fault = np.array(DEALT[number] + [""] * (N - len(DEALT[number])), dtype=object)
    axis = np.array([AXIS[name] for name in fault])
    noise = rng.random(N)
    bad = axis != "clean"
    clean_dice = np.round(0.9 - 0.3 * bad * rng.random(N) - 0.2 * rng.random(N), 3)
    return pd.DataFrame(
        {
            "draw": number,
            "case": [f"c{index:02d}" for index in range(N)],
            "group": [f"g{index // 2}" for index in range(N)],
            "axis": axis,
            "fault": fault,
            "fault_dice": None,
            "clean_dice": clean_dice,
            "volume_mm3": np.exp(rng.normal(size=N)),
            "fov_mm3": rng.integers(1, 4, N) * 1000.0,
            "depth": 1,
            "spacing_mm": [None] * N,
            "n_classes": rng.integers(1, 4, N),
            # Draws on other scales: to pool their scores would be wrong.
            "doubt": 100.0 * number + bad + 0.5 * noise,
            "auv": rng.random(N),
            "oof_dice": np.round(1 - clean_dice, 1),
            "label_doubt": 100.0 * number + (axis == "mask") + 0.5 * noise,
            "gaps": np.where(rng.random(N) < 0.3, np.nan, bad + rng.normal(size=N)),
            "empty_handed": np.where(np.arange(N) < 35, np.nan, 1.0),
            "size": np.nan,
        }
    ).assign(size=lambda frame: np.log(frame["volume_mm3"]))


@pytest.fixture(scope="module")
def cases():
    return pd.concat([one_draw(0), one_draw(1)], ignore_index=True)


@pytest.fixture(scope="module")
def found(cases):
    return detection(cases)


def cell(table, measure, target):
    return table[(table["measure"] == measure) & (table["target"] == target)].iloc[0]


# -- plain references, case by case ---------------------------------------------------------------


def plain_draw(frame, measure, axes):
    """Scores and which are bad, of one draw's cases of a target; the median where there is no number."""
    score = frame[measure].fillna(frame[measure].median())
    rows = frame["axis"].isin([*axes, "clean"])
    return score[rows].to_numpy(), (frame["axis"] != "clean")[rows].to_numpy()


def plain_numbers(score, bad):
    """AUROC, AP, precision at k = number of bad, lift and FPR at 95% recall, for scores without ties."""
    wins = [(a > b) + 0.5 * (a == b) for a in score[bad] for b in score[~bad]]
    order = np.argsort(-score, kind="stable")
    hits = bad[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    k = bad.sum()
    enough = np.cumsum(hits) / k >= 0.95
    return {
        "auroc": np.mean(wins),
        "ap": precision[hits].mean(),
        "precision_at_k": hits[:k].mean(),
        "lift_at_k": hits[:k].mean() / bad.mean(),
        "fpr95": (~hits[: enough.argmax() + 1]).sum() / (~bad).sum(),
    }


@pytest.mark.parametrize(
    ("target", "axes"), [("masks", ["mask"]), ("images", ["image"]), ("both", ["mask", "image"])]
)
def test_a_row_is_the_mean_of_what_each_draw_gives_by_hand(cases, found, target, axes):
    by_draw = [
        plain_numbers(*plain_draw(frame, "auv", axes)) for _, frame in cases.groupby("draw", sort=True)
    ]
    row = cell(found, "auv", target)
    for name in by_draw[0]:
        assert row[name] == pytest.approx(np.mean([numbers[name] for numbers in by_draw])), name


def test_a_case_without_a_number_stands_at_the_median_of_its_draw(cases, found):
    by_draw = [
        plain_numbers(*plain_draw(frame, "gaps", ["mask"]))["auroc"] for _, frame in cases.groupby("draw")
    ]
    assert cell(found, "gaps", "masks")["auroc"] == pytest.approx(np.mean(by_draw))


# -- planted measures -----------------------------------------------------------------------------


def test_a_measure_that_knows_the_faults_is_perfect_though_the_draws_have_other_scales(found):
    row = cell(found, "doubt", "both")
    assert [row[name] for name in ("auroc", "auroc_low", "auroc_high", "ap", "ap_low", "ap_high")] == [
        1
    ] * 6
    assert row["precision_at_k"] == 1
    assert row["lift_at_k"] == pytest.approx(4)  # 10 of 40 are faulty
    assert row["fpr95"] == 0


def test_a_measure_that_knows_nothing_has_chance_within_its_interval(found):
    row = cell(found, "auv", "both")
    assert row["auroc_low"] < 0.5 < row["auroc_high"]


def test_cases_with_another_fault_are_left_out(found):
    assert cell(found, "label_doubt", "masks")["auroc"] == 1
    row = cell(found, "label_doubt", "images")
    assert (row["n_faulty"], row["n_clean"]) == (9, 60)
    assert row["auroc_low"] < 0.5 < row["auroc_high"]


def test_a_fault_that_one_draw_has_is_judged_there_alone(cases, found):
    row = cell(found, "auv", "dilate")
    frame = cases[(cases["draw"] == 0) & cases["fault"].isin(["dilate", ""])]
    assert (row["n_faulty"], row["n_clean"]) == (3, 30)
    by_hand = plain_numbers(frame["auv"].to_numpy(), (frame["fault"] == "dilate").to_numpy())
    assert row["auroc"] == pytest.approx(by_hand["auroc"])
    assert row["auroc_low"] <= row["auroc"] <= row["auroc_high"]


def test_single_faults_have_an_interval_of_auroc_alone(found):
    single, joined = (found[found["target"].isin(names)] for names in (["dilate", "drop_class"], ["masks"]))
    single, joined = single.dropna(subset="auroc"), joined.dropna(subset="auroc")
    assert len(single)
    assert len(joined)
    assert single["auroc_low"].notna().all()
    assert joined["ap_low"].notna().all()
    assert single["ap"].notna().all()
    assert single["ap_low"].isna().all()


def test_a_measure_that_lacks_more_than_half_of_the_cases_keeps_an_empty_row(found):
    row = cell(found, "empty_handed", "both")
    assert np.isnan(row["auroc"])
    assert np.isnan(row["ap_low"])
    assert np.isnan(row["fpr95"])
    assert row["n_faulty"] == 20


def test_every_target_has_every_measure_once_and_faults_come_in_the_catalogues_order(cases, found):
    assert list(dict.fromkeys(found["target"])) == [
        "masks",
        "images",
        "both",
        "dilate",
        "drop_class",
        "motion",
    ]
    assert not found.duplicated(["measure", "target"]).any()
    assert len(found) == 6 * len(measures_of(cases))


def test_the_order_of_the_rows_changes_nothing(cases, found):
    shuffled = cases.sample(frac=1, random_state=0).reset_index(drop=True)
    pd.testing.assert_frame_equal(detection(shuffled), found)


def test_ties_count_half():
    frame = one_draw(0).assign(doubt=0.0)[[*CASE_FIELDS, *CONFOUNDS, "doubt"]]
    row = cell(detection(frame), "doubt", "both")
    assert (row["auroc"], row["auroc_low"], row["auroc_high"]) == (0.5, 0.5, 0.5)
    assert row["precision_at_k"] == pytest.approx(0.25)


def test_infinite_scores_are_in_order():
    frame = one_draw(0)
    frame["doubt"] = np.where(frame["axis"] == "clean", -np.inf, np.inf)
    assert cell(detection(frame), "doubt", "both")["auroc"] == 1


def test_a_bench_without_image_faults_keeps_empty_rows_of_that_target():
    frame = one_draw(0).query("axis != 'image'").reset_index(drop=True)
    row = cell(detection(frame), "doubt", "images")
    assert row["n_faulty"] == 0
    assert np.isnan(row["auroc"])


def test_cases_of_a_group_that_repeat_add_no_certainty():
    """A draw whose every case is there four times in its group is as uncertain as the draw itself."""
    frame = one_draw(0).assign(group=lambda f: f["case"])
    again = pd.concat([frame] * 4, ignore_index=True)
    one, four = (cell(detection(f), "auv", "both") for f in (frame, again))
    assert four["auroc"] == pytest.approx(one["auroc"])
    assert four["auroc_low"] == pytest.approx(one["auroc_low"], abs=1e-9)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_auroc_by_pairs_is_auroc(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 12))
    score, bad = rng.integers(0, 5, size).astype(float), rng.random(size) < 0.4
    weights = rng.integers(0, 3, (6, size)).astype(np.uint16)
    np.testing.assert_allclose(
        pairwise_auroc(score, bad, weights=weights), auroc(score, bad, weights=weights)
    )


# -- comparisons ----------------------------------------------------------------------------------


def test_a_difference_is_that_of_the_two_aurocs_and_excludes_zero_for_a_clear_one(cases, found):
    table = differences(cases)
    assert set(table["measure"]) == {"doubt"}
    assert "doubt" not in set(table["baseline"])
    row = table[(table["baseline"] == "auv") & (table["target"] == "both")].iloc[0]
    gap = cell(found, "doubt", "both")["auroc"] - cell(found, "auv", "both")["auroc"]
    assert row["difference"] == pytest.approx(gap)
    assert 0 < row["low"] < row["difference"] < row["high"]


def test_a_difference_to_a_measure_that_says_the_same_is_zero_and_certain(cases):
    table = differences(cases.assign(twin=cases["doubt"] * 2 + 1))
    rows = table[table["baseline"] == "twin"]
    assert (rows[["difference", "low", "high"]] == 0).all(axis=None)


def test_a_difference_to_a_measure_that_does_not_apply_is_none(cases):
    table = differences(cases)
    assert (
        table.loc[table["baseline"] == "empty_handed", ["difference", "low", "high"]].isna().all(axis=None)
    )


@pytest.mark.parametrize(
    ("asked", "word"), [({"measure": "dout"}, "dout"), ({"targets": ["mask"]}, "masks")]
)
def test_a_difference_of_an_unknown_name_tells_the_known_ones(cases, asked, word):
    with pytest.raises(ValueError, match=word):
        differences(cases, **asked)


def test_the_best_published_measure_is_no_one_of_ours_and_none_that_does_not_apply(found):
    assert cell(found, "doubt", "both")["auroc"] > cell(found, "auv", "both")["auroc"]
    published = found[found["measure"].isin(["auv", "oof_dice"]) & (found["target"] == "both")]
    assert best_published(found, "both") == published.loc[published["auroc"].idxmax(), "measure"]
    with pytest.raises(ValueError, match="masks, images, both"):
        best_published(found, "mask")


# -- correlations ---------------------------------------------------------------------------------


def test_ranks_are_the_mean_of_spearman_in_each_draw(cases):
    table = ranks(cases)
    by_draw = [stats.spearmanr(f["doubt"], f["auv"]).statistic for _, f in cases.groupby("draw")]
    assert table.loc["doubt", "auv"] == pytest.approx(np.mean(by_draw))
    assert table.loc["auv", "auv"] == 1
    pd.testing.assert_frame_equal(table, table.T)
    assert table["empty_handed"].isna().all()


def test_dice_is_the_mean_of_each_draws_correlation_on_the_rows_with_both_numbers(cases):
    row = dice(cases).set_index("measure").loc["gaps"]
    known = cases.dropna(subset="gaps")
    for name, of in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        by_draw = [of(f["gaps"], f["clean_dice"]).statistic for _, f in known.groupby("draw")]
        assert row[name] == pytest.approx(np.mean(by_draw)), name
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
        t = row[name] * np.sqrt((round(len(known) / 2) - 2) / (1 - row[name] ** 2))
        assert row[f"{name}_p"] == pytest.approx(2 * stats.t.sf(abs(t), round(len(known) / 2) - 2))
    assert (row["n"], row["level"]) == (len(known), "case")


def test_a_measure_of_bad_predictions_falls_as_dice_rises_and_one_by_chance_does_not(cases):
    table = dice(cases).set_index("measure")
    assert table.loc["oof_dice", "spearman_high"] < -0.8
    assert table.loc["auv", "spearman_low"] < 0 < table.loc["auv", "spearman_high"]
    assert np.isnan(table.loc["empty_handed", "pearson"])


def test_draws_that_repeat_make_dice_no_more_certain(cases):
    """Two draws with the very same numbers tell what one tells."""
    twice = pd.concat([one_draw(0), one_draw(0).assign(draw=1)], ignore_index=True)
    one, two = (dice(f).set_index("measure").loc["auv"] for f in (one_draw(0), twice))
    assert two["spearman_p"] == pytest.approx(one["spearman_p"])
    assert two["spearman_high"] - two["spearman_low"] > 0.9 * (one["spearman_high"] - one["spearman_low"])


def test_confounds_are_of_the_clean_cases_alone(cases):
    table = confounds(cases).set_index(["measure", "confound"])
    clean = cases[cases["axis"] == "clean"]
    by_draw = [stats.spearmanr(f["auv"], f["fov_mm3"]).statistic for _, f in clean.groupby("draw")]
    assert table.loc[("auv", "fov_mm3"), "spearman"] == pytest.approx(np.mean(by_draw))
    assert table.loc[("auv", "fov_mm3"), "n"] == 60
    assert table.loc[("size", "volume_mm3"), "spearman"] == pytest.approx(1)
    assert table.loc[("size", "volume_mm3"), "p"] < 1e-6


def test_a_confound_that_does_not_vary_or_is_not_known_has_no_correlation(cases):
    table = confounds(cases).set_index("confound")
    assert table.loc["depth", "spearman"].isna().all()
    assert table.loc["depth", "p"].isna().all()
    assert table.loc["spacing_mm", "spearman"].isna().all()
    assert (table.loc["spacing_mm", "n"] == 0).all()


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_a_weighted_correlation_is_that_of_rows_written_out(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, 12).astype(float), rng.normal(size=12)
    weights = rng.integers(0, 3, (4, 12))
    for weighted, plain in ((weighted_pearson, stats.pearsonr), (weighted_spearman, stats.spearmanr)):
        for row, r in zip(weights, weighted(x, y, weights=weights), strict=True):
            a, b = np.repeat(x, row), np.repeat(y, row)
            if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0:
                assert r == pytest.approx(plain(a, b).statistic, abs=1e-9)
            else:
                assert np.isnan(r)


# -- the whole ------------------------------------------------------------------------------------


def test_missing_is_the_share_of_cases_without_a_number(cases):
    found = missing(cases)
    assert found["doubt"] == 0
    assert found["empty_handed"] == 35 / 40
    assert found["gaps"] == pytest.approx(cases["gaps"].isna().sum() / 80)
    assert list(found) == measures_of(cases)


def test_analyse_makes_every_table(cases, found):
    result = analyse(cases, {"dataset": "planted"})
    assert result.about["dataset"] == "planted"
    assert result.about["missing"] == missing(cases)
    pd.testing.assert_frame_equal(result.detection, found)
    assert result.swap_in.empty
    assert "psnr_db" in result.swap_in
    assert len(result.differences)
    assert len(result.dice)
    assert len(result.confounds)
    assert len(result.ranks)
    swapped = pd.DataFrame({"measure": ["doubt"]})
    assert analyse(cases, {}, swapped).swap_in is swapped


@pytest.mark.parametrize("name", ["correlations", "targets"])
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"aleaseg.bench.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_class_means_go_with_their_dice_as_scipy_says():
    rng = np.random.default_rng(0)
    means = pd.DataFrame(
        {
            "class": [f"organ {k}" for k in range(16)],
            "clean_dice": rng.uniform(0.5, 0.95, 16),
            "few": [1.0, 2.0, 3.0] + [np.nan] * 13,
        }
    )
    means["auv"] = -means["clean_dice"] + rng.normal(0, 0.1, 16)
    table = class_dice(means).set_index("measure")
    assert list(table.index) == ["auv"]
    row = table.loc["auv"]
    r, p = stats.pearsonr(means["auv"], means["clean_dice"])
    rho, _ = stats.spearmanr(means["auv"], means["clean_dice"])
    assert (row["pearson"], row["pearson_p"]) == pytest.approx((r, p))
    assert row["spearman"] == pytest.approx(rho)
    assert (row["level"], row["n"]) == ("class", 16)
    assert row["pearson_low"] < r < row["pearson_high"]
    assert class_dice(means.head(3)).empty
