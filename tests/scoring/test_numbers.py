"""The numbers of many cases: gathered once, taken, looked at by other classes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.run import Record
from aleaseg.scoring.numbers import Numbers


def numbers_of(records, classes):
    """Gathered from records as version 1 wrote them."""
    return Numbers.of(map(Record.from_dict, records), classes)


CLASSES = ("a", "b")
KEYS = [("dice", "", "a"), ("dice", "", "b"), ("dice", "near", "a"), ("img_noise", "", ""), ("s", "", "")]


@st.composite
def cases(draw, most=6):
    """Records with some of the keys, features, models and kinds."""
    number = st.none() | st.floats(-1e6, 1e6)
    found = []
    for index in range(draw(st.integers(0, most))):
        values = {key: draw(number) for key in draw(st.lists(st.sampled_from(KEYS), unique=True))}
        record = {
            "case": f"c{index}-{draw(st.integers(0, 10**6))}",
            "status": draw(st.sampled_from(["ok", "partly", "failed"])),
            "class_maps": {
                name: {"kind": draw(st.sampled_from(["logit", "probability"]))}
                for name in draw(st.lists(st.sampled_from(CLASSES), unique=True))
            },
            "measures": [
                {"measure": m, "variant": v, "class": c, "value": value}
                for (m, v, c), value in values.items()
            ],
        }
        if draw(st.booleans()):
            record |= {
                "model": f"fold_{draw(st.integers(0, 12))}",
                "features": {"mask": {"a": [1.0, index]}},
            }
        found.append(record)
    return found


def same(one, other):
    assert one.cases == other.cases
    assert one.classes == other.classes
    np.testing.assert_array_equal(one.failed, other.failed)
    np.testing.assert_array_equal(one.models, other.models)
    for mine, theirs in (
        (one.kinds, other.kinds),
        (one.columns, other.columns),
        (one.vectors, other.vectors),
    ):
        assert set(mine) == set(theirs)
        for key, values in mine.items():
            np.testing.assert_array_equal(values, theirs[key])


@settings(max_examples=40, deadline=None)
@given(cases())
def test_every_number_is_where_its_case_and_key_say(records):
    numbers = numbers_of(records, CLASSES)
    assert len(numbers) == len(records)
    for index, record in enumerate(records):
        held = {(r["measure"], r["variant"], r["class"]): r["value"] for r in record["measures"]}
        for key in KEYS:
            value = held.get(key)
            found = numbers.columns[key][index] if key in numbers.columns else np.nan
            assert (np.isnan(found) and value is None) or found == value
        assert numbers.failed[index] == (record["status"] == "failed")
        assert numbers.models[index] == record.get("model", "")
        vector = numbers.vectors.get(("mask", "a"))
        if "features" in record:
            np.testing.assert_array_equal(vector[index], record["features"]["mask"]["a"])
        elif vector is not None:
            assert np.isnan(vector[index]).all()


@settings(max_examples=40, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_taking_cases_is_gathering_them_alone(records, random):
    whole = numbers_of(records, CLASSES)
    rows = [index for index in range(len(records)) if random.random() < 0.5]
    taken = whole.take(np.array(rows, dtype=int))
    chosen = np.zeros(len(records), dtype=bool)
    chosen[rows] = True
    same(taken, whole.take(chosen))
    alone = numbers_of([records[index] for index in rows], CLASSES)
    assert taken.cases == alone.cases
    for key, column in alone.columns.items():
        np.testing.assert_array_equal(taken.columns[key], column)
    assert all(np.isnan(taken.columns[key]).all() for key in set(taken.columns) - set(alone.columns))
    np.testing.assert_array_equal(taken.case("s"), alone.case("s"))
    np.testing.assert_array_equal(taken.by_class("dice"), alone.by_class("dice"))


def test_records_are_read_once_and_let_go():
    import weakref

    class Record(dict):
        pass

    living = []

    def stream():
        for index in range(50):
            record = Record(
                case=f"c{index}",
                status="ok",
                class_maps={},
                measures=[{"measure": "s", "variant": "", "class": "", "value": float(index)}],
            )
            living.append(weakref.ref(record))
            assert sum(ref() is not None for ref in living) <= 2
            yield record

    records = stream()
    numbers = numbers_of(records, ())
    np.testing.assert_array_equal(numbers.case("s"), np.arange(50.0))
    assert next(records, None) is None


def test_a_class_that_nobody_measured_is_a_column_of_nothing():
    numbers = numbers_of(
        [
            {
                "case": "c",
                "status": "ok",
                "class_maps": {},
                "measures": [{"measure": "dice", "variant": "", "class": "a", "value": 0.5}],
                "features": {"mask": {"a": [1.0, None]}},
            }
        ],
        ["a"],
    )
    looked = numbers.with_classes(["b", "a"])
    np.testing.assert_array_equal(looked.by_class("dice"), [[np.nan, 0.5]])
    np.testing.assert_array_equal(looked.feature("mask"), [[[np.nan, np.nan], [1.0, np.nan]]])
    assert looked.feature("predicted") is None


def test_a_missing_axis_is_zero_and_an_empty_mask_has_no_centre():
    def rows(**places):
        return [
            {"measure": f"centroid_{axis}", "variant": "", "class": "a", "value": value}
            for axis, value in places.items()
        ]

    records = [
        {"case": "flat", "status": "ok", "class_maps": {}, "measures": rows(h=2.0, w=3.0)},
        {"case": "empty", "status": "ok", "class_maps": {}, "measures": rows(h=None, w=None)},
    ]
    numbers = numbers_of(records, ["a"])
    np.testing.assert_array_equal(numbers.centroids[:, 0], [[0.0, 2.0, 3.0], [np.nan] * 3])


def test_maps_of_another_kind_than_most_have_no_s():
    records = [
        {
            "case": f"c{index}",
            "status": "ok",
            "class_maps": {"a": {"kind": "probability" if index == 1 else "logit"}},
            "measures": [{"measure": "perception_scale", "variant": "", "class": "a", "value": 0.3}],
        }
        for index in range(4)
    ]
    numbers = numbers_of(records, ["a"])
    assert numbers.kind == "logit"
    np.testing.assert_array_equal(np.isnan(numbers.scales("logit")[:, 0]), [False, True, False, False])
    assert np.isfinite(numbers.by_class("perception_scale")).all(), "the column itself is left alone"
    assert numbers_of([], ["a"]).kind == "logit"


def test_beside_maps_of_the_whole_image_a_variant_may_tell_classes_apart():
    rows = [("", "", 0.5), ("h_dw", "a", 0.1), ("h_dw", "b", 0.2)]
    record = {
        "case": "c",
        "status": "ok",
        "class_maps": {"": {"kind": "logit"}},
        "measures": [
            {"measure": "perception_scale", "variant": variant, "class": name, "value": value}
            for variant, name, value in rows
        ],
    }
    numbers = numbers_of([record], CLASSES)
    np.testing.assert_array_equal(numbers.scales("logit"), [[0.5, 0.5]])
    np.testing.assert_array_equal(numbers.scales("logit", "h_dw"), [[0.1, 0.2]])
