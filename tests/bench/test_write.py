"""The page, the Markdown and the tables of a bench, from made-up numbers."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from aleaseg.bench.result import CONFOUNDS, BenchResult
from aleaseg.bench.write import faulty_counts, summary_rows, too_few, write_bench
from aleaseg.corruption import FAULTS
from aleaseg.run import read_table
from aleaseg.scoring.catalogue import MEASURES

NAMES = list(MEASURES)
NOT_FOR_THIS = "semantic_volume"  # has no number anywhere
HOSTILE = "<b>bold</b> | `x` & $y$"
CASES, DRAWS = 60, 3


def _cases(rng):
    rows = []
    for draw in range(DRAWS):
        faulty = dict(zip(rng.permutation(CASES)[: len(FAULTS)], FAULTS, strict=True))
        for number in range(CASES):
            fault = faulty.get(number, "")
            axis = FAULTS[fault].axis if fault else "clean"
            rows.append(
                {
                    "draw": draw,
                    "case": f"=case_{number}",
                    "group": f"{HOSTILE}{number}",
                    "axis": axis,
                    "fault": fault,
                    "fault_dice": 0.75 if axis == "mask" else None,
                    "clean_dice": rng.uniform(0.7, 0.95),
                    **dict.fromkeys(CONFOUNDS, 1.0),
                    **{name: rng.normal() for name in NAMES},
                    NOT_FOR_THIS: None,
                }
            )
    return pd.DataFrame(rows)


def _found(name, axis, rng):
    """Plausible: what sees the image alone is at chance for masks."""
    if name == NOT_FOR_THIS:
        return np.nan
    able = {"image": (0.5, 0.78), "mask": (0.9, 0.5), "both": (0.88, 0.62)}[MEASURES[name].sees]
    centre = np.mean(able) if axis == "both" else able[axis == "image"]
    centre += 0.1 * (name in ("doubt", "image_doubt")) * (axis != "mask")
    return float(np.clip(rng.normal(centre, 0.07), 0.05, 1))


def _detection(cases, rng):
    rows = []
    for target in ("masks", "images", "both", *FAULTS):
        axis = {"masks": "mask", "images": "image", "both": "both"}.get(target) or FAULTS[target].axis
        bad = cases["axis"] != "clean" if axis == "both" else cases["axis"] == axis
        bad = bad if target in ("masks", "images", "both") else cases["fault"] == target
        for name in NAMES:
            auroc, wide = _found(name, axis, rng), 0.03 if target in ("masks", "images", "both") else 0.12
            rows.append(
                {
                    "measure": name,
                    "target": target,
                    "n_faulty": int(bad.sum()),
                    "n_clean": int((cases["axis"] == "clean").sum()),
                    "auroc": auroc,
                    "auroc_low": auroc - wide,
                    "auroc_high": min(1, auroc + wide),
                    "ap": auroc * 0.9,
                    "ap_low": auroc * 0.8,
                    "ap_high": auroc * 0.95,
                    "precision_at_k": auroc * 0.8,
                    "lift_at_k": auroc * 2,
                    "fpr95": 1 - auroc,
                }
            )
    return pd.DataFrame(rows)


def _differences(detection):
    auroc = detection.set_index(["measure", "target"])["auroc"]
    rows = []
    for target in ("masks", "images", "both"):
        for name in NAMES:
            if name != "doubt":
                gap = auroc["doubt", target] - auroc[name, target]
                rows.append(("doubt", name, target, gap, gap - 0.02, gap + 0.02))
    return pd.DataFrame(rows, columns=["measure", "baseline", "target", "difference", "low", "high"])


def _swap_in(rng):
    rows = []
    for fault in FAULTS.values():
        for step, level in enumerate(fault.strengths):
            for name in NAMES:
                auroc = 0.5 + (_found(name, fault.axis, rng) - 0.5) * (0.5 + 0.25 * step)
                rows.append(
                    {
                        "measure": name,
                        "fault": fault.name,
                        "axis": fault.axis,
                        "level": level,
                        "n": 16,
                        "auroc": auroc,
                        "low": auroc - 0.06,
                        "high": auroc + 0.06,
                        "fault_dice": 0.9 - 0.2 * step if fault.axis == "mask" else np.nan,
                        "psnr_db": 30.0 - 5 * step if fault.axis == "image" else np.nan,
                    }
                )
    return pd.DataFrame(rows).dropna(subset="auroc")


def _ranks(rng):
    factors = {"image": 0, "mask": 1, "both": 2}
    load = rng.normal(0, 0.6, (len(NAMES), 3))
    for index, name in enumerate(NAMES):
        load[index, factors[MEASURES[name].sees]] += 1.4
    rho = np.corrcoef(load @ rng.normal(size=(3, 200)) + rng.normal(0, 0.5, (len(NAMES), 200)))
    ranks = pd.DataFrame(rho, index=NAMES, columns=NAMES)
    ranks.loc[NOT_FOR_THIS] = ranks[NOT_FOR_THIS] = np.nan
    return ranks


def _dice(rng):
    rows = []
    for name in NAMES:
        r = np.nan if name == NOT_FOR_THIS else rng.uniform(-0.8, 0.2)
        each = {
            f"{kind}{end}": value
            for kind in ("pearson", "spearman")
            for end, value in (("", r), ("_low", r - 0.1), ("_high", r + 0.1), ("_p", 10 ** (-6 * abs(r))))
        }
        rows.append({"measure": name, "level": "case", "n": 180, **each})
    return pd.DataFrame(rows)


def _confounds(rng):
    rows = [
        (name, confound, np.nan if "depth" in confound else rng.uniform(-0.6, 0.6), 0.01, 140)
        for name in NAMES
        for confound in CONFOUNDS
    ]
    return pd.DataFrame(rows, columns=["measure", "confound", "spearman", "p", "n"])


def made_up(seed=0, name="Hippocampus"):
    rng = np.random.default_rng(seed)
    cases = _cases(rng)
    detection = _detection(cases, rng)
    about = {
        "dataset": name,
        "cases": CASES,
        "classes": ["anterior", HOSTILE],
        "draws": [0, 1, 2],
        "share": 0.2,
        "folds": 3,
        "steps": 1200,
        "impossible": ["swap_classes"],
        "missing": {NOT_FOR_THIS: 1.0, "auv": 0.0, "tta_dice": 0.12},
        "command": "aleaseg bench detect DATASET -o OUT --draws 3 --swap-in",
        "date": "2026-01-01T00:00:00+00:00",
        "machine": {"processor": "some", "cores": 2},
        "versions": {"python": "3.11", "aleaseg": "0.2.0", "torch": "2.5"},
    }
    return BenchResult(
        about, cases, detection, _differences(detection), _swap_in(rng), _ranks(rng), _dice(rng), _confounds(rng)
    )  # fmt: skip


@pytest.fixture(scope="module")
def result():
    return made_up(name=f"Hippo {HOSTILE}")


@pytest.fixture(scope="module")
def written(result, tmp_path_factory):
    page = write_bench(result, tmp_path_factory.mktemp("bench") / "new folder", images_beside=True)
    return page.parent


class Text(HTMLParser):
    """The texts of the tables, and which tags there are."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.tables, self.rest, self._inside = [], [], [], False
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.tables[-1][-1][-1] += data
        else:
            self.rest.append(data)


def shown(value, decimals):
    return "–" if np.isnan(value) else f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def markdown_section(written, title):
    """The rows of the table under a heading, without the heading and the rule."""
    text = (written / "bench.md").read_text("utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip().replace("\\", "") for cell in line] for line in lines]
    # Ours are bold.
    cells = [[line[0].replace("**", ""), *line[1:]] for line in cells]
    return cells[0], cells[2:]


def test_every_file_is_written(written):
    names = {path.name for path in written.iterdir()}
    tables = {"cases", "detection", "differences", "swap_in", "ranks", "dice", "confounds"}
    assert {f"{name}.csv" for name in tables} | {
        "bench.md",
        "index.html",
        "auroc.svg",
        "swap_in.svg",
    } <= names
    assert not list(written.rglob(".*"))


def test_the_tables_come_back_as_they_were_and_no_cell_is_a_formula(written, result):
    cases = read_table(written / "cases.csv")
    assert cases["case"].tolist() == result.cases["case"].tolist()
    assert "\n0,'=case_0," in (written / "cases.csv").read_text("utf-8")
    np.testing.assert_allclose(cases["doubt"], result.cases["doubt"], rtol=1e-8)
    ranks = read_table(written / "ranks.csv").set_index("measure")
    np.testing.assert_allclose(ranks.astype(float), result.ranks, rtol=1e-8)
    detection = read_table(written / "detection.csv")
    np.testing.assert_allclose(detection["auroc"], result.detection["auroc"], rtol=1e-8)


def test_the_page_shows_the_numbers_of_the_frames(written, result):
    measures, best, faults, ranks, dice, confounds, *_ = Text(written / "index.html").tables
    auroc = result.detection.set_index(["measure", "target"])["auroc"]
    rows = {row[0].split()[0]: row for row in measures[2:]}
    assert set(rows) == set(NAMES)
    for name, row in rows.items():
        for place, target in ((4, "both"), (5, "masks"), (6, "images")):
            assert row[place].split()[0] == shown(auroc[name, target], 3)
        assert row[2] == {"image": "image", "both": "image + mask"}[MEASURES[name].sees]
        assert row[-1] == MEASURES[name].eye
    both = [float(row[4].split()[0]) for row in measures[2:-1]]
    assert both == sorted(both, reverse=True)
    assert measures[-1][0].startswith(NOT_FOR_THIS)

    heads = faults[1][1:]
    by_fault = {row[0]: row[1:] for row in faults[3:] if len(row) > 1}
    assert by_fault["doubt"] == [shown(auroc["doubt", fault], 2) for fault in heads]
    assert by_fault[NOT_FOR_THIS] == ["–"] * len(heads)
    assert faults[2][1:] == [str(int((result.cases["fault"] == fault).sum())) for fault in heads]

    across = ranks[0][1:]
    rho = {row[0]: row[1:] for row in ranks[1:]}
    assert rho["auv"] == [shown(100 * result.ranks.loc["auv", name], 0) for name in across]
    spearman = result.dice.set_index("measure")["spearman"]
    assert all(row[2].split()[0] == shown(spearman[row[0]], 3) for row in dice[1:])
    follows = result.confounds.set_index(["measure", "confound"])["spearman"]
    assert all(
        row[1:] == [shown(follows[row[0], confound], 2) for confound in CONFOUNDS] for row in confounds[1:]
    )
    gap = result.differences.set_index(["baseline", "target"])["difference"]
    for row in best[1:]:
        assert row[4].split()[0] == f"{gap[row[1], row[0]]:+.3f}".replace("-", "−")


def test_the_best_published_measure_is_not_ours_and_is_marked_once(written, result):
    both = result.detection[result.detection["target"] == "both"].set_index("measure")["auroc"]
    best = both[[name for name in NAMES if not MEASURES[name].ours]].idxmax()
    marked = [row[0] for row in Text(written / "index.html").tables[0] if "best published" in row[0]]
    assert [text.split()[0] for text in marked] == [best]
    _, rows = markdown_section(written, "Which measure finds the faulty cases")
    assert [row[0] for row in rows if "best published" in row[0]] == [f"{best} (best published)"]


def test_only_what_follows_size_is_framed(written, result):
    page = (written / "index.html").read_text("utf-8")
    notable = result.confounds["spearman"].abs() >= 0.3
    assert page.count(' strong" style') == notable.sum()
    _, rows = markdown_section(written, "With size")
    assert sum(cell.startswith("**") for row in rows for cell in row[1:]) == notable.sum()


def test_markdown_has_the_same_numbers(written, result):
    heads, rows = markdown_section(written, "Fault by fault")
    auroc = result.detection.set_index(["measure", "target"])["auroc"]
    found = {row[0]: row[3:] for row in rows}
    assert found["label_doubt"] == [shown(auroc["label_doubt", fault], 2) for fault in heads[3:]]
    heads, rows = markdown_section(written, "Which measures say the same")
    assert [row[0] for row in rows] == heads[1:]
    assert {len(row) for row in rows} == {len(heads)}
    heads, rows = markdown_section(written, "The faults")
    assert [row[0] for row in rows] == list(FAULTS)


def test_names_that_are_markup_stay_text(written):
    page = Text(written / "index.html")
    assert "b" not in page.tags
    assert any(HOSTILE in text for text in page.rest)
    text = (written / "bench.md").read_text("utf-8")
    assert r"\<b\>bold\</b\> \| \`x\` &amp; \$y\$" in text
    assert "<b>" not in text


def test_every_measure_and_fault_is_defined(written):
    *_, measures, faults, _ = Text(written / "index.html").tables
    assert [row[:2] for row in measures[1:]] == [[name, MEASURES[name].text] for name in NAMES]
    assert [row[:3] for row in faults[1:]] == [[name, one.axis, one.text] for name, one in FAULTS.items()]
    assert "high = bad" in measures[1]
    assert faults[1][3] == "weak 0.1, medium 0.25, strong 0.5: mean class Dice lost"


def test_without_swap_in_its_part_is_not_there(result, tmp_path):
    bare = dataclasses.replace(result, swap_in=result.swap_in.iloc[:0])
    page = write_bench(bare, tmp_path, images_beside=True)
    assert 'id="strength"' not in page.read_text("utf-8")
    assert "## By strength" not in (tmp_path / "bench.md").read_text("utf-8")
    assert (tmp_path / "swap_in.csv").read_text("utf-8").startswith("measure,fault,axis,level,n")
    assert not (tmp_path / "swap_in.svg").exists()


def test_figures_are_linked_only_where_they_are_written(result, written, tmp_path):
    write_bench(result, tmp_path)
    assert not list(tmp_path.glob("*.svg"))
    assert "![" not in (tmp_path / "bench.md").read_text("utf-8")
    links = re.findall(r"!\[.*?\]\((.*?)\)", (written / "bench.md").read_text("utf-8"))
    assert links == ["auroc.svg", "swap_in.svg"]


def test_a_figure_has_a_mark_for_every_number(written, result):
    from xml.etree import ElementTree

    root = ElementTree.parse(written / "auroc.svg").getroot()
    titles = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}title")]
    known = result.detection[result.detection["target"].isin(["masks", "images", "both"])]["auroc"].count()
    assert sum(": 0." in title or ": 1." in title for title in titles) == known


def test_nothing_is_loaded_from_elsewhere(written):
    page = (written / "index.html").read_text("utf-8")
    for link in re.findall(r'(?:src|href)="([^"#]*)"', page):
        assert link == "data:," or not link or (written / link).is_file()


def test_the_summary_is_the_twelve_best_and_auv(result):
    rows = summary_rows(result)
    assert len(rows) in (12, 13)
    assert "auv" in [row[0] for row in rows]
    both = [float(row[3].split()[0]) for row in rows[:12]]
    assert both == sorted(both, reverse=True)
    found = result.detection.set_index(["measure", "target"])
    name = rows[0][0]
    for target, cell in zip(("masks", "images", "both"), rows[0][1:], strict=True):
        row = found.loc[(name, target)]
        spread = "–".join(shown(row[f"auroc_{end}"], 2) for end in ("low", "high"))
        assert cell == f"{shown(row['auroc'], 2)} ({spread})"


def test_few_faulty_cases_are_told(result):
    counts = faulty_counts(result)
    assert counts["both"] == counts["masks"] + counts["images"]
    assert too_few(counts) is None
    few = result.detection.assign(
        n_faulty=lambda rows: rows["n_faulty"].where(rows["target"] != "masks", 5)
    )
    said = too_few(faulty_counts(dataclasses.replace(result, detection=few)))
    assert said.startswith("Few faulty cases (masks: 5)")


def test_a_measure_without_any_number_leaves_no_trace_of_nan(written):
    for name in ("index.html", "bench.md", "auroc.svg", "swap_in.svg"):
        assert not re.search(r"\bnan\b", (written / name).read_text("utf-8"), re.IGNORECASE)


def test_the_page_opens_from_disk_sorts_and_complains_of_nothing(browser, written, result):
    browser.get((written / "index.html").as_uri())
    assert browser.execute_script("return document.body.dataset.ready") == "tables"
    first = "return document.querySelector('#measures tbody code').textContent"
    by_target = result.detection.dropna(subset="auroc").set_index("measure")
    for heading, target in (("masks", "masks"), ("images", "images")):
        browser.execute_script(
            "[...document.querySelectorAll('#measures .sort')]"
            ".find((e) => e.textContent === arguments[0]).click()",
            heading,
        )
        rows = by_target[by_target["target"] == target]["auroc"]
        assert browser.execute_script(first) == rows.idxmax()
        last = "return [...document.querySelectorAll('#measures tbody code')][arguments[0]].textContent"
        assert browser.execute_script(last, len(NAMES) - 1) == NOT_FOR_THIS
    for width in (1280, 390):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert [entry["message"] for entry in browser.get_log("browser")] == []
