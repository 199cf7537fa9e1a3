"""A verdict in a real browser, with many cases in the queue: how long until the next case is there.

    python benchmarks/review_verdicts.py [--cases 10000] [--steps 40] [--commit]

`aleaseg review` is started as a user does, and the page opened in Chromium without a window, through Selenium. A key
decides about one case after the other. Beside the time on the clock stands the time of the processor that the page's
main thread takes, which other work on the machine does not lengthen. It writes its part of `review.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from page import replace_between
from review import Server, made_run

_TABLE = Path(__file__).parent / "review.md"
_MARK = "verdicts"
_WARM = 5  # verdicts before the first that counts

# From the key until the next case and the queue, with the verdict in it, are drawn.
_STEP = """
const done = arguments[0];
const name = document.getElementById("case-id");
const before = name.textContent;
const began = performance.now();
document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "1", bubbles: true }));
const look = () => {
  if (name.textContent === before) setTimeout(look);
  // The next frame draws; what follows it comes after.
  else requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
};
look();
"""
_SAVED = "return document.body.dataset.unsent === '0'"


def verdicts(server: Server, steps: int) -> dict[str, list[float]]:
    """ms of each verdict in a browser; of the processor until the next case is drawn, and until it is saved too."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1400,1000",
    ):
        options.add_argument(argument)
    server.rest()
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.set_script_timeout(120)
        browser.get(server.address)
        wait = WebDriverWait(browser, 120, 0.05)
        wait.until(lambda page: page.execute_script("return document.body.dataset.ready"))
        browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        taken, drawn, whole = [], [], []
        for _ in range(steps + _WARM):
            before = _work(browser)
            taken.append(browser.execute_async_script(_STEP))
            drawn.append(_work(browser) - before)
            wait.until(lambda page: page.execute_script(_SAVED))
            whole.append(_work(browser) - before)
    finally:
        browser.quit()
    said = json.loads(server.ask("/api/holding?since=0")[2])["cases"]
    decided = sum(bool(one["verdicts"]) for one in said)
    assert decided == steps + _WARM, decided
    return {"ms": taken[_WARM:], "drawn_ms": drawn[_WARM:], "whole_ms": whole[_WARM:]}


def _work(browser: Any) -> float:
    """ms of the processor that the page's main thread has taken for its tasks."""
    found = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(1000 * one["value"] for one in found if one["name"] == "TaskDuration")


def verdict_rows(cases: int, found: dict[str, list[float]], load: float) -> str:
    rows = (
        ("from the key until the next case and the queue are drawn", found["ms"]),
        ("of the processor, until then", found["drawn_ms"]),
        ("of the processor, until it is saved and the queue knows it", found["whole_ms"]),
    )
    said = [f"| {what} | {np.median(ms):.0f} ms | {np.quantile(ms, 0.95):.0f} ms |\n" for what, ms in rows]
    return (
        f"`python benchmarks/review_verdicts.py`: {len(found['ms'])} verdicts by a key, one after the other, {cases:,} "
        f"cases in the queue, load {load:.1f} from others on {os.cpu_count()} cores.\n\n"
        "| what | median | 95% quantile |\n|---|---|---|\n" + "".join(said)
    )


def decided_in_a_browser(cases: int, steps: int, load: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(made_run(Path(folder), (16, 64, 64), cases))
        try:
            return verdict_rows(cases, verdicts(server, steps), load)
        finally:
            server.stop()


def main() -> None:
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--cases", type=int, default=10_000)
    asked.add_argument("--steps", type=int, default=40)
    asked.add_argument("--commit", action="store_true", help="write it into the page")
    given = asked.parse_args()
    load = os.getloadavg()[0]  # before anything of this is running
    text = decided_in_a_browser(given.cases, given.steps, load)
    print(text)
    if given.commit:
        replace_between(_TABLE, _MARK, text)


if __name__ == "__main__":
    main()
