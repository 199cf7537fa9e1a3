"""The paper's figures from finished cells (its Figure 3 is a diagram of the method).

1  cases of lowest and highest AUV      5  class maps by PCA and t-SNE, coloured by AUV
2  spectra of four cases                6  distributions of AUV, both inputs
4  contours where DUO differs           7  validation loss and pseudo-Dice
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from aleaseg.errors import AleasegError
from aleaseg.pages.figures import auv_histograms, spectra
from aleaseg.pages.files import write_if_changed
from aleaseg.pages.slices import case_pictures
from aleaseg.pages.svg import as_file
from aleaseg.pages.thumbnails import drawing
from aleaseg.reproduce.cells import Cell, Maps, Scores, Training
from aleaseg.reproduce.datasets import Prepared
from aleaseg.reproduce.drawing import histograms_svg, scatter_svg, spectra_svg
from aleaseg.reproduce.embedding import principal_plane, standardised, tsne_plane
from aleaseg.reproduce.grid import Grid
from aleaseg.reproduce.settings import ReproduceSettings
from aleaseg.reproduce.writing import write_page
from aleaseg.run import Run, read_json

__all__ = ["FIGURES", "figure_cells", "write_figures"]

FIGURES = "figures"
_GALLERY, _MOST_CLASSES = 4, 4
_Draw = Callable[["_Drawer"], dict[str, str]]
# The paper's number, what is in it, how to read it, and what draws it: file under figures/ -> what stands below.
_FIGURES: list[tuple[int, str, str, _Draw]] = []


def figure_cells(datasets: Sequence[Prepared], settings: ReproduceSettings) -> dict[str, Cell]:
    """What the figures are drawn from, by what for; of LiTS where it is there, else of the first data set."""
    data = next((one for one in datasets if one.name == "lits"), datasets[0])
    eye = settings.protocol.extractor
    return {
        "raw": Scores(data.name, eye, "raw"),
        "foreground": Scores(data.name, eye, "foreground"),
        "maps": Maps(data.name, eye, "foreground"),
        "plain": Training(data.name),
        "duo": Training(data.name, objective="duo"),
    }


@dataclass(frozen=True)
class _Drawer:
    cells: Mapping[str, Cell]
    data: Prepared
    grid: Grid

    @property
    def folder(self) -> Path:
        return self.grid.folder / "figures"

    def work(self, what: str) -> Path:
        """Of a finished cell."""
        cell = self.cells[what]
        if not self.grid.done(cell):
            raise AleasegError(f"{cell.name}: {self.grid.failed(cell) or 'not done yet'}")
        return self.grid.work(cell)

    def keep(self, name: str, svg: str) -> str:
        write_if_changed(self.folder / name, svg)
        return name


def _figure(number: int, title: str, caption: str) -> Callable[[_Draw], _Draw]:
    def known(draw: _Draw) -> _Draw:
        _FIGURES.append((number, title, caption, draw))
        return draw

    return known


def write_figures(
    cells: Mapping[str, Cell],
    datasets: Mapping[str, Prepared],
    grid: Grid,
    about: Mapping[str, str],
) -> Path:
    """Draw what can be drawn of `figure_cells` into figures/, and write figures.html, whose path is returned."""
    drawer = _Drawer(cells, datasets[cells["plain"].dataset], grid)
    drawn = []
    for number, title, caption, draw in _FIGURES:
        pictures, trouble = dict[str, str](), ""
        try:
            pictures = draw(drawer)
        except (AleasegError, ValueError) as error:
            trouble = " ".join(str(error).split())
        said: dict[str, Any] = {"number": number, "title": title, "caption": caption}
        drawn.append({**said, "pictures": pictures, "trouble": trouble})
    return write_page(grid.folder / "figures.html", data=drawer.data, figures=drawn, about=dict(about))


@_figure(
    1,
    "Cases of lowest and highest AUV",
    "Outlined: the mask. High AUV = uncertain, by the extractor's own maps.",
)
def _gallery(drawer: _Drawer) -> dict[str, str]:
    from aleaseg.readers import open_dataset

    run = Run(drawer.work("foreground"))
    ranked = run.cases.dropna(subset=["auv"]).sort_values(["auv", "case"], kind="stable")
    if not len(ranked):
        raise AleasegError("no case has an AUV")
    dataset = open_dataset(drawer.data.training)
    count = min(_GALLERY, len(ranked) // 2 or 1)
    found = {}
    for which, rows in (("lowest", ranked.head(count)), ("highest", ranked.tail(count)[::-1])):
        for place, row in enumerate(rows.to_dict("records"), start=1):
            case = dataset[row["case"]]
            image = case.read_image()
            label = None if case.read_label is None else case.read_label().array
            about = dataset.classes, dataset.ignore, dataset.is_ct
            pictures = case_pictures(image.array, image.geometry, label, None, *about)
            name = drawer.keep(f"figure1_{which}_{place}.svg", drawing(pictures["planes"][0]))
            found[name] = f"{which} {place}: {case.id}, AUV {row['auv']:.2f}"
    return found


@_figure(
    2,
    "Spectra of four cases",
    "Energies of the singular values of one class's map, of the cases whose spectrum falls fastest, second "
    "fastest, second slowest and slowest (by S). Dashed: where half of the energy is reached.",
)
def _spectra(drawer: _Drawer) -> dict[str, str]:
    run = Run(drawer.work("foreground"))
    target = drawer.data.target
    entry = next((one for one in spectra(run, run.scores) if one["class"] == target), None)
    if entry is None:
        raise AleasegError(f"fewer than four cases have a spectrum of {target}")
    svg = spectra_svg(f"{drawer.data.title}, {target}", entry["curves"])
    return {drawer.keep("figure2.svg", svg): target}


@_figure(
    4,
    "Contours where DUO differs most from the baseline",
    "Reference red, baseline blue, DUO orange; the cases that gain most and lose most. Chosen for that, they are "
    "no sample of the cases.",
)
def _contours(drawer: _Drawer) -> dict[str, str]:
    from aleaseg.evaluation import compare_evaluations, open_evaluation
    from aleaseg.evaluation.pictures import draw_pictures, largest_differences

    first, second = (open_evaluation(drawer.work(what) / "evaluation") for what in ("plain", "duo"))
    cases = compare_evaluations([first, second], ["baseline", "DUO"]).pairs[0].cases
    gains, losses = largest_differences(cases, _GALLERY)
    pictures, trouble = draw_pictures(first, second, cases[cases["case"].isin([*gains, *losses])])
    if not pictures:
        raise AleasegError(trouble or "the Dice of no case differs")
    found = {}
    for place, case in enumerate([*gains, *losses], start=1):
        one = pictures.get(case)
        if one is None or not one.svg:
            continue
        whole = as_file(ElementTree.fromstring(one.svg), ground=False)
        name = drawer.keep(f"figure4_{place}.svg", whole)
        found[name] = f"{case}, Dice {one.first:.3f} → {one.second:.3f}, {one.where}"
    return found


@_figure(
    5,
    "Class maps in a plane",
    "Each point is a case's class map, made small (16 voxels an edge) and standardised; coloured by its AUV. "
    "t-SNE starts from PCA with a fixed seed; distances between groups mean nothing in it.",
)
def _embedding(drawer: _Drawer) -> dict[str, str]:
    folder = drawer.work("maps")
    known = read_json(folder / "maps.json")
    maps = np.load(folder / "maps.npy")
    cases, classes = np.array(known["cases"]), np.array(known["classes"])
    scores = Run(drawer.work("foreground")).scores
    numbers = pd.to_numeric(scores["auv"], errors="coerce")
    auv = dict(zip(zip(scores["case"], scores["class"], strict=True), numbers, strict=True))
    found = {}
    for name in _shown_classes(drawer.data):
        rows = np.flatnonzero(classes == name)
        if len(rows) < 5:
            continue
        values = [float(auv.get((case, name), np.nan)) for case in cases[rows]]
        points = {"PCA": principal_plane(standardised(maps[rows])), "t-SNE": tsne_plane(maps[rows])}
        for how, plane in points.items():
            svg = scatter_svg(f"{name}, {how}", plane, values, list(cases[rows]))
            place = drawer.data.classes.index(name) + 1
            kept = drawer.keep(f"figure5_{place}_{how.lower().replace('-', '')}.svg", svg)
            found[kept] = f"{name}: {how} of {len(rows)} class maps"
    if not found:
        raise AleasegError("no class has five maps")
    return found


def _shown_classes(data: Prepared) -> list[str]:
    """All where they are few, else the first ones and the target."""
    first = list(data.classes[:_MOST_CLASSES])
    return first if data.target in first else [*first[:-1], data.target]


@_figure(
    6,
    "Distributions of AUV",
    "Both inputs, the entire case and one class; the range of each is that of its own training part.",
)
def _histograms(drawer: _Drawer) -> dict[str, str]:
    found = {}
    for what, said in (("raw", "raw input"), ("foreground", "input normalised by the mask")):
        run = Run(drawer.work(what))
        for entry in auv_histograms(run.cases, run.scores):
            name = entry["class"]
            if name and name != drawer.data.target:
                continue
            svg = histograms_svg(f"{said}, {name or 'entire case'}", entry)
            kept = drawer.keep(f"figure6_{what}_{'class' if name else 'entire'}.svg", svg)
            found[kept] = f"{said}, {name or 'entire case'}"
    if not found:
        raise AleasegError("no case has an AUV")
    return found


@_figure(
    7,
    "Validation loss and pseudo-Dice",
    "Of patches of the test part, the same in every epoch; nothing is chosen by them.",
)
def _curves(drawer: _Drawer) -> dict[str, str]:
    from aleaseg.training import compare_trainings

    trainings = {
        name: drawer.work(what) / "model" for name, what in (("baseline", "plain"), ("DUO", "duo"))
    }
    return {drawer.keep("figure7.svg", compare_trainings(trainings)): "baseline and DUO"}
