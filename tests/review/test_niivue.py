"""The case within its image, by NiiVue where that is installed; without it, and without WebGL, by our own surfaces."""

import base64
import importlib.util
import io

import nibabel
import numpy as np
import pytest
from PIL import Image

from aleaseg.readers import open_dataset
from aleaseg.review.niivue import niivue_script
from aleaseg.run import file_name

CASE = "case <03>"

# In the place of the real one: it keeps what it is told.
WIDGET = """
export default {
  initialize({ model }) {
    model.on("msg:custom", async ({ type, data }, [buffer]) => {
      if (type !== "load_document_from_url" || !data[0].startsWith("local>")) throw new Error(type);
      window.told = JSON.parse(new TextDecoder().decode(buffer));
      if (!window.refuse) model.send({ event: "document_loaded" });
    });
  },
  render({ model, el }) {
    const canvas = document.createElement("canvas");
    canvas.height = model.get("height");
    el.append(canvas);
  },
};
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    (folder / "ipyniivue" / "static").mkdir(parents=True)
    (folder / "ipyniivue" / "__init__.py").write_text("raise RuntimeError('it is not to be imported')\n")
    (folder / "ipyniivue" / "static" / "widget.js").write_text(WIDGET)
    return folder


@pytest.fixture
def page_with(browser_with_webgl, reviewed, start_server, asking, Page):
    """page_with(packages): a page whose server knows these packages."""

    def make(folder=None):
        _, address = start_server(reviewed, packages=folder)
        page = Page(browser_with_webgl, asking(address))
        page.browser.get_log("browser")
        page.open(CASE)
        return page

    yield make
    browser_with_webgl.get("about:blank")


def volume(content):
    """An image of a document, as nibabel reads it: axes and affine as ours."""
    image = nibabel.Nifti1Image.from_bytes(base64.b64decode(content))
    order = [2, 1, 0, 3]
    return np.asarray(image.dataobj).T, image.affine[:, order], image


def test_the_case_goes_there_as_its_files_have_it(page_with, packages, reviewed):
    page = page_with(packages)
    case = open_dataset(reviewed.manifest["settings"]["dataset"])[CASE]
    page.press("t")
    page.until("document.getElementById('solid').dataset.within")
    told = page.run("return window.told")
    image, affine, stored = volume(told["encodedImageBlobs"][0])
    np.testing.assert_array_equal(image, case.read_image().array[0])
    np.testing.assert_allclose(affine, case.read_image().geometry.affine)
    np.testing.assert_allclose(stored.header.get_zooms()[::-1], case.read_image().geometry.spacing_mm)
    mask, affine, _ = volume(told["encodedImageBlobs"][1])
    label = case.read_label().array
    np.testing.assert_array_equal(mask, label)
    np.testing.assert_allclose(affine, case.read_image().geometry.affine)
    low, high = (told["imageOptionsArray"][0][end] for end in ("cal_min", "cal_max"))
    assert image.min() <= low < high <= image.max()
    # Clear where nothing is marked, and the colour of its class elsewhere.
    lut = np.array(told["imageOptionsArray"][1]["colormapLabel"]["lut"]).reshape(-1, 4)
    assert lut[0].tolist() == [0, 0, 0, 0]
    assert (lut[1:, 3] == 255).all()
    assert len(lut) == label.max() + 1
    hues = page.server.json("/api/queue")["classes"]
    for one, values in zip(hues, page.server.json("/api/run")["classes"], strict=True):
        for value in values["values"]:
            assert lut[value, :3].tolist() == list(bytes.fromhex(one["mask"][1:]))
    # The prediction in its place, and then nothing.
    for marked, clear in (("prediction", False), ("", True)):
        page.run(
            "const select = document.querySelector('#solid-controls select'); select.value = arguments[0];"
            "select.dispatchEvent(new Event('change'))",
            marked,
        )
        page.until("document.getElementById('solid').dataset.within.endsWith(' ' + arguments[0])", marked)
        told = page.run("return window.told")
        lut = np.array(told["imageOptionsArray"][1]["colormapLabel"]["lut"])
        assert (lut == 0).all() == clear
        if not clear:
            np.testing.assert_array_equal(
                volume(told["encodedImageBlobs"][1])[0], np.roll(label, 1, axis=2)
            )
    # And our own surfaces, where they are wanted.
    page.run("document.querySelectorAll('#solid-ways input')[1].click()")
    page.until("document.querySelectorAll('.solid canvas').length === 2")
    assert [entry for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_what_niivue_does_not_take_our_own_view_shows(page_with, packages):
    page = page_with(packages)
    page.run("window.refuse = true")
    page.press("t")
    page.until("document.querySelectorAll('.solid canvas').length === 2")
    assert "did not take" in page.text("#solid-ways")


def test_without_webgl_our_own_view_shows(page_with, packages):
    page = page_with(packages)
    page.run(
        "const real = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        "  return kind === 'webgl2' ? null : real.call(this, kind, ...more); }"
    )
    page.press("t")
    page.until("document.querySelectorAll('.solid canvas').length === 2")
    assert page.run("return document.getElementById('solid-ways').childElementCount") == 0


def test_without_the_package_there_is_nothing_to_load(server, monkeypatch):
    if importlib.util.find_spec("ipyniivue") is None:
        assert server.json("/api/run")["niivue"] is False
        assert server.get("/niivue.js")[0] == 404
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert niivue_script() is None


def test_niivue_itself_draws_the_mask_in_its_colour(page_with):
    if importlib.util.find_spec("ipyniivue") is None:
        pytest.skip("ipyniivue is not installed")
    page = page_with()
    page.press("t")
    page.until(
        "document.getElementById('solid').dataset.within"
        " || document.getElementById('solid-ways').textContent.includes('cannot')"
    )
    assert "cannot" not in page.text("#solid-ways")
    hue = np.array(list(bytes.fromhex(page.server.json("/api/queue")["classes"][0]["mask"][1:])))

    def coloured():
        """How many pixels are of the hue of the class, whatever the light."""
        picture = Image.open(io.BytesIO(page.find(".niivue canvas").screenshot_as_png)).convert("RGB")
        pixels = np.asarray(picture).reshape(-1, 3).astype(float)
        pixels = pixels[np.ptp(pixels, axis=1) > 30]
        along = pixels @ hue / np.linalg.norm(hue) / np.linalg.norm(pixels, axis=1)
        return int((along > 0.95).sum())

    with_mask = coloured()
    page.run(
        "const select = document.querySelector('#solid-controls select'); select.value = '';"
        "select.dispatchEvent(new Event('change'))"
    )
    page.until("document.getElementById('solid').dataset.within === arguments[0]", f"{file_name(CASE)} ")
    assert with_mask > 200
    assert coloured() < with_mask / 10
    entries = page.browser.get_log("browser")
    assert [entry for entry in entries if entry["level"] == "SEVERE"] == []
    asked = page.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert all(one.startswith((f"http://{page.server.host}/", "data:", "blob:")) for one in asked)
