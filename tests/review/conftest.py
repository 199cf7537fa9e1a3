"""A run of small cases with predictions on disk, a server of it as a user starts one, and who asks it."""

import base64
import http.client
import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

import aleaseg
from aleaseg.case import Geometry
from aleaseg.readers.voxels import read_image, read_label, write_nifti
from aleaseg.run import file_name

WAIT = 60  # seconds


@pytest.fixture(scope="session")
def reviewed(tmp_path_factory, write_small):
    """24 small cases, three of them spoilt; the prediction of each is its mask one voxel further."""
    folder = tmp_path_factory.mktemp("reviewed")
    data = folder / "data"
    write_small(data, ids=[f"case <{number:02d}>" for number in range(24)])
    # A world in which every axis hangs turned: w from left to right, h to the front, d to the head.
    affine = np.diag([2.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
    for path in sorted((data / "labelsTr").iterdir()):
        label = read_label(path, path.name).array.astype(np.uint8)
        geometry = Geometry(label.shape, (2.0, 1.0, 1.0), affine)
        scan = data / "imagesTr" / path.name.replace(".nii.gz", "_0000.nii.gz")
        write_nifti(scan, read_image([scan], path.name).array[0], geometry)
        write_nifti(path, label, geometry)
        write_nifti(folder / "predictions" / path.name, np.roll(label, 1, axis=2), geometry)
    with pytest.MonkeyPatch.context() as alone:
        # In this process: workers would import everything again.
        alone.setattr(os, "cpu_count", lambda: 1)
        alone.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
        asked = {"extractor": "variance", "predictions": str(folder / "predictions")}
        return aleaseg.audit(data, folder / "run", **asked)


@pytest.fixture
def fresh(reviewed):
    """The run without what was decided or decoded."""
    shutil.rmtree(reviewed.path / "review", ignore_errors=True)
    return reviewed


class Asking:
    """Who asks a server, with the cookie that its address gave."""

    def __init__(self, address):
        parts = urlsplit(address)
        self.address, self.host, self.port = address, f"127.0.0.1:{parts.port}", parts.port
        self.token = parse_qs(parts.query)["token"][0]
        _, headers, _ = self.raw("GET", f"/?token={self.token}", {"Host": self.host})
        self.cookie = headers["set-cookie"].partition(";")[0]
        self.cookie_rules = headers["set-cookie"]

    def raw(self, method, path, headers, body=None):
        """(status, headers, body) of a request that has these headers and no others."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None and "Content-Length" not in headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            if body is not None:
                connection.send(body)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path, **more):
        return self.raw("GET", path, {"Host": self.host, "Cookie": self.cookie, **more})

    def json(self, path):
        status, _, body = self.get(path)
        assert status == 200, (status, body)
        return json.loads(body)

    def post(self, path, value, **more):
        own = {"Host": self.host, "Cookie": self.cookie, "Origin": f"http://{self.host}"}
        own |= {"Content-Type": "application/json"}
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.raw("POST", path, {**own, **more}, body)


def start_server(run, *words, browser=None, packages=None):
    """Without a browser, or with a program in its place; with a folder of more packages."""
    script = Path(sys.executable).with_name("aleaseg")
    quiet, env = (["--no-browser"], {}) if browser is None else ([], {"BROWSER": f"{browser} %s"})
    if packages is not None:
        paths = str(packages), os.environ.get("PYTHONPATH", "")
        env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    process = subprocess.Popen(
        [script, "review", str(run.path), *quiet, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )
    line = process.stdout.readline().strip()
    if not line.startswith("http://127.0.0.1:"):
        process.kill()
        pytest.fail(f"no address: {line} {process.communicate()[1]}")
    return process, line


def stop_server(process):
    """End it, however it fares; one that has ended already may be ended again."""
    process.terminate()
    try:
        process.wait(60)  # a machine may be busy
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(name="start_server")
def _start_server():
    """start_server(run, *words) -> process, address. It ends with the test, whatever becomes of that."""
    started = []

    def start(*words, **more):
        process, address = start_server(*words, **more)
        started.append(process)
        return process, address

    yield start
    for process in started:
        stop_server(process)


@pytest.fixture(scope="session", name="asking")
def _asking():
    """asking(address): a person with the address."""
    return Asking


@pytest.fixture(scope="module")
def server(reviewed):
    """A server of the run, of which nothing is decided yet, and somebody who has its address."""
    shutil.rmtree(reviewed.path / "review", ignore_errors=True)
    process, address = start_server(reviewed, "--rater", "ann")
    try:
        yield Asking(address)
    finally:
        stop_server(process)


@pytest.fixture(scope="session")
def event():
    """event("case", ...): what a page sends; of kind verdict unless another one is given."""

    def make(case, **more):
        kind = more.get("kind", "verdict")
        verdict = {"verdict": "drop"} if kind == "verdict" else {}
        made = {"uuid": str(uuid.uuid4()), "at": "2026-01-01T00:00:00.000Z", "rater": "ann"}
        return {**made, "case": file_name(case), "kind": kind, **verdict, **more}

    return make


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


@pytest.fixture(name="Page", scope="session")
def _page():
    """Page(browser, server): the page of a review, as its reader has it."""
    return Page
