"""How many neighbours of a class does it take to see that two classes were swapped?

    python benchmarks/layout.py TOTALSEG

Classes lie where those of TotalSegmentator's small example do (`example_seg.nii.gz`, an abdomen), twice over, one body
on top of the other, so that there are many. Cases are made of these places: each class is moved by chance, the body
too, it is a little larger or smaller, and the scan shows a part of it. In half of the cases two classes are swapped
that lie near each other, in the others any two.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aleaseg.measures import layout
from aleaseg.measures.robust import CLIP, RobustScale

CASES = 400
SEEDS = (0, 1, 2)
NEAR, FAR = 60.0, 150.0


def places(totalseg: Path) -> NDArray[np.float64]:
    """(C, 3) centroids in mm."""
    import nibabel

    masks = np.asarray(nibabel.load(totalseg / "example_seg.nii.gz").dataobj).astype(int)
    classes = [k for k in np.unique(masks) if k and (masks == k).sum() > 30]
    found = 3.0 * np.array(ndimage.center_of_mass(masks > -1, masks, classes))
    height = np.ptp(found[:, 2]) + 20
    return np.concatenate([found, found + np.array([0, 0, height])])


def scans(place: NDArray, moved: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(CASES, C, 3) centroids; NaN where the scan does not reach."""
    found = place + rng.normal(0, moved, (CASES, *place.shape)) + rng.normal(0, 40, (CASES, 1, 3))
    found *= rng.uniform(0.9, 1.1, (CASES, 1, 1))
    low = rng.uniform(place[:, 2].min() - 200, place[:, 2].max() - 150, (CASES, 1))
    high = low + rng.uniform(200, 700, (CASES, 1))
    found[(place[:, 2] < low) | (place[:, 2] > high)] = np.nan
    return found


def swapped(
    found: NDArray, place: NDArray, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same with two classes in each other's place, and how far apart these lie; NaN where there are no two."""
    other, apart = found.copy(), np.full(len(found), np.nan)
    for i, case in enumerate(found):
        there = np.flatnonzero(np.isfinite(case[:, 0]))
        if len(there) < 2:
            continue
        one, two = rng.choice(there, 2, replace=False)
        if i % 2:
            nearest = there[np.argsort(((place[there] - place[one]) ** 2).sum(axis=1))]
            two = rng.choice(nearest[1:6])
        other[i, [one, two]] = case[[two, one]]
        apart[i] = np.linalg.norm(place[one] - place[two])
    return other, apart


def largest_z(cases: NDArray, usual: layout.Layout, scales: list[RobustScale]) -> NDArray[np.float64]:
    """(CASES,) how far the pair that lies oddest lies from the usual."""
    z = [-scale.z(column) for scale, column in zip(scales, usual.along(cases).T, strict=True)]
    return np.asarray(np.nan_to_num(np.fmax.reduce(np.clip(z, -CLIP, CLIP), axis=0)))


def main() -> None:
    """The rows of the table."""
    place = places(Path(sys.argv[1]))
    for moved in (8.0, 15.0):
        for neighbours in (2, 4, 8, 16, len(place) - 1):
            rows = []
            for seed in SEEDS:
                rng = np.random.default_rng(seed)
                population, clean = scans(place, moved, rng), scans(place, moved, rng)
                bad, apart = swapped(clean, place, rng)
                with mock.patch.object(layout, "NEIGHBOURS", neighbours):
                    usual = layout.Layout.fit(population)
                scales = [RobustScale.fit(column, 0.1) for column in usual.along(population).T]
                sound, odd = (largest_z(cases, usual, scales) for cases in (clean, bad))
                groups = (apart < NEAR, (apart >= NEAR) & (apart < FAR), apart >= FAR)
                row = [len(usual.pairs)]
                for group in groups:
                    above = np.sign(odd[group][:, None] - sound[None])
                    row.append((above.mean() + 1) / 2)
                rows.append(row)
            pairs, *auroc = np.mean(rows, axis=0)
            print(
                f"| {moved:.0f} | {neighbours} | {pairs:.0f} | "
                + " | ".join(f"{a:.3f}" for a in auroc)
                + " |"
            )


if __name__ == "__main__":
    main()
