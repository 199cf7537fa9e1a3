"""Contours over the slice where two predictions differ most: reference red, first blue, second orange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry
from aleaseg.errors import AleasegError
from aleaseg.evaluation.evaluation import Evaluation
from aleaseg.evaluation.predicted import find_predictions, read_predicted
from aleaseg.evaluation.reference import Reference, open_reference
from aleaseg.pages.contours import outline
from aleaseg.pages.overlay import overlay_png
from aleaseg.pages.places import Maps, places
from aleaseg.pages.planes import planes_through
from aleaseg.pages.slices import as_volume, focus, grey_png, shown_window
from aleaseg.pages.svg import as_text, element, inline

__all__ = ["Picture", "contour_svg", "draw_pictures", "largest_differences"]

_LONGEST = 360.0


@dataclass(frozen=True)
class Picture:
    """A case, drawn.

    Attributes:
        case: its id.
        first, second: mean Dice of each prediction.
        difference: second less first.
        where: such as `axial, slice 12 of 34`.
        svg: the drawing; empty where there is none.
        trouble: why there is none.
    """

    case: str
    first: float
    second: float
    difference: float
    where: str
    svg: str
    trouble: str = ""


def largest_differences(cases: pd.DataFrame, most: int = 4) -> tuple[list[str], list[str]]:
    """Ids of the cases that gain most, the largest first, and of those that lose most; none without a difference."""
    ranked = cases.dropna(subset=["difference"]).sort_values(["difference", "case"], kind="stable")
    losses = ranked[ranked["difference"] < 0].head(most)
    gains = ranked[ranked["difference"] > 0][::-1].head(most)
    return list(gains["case"]), list(losses["case"])


def draw_pictures(
    first: Evaluation, second: Evaluation, cases: pd.DataFrame
) -> tuple[dict[str, Picture], str]:
    """Draw some rows of `Pair.cases`, contours of the first blue and of the second orange.

    Returns:
        Pictures by case, and in words why there are none, where the files have moved away.
    """
    asked = first.settings
    try:
        reference = open_reference(asked.reference, classes=asked.classes)
        found = [
            find_predictions(each.settings.predictions, reference.dataset.cases) for each in (first, second)
        ]
    except AleasegError as error:
        return {}, f"No pictures: {error}"
    pictures = {}
    for row in cases.to_dict("records"):
        case_id = str(row["case"])
        numbers = {"first": row["first"], "second": row["second"], "difference": row["difference"]}
        try:
            case = reference.dataset[case_id]
            where, svg = _drawn(case, reference, [each.files[case_id] for each in found])
            pictures[case_id] = Picture(case_id, **numbers, where=where, svg=svg)
        except (AleasegError, KeyError, OSError) as error:
            said = (
                " ".join(str(error).split()) if isinstance(error, AleasegError) else "its files have moved"
            )
            pictures[case_id] = Picture(case_id, **numbers, where="", svg="", trouble=said)
    return pictures, ""


def _drawn(case: Case, reference: Reference, files: Sequence) -> tuple[str, str]:
    dataset = reference.dataset
    assert case.read_label is not None
    voxels = case.read_label()
    label, geometry = voxels.array, voxels.geometry
    predicted = [read_predicted(each, case, dataset, geometry) for each in files]
    image = case.read_image().array if reference.pictured else None
    if image is not None and image.shape[1:] != label.shape:
        image = None
    return contour_svg(case.id, image, geometry, label, [each.labels for each in predicted], dataset)


def contour_svg(
    case_id: str,
    image: NDArray | None,
    geometry: Geometry,
    reference: NDArray,
    predicted: Sequence[NDArray],
    dataset: Dataset,
    over: NDArray | None = None,
    most: float = 1.0,
) -> tuple[str, str]:
    """The slice where two predictions differ most (or one and the reference), with the outlines of all classes.

    Args:
        case_id: for the drawing's name.
        image: (channel, *spatial); None: outlines alone, on a dark ground.
        geometry: of the spatial axes.
        reference: (*spatial) label values.
        predicted: of the first and of the second, likewise; or of one alone.
        dataset: classes and ignore label.
        over: (*spatial) a map to lie over the image, such as uncertainty; or None.
        most: the end of its scale.

    Returns:
        Where the slice lies, in words, and the drawing.
    """
    flat = reference.ndim == 2
    _, (image, over) = as_volume(geometry, image, over)
    geometry, (reference, *predicted) = as_volume(geometry, reference, *predicted)
    ignored = (
        np.zeros(reference.shape, dtype=bool) if dataset.ignore is None else reference == dataset.ignore
    )
    # What is not annotated is no difference.
    seen = [np.where(ignored, 0, each) for each in (reference, *predicted)]
    (place,) = places(Maps(reference.shape, geometry.spacing_mm, seen[-2], seen[-1]))
    plane = planes_through(place.voxel, geometry)[place.axis]
    rows, columns = plane.cut(reference).shape
    dy, dx = plane.spacing_mm
    x, y, width, height = focus(plane, seen) or (0, 0, columns, rows)
    drawn = []
    whole: dict[str, Any] = {"width": columns * dx, "height": rows * dy, "preserveAspectRatio": "none"}
    if image is not None:
        limits = shown_window(image[0], seen[0], dataset.is_ct)
        drawn.append(element("image", href=grey_png(plane.cut(image[0]), *limits), **whole))
    if over is not None:
        drawn.append(element("image", href=overlay_png(plane.cut(over), most), class_="over", **whole))
    for kind, array in zip(("reference", "first", "second"), seen, strict=False):
        cut = plane.cut(array)
        paths = "".join(outline(np.isin(cut, list(values))) for values in dataset.classes.values())
        if paths:
            lines = (element("path", d=paths, class_=style) for style in ("halo", "line"))
            # Paths count half voxels.
            scaled = f"scale({dx / 2:.6g} {dy / 2:.6g})"
            drawn.append(element("g", *lines, transform=scaled, class_=f"outline {kind}"))
    where = "" if flat else f"{plane.name}, slice {plane.index + 1} of {reference.shape[plane.axis]}"
    scale = _LONGEST / max(width * dx, height * dy)
    svg = inline(width * dx * scale, height * dy * scale, *drawn, label=f"{case_id}{where and ', '}{where}")
    svg.set("viewBox", f"{x * dx:g} {y * dy:g} {width * dx:g} {height * dy:g}")
    svg.set("class", "contours")
    return where, as_text(svg)
