"""The page of one evaluation, opened from disk in a real browser."""

import pytest

from aleaseg.evaluation import EvaluationSettings, evaluate

IDS = ["<script>document.title='taken'</script>".replace("/", "_"), *(f"c{index}" for index in range(5))]


@pytest.fixture(scope="module")
def page(tmp_path_factory, balls):
    folder = tmp_path_factory.mktemp("browsed_report")
    balls.write_dataset(folder / "data", IDS)
    balls.write_predictions(folder / "net & <b>", IDS, soft=True)
    settings = EvaluationSettings(str(folder / "data"), str(folder / "net & <b>"), cues=("gradient",))
    return evaluate(settings, folder / "out").page


@pytest.fixture
def opened(browser, page):
    """The page; afterwards the console must hold no complaint."""
    browser.get_log("browser")
    browser.get(page.as_uri())
    yield browser
    assert [e["message"] for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []


def test_names_that_are_markup_stay_text(opened):
    assert opened.title == "net & <b> against Balls · aleaseg"
    assert opened.execute_script("return document.scripts.length") == 0
    titles = opened.execute_script(
        "return [...document.querySelectorAll('.case title')].map((e) => e.textContent)"
    )
    assert sorted(title.split(": ")[0] for title in titles) == sorted(IDS)
    shown = opened.execute_script("return [...document.querySelectorAll('.id')].map((e) => e.textContent)")
    assert sorted(shown) == sorted(IDS)


def test_the_map_lies_on_its_image_and_can_be_taken_away(opened):
    def places():
        return opened.execute_script(
            """
            return [...document.querySelectorAll('.contours')].map((svg) =>
              [...svg.querySelectorAll('image')].map((e) => {
                const box = e.getBoundingClientRect();
                return [box.x, box.y, box.width, box.height].map(Math.round);
              }));
            """
        )

    drawn = places()
    assert len(drawn) == 6
    assert all(image == over and image[2] > 100 for image, over in drawn)
    toggle = opened.find_element("css selector", "[data-show=over]")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", toggle)
    toggle.click()
    assert all(image[2] > 100 and over[2] == 0 for image, over in places())
    # Pictures hold what they claim: every one was decoded.
    assert opened.execute_script(
        """
        return Promise.all([...document.querySelectorAll('image')].map((e) => {
          const image = new Image(); image.src = e.getAttribute('href');
          return image.decode().then(() => true, () => false);
        })).then((all) => all.every((one) => one));
        """
    )


@pytest.mark.parametrize(("width", "scheme"), [(420, "dark"), (1400, "light")])
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
