"""Surface distances: a reference by brute force, MONAI's own functions, `surface-distance`, and laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from aleaseg.metrics.surface import surface_distances

GRIDS = [((14, 18, 16), (1.0, 1.0, 1.0)), ((10, 18, 16), (4.0, 1.2, 0.8)), ((26, 24), (2.0, 0.7))]
BLOBS = pytest.mark.parametrize(("shape", "spacing"), GRIDS, ids=["isotropic", "thick slices", "2D"])


def blobs(shape, seed):
    """Two overlapping smooth masks."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(2, *shape)), (0, *(2.5,) * len(shape)))
    first = smooth[0] > np.quantile(smooth[0], 0.75)
    mixed = 0.8 * smooth[0] + 0.4 * smooth[1]
    return first, mixed > np.quantile(mixed, 0.7)


def edge_points(mask, spacing):
    """Voxels of the mask with a neighbour outside it (outside the image counts), in mm."""
    points = []
    for index in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                beside = index.copy()
                beside[axis] += step
                inside = (beside >= 0).all() and (beside < mask.shape).all()
                if not inside or not mask[tuple(beside)]:
                    points.append(tuple(index))
    return np.array(sorted(set(points))) * spacing


def by_brute_force(reference, predicted, spacing):
    """HD95 and ASSD from all pairs of edge voxels."""
    a, b = edge_points(reference, spacing), edge_points(predicted, spacing)
    apart = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=-1))
    there, back = apart.min(axis=1), apart.min(axis=0)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return hd95, np.concatenate([there, back]).mean()


@BLOBS
def test_plain_numpy_agrees(shape, spacing):
    reference, predicted = blobs(shape, 3)
    found = surface_distances(reference, predicted, spacing)
    hd95, assd = by_brute_force(reference, predicted, spacing)
    assert found.hd95_mm == pytest.approx(hd95, rel=1e-6)
    assert found.assd_mm == pytest.approx(assd, rel=1e-6)


@BLOBS
def test_monai_agrees(shape, spacing):
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    reference, predicted = blobs(shape, 4)
    pair = [torch.as_tensor(mask)[None, None].float() for mask in (predicted, reference)]
    given = {"include_background": True, "spacing": list(spacing)}
    found = surface_distances(reference, predicted, spacing)
    hd95 = compute_hausdorff_distance(*pair, percentile=95, **given)
    assd = compute_average_surface_distance(*pair, symmetric=True, **given)
    assert found.hd95_mm == pytest.approx(float(hd95), rel=1e-5)
    assert found.assd_mm == pytest.approx(float(assd), rel=1e-5)


# surface-distance 0.1 calls SciPy by names that SciPy is about to drop.
OF_ITS_OWN = pytest.mark.filterwarnings("ignore:.*scipy.*:DeprecationWarning")


@OF_ITS_OWN
@BLOBS
@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.5])
def test_surface_distance_agrees(shape, spacing, tolerance):
    package = pytest.importorskip("surface_distance", reason="surface-distance is not installed")
    reference, predicted = blobs(shape, 5)
    measured = package.compute_surface_distances(reference, predicted, spacing)
    found = surface_distances(reference, predicted, spacing, tolerance)
    nsd = package.compute_surface_dice_at_tolerance(measured, tolerance)
    assert 0.2 < nsd < 1.0
    assert found.nsd == pytest.approx(nsd, abs=1e-5)
    # Another surface (elements that weigh by their area): the same to within a voxel.
    robust = package.compute_robust_hausdorff(measured, 95)
    assert abs(found.hd95_mm - robust) <= np.linalg.norm(spacing)


@OF_ITS_OWN
def test_masks_at_the_border_have_a_surface_there():
    package = pytest.importorskip("surface_distance", reason="surface-distance is not installed")
    reference, predicted = np.zeros((2, 8, 9, 7), bool)
    reference[:5, :, :4], predicted[:6, 2:, :4] = True, True
    measured = package.compute_surface_distances(reference, predicted, (2.0, 1.0, 1.5))
    found = surface_distances(reference, predicted, (2.0, 1.0, 1.5), 1.2)
    assert found.nsd == pytest.approx(package.compute_surface_dice_at_tolerance(measured, 1.2), abs=1e-6)
    assert found.hd95_mm == pytest.approx(by_brute_force(reference, predicted, (2.0, 1.0, 1.5))[0])


@given(
    axis=st.integers(0, 2),
    spacing=st.tuples(*[st.sampled_from([0.5, 1.0, 2.5, 7.0])] * 3),
    size=st.tuples(*[st.integers(2, 4)] * 3),
)
@settings(deadline=None, max_examples=25)
def test_a_box_shifted_by_one_voxel_is_one_spacing_away(axis, spacing, size):
    box = np.zeros((8, 8, 8), bool)
    box[tuple(slice(2, 2 + n) for n in size)] = True
    found = surface_distances(box, np.roll(box, 1, axis=axis), spacing, tolerance_mm=spacing[axis])
    assert found.hd95_mm == pytest.approx(spacing[axis])
    assert 0 < found.assd_mm <= found.hd95_mm
    assert found.nsd == 1
    assert surface_distances(box, np.roll(box, 1, axis=axis), spacing, 0.9 * min(spacing)).nsd < 1


@given(seed=st.integers(0, 10_000), turned=st.permutations(range(3)))
@settings(deadline=None, max_examples=15)
def test_laws(seed, turned):
    a, b = blobs((7, 8, 9), seed)
    spacing = (3.0, 1.0, 0.5)
    found = surface_distances(a, b, spacing)
    assert surface_distances(b, a, spacing) == pytest.approx(found)
    assert surface_distances(a, a, spacing) == (0.0, 0.0, 1.0, False)
    assert 0 <= found.nsd <= 1
    assert found.assd_mm >= 0
    assert found.hd95_mm <= np.linalg.norm(np.multiply(a.shape, spacing))
    other = surface_distances(a.transpose(turned), b.transpose(turned), [spacing[axis] for axis in turned])
    assert other == pytest.approx(found, abs=1e-5)
    larger = surface_distances(a, b, [2 * mm for mm in spacing], 2.0)
    assert larger == pytest.approx((2 * found.hd95_mm, 2 * found.assd_mm, found.nsd, False), abs=1e-5)
    # The empty part of the image changes nothing.
    framed = [np.pad(mask, 3) for mask in (a, b)]
    assert surface_distances(*framed, spacing) == pytest.approx(found, abs=1e-6)


def test_a_wider_tolerance_never_has_less():
    a, b = blobs((8, 9, 10), 1)
    found = [surface_distances(a, b, (2, 1, 1), tau).nsd for tau in (0, 0.5, 1, 2, 4, 100)]
    assert found == sorted(found)
    assert found[-1] == 1


def test_empty_masks():
    empty, full = np.zeros((4, 5, 6), bool), np.zeros((4, 5, 6), bool)
    full[1:3, 2, 2:4] = True
    nothing = surface_distances(empty, empty, (3, 1, 1))
    assert np.isnan(nothing[:3]).all()
    assert not nothing.penalty
    diagonal = np.sqrt(12**2 + 5**2 + 6**2)
    for pair in ((empty, full), (full, empty)):
        assert surface_distances(*pair, (3, 1, 1)) == pytest.approx((diagonal, diagonal, 0.0, True))


def test_a_stack_of_one_slice_is_a_picture():
    a, b = blobs((20, 22), 2)
    flat = surface_distances(a, b, (0.8, 1.1))
    assert surface_distances(a[None], b[None], (5.0, 0.8, 1.1)) == pytest.approx(flat)
    assert surface_distances(a[:, None], b[:, None], (0.8, 5.0, 1.1)) == pytest.approx(flat)
    assert surface_distances(a[:1, :, None], a[:1, :, None], (1, 1, 1)).hd95_mm == 0


def test_single_voxels():
    one, other = np.zeros((2, 9, 9), bool)
    one[1, 1], other[4, 5] = True, True
    found = surface_distances(one, other, (1.0, 1.0))
    assert found.hd95_mm == found.assd_mm == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"predicted": np.ones((3, 4), bool)}, "of one shape"),
        ({"predicted": np.ones((4, 4), int)}, "expected bool"),
        ({"spacing_mm": (1.0,)}, "spacing_mm is"),
        ({"spacing_mm": (1.0, 0.0)}, "spacing_mm is"),
        ({"tolerance_mm": -1.0}, "tolerance_mm is -1.0"),
        ({"tolerance_mm": np.nan}, "tolerance_mm is nan"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    given = {
        "reference": np.ones((4, 4), bool),
        "predicted": np.ones((4, 4), bool),
        "spacing_mm": (1.0, 1.0),
    }
    with pytest.raises(ValueError, match=said):
        surface_distances(**given | change)


def test_nothing_is_said_by_the_way(recwarn):
    a, b = blobs((6, 7, 8), 0)
    surface_distances(a, b, (1, 1, 1))
    assert not [str(each.message) for each in recwarn]
