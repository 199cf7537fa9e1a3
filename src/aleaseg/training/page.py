"""training.html: the curves of a training and how it was made, in one file that opens from disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aleaseg.pages.files import asset
from aleaseg.pages.numbers import number
from aleaseg.pages.templates import flat, write_html
from aleaseg.training.drawing import panel_svg, panels_of
from aleaseg.training.history import DICE, History
from aleaseg.training.plan import TrainingPlan

__all__ = ["PAGE", "write_page"]

PAGE = "training.html"


def write_page(folder: Path, manifest: Mapping[str, Any], plan: TrainingPlan, history: History) -> Path:
    """Write the page of a training, finished or not.

    Args:
        folder: of the training.
        manifest: what was asked.
        plan: of the training.
        history: its tables.

    Returns:
        The path of the page.
    """
    from markupsafe import Markup

    rows = history.rows()
    last: Mapping[str, Any] = rows[-1] if rows else {}
    schedule = plan.schedule
    epochs = -(-schedule.steps // (schedule.epoch_steps or schedule.steps))
    return write_html(
        folder / PAGE,
        "aleaseg.training",
        name=str(manifest["dataset"]["name"]),
        # Our own style sheets, not to be escaped.
        style=Markup(asset("page.css") + asset("drawings.css")),
        lead=f"{plan.network.name}, objective {plan.objective}, "
        + (f"confidences by {plan.labels}, " if plan.labels else "")
        + f"{len(plan.train)} cases to train on, "
        f"{len(plan.held_out)} held out, classes {', '.join(plan.classes)}",
        numbers=[
            ("epoch", f"{last.get('epoch', 0)} of {epochs}"),
            ("loss", number(last.get("loss"), ".3f")),
            ("validation loss", number(last.get("validation_loss"), ".3f")),
            ("pseudo-Dice", number(last.get(DICE), ".3f")),
            ("training took", _took(sum(row["seconds"] for row in rows))),
        ],
        panels=[{"title": panel.title, "svg": Markup(panel_svg(panel))} for panel in panels_of(history)],
        objective=plan.objective,
        notes=plan.notes,
        failed=list(plan.failed.values()),
        settings=flat(
            {
                **manifest["settings"],
                "network": asdict(plan.network),
                "grid": asdict(plan.preprocessing.grid),
                "training": asdict(schedule),
                "versions": manifest["versions"],
            }
        ),
    )


def _took(seconds: float) -> str:
    """As a person says it.

    >>> _took(42.4), _took(300), _took(9000)
    ('42 s', '5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
