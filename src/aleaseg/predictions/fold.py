"""One fold, as a process of its own: `python -m aleaseg.predictions.fold RUN FOLD [SECONDS]`.

Trains, predicts the cases held out, writes models/fold_K.safetensors and .json.
Tells its parent how far it is, a JSON line at a time; where the parent is gone
the pipe breaks and the process ends.
"""

from __future__ import annotations

import json
import sys

from aleaseg.predictions.inside import foreground_units
from aleaseg.predictions.learning import Watch
from aleaseg.predictions.working import load_fold, predict_case, prepared_file, write_prediction
from aleaseg.run import Run, read_json, write_aside, write_json
from aleaseg.training.loop import TrainSettings, fit
from aleaseg.training.reproducible import reproducible

__all__ = ["main"]


@reproducible(True)
def main(run_path: str, fold: int, seconds: float | None) -> None:
    """Do one fold from wherever it was left."""
    import torch
    from safetensors.torch import save as save_tensors

    torch.set_num_threads(1)
    run = Run(run_path)
    folder = run.path / "models"
    plan = read_json(folder / "plan.json")
    patch = plan["grid"]["patch"]
    held_out = plan["folds"][fold]
    training = [case for other, cases in enumerate(plan["folds"]) if other != fold for case in cases]

    def tell(done: int) -> None:
        sys.stdout.write(json.dumps({"done": done}) + "\n")
        sys.stdout.flush()

    network = load_fold(folder, plan, fold)
    watch = Watch(run, plan, fold, network) if plan.get("inside") else lambda step: None

    def on_step(step: int, loss: float) -> None:
        watch(step)
        tell(step)

    report = fit(
        network,
        [prepared_file(run, case) for case in training],
        patch,
        TrainSettings(plan["steps"], plan["batch"], seed=plan["seed"] * 1000 + fold, seconds=seconds),
        checkpoint=folder / f"fold_{fold}.pt",
        device=plan["device"],
        on_step=on_step,
    )
    weights = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_aside(folder / f"fold_{fold}.safetensors", save_tensors(weights))
    if plan.get("inside"):
        report["units"] = foreground_units([prepared_file(run, case).arrays() for case in training])
    for number, case in enumerate(held_out, start=1):
        if not run.prediction_file(case).exists():
            image, label = prepared_file(run, case).arrays()
            write_prediction(run, case, predict_case(network, image, label, plan, report.get("units")))
        tell(plan["steps"] + number)
    write_json(folder / f"fold_{fold}.json", report)
    (folder / f"fold_{fold}.pt").unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else None)
    except BrokenPipeError:
        sys.stderr.write("the parent process is gone\n")
        sys.exit(1)
