"""A table says the same on a page and in Markdown, and its texts stay texts."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aleaseg.pages.markdown import table_markdown
from aleaseg.pages.tables import Cell, Column, Row, Table, frame_table, heat, quantity
from aleaseg.pages.templates import templates


class Read(HTMLParser):
    """Rows of texts, and the attributes of every cell."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.cells, self.tags, self._inside = [], [], set(), False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.cells.append(dict(attrs))
            self._inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.rows[-1][-1] += data


def page_of(table):
    macro = "{% from 'tables.html.j2' import table %}{{ table(one) }}"
    return Read(templates("aleaseg.pages").from_string(macro).render(one=table))


def cells_of(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=12)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(texts, min_size=n, max_size=n), min_size=1, max_size=4)
    )
)
def test_whatever_is_in_the_cells_stays_text_in_both(rows):
    names = [f"column {place}" for place, _ in enumerate(rows[0])]
    table = Table(
        "t", [Column(name) for name in names], [Row([Cell(text) for text in row]) for row in rows]
    )
    page = page_of(table)
    assert page.rows == [names, *rows]
    assert page.tags <= {"div", "table", "thead", "tbody", "tr", "th", "td", "span"}
    lines = table_markdown(table)
    assert len(lines) == 2 + len(rows)
    for line, row in zip(lines[2:], rows, strict=True):
        unescaped = [re.sub(r"\\(.)", r"\1", cell).replace("&amp;", "&") for cell in cells_of(line)]
        assert unescaped == row


def test_a_number_its_interval_and_its_colour():
    columns = [Column("who"), Column("r", True, order="descending"), Column("p", True)]
    cells = [Cell("a", strong=True), quantity(-0.5, ".1f", -0.6, -0.4), heat(float("nan"), 0.5, "")]
    table = Table("t", columns, [Row(cells, "kind")], "sortable")
    page = page_of(table)
    assert page.rows[1] == ["a", "−0.5 −0.6 to −0.4", "–"]
    assert [cell.get("data-key") for cell in page.cells[3:]] == ["a", "-0.5", ""]
    assert page.cells[1]["aria-sort"] == "descending"
    assert table_markdown(table) == [
        "| who | r | p |",
        "| --- | ---: | ---: |",
        "| **a** | −0.5 (−0.6 to −0.4) | – |",
    ]


def test_a_colour_says_the_side_and_how_far():
    assert (heat(0.5, 0.5, "").strength, heat(1.0, 0.5, "").strength, heat(0.0, 0.5, "").strength) == (
        0,
        1,
        1,
    )
    assert (heat(0.75, 0.5, "").kind, heat(0.25, 0.5, "").kind) == ("above", "below")
    assert heat(-0.3, 0.0, "").strength == pytest.approx(0.3)


def test_what_is_of_one_of_them_alone_is_not_in_the_other():
    columns = [Column("name"), Column("eye", only="markdown"), Column("picture", only="page")]
    over = Row([Cell("group")], "group", heads=True)
    table = Table("t", columns, [over, Row([Cell("a"), Cell("own"), Cell(picture="<svg></svg>")])])
    page = page_of(table)
    assert page.rows == [["name", "picture"], ["group"], ["a", ""]]
    assert page.cells[2]["colspan"] == "2"
    assert "svg" in page.tags
    assert [cells_of(line) for line in table_markdown(table)[2:]] == [["a", "own"]]


def test_a_frame_becomes_markdown():
    frame = pd.DataFrame({"who": ["a|b", "<i>"], "n": [3, 4], "r": [-0.51234, np.nan], "p": [1e-9, 0.04]})
    shown = {"who": "who", "r": "r_s", "p": "p", "n": "n"}
    assert table_markdown(frame_table(frame, shown, {"r": "+.2f", "p": "p"})) == [
        r"| who | r\_s | p | n |",
        "| --- | ---: | ---: | ---: |",
        r"| a\|b | −0.51 | \< 0.001 | 3 |",
        r"| \<i\> | – | 0.040 | 4 |",
    ]
    assert table_markdown(frame_table(frame[["r"]]))[2:] == ["| −0.512 |", "| – |"]


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no column 'x'; expected some of: r"):
        frame_table(pd.DataFrame({"r": [1.0]}), {"x": "x"})
