"""`make docs`: a site in which every page has its place, every link leads somewhere, and nothing is fetched."""

import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

import aleaseg

pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'aleaseg[docs]'")
pytest.importorskip("material", reason="mkdocs-material is not installed: pip install 'aleaseg[docs]'")

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def build(folder, *, root=ROOT):
    """The site in `folder`, as `make docs` makes it."""
    words = [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder]
    # The theme tells of its own end, which is no fault of the site's.
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(words, cwd=root, env=env, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def hook():
    """docs/site.py."""
    spec = importlib.util.spec_from_file_location("docs_site", DOCS / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nav():
    """The pages of the nav, as mkdocs.yml has them."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    return re.findall(r"(\S+\.md)$", text, re.M)


def test_every_page_has_one_place_in_the_nav(hook):
    pages = [hook.in_site(path.relative_to(ROOT).as_posix()) for path in DOCS.rglob("*.md")]
    pages += map(hook.in_site, hook.outside())
    assert sorted(nav()) == sorted(pages)


def test_every_page_is_built(site, hook):
    for page in nav():
        assert (site / page).with_suffix(".html").is_file(), page
    howto = (site / "howto.html").read_text("utf-8")
    assert "no-run" not in howto  # what stands after a block's language is for the tests alone
    assert "```" not in howto
    # A source that a page links to is a page too.
    assert "def semantic_perception_scale" in re.sub(
        r"<[^>]*>", "", (site / "src/aleaseg/spectral/scale.py.html").read_text("utf-8")
    )


def test_the_reference_names_the_fields_that_a_function_of_settings_is_called_with(site):
    page = (site / "reference" / "python.html").read_text("utf-8")
    audit = page[page.index('id="aleaseg.audit"') : page.index('id="aleaseg.open_dataset"')]
    words = re.sub(r"<[^>]*>", " ", audit)
    assert "AuditOfFolder" not in words
    assert "Args:" not in words  # a table, not text
    for name in inspect.signature(aleaseg.audit).parameters:
        assert len(re.findall(rf"\b{name}\b", words)) >= 2, name  # in the signature and in the table


FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Outside(HTMLParser):
    """What a page would fetch from elsewhere by itself."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        address = given.get(FETCHED.get(tag, ""), "") or ""
        if re.match(r"([a-z]+:)?//", address) and given.get("rel") != "canonical":
            self.found.append(address)


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        parser = Outside()
        parser.feed(page.read_text("utf-8"))
        assert not parser.found, page
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", style.read_text("utf-8")), style


def test_a_link_that_leads_nowhere_and_a_page_without_a_place_are_errors(tmp_path):
    """That a site without any of them is built, `site` says."""
    (tmp_path / "docs").mkdir()
    shutil.copy(DOCS / "site.py", tmp_path / "docs")
    text = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[0]
    (tmp_path / "mkdocs.yml").write_text(f"{text}\nnav:\n  - index.md\n  - more.md\n")
    (tmp_path / "docs/index.md").write_text("# A\n\n[there](more.md#there)\n\n[sound](more.md#here)\n")
    (tmp_path / "docs/more.md").write_text("# B\n\n## Here\n\n[nowhere](nowhere.md)\n")
    (tmp_path / "docs/third.md").write_text("# C\n")
    done = build(tmp_path / "site", root=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    for fault in ("'#there'", "'nowhere.md'", "third.md"):
        assert fault in said
    assert "Aborted with 3 warnings" in said, said


def test_links_are_bent_as_the_site_lies(hook):
    text = "[a](../benchmarks/duo.md#b) [s](../src/aleaseg/order.py) [c](audit.md)\n"
    assert hook.bent("docs/duo.md", text) == (
        "[a](benchmarks/duo.md#b) [s](src/aleaseg/order.py.md) [c](audit.md)\n"
    )
    assert hook.bent("README.md", "![p](docs/images/page_light.webp)") == "![p](images/page_light.webp)"
    assert hook.bent("benchmarks/duo.md", "[x](../docs/measures/index.md)") == "[x](../measures/index.md)"
    fenced = "```\n[a](../benchmarks/duo.md)\n```"
    assert hook.bent("docs/duo.md", fenced) == fenced
    assert hook.bent("docs/duo.md", "[n](../nowhere.md)") == "[n](../nowhere.md)"


def test_search_works_from_disk_and_no_request_leaves(site, browser):
    browser.get((site / "index.html").as_uri())
    fetched = "return performance.getEntriesByType('resource').map((e) => e.name)"
    browser.execute_script(
        "const s = document.querySelector('input.md-search__input'); s.focus(); s.value = 'Mahalanobis';"
        "for (const kind of ['input', 'keyup']) s.dispatchEvent(new Event(kind, {bubbles: true}))"
    )
    until = time.monotonic() + 60
    found = []
    while not found and time.monotonic() < until:
        time.sleep(0.2)
        found = browser.execute_script(
            "return [...document.querySelectorAll('.md-search-result__item a')].map((e) => e.href)"
        )
    assert any("measures/mahalanobis.html" in link for link in found), found
    assert all(name.startswith(("file:", "data:", "blob:")) for name in browser.execute_script(fetched)), (
        json.dumps(browser.execute_script(fetched))
    )
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
