"""The page of a comparison, opened from disk in a real browser."""

import pytest

from aleaseg.evaluation import EvaluationSettings, compare, evaluate

IDS = ["<script>document.title='taken'</script>".replace("/", "_"), *(f"c{index}" for index in range(5))]


@pytest.fixture(scope="module")
def page(tmp_path_factory, balls):
    folder = tmp_path_factory.mktemp("browsed")
    balls.write_dataset(folder / "data", IDS)
    for name, voxels in (("baseline & <b>", 2), ("duo", 1)):
        balls.write_predictions(
            folder / name, IDS, change=lambda array, by=voxels: balls.shifted(array, by)
        )
        evaluate(EvaluationSettings(str(folder / "data"), str(folder / name)), folder / "eval" / name)
    _, made = compare([folder / "eval" / "baseline & <b>", folder / "eval" / "duo"], folder / "out")
    return made


@pytest.fixture
def opened(browser, page):
    """The page; afterwards the console must hold no complaint."""
    browser.get_log("browser")
    browser.get(page.as_uri())
    yield browser
    assert [e["message"] for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []


def texts(browser, selector):
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent.trim())", selector
    )


def test_names_that_are_markup_stay_text_and_the_verdict_is_in_words(opened):
    assert opened.title == "duo against baseline & <b> · aleaseg"
    assert texts(opened, "h1") == ["duo against baseline & <b>"]
    assert [text for text in texts(opened, ".case-strip title") if text.startswith(IDS[0])]
    assert opened.execute_script("return document.querySelectorAll('main script, main b').length") == 0
    assert texts(opened, ".direction strong")[0].startswith(
        "duo is better than baseline & <b>: its Dice is"
    )
    assert texts(opened, ".differences tbody:first-of-type .says") == ["better"] * 3


def test_intervals_are_drawn_where_their_numbers_are(opened):
    """Right of the zero line where a difference is above 0, left of it where it is below."""
    sides = opened.execute_script(
        """
        return [...document.querySelectorAll('.differences tbody tr:not(.metric)')].map((row) => {
          const zero = row.querySelector('.zero').getBoundingClientRect().x;
          const bar = row.querySelector('.spread').getBoundingClientRect();
          return [row.querySelector('td.number').textContent, bar.left - zero, bar.right - zero];
        });
        """
    )
    assert len(sides) >= 15
    assert {text[0] for text, _, _ in sides} >= {"+", "−"}
    for text, left, right in sides:
        assert left <= right
        if text.startswith("+"):
            assert right > 0
        if text.startswith("−"):
            assert left < 0


def test_outlines_have_the_papers_colours_and_can_be_taken_away(opened):
    def seen():
        return opened.execute_script(
            """
            return ['reference', 'first', 'second'].map((kind) => {
              const lines = [...document.querySelectorAll(`.outline.${kind}`)];
              const shown = lines.filter((line) => line.getBoundingClientRect().width > 0).length;
              return [getComputedStyle(lines[0].querySelector('.line')).stroke, shown];
            });
            """
        )

    colours, counts = zip(*seen(), strict=True)
    red, blue, orange = ([int(n) for n in colour[4:-1].split(",")] for colour in colours)
    assert red[0] > 200 > 2 * red[1]
    assert red[0] > 200 > 2 * red[2]
    assert blue[2] > 200 > 2 * blue[0]
    assert orange[0] > 200 > orange[1] > 2 * orange[2]
    assert counts == (4, 4, 4)
    opened.execute_script(
        "document.querySelector('[data-show=first]').scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    opened.find_element("css selector", "[data-show=first]").click()
    assert [count for _, count in seen()] == [4, 0, 4]
    opened.find_element("css selector", "[data-show=first]").click()
    opened.find_element("css selector", "[data-show=reference]").click()
    assert [count for _, count in seen()] == [0, 4, 4]


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1600, "light")])
def test_no_width_makes_the_page_scroll_sideways(opened, width, scheme):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        opened.refresh()
        assert opened.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        background = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(19, 21, 25)" if scheme == "dark" else "rgb(248, 247, 244)")
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
