"""What is done in a cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from aleaseg.auditing.beginning import begin_audit
from aleaseg.auditing.eye import choose_eye
from aleaseg.auditing.settings import AuditSettings
from aleaseg.errors import AleasegError, UsageError
from aleaseg.extractors import extractor_class
from aleaseg.readers.splits import read_splits, to_bytes
from aleaseg.reproduce.cells import Cell, Maps, Scores, Subset, Training
from aleaseg.reproduce.datasets import Prepared
from aleaseg.reproduce.grid import Grid
from aleaseg.reproduce.settings import ReproduceSettings
from aleaseg.run import Run, now, read_table, write_aside, write_json
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.selection.cutting import Cut
from aleaseg.work import Progress, choose_device, elsewhere, map_cases

if TYPE_CHECKING:
    from pathlib import Path

    from aleaseg.training import Trained, TrainerSettings

__all__ = ["Worker", "kept_at_random", "kept_cases"]

_SIDE = 16


@dataclass(frozen=True)
class Worker:
    """What does cells.

    Attributes:
        grid: their state.
        settings: what is asked.
        datasets: by name.
        accept_licence: of restricted weights.
        progress: called with stage, done, total.
    """

    grid: Grid
    settings: ReproduceSettings
    datasets: Mapping[str, Prepared]
    accept_licence: bool = False
    progress: Progress = lambda stage, done, total: None

    def __call__(self, cell: Cell) -> dict[str, Any]:
        """Do a cell; what is begun goes on.

        Raises:
            AleasegError: it cannot be done.
        """
        if isinstance(cell, Scores):
            return self._scores(cell)
        return self._maps(cell) if isinstance(cell, Maps) else self._training(cell)

    # -- eyes -------------------------------------------------------------------------------------

    def _audit_settings(self, cell: Scores | Maps) -> AuditSettings:
        task = extractor_class(cell.eye).traits.predictions
        return AuditSettings(
            self.datasets[cell.dataset].training,
            extractor=cell.eye,
            normalize=cell.normalize,
            steps=self.settings.protocol.crossfit_steps if task else None,
            groups=self.settings.groups,
            device=self.settings.device,
            measures="all" if task else "default",
            accept_licence=self.accept_licence,
        )

    def _scores(self, cell: Scores) -> dict[str, Any]:
        from aleaseg.auditing.running import run_audit
        from aleaseg.readers import open_dataset
        from aleaseg.scoring import score_cases, write_tables

        run, settings = Run(self.grid.work(cell)), self._audit_settings(cell)
        if extractor_class(cell.eye).traits.predictions:
            troubles = run_audit(settings, run, progress=self.progress, page=False).troubles
        else:
            dataset = open_dataset(settings.dataset, groups=settings.groups)
            eye = choose_eye(settings, dataset, None).open(dataset, None)
            begin_audit(run, settings, dataset)
            troubles = score_cases(
                run, dataset, eye, {}, progress=lambda done, total: self.progress("score", done, total)
            )
            write_tables(run, list(dataset.classes))
            run.update_manifest(finished=now())
        cases = run.cases
        known = int(cases["auv"].notna().sum())
        if not known:
            some = next(iter(troubles.values()), "fewer than 20 cases could be measured")
            raise AleasegError(f"no case of {cell.dataset} has an AUV through {cell.eye}: {some}")
        return {"cases": len(cases), "with_auv": known, "troubles": dict(list(troubles.items())[:20])}

    def _maps(self, cell: Maps) -> dict[str, Any]:
        """Every class map in 16 voxels an edge, as float32: what Figure 5 embeds."""
        from aleaseg.extractors import ClassMap
        from aleaseg.readers import open_dataset

        settings = self._audit_settings(cell)
        if elsewhere() is not None:  # maps are made here, and the GPUs are there
            settings = replace(settings, device="cpu")
        dataset = open_dataset(settings.dataset, groups=settings.groups)
        eye = choose_eye(settings, dataset, None).open(dataset, None)
        cases, classes, rows = list[str](), list[str](), list[np.ndarray]()
        troubles = {}
        for done, case in enumerate(dataset.cases, start=1):
            try:
                for found in eye.class_maps(case):
                    if isinstance(found, ClassMap):
                        cases.append(case.id)
                        classes.append(found.name)
                        rows.append(_small(found.values))
            except AleasegError as error:
                troubles[case.id] = str(error)
            self.progress("score", done, len(dataset.cases))
        if not rows:
            raise AleasegError(f"{cell.eye} gave no class map of {cell.dataset}")
        folder = self.grid.work(cell)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "maps.npy", np.stack(rows))
        write_json(folder / "maps.json", {"cases": cases, "classes": classes})
        return {"maps": len(rows), "troubles": dict(list(troubles.items())[:20])}

    # -- trainings --------------------------------------------------------------------------------

    def _training(self, cell: Training) -> dict[str, Any]:
        from aleaseg.evaluation import EvaluationSettings, evaluate
        from aleaseg.training import PredictSettings, predict

        data, folder = self.datasets[cell.dataset], self.grid.work(cell)
        fold = read_splits(data.split)[0]
        kept = fold["train"] if cell.cut is None else self._kept(cell, fold["train"])
        split = folder / "split.json"
        if not split.is_file():
            write_aside(split, to_bytes([{"train": kept, "val": fold["val"]}]))
        trained = self._train(self._asked(cell, split), folder / "model")
        predicted = predict(
            PredictSettings(
                str(trained.model.path.resolve()),
                str(data.whole.resolve()),
                held_out=True,
                device=self.settings.device,
            ),
            folder / "predictions",
            progress=self.progress,
        )
        found = evaluate(
            EvaluationSettings(
                reference=str(data.whole.resolve()),
                predictions=str(predicted.path.resolve()),
                groups=self.settings.groups,
                only_predicted=True,
            ),
            folder / "evaluation",
            progress=self.progress,
        )
        summary = found.summary
        numbers = {
            metric: {
                str(row["class"]): row["mean"]
                for row in summary[summary["metric"] == metric].to_dict("records")
                if row["class"] in data.classes
            }
            for metric in ("dice", "iou")
        }
        used = trained.model.plan.train
        return {
            **numbers,
            "train": len(used),
            "left_out": len(fold["train"]) - len(kept),
            "test": len(found.cases) - len(found.errors),
            "steps": trained.model.plan.schedule.steps,
            "fit_seconds": sum(row["seconds"] for row in trained.rows),
            "device": choose_device(self.settings.device, here=False),
            "troubles": [*trained.failed.values(), *predicted.failed.values(), *found.errors.values()][:20],
        }

    def _train(self, asked: TrainerSettings, model: Path) -> Trained:
        """Here, or as the one item of a map where somebody else has the devices."""
        from aleaseg.training import train

        if elsewhere() is not None:
            device = choose_device(asked.device, here=False)
            for _ in map_cases(partial(_train_there, model.resolve()), [asked], device=device):
                pass
            asked = replace(asked, device="cpu")  # it is finished, and only opened
        return train(asked, model, progress=self.progress)

    def _asked(self, cell: Training, split: Path) -> TrainerSettings:
        from aleaseg.training import TrainerSettings

        data, protocol = self.datasets[cell.dataset], self.settings.protocol
        return TrainerSettings(
            dataset=str(data.whole.resolve()),
            preset=protocol.trainer,
            network=cell.network,
            size=protocol.size,
            objective=self._objective(cell),
            split=str(split.resolve()),
            steps=protocol.steps,
            patch=self._patch(data),
            batch=protocol.batch,
            groups=self.settings.groups,
            device=self.settings.device,
            seed=cell.seed,
        )

    def _patch(self, data: Prepared) -> tuple[int, ...] | None:
        from aleaseg.readers import open_dataset

        patches = self.settings.protocol.patch
        if not patches:
            return None
        return patches[len(open_dataset(data.whole).cases[0].read_geometry().shape)]

    def _kept(self, cell: Training, cases: Sequence[str]) -> list[str]:
        assert cell.cut is not None
        if cell.cut.by == "random":
            return kept_at_random(cases, cell.cut)
        run = Run(self.grid.work(Scores(cell.dataset, cell.cut.eye, cell.cut.normalize)))
        return kept_cases(run, cell.cut, cases)

    def _objective(self, cell: Training) -> str:
        """Static weights as numbers: by S of the training part, or by its voxels."""
        if not cell.objective.startswith("static_"):
            return cell.objective
        from aleaseg.losses import frequency_weights, scale_weights

        run = Run(self.grid.work(Scores(cell.dataset, cell.eye, "foreground")))
        scores = run.scores.groupby("class", sort=False)
        classes = self.datasets[cell.dataset].classes
        if cell.objective == "static_s":
            means = scores["perception_scale"].mean()
            weights = scale_weights([float(means[name]) for name in classes])
        else:
            volumes = scores["volume_mm3"].sum()
            weights = frequency_weights([float(volumes[name]) for name in classes])
        return "rw:weights=" + ",".join(f"{float(weight):.6g}" for weight in weights)


def kept_cases(run: Run, cut: Subset, cases: Sequence[str]) -> list[str]:
    """What a cut leaves, in the order of `cases`; a case without a score stays.

    Raises:
        UsageError: no case has the score.
    """
    badness = {case: value for case, value in _badness(run, cut).items() if case in set(cases)}
    if not badness:
        what = f"{cut.by} of {cut.target}" if cut.target else cut.by
        raise UsageError(f"no case of {run.path} has a {what} to cut by")
    dropped, _ = Cut(cut.keep, None, None).apply(badness)
    return [case for case in cases if case not in dropped]


def _train_there(model: Path, asked: TrainerSettings) -> None:
    from aleaseg.training import train

    train(asked, model)


def kept_at_random(cases: Sequence[str], cut: Subset) -> list[str]:
    """As many as the cut by a score keeps where no two scores are equal: ceil(p N).

    >>> len(kept_at_random([f"c{n}" for n in range(105)], Subset("random", 0.95, lot=1)))
    100
    """
    seed = [cut.lot, crc32(f"{cut.keep:.4f}".encode())]
    # As the quantile counts: 0.95 * 20 is 19 and no bit more.
    count = math.ceil(round(cut.keep * len(cases), 9))
    kept = set(np.random.default_rng(seed).permutation(len(cases))[:count].tolist())
    return [case for place, case in enumerate(cases) if place in kept]


def _badness(run: Run, cut: Subset) -> dict[str, float]:
    """Case -> its score, high = bad."""
    table, column, sign = run.cases, cut.by, 1
    if cut.target:
        table, column = run.scores[run.scores["class"] == cut.target], "auv"
    elif cut.by != "auv":
        table, sign = read_table(run.path / "every_measure.csv"), MEASURES[cut.by].direction.sign
    known = table.dropna(subset=[column])
    return dict(zip(known["case"].astype(str), sign * known[column].astype(float), strict=True))


def _small(values: np.ndarray) -> np.ndarray:
    """A map on a fixed grid, as one row."""
    import torch

    grid = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    grid = torch.nan_to_num(grid)[None, None]
    size = (_SIDE,) * (grid.ndim - 2)
    small = torch.nn.functional.interpolate(grid, size, mode="area")
    found: np.ndarray = small.numpy().reshape(-1)
    return found
