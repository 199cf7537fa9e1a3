"""A synthetic CT-like data set with known faults: something to audit without any download.

The phantom is an abdomen on a coarse grid: body wall, spine, ribs, vessels, lung bases,
stomach and bowel around a liver with lesions and two kidneys. No two cases are alike: organs
vary in place, size and grey value, and the whole body is bent by a smooth random field. Cases
come from three sites that differ mildly in spacing and noise. Grey values are Hounsfield units.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

if TYPE_CHECKING:
    from aleaseg.case import Geometry

__all__ = ["CLASSES", "make_dataset"]

CLASSES = {"liver": 1, "kidney_right": 2, "kidney_left": 3, "lesion": 4}

# In the order in which they are given out. Masks and images take turns.
FAULTS = (
    "mask:shift",
    "image:noise",
    "mask:hole",
    "image:blur",
    "mask:swap",
    "image:ghost",
    "mask:drop",
    "image:low_resolution",
)

SHAPE = (32, 64, 80)


@dataclass(frozen=True)
class Site:
    """One scanner: spacing (d, h, w) in mm, sd of the noise in HU, sd of the kernel in voxels."""

    name: str
    spacing_mm: tuple[float, float, float]
    noise_hu: float
    kernel: float


SITES = (
    Site("siteA", (5.0, 4.2, 4.2), 9.0, 0.50),
    Site("siteB", (5.0, 4.0, 4.0), 13.0, 0.55),
    Site("siteC", (4.5, 4.4, 4.4), 16.0, 0.45),
)


def make_dataset(folder: str | Path, *, cases: int = 40, seed: int = 0) -> dict[str, str]:
    """Write the data set in nnU-Net's layout, with faults in a fifth of the cases.

    `imagesTr/` holds int16 NIfTI images, `labelsTr/` uint8 label maps, `dataset.json` the classes;
    `faults.json` beside it says which case got which fault. Ids begin with the site: `siteA_003`.

    Args:
        folder: where to write; made where it is missing.
        cases: how many.
        seed: the same seed gives the same voxels.

    Returns:
        The id of each faulty case -> its fault, such as `mask:shift` or `image:noise`: a name of
        `aleaseg.corruption.masks.TRIAL` or `aleaseg.corruption.images.TRIAL`.

    Raises:
        UsageError: the folder holds other files already.
    """
    from aleaseg.errors import UsageError
    from aleaseg.readers.voxels import write_nifti
    from aleaseg.run import write_json

    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "faults.json").is_file():
        raise UsageError(f"{folder} holds other files; expected an empty folder or none; name another one")
    draw = np.random.default_rng([seed, 0])
    chosen = draw.permutation(cases)[: round(cases / 5)]
    fault_of = {int(case): FAULTS[i % len(FAULTS)] for i, case in enumerate(chosen)}
    faults = {}
    for index in range(cases):
        site = SITES[index % len(SITES)]
        case_id = f"{site.name}_{index:03d}"
        rng = np.random.default_rng([seed, 1, index])
        image, label = phantom(rng, site)
        if index in fault_of:
            image, label = _spoil(image, label, fault_of[index], rng)
            faults[case_id] = fault_of[index]
        geometry = _geometry(site)
        write_nifti(folder / "imagesTr" / f"{case_id}_0000.nii.gz", image, geometry)
        write_nifti(folder / "labelsTr" / f"{case_id}.nii.gz", label, geometry)
    write_json(
        folder / "dataset.json",
        {
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, **CLASSES},
            "numTraining": cases,
            "file_ending": ".nii.gz",
            "name": "Phantom",
            "description": f"synthetic abdomen made by aleaseg, seed {seed}; known faults in faults.json",
        },
    )
    write_json(folder / "faults.json", faults)
    return faults


def _spoil(image: NDArray, label: NDArray, fault: str, rng: Generator) -> tuple[NDArray, NDArray]:
    from aleaseg.corruption import images, masks

    what, _, name = fault.partition(":")
    if what == "mask":
        return image, masks.TRIAL[name](label, rng)
    return images.TRIAL[name](image[None], rng)[0], label


def _geometry(site: Site) -> Geometry:
    """Indices run to superior, posterior and left: nnU-Net's usual order of a CT."""
    from aleaseg.case import Geometry

    d, h, w = site.spacing_mm
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 1], affine[2, 0], affine[3, 3] = -w, -h, d, 1.0
    affine[:3, 3] = [w * SHAPE[2] / 2, h * SHAPE[1] / 2, -d * SHAPE[0] / 2]
    return Geometry(SHAPE, site.spacing_mm, affine)


# -- the phantom ----------------------------------------------------------------------------------


def phantom(rng: Generator, site: Site) -> tuple[NDArray, NDArray]:
    """One abdomen: image, int16 (D, H, W) in HU, and label map, uint8 (D, H, W), values as in `CLASSES`."""
    from scipy.ndimage import gaussian_filter

    space = _Space(rng, site)
    hu, inside, cavity = _body(space)
    label = np.zeros(SHAPE, np.uint8)
    _soft_organs(space, hu, cavity)
    _liver(space, hu, cavity, label)
    _kidneys(space, hu, label)
    _lungs(space, hu, cavity, label)
    _bones(space, hu, inside, label)
    hu = gaussian_filter(hu, site.kernel)  # partial volume and reconstruction kernel
    # CT noise is correlated within the slice, and stronger where more was absorbed.
    grain = gaussian_filter(rng.standard_normal(SHAPE), (0.0, 0.5, 0.5))
    absorbed = gaussian_filter((hu > -300).astype(float), (0, 6, 6))
    hu += grain / grain.std() * site.noise_hu * (0.4 + 0.8 * absorbed)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), label


class _Space:
    """Where each voxel lies in the body, in mm: x to the left, y to the back, z upwards."""

    def __init__(self, rng: Generator, site: Site) -> None:
        self.rng = rng
        size = rng.normal(1.0, 0.05)  # a smaller or larger person
        axes = [
            (np.arange(n) - (n - 1) / 2) * mm / size + rng.normal(0, 5)
            for n, mm in zip(SHAPE, site.spacing_mm, strict=True)
        ]
        z, y, x = np.meshgrid(*axes, indexing="ij")
        self.z: NDArray = z + self.field((3, 7, 7), 4.0)
        self.y: NDArray = y + self.field((3, 7, 7), 5.0)
        self.x: NDArray = x + self.field((3, 7, 7), 5.0)

    def field(self, smooth: tuple[float, ...], sd: float) -> NDArray:
        """A smooth random field of mean 0 with that sd; `smooth` in voxels."""
        from scipy.ndimage import gaussian_filter

        field = gaussian_filter(self.rng.standard_normal(SHAPE), smooth, mode="reflect")
        field = (field - field.mean()) * (sd / field.std())
        return np.asarray(field)

    def ball(self, centre: tuple[float, ...], radii: tuple[float, ...], vary: float = 0.07) -> NDArray:
        """Ellipsoid around (x, y, z): below 0 inside, 0 on its surface; centre and radii vary."""
        cx, cy, cz = (c + self.rng.normal(0, 4) for c in centre)
        rx, ry, rz = (r * np.exp(self.rng.normal(0, vary)) for r in radii)
        surface: NDArray = (
            np.sqrt(((self.x - cx) / rx) ** 2 + ((self.y - cy) / ry) ** 2 + ((self.z - cz) / rz) ** 2) - 1
        )
        return surface

    def tube(self, x: float, y: float, radius: float) -> NDArray:
        """Whether a voxel lies in a tube along z."""
        x, y = x + self.rng.normal(0, 2), y + self.rng.normal(0, 2)
        inside: NDArray = (self.x - x) ** 2 + (self.y - y) ** 2 < radius**2
        return inside


def _body(space: _Space) -> tuple[NDArray, NDArray, NDArray]:
    """HU of air, skin, fat, muscle and the fat of the cavity; how far inside; the cavity."""
    rng = space.rng
    wide, deep = rng.normal(143, 5), rng.normal(101, 5)
    outline = ((np.abs(space.x) / wide) ** 2.3 + (np.abs(space.y) / deep) ** 2.3) ** (1 / 2.3)
    inside = (1 - outline) * deep  # mm below the skin, roughly
    fat = np.exp(rng.normal(np.log(11), 0.25)) + np.clip(-space.y, 0, None) * 0.03
    hu = np.full(SHAPE, -1000.0)
    table = np.abs(space.y + 0.0012 * space.x**2 - deep - 10) < 2.5
    hu[table & (inside < 0)] = -350
    hu[inside > 0] = -100 + space.field((1, 2, 2), 6)[inside > 0]
    hu[(inside > 0) & (inside < 2)] = 0
    muscle = inside > fat
    hu[muscle] = 52 + space.field((1, 1, 1), 8)[muscle]
    cavity = (inside > fat + 8) & ~((np.abs(space.x) < 55) & (space.y > 48))
    hu[cavity] = -95 + space.field((1, 1, 1), 10)[cavity]
    return hu, inside - fat, cavity


def _soft_organs(space: _Space, hu: NDArray, cavity: NDArray) -> None:
    """Bowel, stomach, spleen, pancreas: unlabelled, there to be told from the labelled."""
    bowel = space.field((1.6, 2.2, 2.2), 1.0)
    wall = cavity & (space.z < 15) & (bowel > -0.15) & (space.y < 40)
    hu[wall] = 38 + space.field((1, 1, 1), 12)[wall]
    hu[wall & (bowel > 1.5)] = -550
    pancreas = space.ball((15, 5, 5), (55, 12, 13))
    hu[cavity & (pancreas < 0)] = 85 + space.field((1, 1, 1), 8)[cavity & (pancreas < 0)]
    spleen = cavity & (space.ball((88, 30, 28), (28, 42, 42)) < 0)
    hu[spleen] = space.rng.normal(125, 8) + space.field((1, 1, 1), 4)[spleen]
    stomach = space.ball((62, -35, 32), (46, 38, 40))
    filled = cavity & (stomach < 0)
    hu[filled] = 25 + space.field((1, 1, 1), 10)[filled]
    hu[filled & (stomach < -0.12) & (space.y < -48)] = -900  # air rises
    hu[filled & (stomach > -0.1)] = 70
    for x, y, radius, level in ((12, 38, 11, 175), (-22, 30, 12, 130)):  # aorta, vena cava
        hu[space.tube(x, y, radius)] = space.rng.normal(level, 10)


def _liver(space: _Space, hu: NDArray, cavity: NDArray, label: NDArray) -> None:
    rng = space.rng
    right = space.ball((-62, -2, 28), (72, 76, 66))
    left = space.ball((8, -50, 38), (62, 30, 34))
    # A smooth union of two lobes, its surface a little uneven.
    surface = -np.logaddexp(-8 * right, -8 * left) / 8 + space.field((1.5, 2, 2), 0.03)
    liver = cavity & (surface < 0) & ~(space.ball((-20, 32, 0), (34, 30, 200)) < 0)
    level = rng.normal(108, 7)
    hu[liver] = level + space.field((1, 1, 1), 5)[liver]
    vessels = np.abs(space.field((2.5, 3, 3), 1.0)) + np.abs(space.field((2.5, 3, 3), 1.0))
    hu[liver & (vessels < 0.16)] = level + 50
    label[liver] = CLASSES["liver"]
    home = np.argwhere(liver & (surface < -0.22))
    for _ in range(int(rng.integers(1, 4))):
        place = tuple(home[rng.integers(len(home))])
        centre = (space.x[place], space.y[place], space.z[place])
        radius = rng.uniform(13, 26)
        edge = space.ball(centre, (radius, radius, radius), vary=0.15) + space.field((1, 1, 1), 0.08)
        lesion = liver & (edge < 0)
        hu[lesion] = rng.normal(30, 7) + space.field((1, 1, 1), 6)[lesion]
        hu[lesion & (edge < -0.6)] -= 18  # necrosis
        label[lesion] = CLASSES["lesion"]


def _kidneys(space: _Space, hu: NDArray, label: NDArray) -> None:
    for name, side, height in (("kidney_right", -1, -26), ("kidney_left", 1, -16)):
        # Leaning outwards at the lower pole, with a notch towards the spine.
        lean = space.x + side * 0.25 * (space.z - height)
        upright, space.x = space.x, lean
        edge = space.ball((side * 62, 48, height), (25, 24, 50))
        space.x = upright
        notch = space.ball((side * 40, 42, height), (14, 12, 16))
        kidney = (edge < 0) & (notch > 0)
        around = (edge < 0.35) & (label == 0) & (hu > -300)
        hu[around] = -98  # perirenal fat
        hu[kidney] = space.rng.normal(185, 10) + space.field((1, 1, 1), 6)[kidney]
        hu[kidney & (edge < -0.38)] = 125
        hu[kidney & (edge < -0.72)] = 10  # sinus
        label[kidney] = CLASSES[name]


def _lungs(space: _Space, hu: NDArray, cavity: NDArray, label: NDArray) -> None:
    """Lung bases around the domes; the recesses reach lower at the back."""
    from scipy.ndimage import binary_dilation

    base = space.rng.normal(60, 5) - 0.25 * np.clip(space.y, 0, None) - 0.08 * np.abs(space.x)
    lung = cavity & (space.z > base) & ~binary_dilation((label > 0) | ((hu > 90) & cavity))
    lung &= np.abs(space.x) > 28
    hu[lung] = -830 + space.field((1, 1, 1), 25)[lung]


def _bones(space: _Space, hu: NDArray, inside: NDArray, label: NDArray) -> None:
    disc = np.mod(space.z + space.rng.uniform(0, 34), 34) < 7
    spine = np.sqrt((space.x / 24) ** 2 + ((space.y - 66) / 17) ** 2)
    vertebra = (spine < 1) & ~disc
    hu[spine < 1] = 75
    hu[vertebra] = 210 + space.field((1, 1, 1), 30)[vertebra]
    hu[vertebra & (spine > 0.82)] = 480
    hu[(space.x**2 + (space.y - 88) ** 2) < 64] = 25  # canal
    spinous = (np.abs(space.x) < 5) & (space.y > 95) & (inside > -4) & ~disc
    hu[spinous] = 420
    # Ribs fall towards the front: rings of the body wall cut by slanting planes.
    slant = np.mod(space.z - 0.55 * space.y + 0.1 * np.abs(space.x), 32) < 9
    rib = (inside > 0.5) & (inside < 7.5) & slant & (np.abs(space.x) > 30) & (label == 0)
    rib &= space.z > -30 + 0.4 * (-space.y)
    hu[rib] = 380 + space.field((1, 1, 1), 60)[rib]
