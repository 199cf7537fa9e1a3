"""Deciding in a real browser: keys, reload, undo, what cannot be saved, several raters, blind, files."""

import contextlib
import json

import numpy as np

from aleaseg.run import file_name


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


def test_a_blind_review_shows_the_cases_shuffled(browser, Page, start_server, reviewed, asking):
    _, address = start_server(reviewed, "--blind", "--rater", "cleo")
    here = Page(browser, asking(address))
    here.open()
    shown = "return [...document.querySelectorAll('#sheet .tile .id')].map((one) => one.title)"
    here.until("document.querySelectorAll('#sheet .tile .id').length > 3")
    names = here.run(shown)
    assert names == here.server.json("/api/queue")["case"][: len(names)]
    assert names != sorted(names)
    assert here.run("return document.getElementById('sort').selectedOptions[0].textContent") == "shuffled"
    # Names alone: a picture of a volume is the slice of the first reason.
    assert here.run("return document.querySelectorAll('#sheet img').length") == 0
    tops = "return [...document.querySelectorAll('#sheet .tile')].map((one) => one.getBoundingClientRect().top)"
    assert sorted(set(here.run(tops))) == here.run(tops), "one below the other"
    here.run("localStorage.clear()")


def kappa(pairs):
    """Cohen's, of [(one says, the other says)]."""
    agree = np.mean([a == b for a, b in pairs])
    said = [[one[k] for one in pairs] for k in (0, 1)]
    chance = (
        sum(said[0].count(each) * said[1].count(each) for each in {*said[0], *said[1]}) / len(pairs) ** 2
    )
    return (agree - chance) / (1 - chance)


def test_two_raters_at_once_each_in_a_browser_of_their_own(page, Page, another_browser, server):
    """Both decide about the same cases at the same time, one of them blind; each sees the other's when they may."""
    other = Page(another_browser, server)
    cases = [f"case <{number:02d}>" for number in range(15, 21)]
    said = {"uma": "221221", "vic": "212211"}
    for here, name in ((page, "uma"), (other, "vic")):
        here.open()
        here.run(
            "const box = document.getElementById('rater'); box.value = arguments[0];"
            "box.dispatchEvent(new Event('change'));"
            "const onward = document.getElementById('onward'); if (onward.checked) onward.click()",
            name,
        )
    other.press("b")
    other.until("document.body.classList.contains('is-blind')")
    for number, case in enumerate(cases):
        for here in (page, other):
            here.run("location.hash = arguments[0]", file_name(case))
        for here in (page, other):
            here.until("document.getElementById('case-id').textContent === arguments[0]", case)
        page.press(said["uma"][number])
        other.press(said["vic"][number])
    page.saved()
    other.saved()
    words = {"1": "keep", "2": "drop"}
    for rater, keys in said.items():
        assert [page.held(case, rater)[""] for case in cases] == [words[key] for key in keys]
    # Who is blind sees nothing of it; who is not sees it come without doing anything.
    assert "uma" not in other.text("#history")
    assert "uma" not in other.run(
        "return [...document.querySelectorAll('.badge')].map((one) => one.title).join()"
    )
    page.until("[...document.querySelectorAll('.badge')].some((one) => one.title.includes('vic: '))")
    other.press("b")
    other.until("document.getElementById('history').textContent.includes('uma')")
    expected = kappa(list(zip(said["uma"], said["vic"], strict=True)))
    for here in (page, other):
        here.run("document.getElementById('together-button').click()")
        here.until("document.getElementById('agreement').textContent.includes('uma, vic')")
        row = here.run(
            "return [...document.querySelectorAll('#agreement tr')].map((one) => one.textContent)"
            ".find((one) => one.startsWith('uma, vic'))"
        )
        assert f"{expected:.2f} (95%".replace("-", "\u2212") in row
        assert "6 cases decided by both" in row
        here.run("document.getElementById('together').close()")


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
    page.until("document.getElementById('read').textContent.includes('Nothing was imported')")
    status, _, body = page.server.get("/api/export.json")
    assert status == 200
    assert any(one["rater"] == "eve" for one in json.loads(body)["events"])
    page.browser.get_log("browser")  # the refusal is told in the console too
