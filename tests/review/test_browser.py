"""Looking in a real browser: planes, outlines, wheel and keys, surfaces, every screen."""

import re

import numpy as np
import pytest

from aleaseg.pages.overlay import translucent
from aleaseg.pages.planes import planes_through
from aleaseg.readers import open_dataset
from aleaseg.run import file_name
from aleaseg.where.keeping import kept_map, suspects


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


def test_how_much_the_window_hides_is_said(page, reviewed):
    case = "case <05>"
    page.open(case)
    image = dataset_of(reviewed)[case].read_image().array[0]
    flat = np.take(image, page.voxel()[page.axis()], axis=page.axis())
    for ends in ((np.percentile(flat, 30), np.percentile(flat, 90)), (flat.min() - 1, flat.max() + 1)):
        for end, value in zip(("low", "high"), ends, strict=True):
            page.run(
                "const box = document.querySelector(`#toggles .${arguments[0]}`); box.value = arguments[1];"
                "box.dispatchEvent(new Event('change'))",
                end,
                f"{value:.9g}",
            )
        page.still()
        low, high = ends
        expected = [round(100 * np.mean(one)) for one in (flat <= low, flat >= high)]
        assert page.text("#toggles .clipped") == f"{expected[0]}% black, {expected[1]}% white"


def test_surfaces_turn_and_lead_to_the_place_that_is_pointed_at(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    case = "case <06>"
    page.open(case)
    before = page.voxel()
    page.press("t")
    page.until(
        "document.getElementById('solid').dataset.drawn && document.querySelectorAll('.solid canvas').length === 2"
    )

    def drawn():
        """Of both pictures, the pixels that are not of the background."""
        return page.run(
            "return [...document.querySelectorAll('.solid canvas')].map((one) => {"
            "  const {data} = one.getContext('2d').getImageData(0, 0, one.width, one.height);"
            "  let count = 0; let sum = 0;"
            "  for (let k = 0; k < data.length; k += 4) if (data[k + 3]) { count += 1; sum += (k % 9973) * data[k]; }"
            "  return [count, sum];"
            "})"
        )

    page.until("document.querySelector('.solid canvas').width > 200")
    first = drawn()
    assert all(count > 2000 for count, _ in first)
    page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    count = page.run("return document.getElementById('solid').dataset.drawn")
    page.run("document.querySelector('#solid-controls input').click()")
    page.until("document.getElementById('solid').dataset.drawn !== arguments[0]", count)
    assert drawn() != first
    # The middle of the picture is the middle of the mask: a click goes to its surface.
    canvas = page.find(".solid canvas")
    ActionChains(page.browser).move_to_element(canvas).click().perform()
    page.until("!document.getElementById('solid').open")
    page.still()
    assert page.voxel() != before
    shape = page.server.json(f"/api/case/{file_name(case)}/volume")["image"]["shape"]
    assert all(0 <= at < size for at, size in zip(page.voxel(), shape, strict=True))


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_who_cannot_see_or_point(page, barriers, scheme):
    case = "case <03>"
    page.size(1400, scheme)
    page.open(case)
    page.press("2")  # with a verdict, so that there is a history and a badge
    page.saved()
    page.open(case)
    assert barriers(page.browser) == []
    for button, dialog in (
        ("solid-button", "solid"),
        ("together-button", "together"),
        ("help-button", "help"),
    ):
        page.run("document.getElementById(arguments[0]).click()", button)
        page.until("document.getElementById(arguments[0]).open", dialog)
        assert barriers(page.browser) == [], dialog
        said = page.text(f"#{dialog}")
        assert not re.search(r"\b(null|undefined|NaN)\b", said), said
        page.run("document.getElementById(arguments[0]).close()", dialog)
    page.size(420, scheme)
    page.still()
    assert barriers(page.browser) == []
    page.run("document.getElementById('drawer').click()")
    assert barriers(page.browser) == []


def test_no_request_leaves_the_machine(page):
    page.open("case <03>")
    asked = page.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert len(asked) > 10
    assert all(one.startswith(f"http://{page.server.host}/") for one in asked)
    assert page.server.token not in page.run("return location.href + document.referrer + document.cookie")
