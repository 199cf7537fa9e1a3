"""The package's own network asked about every mask of a data set: a second opinion without any training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from aleaseg.case import Case, Dataset, file_stamps
from aleaseg.errors import CaseError
from aleaseg.extractors.base import ExtractorSettings, settled
from aleaseg.extractors.own import Own
from aleaseg.predictions.opinion import has_opinion, write_opinion
from aleaseg.run import Run
from aleaseg.work import map_cases

__all__ = ["give_opinions"]

_ASKED = ExtractorSettings("own", prompt="label_slice_boxes", normalize="raw")


def _made_from(case: Case, dataset: Dataset, identity: dict[str, Any]) -> str:
    classes = {name: list(values) for name, values in dataset.classes.items()}
    about = json.dumps([file_stamps(case), classes, identity], sort_keys=True)
    return hashlib.sha256(about.encode("utf-8", "surrogatepass")).hexdigest()


def _ask(run: Run, dataset: Dataset, settings: ExtractorSettings, case: Case) -> str | None:
    """Look at one case, unless that was done; returns what could not be used."""
    import torch

    torch.set_num_threads(1)
    eye = Own(settings, dataset)
    identity = eye.identity()
    made_from = _made_from(case, dataset, identity)
    if has_opinion(run, case.id, made_from):
        return None
    try:
        opinions = eye.opinions(case)
    except CaseError as error:
        return str(error)
    found = {name: one for name, one in opinions.items() if one is not None}
    write_opinion(run, case.id, case.read_geometry().shape, found, identity["weights"], made_from)
    return None


def give_opinions(
    run: Run,
    dataset: Dataset,
    *,
    channel: int = 0,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Ask about every case that has a label; what is there is not asked again.

    Args:
        run: gets one small file a case.
        dataset: the cases.
        channel: of the image, that is looked at.
        device: `cpu` or `cuda`.
        progress: called with done, total.

    Returns:
        For the manifest: the network, and case -> what could not be used.
    """
    settings = replace(settled(_ASKED, Own.traits), device=device, channel=channel)
    bare = dataset.with_cases(())
    todo = [case for case in dataset.cases if case.has_label]
    ask = partial(_ask, Run(run.path.resolve()), bare, settings)
    asked = map_cases(ask, todo, device=device, progress=progress, killed=lambda case, error: str(error))
    failed = {case.id: trouble for case, trouble in asked if trouble is not None}
    return {"network": Own(settings, bare).identity(), "failed": failed}
