"""Folds, in a process of their own: `python -m aleaseg.predictions.fold RUN FOLD[,FOLD...] [SECONDS]`.

Of each in turn: trains, predicts the cases held out, writes models/fold_K.safetensors and .json.
Tells its parent how far it is, a JSON line at a time; where the parent is gone
the pipe breaks and the process ends.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from aleaseg.extras import spare_monai
from aleaseg.predictions.inside import foreground_units
from aleaseg.predictions.learning import Watch
from aleaseg.predictions.networks import predict_case, write_prediction
from aleaseg.run import Run, write_json
from aleaseg.training.copies import copy_of
from aleaseg.training.foldplan import FoldPlan, copies_folder, fold_file
from aleaseg.training.loop import draw_network, fit_plan
from aleaseg.training.model import write_weights
from aleaseg.training.reproducible import reproducible

__all__ = ["main"]


@reproducible(True)
def main(run_path: str, fold: int, seconds: float | None) -> None:
    """Do one fold from wherever it was left."""
    import torch

    torch.set_num_threads(1)
    run = Run(run_path)
    folds, copies = FoldPlan.read(run), copies_folder(run)
    plan = folds.training(fold)
    plan = replace(plan, schedule=replace(plan.schedule, seconds=seconds))

    def tell(done: int) -> None:
        sys.stdout.write(json.dumps({"fold": fold, "done": done}) + "\n")
        sys.stdout.flush()

    network = draw_network(plan)
    watch = Watch(run, folds, fold, network) if folds.inside else lambda step: None

    def on_step(step: int, loss: float) -> None:
        watch(step)
        tell(step)

    report = fit_plan(
        plan,
        network,
        copies,
        checkpoint=fold_file(run, fold, ".pt"),
        device=folds.device,
        on_step=on_step,
    )
    write_weights(fold_file(run, fold, ".safetensors"), network)
    if folds.inside:
        report["units"] = foreground_units([copy_of(copies, case).arrays() for case in plan.train])
    for number, case in enumerate(plan.held_out, start=1):
        if not run.prediction_file(case).exists():
            image, label = copy_of(copies, case).arrays()
            write_prediction(run, case, predict_case(network, image, label, folds, report.get("units")))
        tell(folds.steps + number)
    write_json(fold_file(run, fold, ".json"), report)
    fold_file(run, fold, ".pt").unlink(missing_ok=True)


if __name__ == "__main__":
    spare_monai()
    try:
        for each in sys.argv[2].split(","):
            main(sys.argv[1], int(each), float(sys.argv[3]) if len(sys.argv) > 3 else None)
    except BrokenPipeError:
        sys.stderr.write("the parent process is gone\n")
        sys.exit(1)
