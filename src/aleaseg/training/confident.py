"""Whether and how a training learns from confidences, and what cannot be learnt from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aleaseg.case import Dataset
from aleaseg.errors import UsageError
from aleaseg.training.objectives import is_evidential
from aleaseg.training.targets import Strategy, parse_strategy

__all__ = ["check_confident", "choose_strategy"]

_DEFAULT = "threshold:0.6"


def choose_strategy(
    dataset: Dataset, labels: str | None, objective: str
) -> tuple[Strategy | None, tuple[str, ...]]:
    """How confidences are learnt; and what is to be known of that.

    Args:
        dataset: with classes.
        labels: what is asked; None: nothing.
        objective: of the training.

    Returns:
        None where the label is learnt: by default where there is one.

    Raises:
        UsageError: there are no confidences, or levels of classes that share label values.
    """
    if labels is None:
        if dataset.confidence is None or not dataset.confidence.makes_label:
            return None, ()
        if is_evidential(objective):
            return None, ("Learnt is the label that confidences make, where they are at least 0.5.",)
        said = f"What is learnt is where the confidence is at least 0.6 (--labels {_DEFAULT})."
        return parse_strategy(_DEFAULT), (f"{said} The data set has confidences and no label.",)
    if dataset.confidence is None:
        raise UsageError(
            f"--labels {labels} asks for confidences, and {dataset.name} states none; expected "
            "confidencesTr/CASE.nii.gz beside labelsTr/, confidence/ beside images/, raters/CASE/RATER.nii.gz, or "
            "probseg files in BIDS; or leave --labels out"
        )
    strategy = parse_strategy(labels)
    shared = [value for values in dataset.classes.values() for value in values]
    if strategy.kind == "multi" and len(set(shared)) < len(shared):
        raise UsageError(
            f"--labels {labels}: masks of levels hold one class at each voxel, and these share label values "
            f"({', '.join(dataset.classes)}); choose with --classes, or take another way"
        )
    return strategy, ()


def check_confident(
    classes: Sequence[str], strategy: Strategy, copies: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse what leaves nothing to learn.

    Args:
        classes: names.
        strategy: the way.
        copies: of the cases to train on, as `make_copies` tells of them.

    Raises:
        UsageError: nobody marked anything, no voxel counts, or there is nothing of a channel.
    """
    count = f"{len(copies)} case{'s' * (len(copies) != 1)} to train on"
    if not any(about["marked"] for about in copies):
        raise UsageError(
            f"the confidences of the {count} are 0 everywhere: nobody marked anything; check the files, or --scale"
        )
    if not any(about["counts"] for about in copies):
        raise UsageError(
            f"--labels {strategy} leaves nothing to learn: no voxel of the {count} counts; take soft, or a threshold"
        )
    names = strategy.channels(classes)
    seen = {index for about in copies for index in about["classes"]}
    absent = [name for index, name in enumerate(names, start=1) if index not in seen]
    if absent:
        others = [name for name in classes if not any(one.startswith(name) for one in absent)]
        raise UsageError(
            f"--labels {strategy}: nothing that counts of {', '.join(absent)} is in the {count}, on the working grid; "
            "a network cannot learn what it never sees; take lower thresholds, or a split in which some is"
            + (f"; or leave it out with --classes {','.join(others)}" if others else "")
        )
