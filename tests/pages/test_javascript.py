"""Whatever a case is called, it stays a text."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from aleaseg.pages.files import write_if_changed
from aleaseg.pages.javascript import as_script, escape, significant


@given(
    st.text(st.characters(), max_size=30)
    | st.sampled_from(["</script>", "<!--", "]]>", "\u2029", "\udc80"])
)
def test_texts_survive_and_hold_nothing_that_html_or_scripts_read(text):
    safe = escape({"id": text})
    assert json.loads(safe) == {"id": text}
    assert safe.isascii()
    assert not set("<>&") & set(safe)


def test_numbers_are_short_and_never_nan():
    assert json.loads(escape([1 / 3, float("nan"), float("inf"), 2.0, 1e-12, True, None])) == [
        0.33333, None, None, 2, 1e-12, True, None,
    ]  # fmt: skip
    assert significant(123456.789) == 123460
    assert significant(math.nan) is None


def test_a_script_starts_with_its_stamp():
    assert as_script("case", "ab", {"x": 1}, "stamp").splitlines() == [
        "// stamp", 'ALEASEG.receive("case","ab",{"x":1});'
    ]  # fmt: skip


def test_a_file_that_holds_the_same_is_left_alone(tmp_path):
    path = tmp_path / "deep" / "x.js"
    assert write_if_changed(path, "a")
    before = path.stat().st_mtime_ns
    assert not write_if_changed(path, "a")
    assert path.stat().st_mtime_ns == before
    assert write_if_changed(path, "b")
