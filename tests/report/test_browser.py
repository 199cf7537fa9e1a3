"""A real browser opens the folder from disk and clicks through it."""

from pathlib import Path

import pytest

from aleaseg.report import write_report
from aleaseg.run import file_name

WAIT = 30


@pytest.fixture(scope="module")
def report(tmp_path_factory, made):
    fake = made.made_run(tmp_path_factory.mktemp("run"))
    page = write_report(fake.run, fake.dataset, predictions=fake.predictions, workers=1)
    return fake, page


@pytest.fixture
def page(browser, report):
    """The group page, ready; afterwards the console must hold no complaint."""
    fake, path = report
    browser.get_log("browser")
    browser.get(path.as_uri())
    until(browser, "return document.body.dataset.ready")
    yield Page(browser, fake, path)
    complaints = [
        entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]
    assert complaints == []


class Page:
    def __init__(self, browser, fake, path: Path):
        self.browser, self.fake, self.path = browser, fake, path

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def texts(self, selector):
        # What is there as text, not what shows after line breaks.
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector
        )

    def show(self, selector):
        self.run(
            "document.querySelector(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'})",
            selector,
        )

    def open_case(self, case_id):
        self.browser.get(f"{self.path.with_name('case.html').as_uri()}#{file_name(case_id)}")
        self.until_case(case_id)

    def until_case(self, case_id):
        until(self.browser, "return document.body.dataset.ready === arguments[0]", file_name(case_id))


def until(browser, script, *arguments):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, WAIT, 0.05).until(lambda here: here.execute_script(script, *arguments))


def by_doubt(fake):
    return fake.run.cases.sort_values("doubt", ascending=False, kind="stable")["case"].tolist()


def test_names_that_are_markup_stay_text(page):
    assert page.browser.title.startswith("Fake <i>set</i>")
    assert page.fake.ids[0] in page.texts(".card .id")
    assert page.run("return document.querySelectorAll('main script, main b, main i i').length") == 0
    page.open_case(page.fake.ids[0])
    assert page.texts("h1") == [page.fake.ids[0]]
    assert page.browser.title.startswith("<script>document.title=")


def test_suspects_are_filtered_by_axis_and_open_their_case(page):
    both, label, image = page.fake.ids[9], page.fake.ids[0], page.fake.ids[1]
    assert set(page.texts(".card .id")) == {both, label, image}
    page.find("#suspect-chips [data-choice=image]").click()
    assert set(page.texts(".card .id")) == {both, image}
    page.find("#suspect-chips [data-choice=label]").click()
    assert set(page.texts(".card .id")) == {both, label}
    assert page.run("return [...document.images].filter((e) => e.closest('.card')).every((e) => e.alt)")
    page.find(".card").click()
    page.until_case(label)


def test_pictures_are_there(page):
    sizes = until(
        page.browser,
        "const all = [...document.querySelectorAll('.card img')];"
        "return all.every((e) => e.complete) && all.map((e) => e.naturalWidth)",
    )
    assert len(sizes) == 3
    assert min(sizes) > 50


def test_a_dot_shows_its_case_and_opens_it(page):
    from selenium.webdriver.common.action_chains import ActionChains

    page.show("[data-strip=label_doubt]")
    until(page.browser, "return document.querySelector('[data-strip=label_doubt]').dataset.drawn")
    until(page.browser, "return document.querySelector('[data-strip=doubt]').dataset.drawn")
    # The only diamond: label doubt alone above one half.
    dots = page.browser.find_elements(
        "css selector", "[data-strip=label_doubt] .trace:nth-of-type(3) .point"
    )
    assert len(dots) == 1
    ActionChains(page.browser).move_to_element(dots[0]).perform()
    until(page.browser, "return !document.getElementById('tip').hidden")
    assert page.texts("#tip strong") == [page.fake.ids[0]]
    assert page.run("return document.querySelectorAll('.ring:not([hidden])').length") > 3
    ActionChains(page.browser).click(dots[0]).perform()
    page.until_case(page.fake.ids[0])


def test_a_box_in_the_plot_keeps_its_cases_in_the_sheet(page):
    from selenium.webdriver.common.action_chains import ActionChains

    page.show("#quadrants")
    until(page.browser, "return document.getElementById('quadrants').dataset.drawn")
    # From the upper left corner to a little below the dashed line: the one case to annotate again.
    plot = page.find("#quadrants .nsewdrag")
    width, height = plot.size["width"], plot.size["height"]
    chain = ActionChains(page.browser).move_to_element_with_offset(plot, -width // 2 + 4, -height // 2 + 4)
    chain.click_and_hold().move_by_offset(width // 2 - 8, height // 2 - 8).release().perform()
    until(page.browser, "return document.querySelector('#sheet-count').textContent === '1 of 24 cases'")
    assert page.texts("#sheet .tile .id") == [page.fake.ids[0]]
    page.run("document.querySelector('.release').click()")
    assert page.texts("#sheet-count") == ["24 cases"]


def test_the_sheet_searches_sorts_and_turns_into_a_table(page):
    page.show("#sheet")
    assert len(page.texts("#sheet .tile")) == 24
    page.find("#search").send_keys("CASE_1")
    assert page.texts("#sheet-count") == ["6 of 24 cases"]
    page.find("#search").clear()
    page.find("#search").send_keys("more noise 9999")
    assert page.texts("#sheet-count") == ["0 of 24 cases"]
    page.run(
        "const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input'));"
        "const by = document.getElementById('sort'); by.value = 'auv';"
        "by.dispatchEvent(new Event('change'))"
    )
    assert page.texts("#sheet .tile .id")[0] == page.fake.ids[-1]  # the highest AUV first
    page.find("#turn").click()
    assert page.texts("#sheet .tile .id")[0] == page.fake.ids[0]
    page.find("#sheet-controls [data-choice=table]").click()
    page.run(
        "[...document.querySelectorAll('#sheet .head button')]"
        ".find((e) => e.textContent.startsWith('Dice')).click()"
    )
    assert page.texts("#sheet .canvas .row .id")[0] == page.fake.ids[-1]  # the lowest Dice first
    page.find("#sheet-controls [data-choice=failed]").click()
    assert page.texts("#sheet .canvas .row .id") == [page.fake.ids[-1]]


def test_the_confound_check_follows_its_table(page):
    page.show("#confound-plot")
    until(page.browser, "return document.getElementById('confound-plot').dataset.drawn")
    assert page.texts(".heat .strongest") in (["1.00"], ["−1.00"])
    page.find("button[aria-label^='AUV against Volume']").click()
    assert page.texts("#confound-caption")[0].startswith("Spearman ρ = 1.00, n = 24.")
    page.find("button[aria-label^='AUV against Class set']").click()
    assert "η" in page.texts("#confound-caption")[0]


def test_the_papers_figures_are_drawn_for_each_class(page):
    page.show("#decay")
    until(page.browser, "return document.getElementById('decay').dataset.drawn")
    names = "return document.getElementById('decay').data.map((trace) => trace.name)"
    assert page.run(names)[0].startswith("fastest: &lt;script&gt;")
    assert len(page.run(names)) == 4
    assert page.texts("#spectra-class option") == ["head", "tail & <b>"]
    assert len(page.texts("#histograms figure")) == 3
    assert page.texts("#lowest .id")[0] == page.fake.ids[0]
    assert page.texts("#highest .id")[0] == page.fake.ids[-1]


def test_a_case_has_three_planes_whose_outlines_can_be_taken_away(page):
    page.open_case(page.fake.ids[0])
    assert len(page.texts("#planes figure")) == 3
    letters = [page.texts(f"#planes figure:nth-of-type({k}) .letter") for k in (1, 2, 3)]
    assert ["R", "L", "A", "P"] in letters
    drawn = (
        "return [...document.querySelectorAll('#planes svg')]"
        ".map((e) => ['.mask', '.oof'].map((kind) => e.querySelectorAll(kind).length))"
    )
    assert page.run(drawn)[0] == [2, 2]
    page.find("[data-toggle=mask]").click()
    assert page.run(drawn)[0] == [0, 2]
    page.find("body").send_keys("p")
    assert page.run(drawn)[0] == [0, 0]
    page.find("body").send_keys("m")
    page.run(
        "const s = document.querySelector('#toggles select'); s.value = 'head';"
        "s.dispatchEvent(new Event('change'))"
    )
    assert page.run(drawn)[0] == [1, 0]
    assert len(page.texts("#classes tbody tr")) == 2
    assert len(page.texts(".verdict li")) == 2


def test_arrows_go_from_case_to_case_by_doubt(page):
    from selenium.webdriver.common.keys import Keys

    order = by_doubt(page.fake)
    page.open_case(order[0])
    assert not page.find("#previous").is_enabled()
    page.find("body").send_keys(Keys.ARROW_RIGHT)
    page.until_case(order[1])
    page.find("#next").click()
    page.until_case(order[2])
    page.find("body").send_keys(Keys.ARROW_LEFT)
    page.until_case(order[1])
    assert page.texts("#place") == ["2 of 24"]
    page.browser.get(f"{page.path.with_name('case.html').as_uri()}?id={file_name(order[3])}")
    page.until_case(order[3])


def test_an_address_of_no_case_says_so(page):
    page.browser.get(f"{page.path.with_name('case.html').as_uri()}?id=0")
    until(page.browser, "return document.querySelector('h1').textContent === 'No such case'")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1600, "light")])
def test_no_width_makes_the_page_scroll_sideways(page, width, scheme):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for address in (
            page.path.as_uri(),
            f"{page.path.with_name('case.html').as_uri()}#{file_name(page.fake.ids[2])}",
        ):
            page.browser.get(address)
            until(page.browser, "return document.body.dataset.ready")
            assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        background = page.run("return getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(19, 21, 25)" if scheme == "dark" else "rgb(248, 247, 244)")
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_thousands_of_dots_go_on_a_canvas(page, browser, tmp_path, made):
    from selenium.webdriver.common.action_chains import ActionChains

    many = made.many_cases(tmp_path / "many", 3100)
    browser.get(write_report(many, None).as_uri())
    until(browser, "return document.body.dataset.ready")
    page.show("#quadrants")
    until(browser, "return document.querySelector('#quadrants').dataset.drawn")
    canvas = browser.find_element("css selector", "#quadrants canvas")
    chain = ActionChains(browser).move_to_element_with_offset(canvas, -60, -60).click_and_hold()
    chain.move_by_offset(120, 120).release().perform()
    shown, total = page.texts("#sheet-count")[0].removesuffix(" cases").split(" of ")
    assert total == "3,100"
    assert 0 < int(shown.replace(",", "")) < 3100
    assert page.run("return document.querySelectorAll('#sheet .tile').length") < 200
