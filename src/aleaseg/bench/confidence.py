"""Which way to learn from confidences serves best: every way trained, every model held against every reference.

A row is a way to learn (`train --labels`), a column a reference: the voxels with q >= r, or q itself. All ways see
the same cases, folds, seeds, steps and networks, and each case is predicted by the model that held its group out.
A cell is one way from one seed without one fold:

    cells/WAY_SEED_FOLD/model/          the training, as `aleaseg train` leaves it
    cells/WAY_SEED_FOLD/metrics.csv     a row per case and class, as `aleaseg evaluate --at` measures it
    cells/WAY_SEED_FOLD/cell.json       the last file: where it is, the cell is done

Predictions are deleted when they are measured; `aleaseg predict cells/.../model DATASET --held-out` makes them anew.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aleaseg.bench.benching import machine
from aleaseg.bench.confidence_design import DESIGN, SIZES, Cell, Design, cells_of, make_design, size_rows
from aleaseg.bench.opening import FEWEST, usable
from aleaseg.bench.settings import ConfidenceSettings
from aleaseg.case import Dataset
from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.evaluation.columns import metric_columns, tolerances
from aleaseg.evaluation.measuring import Rules, failed_case, measure_case
from aleaseg.evaluation.predicted import find_predictions
from aleaseg.readers import open_dataset
from aleaseg.readers.splits import SPLITS, to_bytes
from aleaseg.run import Run, begin, write_aside, write_frame, write_json
from aleaseg.training import PredictSettings, TrainerSettings, predict, train
from aleaseg.work import Progress, map_cases, on_one_core

__all__ = ["run_confidence"]


def run_confidence(
    settings: ConfidenceSettings,
    out: Run,
    progress: Progress = lambda stage, done, total: None,
    *,
    command: str = "",
) -> Design:
    """Train every way, predict what it held out, and measure it at every reference.

    Killed and called again it goes on where it was, and so it does with more seeds. A way that cannot be learnt
    from this data is named in its cells, and the others go on.

    Args:
        settings: what is asked.
        out: where; new, empty, or begun with the same settings.
        progress: called with `compare`, cells done, of how many.
        command: as it was typed, for the page.

    Raises:
        UsageError: the arguments cannot work, or the folder was made with others.
        AleasegError: a disk is full, a GPU too small; what is finished is kept.
    """
    settings = settings.settled()
    dataset, left_out = _open(settings)
    begin(out.path, "confidence bench", {**settings.asked(), "seeds": settings.seeds}, free=("seeds",))
    folder = out.path.resolve()
    if not (folder / DESIGN).is_file():
        _settle(dataset, settings, left_out, folder)
    design = Design.read(folder / DESIGN)
    out.update_manifest(
        command=command,
        machine=machine(),
        dataset={"name": dataset.name, "classes": list(dataset.classes), "cases": len(design.groups)},
    )
    cells = cells_of(design, settings.numbers)
    todo = [cell for cell in cells if not cell.report(folder).is_file()]
    finished = len(cells) - len(todo)
    progress("compare", finished, len(cells))
    dataset = dataset.with_cases([case for case in dataset.cases if case.id in design.groups])
    work = partial(_fill, settings, folder, dataset, design)
    for done, _ in enumerate(map_cases(work, todo, device=settings.device), start=finished + 1):
        progress("compare", done, len(cells))
    return design


def _open(settings: ConfidenceSettings) -> tuple[Dataset, dict[str, str]]:
    """The usable cases of a data set with confidences, twins in one group; and why others are left out."""
    dataset, left_out = usable(open_dataset(settings.dataset, **settings.reading))
    if dataset.confidence is None:
        raise UsageError(
            f"{settings.dataset} states no confidences; expected confidencesTr/ beside labelsTr/, confidence/ beside "
            "images/, raters/CASE/RATER.nii.gz, npz/CASE.npz, or probseg files in BIDS"
        )
    labelled = [case for case in dataset.cases if case.has_label]
    if len(labelled) < FEWEST:
        raise UsageError(
            f"{settings.dataset} has {len(labelled)} usable cases; a bench needs at least {FEWEST}"
        )
    return dataset.with_cases(labelled), {case: why for case, why in left_out.items() if case}


def _settle(
    dataset: Dataset, settings: ConfidenceSettings, left_out: Mapping[str, str], folder: Path
) -> None:
    """What is compared, written before anything is trained; the design comes last."""
    import pandas as pd

    design, sizes = make_design(dataset, settings, left_out)
    every = {case for fold in design.folds for case in fold}
    splits = [{"train": sorted(every - set(fold)), "val": list(fold)} for fold in design.folds]
    write_aside(folder / SPLITS, to_bytes(splits))
    write_frame(folder / SIZES, pd.DataFrame(size_rows(design, sizes)))
    design.write(folder / DESIGN)


def _fill(settings: ConfidenceSettings, out: Path, dataset: Dataset, design: Design, cell: Cell) -> None:
    """One cell, from wherever it was left."""
    import torch

    torch.set_num_threads(1)
    with on_one_core():
        try:
            try:
                found = _trained_and_measured(settings, out, dataset, design, cell)
            except SettingsDiffer:
                # Begun where the bench's folder lay before, or by another aleaseg: done anew.
                shutil.rmtree(cell.folder(out))
                found = _trained_and_measured(settings, out, dataset, design, cell)
        except UsageError as error:  # this way cannot be learnt from these cases
            found = {"failed": str(error)}
    about = {"row": cell.row, "seed": cell.seed, "fold": cell.fold}
    write_json(cell.report(out), {**about, **found})


def _trained_and_measured(
    settings: ConfidenceSettings, out: Path, dataset: Dataset, design: Design, cell: Cell
) -> dict[str, Any]:
    """What there is to tell of a cell; its metrics.csv is written."""
    import pandas as pd

    folder = cell.folder(out)
    begun = time.process_time()
    trained = train(_training(settings, design.steps, out, cell), folder / "model")
    fitted = time.process_time()
    asked = PredictSettings(folder / "model", settings.dataset, probabilities=True, device=settings.device)
    held = [dataset[case] for case in design.folds[cell.fold]]
    predicted = predict(asked, folder / "predictions", cases=held)
    told = time.process_time()
    # Distances take most of the time, and no table has them.
    rules = Rules(
        dataset.with_cases(()), tolerances("1", list(dataset.classes)), at=design.at, surfaces=False
    )
    files = find_predictions(folder / "predictions", held).files
    rows = [
        row
        for case in held
        for row in (
            measure_case(case, files[case.id], rules)
            if case.id in files
            else failed_case(
                case.id, case.group, predicted.failed.get(case.id, trained.failed.get(case.id, "")), rules
            )
        )[0]
    ]
    write_frame(folder / "metrics.csv", pd.DataFrame(rows).reindex(columns=metric_columns(design.at)))
    shutil.rmtree(folder / "predictions")
    report = Run(folder / "model").manifest["report"]
    return {
        "steps": report["steps"],
        "loss": report["loss"],
        "batch": trained.model.plan.schedule.batch,
        "patch": list(trained.model.plan.preprocessing.grid.patch),
        "n_train": len(trained.model.plan.train),
        "train_seconds": round(fitted - begun, 1),
        "predict_seconds": round(told - fitted, 1),
        "measure_seconds": round(time.process_time() - told, 1),
    }


def _training(settings: ConfidenceSettings, steps: int, out: Path, cell: Cell) -> TrainerSettings:
    """The same for every way but for the way."""
    return TrainerSettings(
        dataset=settings.dataset,
        **settings.reading,
        **{
            name: getattr(settings, name) for name in ("network", "size", "patch", "batch", "learning_rate")
        },
        labels=cell.row,
        split=out / SPLITS,
        fold=cell.fold,
        epochs=1,  # looked at once: the last weights count, and nothing is chosen by the cases held out
        steps=steps,
        seed=cell.seed,
        device=settings.device,
    )
