"""The plane that is shown is one that shows the fault."""

import dataclasses

import numpy as np
import pytest

from aleaseg.corruption.image_faults import IMAGE_FAULTS
from aleaseg.corruption.mask_faults import MASK_FAULTS
from aleaseg.measures.doubt import ImageReference
from aleaseg.measures.image_quality import image_statistics
from aleaseg.measures.reasons import told
from aleaseg.pages.places import Maps, Sought, places

SHAPE = (24, 32, 30)
SPACING = (2.0, 1.0, 1.0)


def phantom():
    """An ellipsoid of two halves, and apart from it a small one of the second class."""
    at = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in SHAPE], indexing="ij"))
    mask = np.zeros(SHAPE, np.uint8)
    inside = sum(((at[a] - (0.5, 0.42, 0.4)[a]) / (0.4, 0.25, 0.25)[a]) ** 2 for a in range(3)) < 1
    mask[inside] = 1
    mask[inside & (at[2] > 0.42)] = 2
    mask[sum(((at[a] - (0.5, 0.8, 0.8)[a]) / 0.11) ** 2 for a in range(3)) < 1] = 2
    return mask


def cut(array, place):
    return np.take(array, place.voxel[place.axis], axis=place.axis)


def maps(label, predicted=None, ignore=None, spacing=SPACING):
    return Maps(label.shape, spacing, label, predicted, ignore)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MASK_FAULTS)
def test_every_fault_of_a_mask_is_cut_beside_what_is_sound(name, seed):
    clean, fault = phantom(), MASK_FAULTS[name]
    extra = {"donor": np.roll(clean, 5, axis=2)} if fault.needs_donor else {}
    faulty = fault.apply(clean, np.random.default_rng(seed), "medium", **extra).array
    (place,) = places(maps(faulty, clean))
    differ = cut(faulty, place) != cut(clean, place)
    # Of the plane that has the most of it a good part, and what it is to be compared with.
    most = max((faulty != clean).sum(axis=tuple({0, 1, 2} - {axis})).max() for axis in range(3))
    assert differ.sum() >= most / 5
    assert (cut(faulty, place) > 0).sum() >= 10
    if name in ("drop_slices", "cut_off"):
        assert place.axis != 0, "a skipped slice shows one outline, and its neighbours nothing at all"


# Statistics that a fault moves: where it acts along one axis, the plane has that axis in it.
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", IMAGE_FAULTS)
def test_every_fault_of_an_image_that_has_an_axis_lies_in_the_plane(name, seed):
    rng = np.random.default_rng(seed)
    mask = phantom()

    def image():
        grey = np.array([0.2, 0.7, 0.9])[mask] + 0.05 * rng.normal(size=SHAPE)
        return np.float32(grey + 0.02 * rng.normal() * np.linspace(-1, 1, SHAPE[0])[:, None, None])

    spoilt = IMAGE_FAULTS[name].apply(image()[None], rng, "medium" if name == "inverted" else "strong")
    statistics = [
        image_statistics(one, SPACING) for one in [*(image() for _ in range(30)), spoilt.array[0]]
    ]
    names = list(statistics[0])
    table = np.array([[one[name] for name in names] for one in statistics])
    z = ImageReference.fit(names, table[:-1]).feature_z(table[-1:])[0]
    strongest = [k for k in np.argsort(-np.abs(z)) if abs(z[k]) >= 3][:5]
    cell = "; ".join(f"{names[k]}={z[k]:.3g}" for k in strongest)
    place = places(maps(mask), [Sought(one.code, one.axis, one.way) for one in told(cell)])[0]
    assert strongest, "the fault moves no statistic: the test says nothing"
    axis = {"slice_order": 0}.get(name, spoilt.changed.get("axis"))
    if name in ("slice_order", "low_resolution"):
        assert place.axis != axis, f"{cell}: repeated or exchanged slices look sound one by one"
    assert (cut(mask, place) > 0).any()


@pytest.mark.parametrize("code", ["sharp_d", "uneven_d", "ghost_d", "fov_d", "tilt_d"])
def test_what_is_wrong_between_slices_is_shown_across_them(code):
    mask = phantom()
    (place,) = places(maps(mask), [Sought(code, "image", "d")])
    assert place.axis in (1, 2)
    assert (cut(mask, place) > 0).sum() == max((mask > 0).sum(axis=(0, other)).max() for other in (1, 2))
    # In a picture there is nothing to be across.
    flat = np.ones((1, 8, 8), np.uint8)
    assert places(maps(flat), [Sought(code, "image", "d")])[0].axis == 0


def test_what_names_no_axis_is_shown_where_the_next_reason_is():
    noise, thick = Sought("noise", "image"), Sought("uneven_d", "image", "d")
    first, second = places(maps(phantom()), [noise, thick])
    assert first.axis == second.axis != 0
    assert places(maps(phantom()), [noise])[0].axis == 0


def test_pieces_and_a_small_volume_are_shown_across_the_slices():
    mask = phantom()
    mask[10:13] = 0
    place = places(maps(mask), [Sought("components:a", "mask", values=(1,))])[0]
    assert place.axis != 0
    shown = (cut(mask, place) == 1).any(axis=1)
    assert not shown[10:13].any()
    assert shown[:10].any()
    assert shown[13:].any()
    half = phantom()
    half[12:] = 0
    assert places(maps(half, phantom()), [Sought("volume_low:a", "mask", values=(1,))])[0].axis != 0


@pytest.mark.parametrize("code", ["rough", "smooth", "coarse", "ragged", "contrast"])
def test_a_border_is_shown_on_the_border_in_its_slice(code):
    mask = phantom()
    (place,) = places(maps(mask, mask), [Sought(f"{code}:b", "mask", values=(2,))])
    assert place.axis == 0
    d, h, w = place.voxel
    assert mask[d, h, w] == 2
    assert {mask[d, h - 1, w], mask[d, h + 1, w], mask[d, h, w - 1], mask[d, h, w + 1]} > {2}


@pytest.mark.parametrize("code", ["coarse_across", "ragged_across"])
def test_a_border_across_the_slices_is_shown_across_them(code):
    mask = phantom()
    (place,) = places(maps(mask, mask), [Sought(f"{code}:b", "mask", values=(2,))])
    assert place.axis != 0
    assert mask[place.voxel] == 2


@pytest.mark.parametrize("code", ["rough", "coarse", "contrast", "coarse_across"])
def test_a_border_is_looked_at_where_it_is_most_doubtful(code):
    mask = phantom()
    rim = np.argwhere(mask == 2)
    at = tuple(rim[np.lexsort(rim.T[::-1])][0])  # a corner of it
    doubt = np.where(mask == 2, 10, 0).astype(np.uint8)
    doubt[at] = 200
    known = dataclasses.replace(maps(mask, mask), doubt=doubt)
    (place,) = places(known, [Sought(f"{code}:b", "mask", values=(2,))])
    assert place.voxel == at


@pytest.mark.parametrize("code", ["softmin", "mask"])
def test_what_speaks_of_no_part_is_looked_at_where_most_speaks_against_the_mask(code):
    label, predicted = phantom(), phantom()
    predicted[2:4] = 0  # much differs, and nobody is sure
    label[18, 25, 24], predicted[18, 25, 24] = 2, 1
    doubt = np.where(label != predicted, 0.3, 0)
    doubt[18, 25, 24] = 0.99
    known = dataclasses.replace(maps(label, predicted), doubt=doubt)
    (place,) = places(known, [Sought(code, "mask")])
    assert place.voxel == (18, 25, 24)


def test_a_class_is_looked_for_alone():
    label, predicted = phantom(), phantom()
    label[2:4] = 0  # much is wrong elsewhere
    predicted[20, 25, 24] = 0
    label[12, 25, 24], predicted[12, 25, 24] = 0, 9
    (place,) = places(maps(label, predicted), [Sought("false_positive:c", "mask", values=(9,))])
    assert place.voxel == (12, 25, 24)


def test_the_place_of_disagreement_lies_in_it():
    label = np.zeros((6, 8, 10), int)
    label[1:4, 2:6, 2:6] = 1
    predicted = label.copy()
    predicted[3, 2:6, 2:5] = 0
    (place,) = places(maps(label, predicted))
    assert place.reason == "disagreement"
    assert label[place.voxel] != predicted[place.voxel]


def test_what_is_not_annotated_cannot_disagree():
    label = np.zeros((6, 8, 10), int)
    label[0] = 9
    predicted = np.zeros_like(label)
    predicted[0] = 1
    predicted[4, 4, 4] = 1
    (place,) = places(maps(label, predicted, ignore=9))
    assert (place.reason, place.voxel) == ("disagreement", (4, 4, 4))


def test_without_disagreement_the_largest_slice_of_the_mask_then_the_middle():
    label = np.zeros((6, 8, 10), int)
    label[2, 1:7, 1:7] = 1
    label[3, 1, 1] = 1
    nothing = Maps(label.shape, SPACING, None, label)
    assert places(maps(label, label))[0].voxel[0] == 2
    assert places(maps(label, label))[0].reason == "mask"
    assert places(nothing)[0].reason == "prediction"
    assert places(maps(label * 0))[0].voxel == (3, 4, 5)
    assert places(maps(label * 0))[0].reason == "middle"
