"""The review in a real browser: look, page through by keys, decide, reload, undo, several raters, blind."""

import base64
import contextlib
import json

import numpy as np
import pytest

from aleaseg.pages.overlay import translucent
from aleaseg.pages.planes import planes_through
from aleaseg.readers import open_dataset
from aleaseg.run import file_name
from aleaseg.where.keeping import kept_map, suspects

WAIT = 60


class Page:
    """The page of a review, as its reader has it."""

    def __init__(self, browser, server):
        self.browser, self.server = browser, server

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def until(self, condition, *arguments):
        from selenium.webdriver.support.ui import WebDriverWait

        script = f"return {condition}"
        return WebDriverWait(self.browser, WAIT, 0.05).until(
            lambda here: here.execute_script(script, *arguments)
        )

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def press(self, *keys):
        """Keys go to what has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def open(self, case=None):
        self.browser.get("about:blank")
        self.browser.get(self.server.address)
        self.until("document.body && document.body.dataset.ready")
        if case is not None:
            self.run("location.hash = arguments[0]", file_name(case))
        self.whole(case)

    def whole(self, case=None):
        """Until a case is there with its prediction, and drawn."""
        name = None if case is None else file_name(case)
        self.until(
            "document.body.dataset.whole && document.body.dataset.whole === (arguments[0] || location.hash.slice(1))"
            " && document.getElementById('planes').dataset.drawn",
            name,
        )
        self.still()

    def still(self):
        """Until nothing is drawn any more."""
        self.browser.execute_async_script(
            "const done = arguments[0]; let last = null, still = 0;"
            "const step = () => {"
            "  const drawn = document.getElementById('planes').dataset.drawn;"
            "  still = drawn === last ? still + 1 : 0; last = drawn;"
            "  if (still >= 6) done(); else setTimeout(step, 30);"
            "}; step();"
        )

    def case(self):
        return self.text("#case-id")

    def saved(self):
        self.until("document.body.dataset.unsent === '0'")

    def held(self, case, rater="ann"):
        """What the server holds of a case for a rater: class -> verdict."""
        for one in self.server.json("/api/holding")["cases"]:
            if one["hash"] == file_name(case):
                return {
                    each["class"]: each["verdict"] for each in one["verdicts"] if each["rater"] == rater
                }
        return {}

    def voxel(self):
        return [
            int(part)
            for part in self.run("return document.getElementById('planes').dataset.voxel").split(",")
        ]

    def axis(self):
        """Which one the large plane lies across."""
        return self.run(
            "return [...document.querySelectorAll('.plane')].findIndex((one) => one.classList.contains('main'))"
        )

    def size(self, width=None, scheme=None):
        features = [] if scheme is None else [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
        if width is None:
            self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        else:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def main_pixels(self):
        """The large plane as it stands on the screen: (rows, columns, RGBA)."""
        found = self.run(
            "const canvas = document.querySelector('.plane.main canvas');"
            "const {data, width, height} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
            "return [width, height, btoa(Array.from(data, (one) => String.fromCharCode(one)).join(''))];"
        )
        return np.frombuffer(base64.b64decode(found[2]), np.uint8).reshape(found[1], found[0], 4)


@pytest.fixture
def page(browser, server):
    browser.get_log("browser")
    browser.get("about:blank")
    here = Page(browser, server)
    here.open()
    yield here
    here.size()
    here.run("localStorage.clear()")
    complaints = [
        entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]
    # What these tests do themselves: they read canvases.
    assert [one for one in complaints if "willReadFrequently" not in one] == []


def dataset_of(run):
    return open_dataset(run.manifest["settings"]["dataset"])


def only_grey(page):
    """Voxels as they are, nothing over them."""
    for name, wanted in (
        ("mask", False),
        ("prediction", False),
        ("cross", False),
        ("voxels", True),
        ("fill", False),
    ):
        page.run(
            "const box = document.querySelector(`[data-toggle=${arguments[0]}]`);"
            "if (box.checked !== arguments[1]) box.click();",
            name,
            wanted,
        )
    page.still()


def test_the_planes_show_the_voxels(page, reviewed):
    """Every voxel of the large plane has the grey value of the file, in the window that is said."""
    case = "case <05>"
    page.open(case)
    only_grey(page)
    image = dataset_of(reviewed)[case].read_image()
    low, high = (float(page.find(f"#toggles .{end}").get_attribute("value")) for end in ("low", "high"))
    for key in ("", "x", "x"):
        if key:
            page.press(key)
            page.still()
        voxel = page.voxel()
        pixels = page.main_pixels()
        plane = next(one for one in planes_through(voxel, image.geometry) if one.axis == page.axis())
        flat = plane.cut(image.array[0])
        expected = np.clip((flat - low) / (high - low) * 255, 0, 255)
        height, width = flat.shape[0] * plane.spacing_mm[0], flat.shape[1] * plane.spacing_mm[1]
        scale = min(pixels.shape[1] / width, pixels.shape[0] / height)
        left, top = (pixels.shape[1] - width * scale) / 2, (pixels.shape[0] - height * scale) / 2
        rows = (top + (np.arange(flat.shape[0]) + 0.5) * plane.spacing_mm[0] * scale).astype(int)
        columns = (left + (np.arange(flat.shape[1]) + 0.5) * plane.spacing_mm[1] * scale).astype(int)
        shown = pixels[np.ix_(rows, columns)][..., 0].astype(float)
        # The window is said with four digits.
        np.testing.assert_allclose(shown, expected, atol=2)


def test_outlines_and_differences_lie_over_the_image(page):
    page.open("case <03>")
    only_grey(page)
    bare = page.main_pixels()
    coloured = {}
    for key in ("mask", "prediction", "difference", "fill"):
        page.run("document.querySelector(`[data-toggle=${arguments[0]}]`).click()", key)
        page.still()
        pixels = page.main_pixels().astype(int)
        coloured[key] = (np.ptp(pixels[..., :3], axis=-1) > 30).sum()
        if key != "fill":
            page.run("document.querySelector(`[data-toggle=${arguments[0]}]`).click()", key)
    assert (np.ptp(bare[..., :3].astype(int), axis=-1) <= 1).all()
    assert min(coloured["mask"], coloured["prediction"], coloured["difference"]) > 100
    # Space, held, hides it all.
    page.run("document.querySelector('[data-toggle=mask]').click()")
    page.still()

    page.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: ' ', bubbles: true}))")
    page.still()
    np.testing.assert_array_equal(page.main_pixels(), bare)
    page.run("document.body.dispatchEvent(new KeyboardEvent('keyup', {key: ' ', bubbles: true}))")
    page.still()
    assert (page.main_pixels() != bare).any()


def test_where_the_doubt_is_lies_over_the_image_of_a_suspect(page, reviewed):
    """Each voxel has the colour of its doubt over its grey value; a case that is no suspect has no map."""
    case, fine = suspects(reviewed.cases)[0], reviewed.cases.sort_values("doubt")["case"].iloc[0]
    page.open(case)
    only_grey(page)
    bare = page.main_pixels().astype(float)
    page.press("h")
    page.still()
    assert page.run("return document.querySelector('[data-toggle=doubt]').checked")
    page.run(
        "const slider = document.querySelector('#toggles .opacity'); slider.value = 1;"
        "slider.dispatchEvent(new Event('input'))"
    )
    page.still()
    voxel, pixels = page.voxel(), page.main_pixels().astype(float)
    geometry = dataset_of(reviewed)[case].read_geometry()
    plane = next(one for one in planes_through(voxel, geometry) if one.axis == page.axis())
    doubt = plane.cut(kept_map(reviewed, case).doubt())
    height, width = doubt.shape[0] * plane.spacing_mm[0], doubt.shape[1] * plane.spacing_mm[1]
    scale = min(pixels.shape[1] / width, pixels.shape[0] / height)
    left, top = (pixels.shape[1] - width * scale) / 2, (pixels.shape[0] - height * scale) / 2
    rows = (top + (np.arange(doubt.shape[0]) + 0.5) * plane.spacing_mm[0] * scale).astype(int)
    columns = (left + (np.arange(doubt.shape[1]) + 0.5) * plane.spacing_mm[1] * scale).astype(int)
    at = np.ix_(rows, columns)
    over = translucent(doubt, 1).astype(float)
    part = over[..., 3:] / 255
    expected = part * over[..., :3] + (1 - part) * bare[at][..., :3]
    assert (doubt > 0.3).any()
    np.testing.assert_allclose(pixels[at][..., :3], expected, atol=4)
    page.open(fine)
    assert page.run("return document.querySelector('[data-toggle=doubt]')") is None


def test_the_wheel_the_pointer_and_the_keys_move_through_the_volume(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.open("case <05>")
    canvas = page.find(".plane.main canvas")
    axis = page.axis()
    before = page.voxel()
    page.press(Keys.ARROW_DOWN)
    page.still()
    assert page.voxel()[axis] == before[axis] + 1
    page.press(Keys.ARROW_UP)
    page.run(
        "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -100, bubbles: true, cancelable: true}))",
        canvas,
    )
    page.still()
    assert page.voxel()[axis] == before[axis] - 1
    ActionChains(page.browser).move_to_element_with_offset(canvas, 20, 15).click().perform()
    page.still()
    moved = page.voxel()
    assert moved[axis] == before[axis] - 1
    assert moved != [*before[:axis], before[axis] - 1, *before[axis + 1 :]]
    assert "value" in page.text("#probe")
    assert "voxel" in page.text("#probe")
    # The right button: window and level.
    low = page.find("#toggles .low").get_attribute("value")
    chain = ActionChains(page.browser).move_to_element(canvas)
    chain.w3c_actions.pointer_action.pointer_down(2)
    chain.move_by_offset(60, 30)
    chain.w3c_actions.pointer_action.pointer_up(2)
    chain.perform()
    page.still()
    assert page.find("#toggles .low").get_attribute("value") != low
    # A double click makes another plane the large one.
    other = page.find(".plane:not(.main)")
    ActionChains(page.browser).double_click(other.find_element("css selector", "canvas")).perform()
    page.until("arguments[0].classList.contains('main')", other)


def test_a_reason_leads_to_its_place(page):
    case = page.case()
    places = page.server.json(f"/api/case/{file_name(case)}/volume")["prediction"]["places"]
    assert page.voxel() == list(places[0]["voxel"])
    page.press("\ue015")  # down
    page.still()
    page.run("document.querySelector('#reasons button.sentence').click()")
    page.still()
    assert page.voxel() == list(places[0]["voxel"])


def test_decided_by_a_key_it_is_there_after_a_reload_and_gone_after_an_undo(page):
    first = page.case()
    page.press("2")
    page.until("document.getElementById('case-id').textContent !== arguments[0]", first)
    second = page.case()
    page.whole(second)
    page.saved()
    assert page.held(first) == {"": "drop"}
    page.open()
    # It goes on where one stopped: the first case that is not decided.
    assert page.case() == second
    assert "1 of 24 decided" in page.text("#count")
    assert page.run("return document.querySelectorAll('#sheet .badge.verdict-drop').length") == 1
    page.press("k")
    page.whole(first)
    pressed = "[...document.querySelectorAll('#verdicts button[aria-pressed=true]')].map((e) => e.dataset.verdict)"
    page.until(f"JSON.stringify({pressed}) === '[\"drop\"]'")
    page.press("1")  # decided otherwise, and taken back: what held before holds again
    page.whole(second)
    page.saved()
    assert page.held(first) == {"": "keep"}
    page.press("u")
    page.whole(first)
    page.saved()
    assert page.held(first) == {"": "drop"}
    page.until(f"JSON.stringify({pressed}) === '[\"drop\"]'")
    page.press("u")
    page.saved()
    assert page.held(first) == {}
    page.until("document.getElementById('count').textContent.startsWith('0 of 24')")


def test_reasons_a_note_and_a_verdict_on_one_class(page):
    case = "case <11>"
    page.open(case)
    note = "<b>bold</b> \"quoted\" </script><img src=x onerror=document.title='taken'>"
    page.press("f")
    page.press("\ue007")  # Enter on the first chip
    page.press("n")
    page.find("#note").send_keys(note)
    # Keys in a text field are text.
    assert page.find("#note").get_attribute("value") == note
    assert page.case() == case
    page.run("document.getElementById('note').blur()")
    page.run(
        "const select = document.querySelector('#class-verdicts select'); select.value = 're-annotate';"
        "select.dispatchEvent(new Event('change'))"
    )
    page.saved()
    assert page.case() == case
    assert page.held(case) == {"left": "re-annotate"}
    page.open(case)
    page.until("document.getElementById('note').value === arguments[0]", note)
    assert page.run("return document.querySelectorAll('#tags [aria-pressed=true]').length") == 1
    history = page.text("#history")
    assert "<b>bold</b>" in history
    assert page.browser.title == f"{case} · review"


def test_what_cannot_be_saved_is_said_kept_and_sent_again(page):
    case = "case <12>"
    page.open(case)
    page.run(
        "window.reallyFetch = window.fetch;"
        "window.fetch = (path, how) => (how && how.method === 'POST'"
        " ? Promise.resolve(new Response(JSON.stringify({error: 'database or disk is full'}), {status: 507}))"
        " : window.reallyFetch(path, how))"
    )
    page.press("4")
    page.until(
        "document.getElementById('unsaved').textContent.includes('Not saved: database or disk is full')"
    )
    assert "kept in this browser" in page.text("#unsaved")
    assert page.held(case) == {}
    kept = page.run(
        "return Object.keys(localStorage).filter((name) => name.startsWith('aleaseg unsent')).length"
    )
    assert kept >= 1
    # The page is left and comes again: what was not saved goes now.
    page.run("window.addEventListener('beforeunload', (e) => e.stopImmediatePropagation(), true)")
    page.browser.execute_cdp_cmd("Page.reload", {})
    with contextlib.suppress(Exception):  # this browser may not ask whether to leave
        page.browser.switch_to.alert.accept()
    page.until("document.body && document.body.dataset.ready && !window.reallyFetch")
    page.saved()
    assert page.held(case) == {"": "re-scan"}
    assert page.run("return document.getElementById('unsaved').hidden")


def test_two_raters_and_the_blind(page):
    case = "case <13>"
    page.open(case)
    page.press("1")
    page.saved()
    page.run(
        "const name = document.getElementById('rater'); name.value = '<i>bob</i>';"
        "name.dispatchEvent(new Event('change'))"
    )
    page.open(case)
    assert page.find("#rater").get_attribute("value") == "<i>bob</i>"
    page.until("document.getElementById('history').textContent.includes('ann')")
    page.press("b")
    page.until("document.body.classList.contains('is-blind')")
    page.until("!document.getElementById('history').textContent.includes('ann')")
    assert page.run("return document.getElementById('doubts').children.length") == 0
    assert "hidden" in page.text("#reasons")
    # It begins in the middle: a place would tell the reason.
    page.whole(case)
    shape = page.server.json(f"/api/case/{file_name(case)}/volume")["image"]["shape"]
    assert page.voxel() == [size // 2 for size in shape]
    page.press("r")
    page.still()
    assert page.voxel() == [size // 2 for size in shape]
    page.press("2")
    page.saved()
    assert page.held(case, "<i>bob</i>") == {"": "drop"}
    page.press("b")
    page.run("document.getElementById('together-button').click()")
    page.until("document.getElementById('agreement').textContent.includes('Cohen')")
    assert case in page.text("#agreement")
    assert "<i>bob</i>" in page.text("#agreement")
    page.press("\ue00c")
    page.run(
        "const show = document.getElementById('show'); show.value = 'disputed'; show.dispatchEvent(new Event('change'))"
    )
    page.until("document.querySelectorAll('#sheet .tile').length === 1")


def told(sample):
    """What the page says of a sample."""
    if not sample["size"]:
        return "Decide about the first cases of this order: they say how many of all are bad."
    of = [
        f"{low}" if low == high else f"{low} to {high}"
        for low, high in ((sample["low"], sample["high"]), (sample["left_low"], sample["left_high"]))
    ]
    return (
        f"Of the first {sample['size']}, all decided, {sample['bad']} bad: {of[0]} of all {sample['cases']} (95%), "
        f"{of[1]} of them not found yet."
    )


def test_the_order_that_a_lot_drew_says_how_many_are_bad(page):
    page.run(
        "const sort = document.getElementById('sort'); sort.value = 'random_sample';"
        "sort.dispatchEvent(new Event('change'))"
    )
    page.until("!document.getElementById('sample').hidden")
    found = page.server.json("/api/looking")
    assert page.text("#sample") == told(found["sample"])
    order = sorted(found["drawn"], key=found["drawn"].get)
    page.run("location.hash = arguments[0]", order[0])
    page.until("document.body.dataset.whole === arguments[0]", order[0])
    first = page.case()
    page.press("2")
    page.saved()
    page.until("document.body.dataset.whole === arguments[0]", order[1])
    assert page.held(first)[""] == "drop"
    found = page.server.json("/api/looking")
    assert found["sample"]["size"] >= 1
    assert found["sample"]["bad"] >= 1
    assert found["sample"]["cases"] == 24
    page.until("document.getElementById('sample').textContent === arguments[0]", told(found["sample"]))
    assert page.text("#sample") == told(found["sample"])
    # The list goes on in the order that was drawn.
    page.press("j")
    page.until("document.body.dataset.whole === arguments[0]", order[2])


def test_files_out_and_in(page, tmp_path):
    page.open("case <14>")
    page.run("document.getElementById('together-button').click()")
    path = tmp_path / "theirs.csv"
    path.write_text("case,rater,verdict\ncase <14>,eve,keep\n", "utf-8")
    page.find("#file").send_keys(str(path))
    page.until("document.getElementById('read').textContent === '1 read in.'")
    assert page.held("case <14>", "eve") == {"": "keep"}
    path.write_text("case,rater,verdict\nnone,eve,keep\n", "utf-8")
    page.find("#file").send_keys(str(path))
    page.until("document.getElementById('read').textContent.includes('Nothing was read in')")
    status, _, body = page.server.get("/api/export.json")
    assert status == 200
    assert any(one["rater"] == "eve" for one in json.loads(body)["events"])
    page.browser.get_log("browser")  # the refusal is told in the console too


@pytest.mark.parametrize("width", [1400, 1100, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen(page, width, scheme):
    page.size(width, scheme)
    page.open("case <03>")
    assert page.run("return document.documentElement.scrollWidth") <= width
    shown = page.run(
        "return [...document.querySelectorAll('#verdicts button')].every((button) => {"
        "  const box = button.getBoundingClientRect();"
        "  const within = box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight;"
        "  return within && box.height >= 24;"
        "})"
    )
    assert shown
    assert page.run("return document.querySelector('.plane.main canvas').clientHeight") > 150
    if width <= 1100:
        page.run("document.getElementById('drawer').click()")
        page.until("document.querySelector('.queue').getBoundingClientRect().left >= 0")


def test_no_request_leaves_the_machine(page):
    page.open("case <03>")
    asked = page.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert len(asked) > 10
    assert all(one.startswith(f"http://{page.server.host}/") for one in asked)
    assert page.server.token not in page.run("return location.href + document.referrer + document.cookie")
