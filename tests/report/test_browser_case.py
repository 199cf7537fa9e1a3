"""A real browser opens the page of a case."""

import dataclasses

import numpy as np

from aleaseg.measures.reasons import Z_MEANS
from aleaseg.report import write_report
from aleaseg.run import file_name
from aleaseg.where.keeping import Mapper
from aleaseg.where.kept import DoubtMap


def by_doubt(fake):
    return fake.run.cases.sort_values("doubt", ascending=False, kind="stable")["case"].tolist()


def test_a_case_has_three_planes_whose_outlines_can_be_taken_away(page):
    page.open_case(page.fake.ids[0])
    assert len(page.texts("#planes figure")) == 3
    letters = [page.texts(f"#planes figure:nth-of-type({k}) .letter") for k in (1, 2, 3)]
    assert ["R", "L", "A", "P"] in letters
    drawn = (
        "return [...document.querySelectorAll('#planes svg')]"
        ".map((e) => ['.mask', '.oof'].map((kind) => e.querySelectorAll(kind).length))"
    )
    before = page.run(drawn)
    assert sum(sum(counts) for counts in before) > 4
    page.click("[data-toggle=oof]")
    assert page.run(drawn) == [[masks, 0] for masks, _ in before]
    page.press("m")
    assert page.run(drawn) == [[0, 0]] * 3
    assert len(page.texts("#classes tbody tr")) == 2
    assert len(page.texts(".verdict li")) == 2


def test_every_class_has_a_colour_of_its_own_and_can_be_taken_away(page):
    page.open_case(page.fake.ids[0])
    strokes = (
        "return [...new Set([...document.querySelectorAll('#planes path[data-class]')]"
        ".map((e) => `${e.dataset.class}|${e.classList[0]}|${e.getAttribute('stroke')}`))]"
    )
    found = page.run(strokes)
    assert len({line.rpartition("|")[2] for line in found}) == len(found) == 4
    dashes = (
        "return [...document.querySelectorAll('#planes .oof')]"
        ".every((e) => getComputedStyle(e).strokeDasharray !== 'none')"
    )
    assert page.run(dashes)
    # All halos lie under all lines.
    order = (
        "return [...document.querySelectorAll('#planes .outlines')].every((g) => {"
        "const kinds = [...g.children].map((e) => e.classList.contains('halo'));"
        "return kinds.lastIndexOf(true) < kinds.indexOf(false); })"
    )
    assert page.run(order)
    page.click(".chip.class")
    assert all(line.startswith("tail") for line in page.run(strokes))


def test_where_annotators_are_unsure_is_shown_when_asked_for(page, tmp_path, made):
    """Where nobody stated confidences there is nothing to ask for."""
    page.open_case(page.fake.ids[0])
    assert page.run("return document.querySelectorAll('[data-toggle=unsure]').length") == 0
    fake = made.made_run(tmp_path / "run")
    label = fake.dataset.cases[0].read_label()
    q = dataclasses.replace(label, array=np.stack([0.5 * (label.array == value) for value in (1, 2)]))
    first = dataclasses.replace(fake.dataset.cases[0], read_confidence=lambda: q)
    page.path = write_report(
        fake.run, fake.dataset.with_cases([first]), predictions=fake.predictions, workers=1
    )
    page.open_case(fake.ids[0])
    shown = "return document.querySelectorAll('#planes image.unsure').length"
    assert page.run(shown) == 0
    page.click("[data-toggle=unsure]")
    assert page.run(shown) == 3
    assert "clear where all agree" in page.texts("#planes-caption")[0]
    page.press("u")
    assert page.run(shown) == 0


def test_where_the_doubt_is_is_shown_when_asked_for(page, tmp_path, made):
    """Of a case without a map there is nothing to ask for."""
    page.open_case(page.fake.ids[0])
    assert page.run("return document.querySelectorAll('[data-toggle=doubt]').length") == 0
    fake = made.made_run(tmp_path / "run")
    doubt = np.zeros(made.SHAPE, np.float32)
    doubt[3, 4, 2:5] = 0.9
    stamp = Mapper.of(fake.run, fake.dataset).stamp(fake.dataset[fake.ids[0]])
    DoubtMap.of(doubt, 0.02, stamp).write(fake.run.map_file(fake.ids[0]))
    page.path = write_report(
        fake.run, fake.dataset.with_cases(fake.dataset.cases[:1]), predictions=fake.predictions, workers=1
    )
    page.open_case(fake.ids[0])
    shown = "return document.querySelectorAll('#planes image.doubt').length"
    assert page.run(shown) == 0
    page.click("[data-toggle=doubt]")
    assert page.run(shown) == 3
    assert "transparent where nothing contradicts it" in page.texts("#planes-caption")[0]
    page.press("d")
    assert page.run(shown) == 0


def test_z_is_explained_where_it_stands(page):
    page.open_case(page.fake.ids[1])
    found = page.run(
        "return [...document.querySelectorAll('#statistics thead th, .verdict small')]"
        ".filter((e) => e.textContent.includes('obust z')).map((e) => e.title)"
    )
    assert len(found) >= 2
    assert set(found) == {Z_MEANS}


def test_letters_lie_at_the_edges_of_the_picture(page):
    page.open_case(page.fake.ids[0])
    off = page.run(
        "return [...document.querySelectorAll('.picture')].flatMap((p) => {"
        "const around = p.getBoundingClientRect();"
        "const middle = (e) => { const r = e.getBoundingClientRect();"
        "  return [(r.left + r.right) / 2 - around.left, (r.top + r.bottom) / 2 - around.top, r.width, r.height]; };"
        "const [w, h] = [around.width, around.height];"
        "const [l, r, t, b] = ['left', 'right', 'top', 'bottom'].map((side) => middle(p.querySelector(`.at-${side}`)));"
        "return [Math.abs(l[1] - h / 2), Math.abs(r[1] - h / 2), Math.abs(t[0] - w / 2), Math.abs(b[0] - w / 2),"
        "  l[0] - l[2] / 2, w - r[0] - r[2] / 2, t[1] - t[3] / 2, h - b[1] - b[3] / 2]; })"
    )
    assert len(off) == 24
    assert max(off) <= 9, "letters are not where they belong"
    assert min(off) >= 0


def test_a_close_up_is_not_smaller(page, tmp_path, made):
    fake = made.made_run(tmp_path / "run")

    def small(seed=0):
        voxels = made.label(seed)
        voxels.array[...] = 0
        voxels.array[3:5, 5:7, 4:6] = 1
        return voxels

    first = dataclasses.replace(fake.dataset.cases[0], read_label=small)
    page.path = write_report(
        fake.run, fake.dataset.with_cases([first]), predictions=fake.predictions, workers=1
    )
    page.open_case(fake.ids[0])
    views = "return [...document.querySelectorAll('#planes svg')].map((e) => "
    sizes = f"{views} [Math.round(e.getBoundingClientRect().width), Math.round(e.getBoundingClientRect().height)])"
    box = f"{views} Number(e.getAttribute('viewBox').split(' ')[2]))"
    before, wide = page.run(sizes), page.run(box)
    page.click("[data-toggle=close]")
    assert page.run(sizes) == before
    assert all(near < whole for near, whole in zip(page.run(box), wide, strict=True))


def test_a_reason_names_its_axis_and_goes_to_its_plane(page):
    page.open_case(page.fake.ids[0])
    assert page.texts(".verdict .axis") == ["mask", "image"]
    assert page.texts(".verdict li small") == [" robust z +6.2"]
    first = page.texts("#planes figure:first-child figcaption")
    page.run("document.querySelectorAll('button.sentence')[1].click()")
    second = page.texts("#planes figure:first-child figcaption")
    assert second != first
    assert len(page.texts("#planes figure")) == 3
    page.run("document.querySelectorAll('button.sentence')[0].click()")
    assert page.texts("#planes figure:first-child figcaption") == first


def test_a_mark_is_red_where_the_robust_z_is_three_and_the_rest_is_folded(page):
    page.open_case(page.fake.ids[0])
    z = page.texts("#statistics tbody:first-of-type tr td:nth-of-type(4)")
    far = page.run(
        "return document.querySelectorAll('#statistics tbody:first-of-type .standing.far').length"
    )
    assert far == sum(text != "" for text in z)
    folded = "return document.querySelectorAll('#statistics tbody')[1].hidden"
    assert page.run(folded)
    page.run("document.querySelector('#statistics-more button').click()")
    assert not page.run(folded)


def test_a_doubtful_case_shows_all_slices_and_what_lies_in_the_air(page):
    page.open_case(page.fake.ids[0])
    loaded = "document.querySelector('#mosaic img').complete && document.querySelector('#mosaic img').naturalWidth"
    usual = page.run("return document.querySelector('#mosaic img').src")
    assert page.until(loaded) > 100
    page.click("#mosaic-chips [data-choice=background]")
    assert page.run("return document.querySelector('#mosaic img').src") != usual
    assert page.until(loaded) > 100
    page.open_case(page.fake.ids[5])  # not doubtful
    assert page.run("return document.getElementById('slices').hidden")


def test_arrows_go_from_case_to_case_by_doubt(page):
    from selenium.webdriver.common.keys import Keys

    order = by_doubt(page.fake)
    page.open_case(order[0])
    assert not page.find("#previous").is_enabled()
    page.press(Keys.ARROW_RIGHT)
    page.until_case(order[1])
    page.click("#next")
    page.until_case(order[2])
    page.press(Keys.ARROW_LEFT)
    page.until_case(order[1])
    assert page.texts("#place") == ["2 of 24"]
    page.browser.get(f"{page.path.with_name('case.html').as_uri()}?id={file_name(order[3])}")
    page.until_case(order[3])


def test_a_case_is_found_by_its_id_and_one_outside_the_filter_is_seen_among_all(page):
    page.browser.get(f"{page.path.with_name('case.html').as_uri()}?id=case_03")
    page.until_case("case_03")
    page.open_case("case_03", "?search=case_04")
    assert page.texts("#place")[0].endswith("of 24")


def test_an_address_of_no_case_says_so(page):
    page.browser.get(f"{page.path.with_name('case.html').as_uri()}?id=0")
    page.until("document.querySelector('h1').textContent === 'No such case'")


def test_where_nothing_was_trained_nothing_is_called_a_prediction(page, browser, tmp_path, made):
    fake = made.made_run(tmp_path / "run")
    fake.run.update_manifest(predictions={"source": "own"})
    path = write_report(fake.run, fake.dataset, predictions=fake.predictions, workers=1)
    browser.get(path.as_uri())
    page.ready()
    assert "prompted outline" in page.texts(".legend")[0]
    page.path = path
    page.open_case(fake.ids[0])
    assert "prompted outlinep" in page.texts(".toggle")
