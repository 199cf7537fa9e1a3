"""A small run with made-up numbers, ids that try to break pages, and small images."""

import dataclasses
import functools
import sys
from pathlib import Path

import numpy as np
import pytest

from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.errors import Unreadable
from aleaseg.report import write_report
from aleaseg.run import Record, Run, file_name, write_json, write_table
from aleaseg.scoring.columns import describe_columns

SHAPE = (9, 12, 10)
CLASSES = {"head": (1,), "tail & <b>": (2,)}
NASTY = [
    "<script>document.title='taken'</script>",
    "\"quoted\" & 'single'",
    "=1+1",
    "../../up",
    "ünïcödé \u2028 名前",
    "</script><img src=x onerror=alert(1)>",
    "$x^2$ <b>bold</b>",
    "sp ace",
]


def geometry(spacing=(2.0, 1.0, 1.0)):
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing, 1
    return Geometry(SHAPE, spacing, affine)


def image(seed):
    rng = np.random.default_rng(seed)
    return Voxels(rng.normal(100, 20, (1, *SHAPE)).astype(np.float32), geometry())


def label(seed):
    array = np.zeros(SHAPE, dtype=np.int16)
    array[2:6, 3 : 7 + seed % 3, 2:5] = 1
    array[2:6, 3:7, 5:8] = 2
    return Voxels(array, geometry())


def broken(case_id):
    raise Unreadable(case_id, "a file of 0 bytes", "a NIfTI image", "copy it again")


class Prediction:
    def __init__(self, array):
        self.array = array

    def labels(self):
        return self.array


class Predictions:
    """The label one voxel further along the last axis; none for the last case."""

    def __init__(self, without=()):
        self.without = set(without)

    def read(self, case):
        if case.id in self.without:
            return []
        return [Prediction(np.roll(case.read_label().array, 1, axis=2))]


@dataclasses.dataclass
class Fake:
    run: Run
    dataset: Dataset
    predictions: Predictions
    ids: list


def dataset_of(ids, bad=()):
    cases = [
        Case(
            case_id,
            (),
            (),
            functools.partial(broken, case_id) if case_id in bad else functools.partial(image, seed),
            functools.partial(label, seed),
            geometry,
            group=case_id,
            site="site <a>",
        )
        for seed, case_id in enumerate(ids)
    ]
    return Dataset("Fake <i>set</i>", "/nowhere", "folder", tuple(cases), CLASSES, ("MR",))


def made_run(path, count=24, population=True, bad=()):
    ids = [*NASTY, *(f"case_{number:02d}" for number in range(count - len(NASTY)))]
    rng = np.random.default_rng(0)
    run, cases, scores = Run(path), [], []
    for number, case_id in enumerate(ids):
        doubt = {"image_doubt": rng.uniform(0, 0.4), "label_doubt": rng.uniform(0, 0.4)}
        if number in (0, 9):
            doubt["label_doubt"] = 0.9 - number / 100
        if number in (1, 9):
            doubt["image_doubt"] = 0.7
        row = {
            "case": case_id, "status": "failed" if number == count - 1 else "ok",
            "group": case_id, "site": "s",
            **({"doubt": max(doubt.values()), **doubt, "auv": number / (count - 1)} if population else {}),
            "perception_scale": 0.3 + number / 100, "oof_dice": 0.9 - number / 100, "softmin": 0.8,
            "reasons": "oof_dice=0.41; noise=6.2" if number in (0, 1, 9) else "",
            "depth": 9, "height": 12, "width": 10, "spacing_d_mm": 2, "spacing_h_mm": 1, "spacing_w_mm": 1,
            "fov_mm3": 2160, "volume_mm3": 1000 + number,
            "class_set": "head" if number % 2 else "head+tail & <b>",
            "img_noise": 5 + number / 10, "error": "one <line>" if number == count - 1 else "",
        }  # fmt: skip
        cases.append(row)
        spectra = {}
        for name in CLASSES:
            decay = 0.5 + number / 100
            spectra[name] = (decay ** np.arange(9) / (decay ** np.arange(9)).sum()).tolist()
            scores.append(
                {"case": case_id, "class": name, "present": True, "perception_scale": 0.3 + number / 100,
                 "auv": number / (count - 1) if population else None, "volume_mm3": 100, "oof_dice": 0.9,
                 "softmin": 0.8, "status": "ok"}
            )  # fmt: skip
        about = {"kind": "logit", "grid": [9, 12, 10], "prompt": "none", "source": "task"}
        record = Record(
            case_id, status=row["status"], error=row["error"] or None, group=case_id, site="s",
            image_files=(f"/images/{case_id}.nii.gz",), shape=SHAPE, spacing_mm=(2, 1, 1),
            class_maps=dict.fromkeys(CLASSES, about),
        )  # fmt: skip
        run.write_case(record, spectra)
    write_table(run.path / "cases.csv", list(cases[0]), cases)
    write_table(run.path / "scores.csv", list(scores[0]), scores)
    half = {"doubt": 3 / count, "image_doubt": 2 / count, "label_doubt": 2 / count}
    about = {
        "path": "/nowhere",
        "name": "Fake <i>set</i>",
        "classes": CLASSES,
        "channels": ["MR"],
        "cases": count,
    }
    write_json(
        run.manifest_file,
        {"aleaseg": "0.1.0", "created": "2026-01-01", "dataset": about, "settings": {"seed": 0},
         "versions": {"python": "3"}, "extractor": {"name": "task", "why": "no weights & no <b>"},
         "predictions": {"source": "crossfit"}, "crossfit": {"folds": 5},
         "notes": ["a note with <em>markup</em>"],
         "columns": describe_columns(cases[0]),
         "population": {"cases": count, "above_half": half} if population else None}
    )  # fmt: skip
    finding = {"expected": "a label", "found": "none", "advice": "add it"}
    write_json(
        run.path / "check.json",
        [{"case": "z", "severity": "note", "check": "size", **finding},
         {"case": NASTY[0], "severity": "error", "check": "missing_label", **finding}],
    )  # fmt: skip
    return Fake(run, dataset_of(ids, bad), Predictions(), ids)


def many_cases(path, count):
    """A run of many cases that are only rows."""
    run, rng = Run(path), np.random.default_rng(1)
    cases = []
    for number in range(count):
        image_doubt, label_doubt = rng.uniform(0, 1, 2)
        doubts = {
            "doubt": max(image_doubt, label_doubt),
            "image_doubt": image_doubt,
            "label_doubt": label_doubt,
        }
        cases.append({"case": f"c{number}", "status": "ok", **doubts, "depth": number})
    write_table(run.path / "cases.csv", list(cases[0]), cases)
    write_json(
        run.manifest_file,
        {"dataset": {"name": "many", "cases": count}, "columns": describe_columns(cases[0])},
    )
    return run


@pytest.fixture(scope="session")
def made():
    """What this file makes; test files cannot import it."""
    return sys.modules[__name__]


@pytest.fixture
def fake(tmp_path):
    return made_run(tmp_path / "run")


# -- a real browser ---------------------------------------------------------------------------------

WAIT = 30


def until(browser, script, *arguments):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, WAIT, 0.05).until(lambda here: here.execute_script(script, *arguments))


class Page:
    """The pages of a run in the browser."""

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

    def until(self, script, *arguments):
        return until(self.browser, f"return {script}", *arguments)

    def click(self, selector):
        """As a reader does, but where nothing that sticks to the window's edge lies above; not while it moves.

        After a reload the browser scrolls back, and plots above take their height as they are drawn.
        """
        self.browser.execute_async_script(
            "const [selector, done] = arguments; let last = null, still = 0;"
            "const step = () => {"
            "  const element = document.querySelector(selector);"
            "  element.scrollIntoView({block: 'center', behavior: 'instant'});"
            "  const {top} = element.getBoundingClientRect();"
            "  still = top === last ? still + 1 : 0; last = top;"
            "  if (still >= 5) done(); else requestAnimationFrame(step);"
            "}; step();",
            selector,
        )
        self.find(selector).click()

    def press(self, *keys):
        """Keys go to what has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def ready(self):
        self.until("document.body && document.body.dataset.ready")

    def back(self):
        self.browser.back()
        self.until("location.pathname.endsWith('index.html')")
        self.ready()

    def drawn(self, selector):
        self.show(selector)
        self.until("document.querySelector(arguments[0]).dataset.drawn", selector)

    def open_case(self, case_id, asked=""):
        self.browser.get(f"{self.path.with_name('case.html').as_uri()}#{file_name(case_id)}{asked}")
        self.until_case(case_id)

    def until_case(self, case_id):
        self.until("document.body && document.body.dataset.ready === arguments[0]", file_name(case_id))

    def emulate(self, width=None, scheme=None, media=None):
        """Another screen; without arguments the one there was."""
        features = [] if scheme is None else [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": media or "", "features": features}
        )
        if width is None:
            self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        else:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A made-up run and the path of its page."""
    fake = made_run(tmp_path_factory.mktemp("run"))
    page = write_report(fake.run, fake.dataset, predictions=fake.predictions, workers=1)
    return fake, page


@pytest.fixture
def page(browser, report):
    """The group page, ready; afterwards the console must hold no complaint."""
    fake, path = report
    browser.get_log("browser")
    browser.get("about:blank")  # a page that differs in its hash alone would not be loaded
    browser.get(path.as_uri())
    here = Page(browser, fake, path)
    here.ready()
    here.run("localStorage.clear()")
    yield here
    here.emulate()
    complaints = [
        entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]
    assert complaints == []
