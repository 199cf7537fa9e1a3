"""Is taught uncertainty better than what is read off a softmax? EDL and SURE beside entropy, dropout, ensembles.

    python benchmarks/sure.py DATA OUT [--data acdc busi] [--steps 500] [--commit]

DATA holds Dataset027_ACDC and busi_256 (see benchmarks/detection.md). Everything goes through the verbs train,
predict and evaluate; what is finished in OUT is not done again, so that the command can be killed and gone on
with. Patients (BUSI: pictures) are trained on or tested, never both; the last weights count, so the test part
decides nothing. `--commit` writes benchmarks/sure.md from what is finished.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from aleaseg.evaluation import EvaluationSettings, evaluate, open_evaluation
from aleaseg.evaluation.evaluation import Evaluation
from aleaseg.metrics.paired import repeated_difference
from aleaseg.training import PredictSettings, TrainerSettings, predict, train
from page import replace_between
from sure_data import DATA

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
PATIENT = r"(patient\d+|benign_\d+|malignant_\d+)"


@dataclass(frozen=True)
class Method:
    """How uncertainty is had.

    Attributes:
        objective: what is made small.
        more: further settings of the training.
        members: networks of an ensemble.
        asked: further settings of the prediction.
    """

    objective: str = "plain"
    dropout: float = 0.0
    members: int = 1
    passes: int = 0
    flips: bool = False


METHODS = {
    "entropy": Method(),
    "dropout": Method(dropout=0.1, passes=5),
    "ensemble": Method(members=len(SEEDS)),  # one: its members are the networks of all seeds
    "edl": Method("edl"),
    "sure": Method("sure"),
}
ALONE = {
    "sure2025": Method("sure2025"),
    "gradient": Method("sure:gamma=0"),
    "level": Method("sure:beta=0:distance=0:far=0"),
    "distance": Method("sure:beta=0:level=0:far=0"),
    "far": Method("sure:beta=0:level=0:distance=0"),
}
# In voxels, as large as the heart; as most lesions.
PATCH = {"acdc": 64, "busi": 96}
STEPS = {"acdc": 1000, "busi": 600}
MEASURES = ("dice", "hd95_mm", "ece", "ueo", "mean_uncertainty")
CUES = ("ur_gradient", "ucc_gradient", "ur_distance", "ucc_distance", "ur_noise", "ucc_noise")


@dataclass(frozen=True)
class Study:
    """One data set of the comparison."""

    name: str
    data: Path
    out: Path

    @property
    def steps(self) -> int:
        """Of each training."""
        return STEPS[self.name]

    def seeds(self, method: Method) -> tuple[int, ...]:
        """Those of the networks; an ensemble takes them all."""
        return SEEDS[:1] if method.members > 1 else SEEDS

    @property
    def dataset(self) -> Path:
        """Made once."""
        folder = self.out / self.name / "data"
        if not (folder / "dataset.json").is_file():
            DATA[self.name](self.data, folder)
        return folder

    def run(self) -> None:
        """Whatever is not finished."""
        for level in (0.0, *LEVELS):
            for name, method in METHODS.items():
                for seed in self.seeds(method):
                    self.evaluation(name, method, seed, level)

    def model(self, objective: str, seed: int, dropout: float) -> Path:
        """A training, finished."""
        label = f"{objective.replace(':', '_')}{f'_drop{dropout:g}' if dropout else ''}"
        folder = self.out / self.name / "models" / f"{label}_{seed}"
        if not (folder / "model.safetensors").is_file():
            print("train", folder.name, flush=True)
        settings = TrainerSettings(
            str(self.dataset),
            network="small",
            objective=objective,
            dropout=dropout,
            split=str(self.dataset / "splits_final.json"),
            steps=self.steps,
            patch=(PATCH[self.name],) * 2,
            epochs=2,
            batch=8,
            learning_rate=5e-3,
            seed=seed,
            device="cpu",
        )
        train(settings, folder, announce=lambda text: print("  ", text, flush=True))
        return folder

    def evaluation(self, name: str, method: Method, seed: int, level: float) -> Evaluation:
        """Of one method from one seed, on images with so much noise; the clean one knows the cues."""
        models = [
            self.model(method.objective, seed + member, method.dropout) for member in range(method.members)
        ]
        found: dict[float, Path] = {}
        for one in (0.0, 0.1, 0.3, 0.9) if level == 0 else (level,):
            found[one] = self.out / self.name / "predictions" / f"{name}_{seed}_{one:g}"
            asked = PredictSettings(
                str(models[0]),
                str(self.dataset),
                probabilities=True,
                held_out=True,
                members=tuple(map(str, models[1:])),
                passes=method.passes,
                flips=method.flips,
                noise=(0.0, one) if one else None,
                device="cpu",
            )
            if not (
                self.out / self.name / "evaluations" / f"{name}_{seed}_{level:g}" / "summary.md"
            ).is_file():
                predict(asked, found[one])
        settings = EvaluationSettings(
            str(self.dataset),
            str(found[level]),
            groups=PATIENT,
            only_predicted=True,
            **(
                {
                    "cues": "gradient,distance,noise",
                    "noisy": tuple(str(found[one]) for one in (0.1, 0.3, 0.9)),
                }
                if level == 0
                else {}
            ),
        )
        return _evaluated(settings, self.out / self.name / "evaluations" / f"{name}_{seed}_{level:g}")


def _evaluated(settings: EvaluationSettings, out: Path) -> Evaluation:
    if (out / "summary.md").is_file():
        return open_evaluation(out)
    print("evaluate", out.name, flush=True)
    return evaluate(settings, out, workers=1)


def mean(found: Evaluation, measure: str) -> float:
    """Over cases, all classes together."""
    if measure in ("mean_uncertainty", "boundary_uncertainty"):
        return float(found.cases[measure].mean())
    rows = found.summary
    row = rows[(rows["metric"] == measure) & (rows["class"] == "all")]
    return float(row["mean"].iloc[0]) if len(row) else float("nan")


_FORMS = {"hd95_mm": ".1f", "ece": ".4f"}
_HEADS = {
    "dice": "Dice",
    "hd95_mm": "HD95, px",
    "ece": "ECE",
    "ueo": "UEO",
    "mean_uncertainty": "mean u",
    "ur_gradient": "UR gradient",
    "ucc_gradient": "UCC gradient",
    "ur_distance": "UR distance",
    "ucc_distance": "UCC distance",
    "ur_noise": "UR noise",
    "ucc_noise": "UCC noise",
}


def finished(study: Study, name: str, level: float) -> list[Evaluation]:
    """Those of a method's seeds that are done."""
    found = []
    for seed in study.seeds(METHODS[name]):
        folder = study.out / study.name / "evaluations" / f"{name}_{seed}_{level:g}"
        if (folder / "summary.md").is_file():
            found.append(open_evaluation(folder))
    return found


def clean_table(study: Study, names: Iterable[str]) -> Iterator[str]:
    """Every measure of clean images, the seeds one after the other."""
    yield f"| | {' | '.join(_HEADS[one] for one in (*MEASURES, *CUES))} |"
    yield "|---|" + "---|" * len((*MEASURES, *CUES))
    for name in names:
        found = finished(study, name, 0.0)
        cells = (
            ", ".join(format(mean(one, measure), _FORMS.get(measure, ".3f")) for one in found)
            for measure in (*MEASURES, *CUES)
        )
        yield f"| {name} | {' | '.join(cells)} |"


def noisy_table(study: Study, names: Iterable[str]) -> Iterator[str]:
    """Dice, ECE, UEO and mean u by the level of noise, means over seeds."""
    yield "| | sigma | Dice | HD95, px | ECE | UEO | mean u |"
    yield "|---|---|---|---|---|---|---|"
    for name in names:
        for level in (0.0, *LEVELS):
            found = finished(study, name, level)
            if not found:
                continue
            cells = (
                format(np.mean([mean(one, measure) for one in found]), _FORMS.get(measure, ".3f"))
                for measure in MEASURES
            )
            yield f"| {name} | {level:g} | {' | '.join(cells)} |"


def differences(study: Study, first: str, second: str) -> Iterator[str]:
    """The second less the first, clean and at each level of noise, claimed where all seeds agree."""
    over = "patients" if study.name == "acdc" else "pictures"
    yield f"**{second} less {first}** (difference, 95% interval over {over}, sign of each seed)"
    yield ""
    yield f"| sigma | {' | '.join(_HEADS[one] for one in (*MEASURES[:-1], *CUES))} |"
    yield "|---|" + "---|" * len((*MEASURES[:-1], *CUES))
    for level in (0.0, *LEVELS):
        cells = []
        for measure in (*MEASURES[:-1], *CUES):
            if level and measure in CUES:
                cells.append("")
                continue
            both = [finished(study, name, level) for name in (first, second)]
            if not all(len(one) in (1, len(SEEDS)) for one in both):
                cells.append("")
                continue
            cases = [[one.cases for one in found] for found in both]
            group = cases[0][0]["group"].to_numpy()
            values = [
                np.stack([one[measure].to_numpy(dtype=float) for one in found * (len(SEEDS) // len(found))])
                for found in cases
            ]
            gap, form = repeated_difference(*values, group), "+" + _FORMS.get(measure, ".3f")
            said = f"{gap.difference:{form}} ({gap.low:{form}} to {gap.high:{form}}) {gap.signs}"
            cells.append(f"**{said}**" if gap.claim != "no claim" else said)
        yield f"| {level:g} | {' | '.join(cells)} |"
    yield ""


def page(studies: Sequence[Study]) -> str:
    """benchmarks/sure.md, but for what a person says of it."""
    lines = []
    for study in studies:
        parts = json.loads((study.dataset / "splits_final.json").read_text())[0]
        lines += [
            f"## {study.name}",
            "",
            f"{len(parts['train'])} pictures to train on, {len(parts['val'])} to test; {study.steps} steps of 8 "
            f"patches of {PATCH[study.name]} x {PATCH[study.name]}: short trainings. Numbers of the seeds "
            f"{', '.join(map(str, SEEDS))} in their order; the ensemble is one, of the three networks of `entropy`.",
            "",
            *clean_table(study, METHODS),
            "",
            "With noise, means over the seeds:",
            "",
            *noisy_table(study, METHODS),
            "",
            *differences(study, "edl", "sure"),
            *differences(study, "entropy", "sure"),
            *differences(study, "ensemble", "sure"),
            *differences(study, "entropy", "edl"),
        ]
    return "\n".join(lines)


def cost(repeats: int = 12) -> str:
    """What a step takes by objective: batch (with its maps) and step, in one process, in turns."""
    from aleaseg.training.augment import augmentation
    from aleaseg.training.batches import batch_at
    from aleaseg.training.copies import copy_of, write_copy
    from aleaseg.training.grid import WorkingGrid
    from aleaseg.training.objectives import make_objective, settings_of
    from aleaseg.training.plan import NetworkPlan
    from aleaseg.training.preprocessing import Preprocessing
    from aleaseg.training.schedule import Schedule

    torch.set_num_threads(1)
    lines = [
        "| network | patch | batch | plain, s | edl | sure | plain's batch, s | sure's batch |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, patch, batch in (("small", (64, 64), 8), ("unet", (128, 128), 8), ("small", (32, 64, 64), 2)):
        grid = WorkingGrid((1.0,) * len(patch), patch, (4,) * len(patch))
        network = NetworkPlan(name).build(Preprocessing(grid, [None], (1, 2, 3)), train=True)
        network.train()
        with tempfile.TemporaryDirectory() as folder:
            case = copy_of(Path(folder), "case")
            label = np.zeros(patch, np.uint8)
            inside = np.stack(np.indices(patch)).max(axis=0)
            label[(inside > min(patch) // 4) & (inside < min(patch) * 2 // 3)] = 1
            image = label[None] + np.random.default_rng(0).normal(0, 0.3, (1, *patch))
            write_copy(case, image.astype(np.float16), label)
            taken: dict[str, list[tuple[float, float]]] = {"plain": [], "edl": [], "sure": []}
            for step in range(repeats):
                for objective, times in taken.items():
                    loss = make_objective(settings_of(objective), network, (), 3)
                    begun = time.process_time()
                    made = batch_at(
                        step,
                        [case],
                        patch,
                        Schedule(99, batch),
                        augmentation("light", len(patch)),
                        loss.maps,
                    )
                    ready = time.process_time()
                    network.zero_grad()
                    loss(network, replace(made, progress=0.5)).backward()
                    times.append((ready - begun, time.process_time() - ready))
        median = {one: np.median(times[1:], axis=0) for one, times in taken.items()}
        plain = median["plain"]
        lines.append(
            f"| {name} | {' x '.join(map(str, patch))} | {batch} | {plain[1]:.3f} | {median['edl'][1] / plain[1]:.2f}x "
            f"| {median['sure'][1] / plain[1]:.2f}x | {plain[0]:.3f} | {median['sure'][0] / plain[0]:.2f}x |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA), dest="names")
    parser.add_argument("--tables", action="store_true", help="of what is finished, and no more")
    parser.add_argument("--cost", action="store_true", help="measure the cost of a step, and no more")
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    studies = [Study(name, given.data.resolve(), given.out.resolve()) for name in given.names]
    if given.cost:
        text = cost()
        print(text)
        if given.commit:
            replace_between(HERE / "sure.md", "cost", text)
        return
    if not given.tables:
        for study in studies:
            study.run()
    text = page(studies)
    print(text)
    if given.commit:
        replace_between(HERE / "sure.md", "tables", text + "\n")


if __name__ == "__main__":
    main()
