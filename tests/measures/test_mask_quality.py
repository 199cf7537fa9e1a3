"""What a mask alone tells, against scipy and skimage on random masks."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from aleaseg.measures.mask_quality import mask_statistics

NAMES = {"volume_mm3", "components", "extra_components", "border"}


def blobs(shape, seed, sigma=1.2, share=0.15):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return noise > np.quantile(noise, 1 - share)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(12, 14, 16), (20, 24)])
def test_against_skimage_and_scipy(shape, seed):
    mask = blobs(shape, seed)
    spacing = (3.0, 0.7, 0.5)[-len(shape) :]
    found = mask_statistics(mask, spacing)
    pieces = measure.label(mask, connectivity=len(shape))
    sizes = np.array([region.area for region in measure.regionprops(pieces)])
    assert found["volume_mm3"] == pytest.approx(mask.sum() * np.prod(spacing))
    assert found["components"] == (sizes >= 2).sum()
    assert found["extra_components"] == pytest.approx(1 - sizes.max() / sizes.sum())
    centre = (np.array(ndimage.center_of_mass(mask)) - (np.array(shape) - 1) / 2) * spacing
    for axis, value in zip("dhw"[-len(shape) :], centre, strict=True):
        assert found[f"centroid_{axis}"] == pytest.approx(value)
    inner = np.zeros(shape, bool)
    inner[(slice(1, -1),) * len(shape)] = True
    assert found["border"] == pytest.approx((mask & ~inner).sum() / mask.sum())


def test_an_empty_mask_has_a_volume_and_nothing_else():
    found = mask_statistics(np.zeros((9, 9, 9), bool), (1, 1, 1))
    assert found["volume_mm3"] == 0
    assert {*NAMES, "centroid_d", "centroid_h", "centroid_w"} == set(found)
    assert all(np.isnan(value) for name, value in found.items() if name != "volume_mm3")


def test_single_voxels_are_no_pieces_but_volume():
    mask = np.zeros((9, 9, 9), bool)
    mask[4, 4, 2:6] = True
    mask[8, 8, 8] = True
    found = mask_statistics(mask, (1, 1, 1))
    assert found["components"] == 1
    assert found["extra_components"] == pytest.approx(1 / 5)
    lone = np.zeros((9, 9, 9), bool)
    lone[4, 4, 4] = True
    assert mask_statistics(lone, (1, 1, 1))["components"] == 1


def test_corners_join():
    mask = np.zeros((9, 9, 9), bool)
    mask[2, 2, 2:4] = mask[3, 3, 4:6] = True
    assert mask_statistics(mask, (1, 1, 1))["components"] == 1


def test_the_ends_of_a_stack_of_few_slices_are_no_border():
    mask = np.zeros((3, 20, 20), bool)
    mask[:, 8:12, 8:12] = True
    assert mask_statistics(mask, (5, 1, 1))["border"] == 0
    mask[:, 0, 8:12] = True
    assert mask_statistics(mask, (5, 1, 1))["border"] > 0


def test_mirrored_the_centroid_changes_its_sign():
    mask = blobs((12, 14, 16), 3)
    there, back = (mask_statistics(m, (1, 1, 2)) for m in (mask, mask[..., ::-1]))
    assert there["centroid_w"] == pytest.approx(-back["centroid_w"])
    assert there["extra_components"] == back["extra_components"]
