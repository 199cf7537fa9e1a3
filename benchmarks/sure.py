"""Is taught uncertainty better than what is read off a softmax? EDL and SURE beside entropy, dropout, ensembles.

    python benchmarks/sure.py DATA OUT [--data acdc busi] [--steps 500] [--commit]

DATA holds Dataset027_ACDC and busi_256 (see benchmarks/detection.md). Everything goes through the verbs train,
predict and evaluate; what is finished in OUT is not done again, so that the command can be killed and gone on
with. Patients (BUSI: pictures) are trained on or tested, never both; the last weights count, so the test part
decides nothing. `--commit` writes benchmarks/sure.md from what is finished.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aleaseg.evaluation import EvaluationSettings, evaluate
from aleaseg.evaluation.evaluation import Evaluation
from aleaseg.readers.voxels import read_image, read_label, write_png
from aleaseg.training import PredictSettings, TrainerSettings, predict, train

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
PATIENT = r"(patient\d+|benign_\d+|malignant_\d+)"
# The first fold of the public code's split by disease group: four patients of each block of twenty.
ACDC_TEST = (4, 7, 11, 17, 24, 27, 31, 37, 44, 47, 51, 57, 64, 67, 71, 77, 84, 87, 91, 97)
TWICE = {"benign_433"}  # the same picture as malignant_145


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
    "flips": Method(flips=True),
    "dropout": Method(dropout=0.1, passes=8),
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
STEPS = {"acdc": 2400, "busi": 1200}
MEASURES = ("dice", "hd95_mm", "ece", "ueo", "uncertainty")
CUES = ("ur_gradient", "ucc_gradient", "ur_distance", "ucc_distance", "ur_noise", "ucc_noise")


def acdc(data: Path, out: Path) -> None:
    """Slices of the first frame of every patient; those of twenty patients are tested on."""
    test = {f"patient{number:03d}" for number in ACDC_TEST}
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    parts: dict[str, list[str]] = {"train": [], "val": []}
    for folder in ("imagesTr", "labelsTr"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for path in sorted((data / "Dataset027_ACDC" / "imagesTr").glob("*_0000.nii.gz")):
        case = path.name.removesuffix("_0000.nii.gz")
        held = case.split("_")[1] in test
        frame = int(case.split("frame")[1])
        if frame != 1:
            continue
        image = read_image([path], case).array[0]
        mask = read_label(data / "Dataset027_ACDC" / "labelsTr" / f"{case}.nii.gz", case).array
        low, high = np.percentile(image, [0.5, 99.5])
        grey = np.round(255 * np.clip((image - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)
        for number, (picture, label) in enumerate(zip(grey, mask, strict=True)):
            name = f"{case}_s{number:02d}"
            write_png(out / "imagesTr" / f"{name}_0000.png", picture)
            write_png(out / "labelsTr" / f"{name}.png", label.astype(np.uint8))
            parts["val" if held else "train"].append(name)
    _finish(out, labels, parts)


def busi(data: Path, out: Path) -> None:
    """The lesions; every fifth is tested on."""
    parts: dict[str, list[str]] = {"train": [], "val": []}
    for folder in ("imagesTr", "labelsTr"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    names = sorted(path.stem for path in (data / "busi_256" / "images").glob("*.png"))
    lesions = [name for name in names if not name.startswith("normal") and name not in TWICE]
    for number, name in enumerate(lesions):
        shutil.copy(data / "busi_256" / "images" / f"{name}.png", out / "imagesTr" / f"{name}_0000.png")
        mask = read_label(data / "busi_256" / "masks" / f"{name}.png", name).array
        write_png(out / "labelsTr" / f"{name}.png", (mask > 0).astype(np.uint8))
        parts["val" if number % 5 == 0 else "train"].append(name)
    _finish(out, {"background": 0, "lesion": 1}, parts)


def _finish(out: Path, labels: dict[str, int], parts: dict[str, list[str]]) -> None:
    about = {
        "channel_names": {"0": "grey"},
        "labels": labels,
        "numTraining": sum(map(len, parts.values())),
        "file_ending": ".png",
    }
    (out / "splits_final.json").write_text(json.dumps([parts]))
    (out / "dataset.json").write_text(json.dumps(about))  # last: where it is, the data set is whole


DATA: dict[str, Callable[[Path, Path], None]] = {"acdc": acdc, "busi": busi}


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
            epochs=6,
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
        for one in (0.0, *LEVELS) if level == 0 else (level,):
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
    from aleaseg.evaluation import open_evaluation

    if (out / "summary.md").is_file():
        return open_evaluation(out)
    print("evaluate", out.name, flush=True)
    return evaluate(settings, out, workers=1)


def mean(found: Evaluation, measure: str) -> float:
    """Over cases, all classes together."""
    rows = found.summary
    row = rows[(rows["metric"] == measure) & (rows["class"] == "all")]
    return float(row["mean"].iloc[0]) if len(row) else float("nan")
