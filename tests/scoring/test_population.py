"""The reduce step on hand-made records: statuses, 2D, one class in one case, whole-image maps."""

import json

import numpy as np
import pytest

from aleaseg.measures.doubt import ImageReference, LabelReference
from aleaseg.run import Record
from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.population import _signals, fit_population, is_readable, score_population


def numbers_of(records, classes):
    """Gathered from records as version 1 wrote them."""
    return Numbers.of(map(Record.from_dict, records), classes)


def row(measure, value, variant="", name="a"):
    """A number of a class."""
    return {"class": name, "measure": measure, "variant": variant, "value": value, "status": "ok"}


def record(case, rng, classes=("a", "b"), dims=3, **changes):
    """One finished case; changes: class -> {measure: value}."""
    rows = [
        {"class": "", "measure": f"img_{name}", "variant": "", "value": rng.normal(), "status": "ok"}
        for name in ("noise", "skew", "contrast")
    ]
    axes = ("d", "h", "w")[-dims:]
    present = {}
    for number, name in enumerate(classes):
        values = {
            "volume_mm3": 100 + 5 * rng.normal(),
            "oof_dice": 0.9 + 0.01 * rng.normal(),
            "extra_components": 0.0,
            "border": 0.0,
            "perception_scale": 0.3 + 0.01 * rng.normal(),
            **{f"centroid_{axis}": 10.0 * number + 0.3 * rng.normal() for axis in axes},
            **changes.get(name, {}),
        }
        present[name] = values["volume_mm3"] > 0
        rows += [
            {"class": name, "measure": measure, "variant": "", "value": value, "status": "ok"}
            for measure, value in values.items()
        ]
    return {
        "case": case,
        "status": "ok",
        "class_maps": {name: {"kind": "logit"} for name in classes},
        "present": present,
        "measures": rows,
    }


@pytest.mark.parametrize("dims", [2, 3])
def test_swapped_classes_are_found_in_two_and_three_dimensions(dims):
    rng = np.random.default_rng(0)
    records = [record(f"c{i:02}", rng, dims=dims) for i in range(30)]
    axes = ("d", "h", "w")[-dims:]
    swapped = {"a": {f"centroid_{x}": 10.0 for x in axes}, "b": {f"centroid_{x}": 0.0 for x in axes}}
    records.append(record("swapped", rng, dims=dims, **swapped))
    population = fit_population(numbers_of(records, ["a", "b"]))
    scored = score_population(numbers_of(records, ["a", "b"]), population)
    assert scored.label_doubt.argmax() == 30
    assert "order:a and b=12" in scored.reasons[30]


@pytest.mark.parametrize("variant", ["", "foreground"])
def test_the_outline_of_the_packages_own_network_is_heard_and_no_other(variant):
    rng = np.random.default_rng(0)
    records = [record(f"c{i:02}", rng, a={"oof_dice": 0.7 + 0.05 * rng.normal()}) for i in range(30)]
    for one in records:
        one["measures"].append(row("own_dice", 0.9 + 0.01 * rng.normal(), variant))
    records[7]["measures"][-1]["value"] = 0.5
    numbers = numbers_of(records, ["a", "b"])
    population = fit_population(numbers)
    assert population["label"]["heard"] == [True, False]
    scored = score_population(numbers, population)
    assert scored.label_doubt.argmax() == 7
    assert "own_dice:a=0.5" in scored.reasons[7]
    for one in records:
        one["measures"].append(row("eye_dice", rng.uniform(), variant))
    with_eye = numbers_of(records, ["a", "b"])
    assert fit_population(with_eye) == population
    again = score_population(with_eye, population)
    np.testing.assert_array_equal(again.doubt, scored.doubt)
    assert again.reasons == scored.reasons


def test_a_new_case_without_a_mask_is_compared_with_the_population_of_those_that_have_one():
    rng = np.random.default_rng(0)
    records = [record(f"c{i:02}", rng) for i in range(30)]
    population = fit_population(numbers_of(records, ["a", "b"]))
    nothing = dict.fromkeys(("oof_dice", "extra_components", "border", "perception_scale"))
    nothing |= {"volume_mm3": 0.0, "centroid_d": None, "centroid_h": None, "centroid_w": None}
    empty = record("empty", rng, a=nothing, b=nothing)
    scored = score_population(numbers_of([empty], ["a", "b"]), population)
    assert scored.label_doubt[0] > 0.5
    assert "absent:a" in scored.reasons[0]


def test_a_class_that_one_case_has_gives_no_warning():
    rng = np.random.default_rng(0)
    lacking = {"b": {"volume_mm3": 0.0, "perception_scale": None, "oof_dice": None}}
    records = [record(f"c{i:02}", rng, **({} if i == 0 else lacking)) for i in range(25)]
    scored = score_population(
        numbers_of(records, ["a", "b"]), fit_population(numbers_of(records, ["a", "b"]))
    )
    assert scored.class_auv[0, 1] == 0.5
    assert np.isnan(scored.class_auv[1:, 1]).all()


def test_a_population_of_one_image_many_times_has_doubts():
    records = [record(f"c{i:02}", np.random.default_rng(0)) for i in range(25)]
    scored = score_population(
        numbers_of(records, ["a", "b"]), fit_population(numbers_of(records, ["a", "b"]))
    )
    assert np.isfinite(scored.doubt).all()


def test_fewer_than_twenty_have_no_population():
    rng = np.random.default_rng(0)
    assert fit_population(numbers_of([record(f"c{i}", rng) for i in range(19)], ["a", "b"])) is None


def told(numbers, population, scored):
    """Reasons one case, one class and one signal at a time, as the sentences of the documentation have it."""
    image = ImageReference.from_dict(population["image"])
    label = LabelReference.from_dict(population["label"])
    signals = _signals(numbers.with_classes(label.classes))
    z = label.signal_z(signals)
    statistics = image.feature_z(numbers.images(image.names))
    wholes = {"image": image.z(numbers.images(image.names)), "mask": label.z(signals)}
    cells = []
    for i in range(len(numbers)):
        of_image = [
            (name[len("img_") :], abs(v), v) for name, v in zip(image.names, statistics[i], strict=True)
        ]
        of_mask = [("softmin", z["softmin"][i, 0], signals.softmin[i])]
        for c, name in enumerate(label.classes):
            empty = signals.volume[i, c] == 0
            size = signals.volume[i, c] / label.volume[c]
            unexpected = z["false_positive"][i, c]
            if empty and np.isnan(unexpected):
                unexpected = z["disagreement"][i, c]
            if not empty:
                of_mask.append((f"oof_dice:{name}", z["disagreement"][i, c], signals.dice[i, c]))
            of_mask += [
                (f"absent:{name}", z["absent"][i, c], label.prevalence[c]),
                (f"false_positive:{name}", unexpected, signals.false_positive[i, c] / label.volume[c]),
                (f"volume_{'high' if size > 1 else 'low'}:{name}", z["volume"][i, c], size),
                (f"components:{name}", z["components"][i, c], signals.extra_components[i, c]),
                (f"border:{name}", z["border"][i, c], signals.border[i, c]),
            ]
        for p, (c, d) in enumerate(label.layout.pairs.tolist()):
            strength = z["order"][i, p]
            of_mask.append((f"order:{label.classes[c]} and {label.classes[d]}", strength, strength))
        strong = {}
        for axis, found in (("image", of_image), ("mask", of_mask)):
            found = [one for one in found if one[1] >= 3 and np.isfinite(one[2])]
            whole = wholes[axis][i]
            if not found and whole >= 3:
                found = [(axis, whole, whole)]
            strong[axis] = sorted(found, key=lambda reason: -reason[1])
        if np.isnan(wholes["mask"][i]) or wholes["mask"][i] < wholes["image"][i]:
            first, other = strong["image"], strong["mask"][:2]
        else:
            first, other = strong["mask"], strong["image"][:2]
        chosen = first[: 5 - len(other)] + other
        cells.append("" if numbers.failed[i] else "; ".join(f"{code}={v:.3g}" for code, _, v in chosen))
    assert len(cells) == len(scored.reasons)
    return cells


@pytest.mark.parametrize("seed", range(4))
def test_reasons_are_those_of_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    names = ("a", "b", "c")
    records = []
    for i in range(60):
        changes = {}
        for name in names:
            odd = rng.random()
            changes[name] = {
                "softmin": None,
                "extra_components": float(max(0, rng.normal(0.02, 0.02))) if odd > 0.1 else 0.5,
                "border": float(max(0, rng.normal(0.02, 0.02))) if odd < 0.9 else 0.6,
            }
            if 0.3 < odd < 0.36 or (name == "c" and odd > 0.5):  # `c` is often empty, the others seldom
                changes[name] |= {
                    "volume_mm3": 0.0,
                    "oof_dice": float(rng.choice([0.0, np.nan])),
                    "false_positive_mm3": float(rng.choice([0.0, 30.0, 400.0])),
                    "perception_scale": None,
                    **{f"centroid_{axis}": None for axis in "dhw"},
                }
                if np.isnan(changes[name]["oof_dice"]):
                    changes[name]["oof_dice"] = None
            elif 0.4 < odd < 0.46:
                changes[name] |= {"volume_mm3": 900.0, "oof_dice": 0.2}
        if rng.random() < 0.1:
            changes["a"] |= {f"centroid_{axis}": 10.0 for axis in "dhw"}
            changes["b"] |= {f"centroid_{axis}": 0.0 for axis in "dhw"}
        one = record(f"c{i:02}", rng, classes=names, **changes)
        for row in one["measures"]:
            if row["measure"].startswith("img_"):
                row["value"] = (
                    None if rng.random() < 0.05 else row["value"] * (8 if rng.random() < 0.05 else 1)
                )
        one["measures"].append(
            {
                "class": "",
                "measure": "softmin",
                "variant": "",
                "value": float(1 / (1 + np.exp(-rng.normal(0, 3)))),
            }
        )
        if i in (5, 41):
            one = {**one, "status": "failed"}
        records.append(one)
    numbers = numbers_of(records, names)
    population = fit_population(numbers)
    scored = score_population(numbers, population)
    wanted = told(numbers, population, scored)
    assert scored.reasons == wanted
    kinds = {part.split("=")[0].split(":")[0] for cell in wanted for part in cell.split("; ")}
    assert {"oof_dice", "absent", "volume_high", "components", "border", "order"} <= kinds
    assert "false_positive" in kinds
    assert score_population(numbers, population, reasons=False).reasons == [""] * 60


def test_the_whole_image_is_a_reason_where_no_single_number_is():
    rng = np.random.default_rng(0)
    records = []
    for i in range(60):
        one = record(f"c{i:02}", rng)
        rows = {row["measure"]: row for row in one["measures"] if row["class"] == ""}
        # The statistics go together; in one case they go apart, each by no more than usual.
        rows["img_skew"]["value"] = rows["img_noise"]["value"] + 0.1 * rng.normal()
        rows["img_contrast"]["value"] = rows["img_noise"]["value"] + 0.1 * rng.normal()
        if i == 9:
            rows["img_noise"]["value"], rows["img_skew"]["value"] = 2.2, -2.2
        records.append(one)
    numbers = numbers_of(records, ["a", "b"])
    population = fit_population(numbers)
    scored = score_population(numbers, population)
    assert scored.reasons == told(numbers, population, scored)
    assert scored.reasons[9].startswith("image=")


NOTHING = dict.fromkeys(("oof_dice", "extra_components", "border", "perception_scale"))
NOTHING |= {"volume_mm3": 0.0, "centroid_d": None, "centroid_h": None, "centroid_w": None}


def mostly_empty(lesions, empty, fast):
    """Records of masks with one lesion, then of empty ones, as cross-fitting or `--fast` writes them."""
    rng = np.random.default_rng(0)
    records = []
    for i in range(lesions + empty):
        there = i < lesions
        if there:
            said, sure = {"oof_dice": float(rng.normal(0.8, 0.05))}, float(rng.uniform(0.1, 0.2))
        else:
            predicted = float(rng.exponential(5)) if rng.random() < 0.3 else 0.0
            said = {**NOTHING, "oof_dice": 0.0 if predicted else None, "false_positive_mm3": predicted}
            said, sure = (NOTHING, None) if fast else (said, float(1 - 10 ** rng.normal(-2.5, 0.3)))
        one = record(f"c{i:03}", rng, classes=("lesion",), lesion=said)
        one["measures"].append({"class": "", "measure": "softmin", "variant": "", "value": sure})
        records.append(one)
    return records


@pytest.mark.parametrize("fast", [False, True])
def test_a_lesion_is_as_doubtful_with_empty_masks_around_it_as_without(fast):
    records = mostly_empty(40, 360, fast)
    records[3]["measures"][-1]["value"] = 1e-4
    lesions, every = (numbers_of(some, ["lesion"]) for some in (records[:40], records))
    alone, among = (score_population(some, fit_population(some)) for some in (lesions, every))
    np.testing.assert_allclose(among.label_doubt[:40], alone.label_doubt, rtol=1e-9)
    assert among.label_doubt.argmax() == 3
    assert "softmin=0.0001" in among.reasons[3]
    assert (among.label_doubt[:40] > 0.5).mean() <= 0.1
    assert (among.label_doubt[40:] > 0.5).mean() <= 0.05


@pytest.mark.parametrize("lacks", ["heard", "kinds", "toward", "statistics", "layout"])
def test_a_population_of_an_older_version_is_known_not_to_be_readable(lacks):
    numbers = numbers_of(mostly_empty(40, 0, False), ["lesion"])
    population = fit_population(numbers)
    assert is_readable(population)
    del population["label"][lacks]
    assert not is_readable(population)


def test_a_population_from_when_every_pair_of_classes_was_compared_reads_as_it_was():
    rng, names = np.random.default_rng(0), ("a", "b", "c")
    numbers = numbers_of([record(f"c{i:02}", rng, names) for i in range(30)], list(names))
    population = json.loads(json.dumps(fit_population(numbers)))
    older = json.loads(json.dumps(population))
    layout, label = older["label"].pop("layout"), older["label"]
    order, scales = np.zeros((3, 3, 3)), [{"center": 0.0, "below": 1.0, "above": 1.0}] * 9
    pairs = list(zip(*layout["pairs"], strict=True))
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    for (a, b), usual, scale in zip(
        pairs, np.transpose(layout["usual"]), label["scales"]["order"], strict=True
    ):
        order[a, b], order[b, a], scales[3 * a + b] = usual, -usual, scale
    label["order"], label["scales"]["order"] = order.tolist(), scales
    assert is_readable(older)
    swapped = numbers_of([record("x", rng, names, a={"centroid_w": 40.0})], list(names))
    one, other = (score_population(swapped, each) for each in (population, older))
    assert one.reasons == other.reasons
    assert "order:a and b" in one.reasons[0]
    np.testing.assert_array_equal(one.label_doubt, other.label_doubt)


@pytest.mark.parametrize(("channels", "hears"), [(1, ["edge_alignment"]), (2, ["edge_alignment@1"])])
def test_what_the_image_shows_is_heard_where_no_border_would_stand_out(channels, hears):
    """The last channel shows the border of every mask; an earlier one shows none."""
    rng = np.random.default_rng(0)
    records = []
    for index in range(40):
        one = record(f"c{index:02}", rng)
        rows = [
            row("edge_alignment", value, str(channel) if channels > 1 else "")
            for channel, value in enumerate([rng.uniform(0, 0.2), rng.uniform(0.8, 0.9)][-channels:])
        ]
        records.append({**one, "measures": [*one["measures"], *rows]})
    clean = numbers_of(records, ["a", "b"])
    population = json.loads(json.dumps(fit_population(clean)))
    label = population["label"]
    heard = [
        name
        for name, signs in zip(label["statistics"], zip(*label["toward"], strict=True), strict=True)
        if signs[0]
    ]
    assert heard == hears
    assert all(signs == 0 for signs in label["toward"][1])  # of b nothing is known

    def with_alignment(value):
        variant = hears[0].partition("@")[2]
        same = ("edge_alignment", variant)
        rows = [one for one in records[7]["measures"] if (one["measure"], one["variant"]) != same]
        return numbers_of([{**records[7], "measures": [*rows, row(*same[:1], value, variant)]}], ["a", "b"])

    faint, clear = (score_population(with_alignment(value), population) for value in (0.1, 1.0))
    assert faint.label_doubt[0] > 0.5
    assert "contrast:a" in faint.reasons[0]
    assert clear.label_doubt[0] <= score_population(clean, population).label_doubt[7]


@pytest.mark.parametrize(
    ("name", "value", "code"), [("step", 2.0, "coarse:a=7.39"), ("roughness", 0.9, "rough:a=0.9")]
)
def test_a_border_that_is_drawn_otherwise_is_doubtful_and_says_so(name, value, code):
    rng = np.random.default_rng(0)
    records = []
    for index in range(40):
        one = record(f"c{index:02}", rng)
        usual = {"step": rng.normal(0.7, 0.05), "roughness": rng.uniform(0.1, 0.2)}
        if index == 7:
            usual[name] = value
        rows = [row(key, number) for key, number in usual.items()]
        records.append({**one, "measures": [*one["measures"], *rows]})
    numbers = numbers_of(records, ["a", "b"])
    scored = score_population(numbers, fit_population(numbers))
    assert scored.label_doubt.argmax() == 7
    assert scored.label_doubt[7] > 0.5
    assert code in scored.reasons[7]
