"""The pictures of these pages: the audit's page and the review, on the demo's synthetic data.

    python docs/pictures.py [FOLDER]

It makes the data set of `aleaseg demo`, audits it against predictions that are the masks before they were spoilt,
smoothed, and takes pictures of what Chromium shows (through Selenium), light and dark. FOLDER keeps the run for another
time. Nothing is trained, so it takes a minute or two.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import median_filter

import aleaseg
from aleaseg.bench.phantom import SITES, make_dataset, phantom
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import write_nifti
from aleaseg.run import Run, file_name

IMAGES = Path(__file__).parent / "images"
CASES, SEED = 40, 0
MOST_BYTES = 150_000
READY = "document.body && document.body.dataset.ready"


def predicted(folder: Path) -> None:
    """The masks before anything was spoilt, as smooth as a network draws them."""
    for case in open_dataset(folder / "data").cases:
        index = int(case.id.rpartition("_")[2])
        _, label = phantom(np.random.default_rng([SEED, 1, index]), SITES[index % len(SITES)])
        smooth = median_filter(label, size=3)
        write_nifti(folder / "predictions" / f"{case.id}.nii.gz", smooth, case.read_geometry())


def audited(folder: Path) -> None:
    if not (folder / "data").exists():
        make_dataset(folder / "data", cases=CASES, seed=SEED)
        predicted(folder)
    aleaseg.audit(
        folder / "data", folder / "run", extractor="variance", predictions=str(folder / "predictions")
    )


@contextmanager
def chromium() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.set_script_timeout(120)
        yield browser
    finally:
        browser.quit()


def until(browser: Any, condition: str, *arguments: object) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 180, 0.1).until(
        lambda here: here.execute_script(f"return {condition}", *arguments)
    )
    time.sleep(1)  # what is on its way is drawn


def sized(browser: Any, width: int, height: int, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(1)


def taken(browser: Any, name: str) -> None:
    """What is on the screen, as a WebP as good as its size allows."""
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    for quality in (90, 80, 70, 60, 50):
        content = io.BytesIO()
        picture.save(content, "WEBP", quality=quality, method=6)
        if content.tell() < MOST_BYTES:
            break
    else:
        raise SystemExit(f"{name} takes {content.tell()} bytes; expected fewer than {MOST_BYTES}")
    (IMAGES / f"{name}.webp").write_bytes(content.getvalue())
    print(name, content.tell())


def press(browser: Any, key: str) -> None:
    browser.execute_script(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))", key
    )
    time.sleep(1)


# The page names the folder that it lies in, with its root.
_NAMELESS = """
const all = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (all.nextNode()) all.currentNode.data = all.currentNode.data.replaceAll(arguments[0], "demo");
"""


def page(browser: Any, run: Run, case: str) -> None:
    """The audit's page, and that of a case."""
    report = run.path / "report"
    browser.get((report / "index.html").as_uri())
    until(browser, READY)
    browser.execute_script(_NAMELESS, str(run.path.parent.resolve()))
    for scheme in ("light", "dark"):
        sized(browser, 1280, 860, scheme)
        taken(browser, f"page_{scheme}")
    browser.get(f"{(report / 'case.html').as_uri()}?id={case}")
    until(browser, READY)
    sized(browser, 1280, 860, "light")
    taken(browser, "case")


def review(browser: Any, run: Run, case: str) -> None:
    """The review: a case with its difference, the same in the dark and on a phone, and in three dimensions."""
    shutil.rmtree(run.path / "review", ignore_errors=True)
    script = Path(sys.executable).with_name("aleaseg")
    words = [script, "review", str(run.path), "--no-browser", "--rater", "ann"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        browser.get(server.stdout.readline().strip())
        until(browser, READY)
        sized(browser, 1280, 860, "light")
        browser.execute_script("location.hash = arguments[0]", file_name(case))
        until(browser, "document.body.dataset.whole === arguments[0]", file_name(case))
        press(browser, "d")
        taken(browser, "review_light")
        sized(browser, 1280, 860, "dark")
        taken(browser, "review_dark")
        sized(browser, 420, 860, "light")
        taken(browser, "review_phone")
        sized(browser, 1280, 860, "light")
        press(browser, "t")
        until(browser, "document.querySelectorAll('.solid canvas').length === 2")
        taken(browser, "review_3d")
    finally:
        server.terminate()
        server.wait(60)


def main() -> None:
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else empty)
        audited(folder)
        run = Run(folder.resolve() / "run")
        doubt = run.cases.set_index("case")["label_doubt"]
        with chromium() as browser:
            page(browser, run, doubt.idxmax())
            review(browser, run, doubt.idxmax())


if __name__ == "__main__":
    main()
