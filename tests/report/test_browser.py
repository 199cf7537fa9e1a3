"""A real browser opens the group page from disk and clicks through it."""

import pytest

from aleaseg.report import write_report
from aleaseg.run import file_name


def by_doubt(fake):
    return fake.run.cases.sort_values("doubt", ascending=False, kind="stable")["case"].tolist()


def search(page, text):
    page.run(
        "const s = document.getElementById('search'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))",
        text,
    )


def sort(page, name):
    page.run(
        "const by = document.getElementById('sort'); by.value = arguments[0];"
        "by.dispatchEvent(new Event('change'))",
        name,
    )


def drag(page, selector, start, end):
    """From one share of an element's width and height to another."""
    from selenium.webdriver.common.action_chains import ActionChains

    element = page.find(selector)
    width, height = element.size["width"], element.size["height"]
    at = [(round((x - 0.5) * width), round((y - 0.5) * height)) for x, y in (start, end)]
    chain = ActionChains(page.browser).move_to_element_with_offset(element, *at[0]).click_and_hold()
    chain.move_by_offset(at[1][0] - at[0][0], at[1][1] - at[0][1]).release().perform()


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
    page.click("#suspect-chips [data-choice=image]")
    assert set(page.texts(".card .id")) == {both, image}
    page.click("#suspect-chips [data-choice=label]")
    assert set(page.texts(".card .id")) == {both, label}
    assert page.run("return [...document.images].filter((e) => e.closest('.card')).every((e) => e.alt)")
    page.click(".card .id")
    page.until_case(label)
    assert page.texts("#place") == ["1 of 2"]  # the arrows go on along the suspects of that axis


def test_pictures_are_there_and_say_which_plane_they_are(page):
    sizes = page.until(
        "[...document.querySelectorAll('.card img')].every((e) => e.complete)"
        " && [...document.querySelectorAll('.card img')].map((e) => e.naturalWidth)",
    )
    assert len(sizes) == 3
    assert min(sizes) > 50
    assert all("slice" in text for text in page.texts(".card .plane"))


def test_reasons_are_in_words_and_the_z_stands_beside(page):
    words = page.texts(".card li")
    assert "more noise than usual" in words
    assert not any("=" in text or "robust z" in text for text in words)
    assert page.run(
        "return [...document.querySelectorAll('.card li')].some((e) => e.title.startsWith('robust z +6.2 ('))"
    )


# -- search, order, address --------------------------------------------------------------------------


def test_search_finds_the_words_on_the_cards(page):
    page.show("#sheet")
    assert len(page.texts("#sheet .tile")) == 24
    search(page, "CASE_1")
    assert page.texts("#sheet-count") == ["6 of 24 cases"]
    search(page, "more noise")
    assert page.texts("#sheet-count") == ["3 of 24 cases"]
    search(page, "overlap little")
    assert page.texts("#sheet-count") == ["3 of 24 cases"]


def test_no_hit_says_so_and_gives_all_back(page):
    search(page, "no such word")
    assert page.texts("#sheet-count") == ["0 of 24 cases"]
    (said,) = page.texts(".nothing")
    assert "No case matches “no such word”" in said
    page.click(".nothing button")
    assert page.texts("#sheet-count") == ["24 cases"]


def test_the_sheet_sorts_and_turns_into_a_table(page):
    sort(page, "auv")
    assert page.texts("#sheet .tile .id")[0] == page.fake.ids[-1]  # the highest AUV first
    page.show("#turn")
    page.click("#turn")
    assert page.texts("#sheet .tile .id")[0] == page.fake.ids[0]
    page.click("#sheet-controls [data-choice=table]")
    page.run(
        "[...document.querySelectorAll('#sheet .head button')]"
        ".find((e) => e.textContent.startsWith('Dice')).click()"
    )
    assert page.texts("#sheet .canvas .row .id a")[0] == page.fake.ids[-1]  # the lowest Dice first
    page.click("#sheet-controls [data-choice=failed]")
    assert page.texts("#sheet .canvas .row .id a") == [page.fake.ids[-1]]


def test_after_back_order_filter_and_boxes_are_as_they_were(page):
    sort(page, "auv")
    search(page, "case_1")
    page.click("#sheet-controls [data-choice=table]")
    before = page.texts("#sheet .canvas .row .id a")
    assert len(before) == 6
    page.run("document.querySelector('#sheet .canvas .row .id a').click()")
    page.until_case(before[0])
    assert page.texts("#place") == ["1 of 6"]
    page.press("j")
    page.until_case(before[1])  # by AUV, as on the sheet
    page.press("k")
    page.until_case(before[0])
    page.run("document.querySelector('.crumbs a').click()")
    page.until("location.pathname.endsWith('index.html')")
    page.ready()
    for _ in range(2):
        assert page.texts("#sheet .canvas .row .id a") == before
        assert page.run("return document.getElementById('sort').value") == "auv"
        assert page.run("return document.getElementById('search').value") == "case_1"
        assert page.find("#sheet-controls [data-choice=table]").get_attribute("aria-pressed") == "true"
        page.click(".jump a")  # a link within the page costs no state
        page.browser.get("about:blank")
        page.browser.back()
        page.ready()


# -- plots -------------------------------------------------------------------------------------------


def test_a_dot_shows_its_case_and_opens_it(page):
    from selenium.webdriver.common.action_chains import ActionChains

    page.drawn("[data-strip=label_doubt]")
    page.run(
        "document.querySelector('.card .id').closest('.card').dispatchEvent(new Event('mouseenter'))"
    )  # marks the case in every plot
    suspect = page.texts(".card .id")[0]
    assert page.run("return document.querySelectorAll('.ring:not([hidden])').length") > 3
    x, y = page.run(
        "const r = document.querySelector('[data-strip=label_doubt] .ring').getBoundingClientRect();"
        "const c = document.querySelector('[data-strip=label_doubt] canvas').getBoundingClientRect();"
        "return [r.x + r.width / 2 - c.x - c.width / 2, r.y + r.height / 2 - c.y - c.height / 2]"
    )
    canvas = page.find("[data-strip=label_doubt] canvas")
    ActionChains(page.browser).move_to_element_with_offset(canvas, round(x), round(y)).perform()
    page.until("!document.getElementById('tip').hidden")
    assert page.texts("#tip strong") == [suspect]
    ActionChains(page.browser).click().perform()
    page.until_case(suspect)


def test_dots_are_reached_with_the_keys(page):
    from selenium.webdriver.common.keys import Keys

    page.drawn("[data-strip=auv]")
    page.run("document.querySelector('[data-strip=auv] canvas').focus()")
    page.press(Keys.ARROW_RIGHT)
    assert page.texts("#tip strong") == [page.fake.ids[0]]  # the lowest AUV
    assert page.find("[data-strip=auv] canvas").get_attribute("aria-label").startswith(page.fake.ids[0])
    page.press(Keys.END)
    assert page.texts("#tip strong") == [page.fake.ids[-1]]
    page.press(Keys.ARROW_LEFT, Keys.ENTER)
    page.until_case(page.fake.ids[-2])


def test_a_box_in_a_plot_keeps_its_cases_and_both_are_given_back_together(page):
    page.drawn("#quadrants")
    # From the upper left corner to a little above the dashed line: the one case to annotate again.
    drag(page, "#quadrants canvas", (0.01, 0.01), (0.48, 0.48))
    page.until("document.querySelector('#sheet-count').textContent === '1 of 24 cases'")
    assert page.texts("#sheet .tile .id") == [page.fake.ids[0]]
    assert page.run("return !document.querySelector('#quadrants .box').hidden")
    assert "range=" in page.run("return decodeURIComponent(location.hash)")
    assert len(page.texts(".release")) == 2
    for _ in range(2):
        page.run("document.querySelector('.release').click()")
    assert page.texts("#sheet-count") == ["24 cases"]
    assert page.run("return document.querySelector('#quadrants .box').hidden"), (
        "the plot still holds the box"
    )
    assert page.run("return location.hash") == ""


def test_a_strip_is_brushed_and_a_range_is_typed(page):
    page.drawn("[data-strip=auv]")
    drag(page, "[data-strip=auv] canvas", (0.5, 0.5), (0.99, 0.6))
    page.until("document.querySelector('#sheet-count').textContent === '12 of 24 cases'")
    page.run("document.querySelector('.release').click()")
    page.run(
        "const [low, high] = document.querySelectorAll('.range input');"
        "document.querySelector('.range select').value = 'auv'; low.value = '0.9';"
        "document.querySelector('.range button').click()"
    )
    assert page.texts("#sheet-count") == ["3 of 24 cases"]


def test_the_confound_check_follows_its_table(page):
    page.drawn("#confound-plot")
    assert page.texts(".heat .strongest") in (["1.00"], ["−1.00"])
    page.click("button[aria-label^='AUV against Volume']")
    assert page.texts("#confound-caption")[0].startswith("Spearman ρ = 1.00, n = 24.")
    page.click("button[aria-label^='AUV against Class set']")
    assert "η" in page.texts("#confound-caption")[0]
    assert "head+tail & <b>" in page.texts("#confound-plot .tick")


def test_the_papers_figures_are_drawn_for_each_class(page):
    page.drawn("#decay")
    legend = page.texts("#decay-legend li")
    assert legend[0].startswith("fastest: <script>")
    assert len(legend) == len(page.texts("#decay .curve")) == 4
    assert page.texts("#spectra-class option") == ["head", "tail & <b>"]
    assert len(page.texts("#histograms figure")) == 3
    assert page.texts("#lowest .id")[0] == page.fake.ids[0]
    assert page.texts("#highest .id")[0] == page.fake.ids[-1]


def test_thousands_of_cases_stay_few_elements(page, browser, tmp_path, made):
    many = made.many_cases(tmp_path / "many", 3100)
    browser.get(write_report(many, None).as_uri())
    page.ready()
    page.drawn("#quadrants")
    drag(page, "#quadrants canvas", (0.3, 0.3), (0.6, 0.6))
    shown, total = page.texts("#sheet-count")[0].removesuffix(" cases").split(" of ")
    assert total == "3,100"
    assert 0 < int(shown.replace(",", "")) < 3100
    assert page.run("return document.querySelectorAll('#sheet .tile').length") < 200
    assert page.run("return document.querySelectorAll('.plot *').length") < 400


# -- flags -------------------------------------------------------------------------------------------


def test_flagged_cases_are_kept_and_leave_as_a_list(page):
    page.click(".card .flag")
    first = page.texts(".card .id")[0]
    page.run("document.querySelectorAll('#sheet [data-row]')[1].focus()")
    second = page.texts("#sheet .tile .id")[1]
    page.press("f")
    assert page.texts("#flagged-count") == ["2 flagged"]
    page.browser.refresh()
    page.ready()
    assert page.texts("#flagged-count") == ["2 flagged"]
    page.click("#sheet-controls [data-choice=flagged]")
    assert set(page.texts("#sheet .tile .id")) == {first, second}
    page.run("document.querySelector('#sheet [data-row]').click()")
    page.until("location.pathname.endsWith('case.html') && document.body.dataset.ready")
    page.press("f")
    assert page.texts("#flagged-count") == ["1 flagged"]


def test_the_next_step_is_what_the_page_says(page):
    command = f"aleaseg select {page.fake.run.path.resolve()}"
    assert page.texts("#next-command") == page.texts("#select-command") == [command]
    assert "leaves out the 3 cases with a doubt above 0.5" in page.texts(".next")[0]
    page.run(
        "window.taken = []; navigator.clipboard.writeText = async (text) => { window.taken.push(text); };"
        "document.querySelector('[data-copy=next-command] button').click();"
        "document.querySelector('#doubtful-ids button').click()"
    )
    page.until("window.taken.length === 2")
    assert page.run("return window.taken") == [
        command,
        "".join(f"{case}\n" for case in by_doubt(page.fake)[:3]),
    ]


# -- every reader ------------------------------------------------------------------------------------


def test_the_sheet_is_one_stop_of_the_tab_key_and_arrows_go_on_from_there(page):
    from selenium.webdriver.common.keys import Keys

    stops = "return document.querySelectorAll('#sheet [tabindex=\"0\"]').length"
    assert page.run(stops) == 1
    page.run("document.querySelector('#sheet [tabindex=\"0\"]').focus()")
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    order = by_doubt(page.fake)
    assert page.run("return document.activeElement.querySelector('.id').title") == order[2]
    assert page.run(stops) == 1
    page.press(Keys.ENTER)
    page.until_case(order[2])


def within(page, role, parent):
    """Whether there are elements of a role, and each lies in one of the other."""
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.parentElement.getAttribute('role'))"
    return set(page.run(script, f"[role={role}]")) == {parent}


def test_the_table_is_a_table_to_a_screen_reader(page):
    page.click("#sheet-controls [data-choice=table]")
    assert within(page, "row", "table")
    assert within(page, "cell", "row")
    assert within(page, "columnheader", "row")
    assert (
        page.run("return document.querySelectorAll('[role=columnheader][aria-sort=descending]').length")
        == 1
    )
    assert page.find("[role=table]").get_attribute("aria-rowcount") == "25"
    page.click("#sheet-controls [data-choice=pictures]")
    assert within(page, "listitem", "list")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_who_cannot_see_or_point(page, barriers, scheme):
    page.emulate(1400, scheme)
    assert barriers(page.browser) == []
    page.click("#sheet-controls [data-choice=table]")
    assert barriers(page.browser) == []
    page.open_case(page.fake.ids[0])
    assert barriers(page.browser) == []


def test_the_first_stop_skips_to_the_cases(page):
    from selenium.webdriver.common.keys import Keys

    page.press(Keys.TAB)
    assert page.run("return document.activeElement.className") == "skip"
    page.press(Keys.ENTER)
    assert page.run("return document.activeElement.id") == "main"


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1600, "light")])
def test_no_width_makes_the_page_scroll_sideways(page, width, scheme):
    page.emulate(width, scheme)
    for address in (
        page.path.as_uri(),
        f"{page.path.with_name('case.html').as_uri()}#{file_name(page.fake.ids[2])}",
    ):
        page.browser.get(address)
        page.ready()
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    background = page.run("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(19, 21, 25)" if scheme == "dark" else "rgb(248, 247, 244)")


def test_the_suspects_begin_on_the_first_screen(page):
    page.emulate(1400)
    assert page.run(
        "return document.querySelector('.card').getBoundingClientRect().top < 0.4 * innerHeight"
    )


def test_on_paper_every_suspect_and_every_plot_is_there(page, browser, tmp_path, made):
    fake = made.made_run(tmp_path / "run")
    cases = fake.run.cases
    cases["doubt"] = cases["label_doubt"] = 0.9
    from aleaseg.run import write_table

    write_table(fake.run.path / "cases.csv", list(cases.columns), cases.to_dict("records"))
    browser.get(write_report(fake.run, None).as_uri())
    page.ready()
    seen = "return [...document.querySelectorAll('.card')].filter((e) => e.getClientRects().length).length"
    assert page.run(seen) == 12
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate(media="print")
    assert page.run(seen) == 24
    blank = (
        "return [...document.querySelectorAll('.plot canvas')].filter((e) => "
        "!e.getContext('2d').getImageData(0, 0, e.width, e.height).data.some((value) => value)).length"
    )
    assert page.run("return document.querySelectorAll('.plot canvas').length") >= 8
    assert page.run(blank) == 0
    assert page.run("return [...document.querySelectorAll('.plot')].every((e) => e.dataset.drawn)")


def test_without_scripts_the_suspects_are_named(report):
    _, path = report
    text = path.read_text("utf-8")
    fallback = text[text.index("<noscript>") : text.index("</noscript>")]
    assert "&lt;script&gt;" in fallback
    assert "more noise than usual" in fallback
