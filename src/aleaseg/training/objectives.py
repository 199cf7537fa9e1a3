"""The objectives by name.

plain      soft Dice over the batch + cross-entropy, as cross-fitting trains
seg        DUO's Dice + BCE of each sample and class: no weights, no noise
en         seg with label denoising
rw         seg with weights 1/(1 + alpha S)
duo        both
edl        evidence: softplus logits of a Dirichlet distribution (Sensoy et al. 2018); edl_b with another balance
sure       edl, its uncertainty supervised by gradients, noise and distance (arXiv 2509.17098); sure2025 as released
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from torch import nn

from aleaseg.losses.sure import VARIANTS, SureSettings
from aleaseg.training.duo import Duo, DuoSettings
from aleaseg.training.evidential import Evidential
from aleaseg.training.objective import Objective, Plain
from aleaseg.training.regions import Regions
from aleaseg.training.targets import Strategy

__all__ = [
    "OBJECTIVES",
    "DuoSettings",
    "Settings",
    "is_evidential",
    "make_objective",
    "refuse_labels",
    "settings_of",
]

Settings = DuoSettings | SureSettings | None
"""Of an objective; None: the plain one, which has none."""

OBJECTIVES: dict[str, Settings] = {
    "plain": None,
    "seg": DuoSettings(),
    "en": DuoSettings(denoise=True),
    "en_guarded": DuoSettings(denoise=True, warm_up=2, penalty=0.1),
    "rw": DuoSettings(reweight=True),
    "rw_renorm": DuoSettings(reweight=True, renorm=True),
    "duo": DuoSettings(denoise=True, reweight=True),
    "duo_guarded": DuoSettings(denoise=True, reweight=True, warm_up=2, penalty=0.1),
    **VARIANTS,
}
"""By name. `guarded`: a warm-up of two epochs and a penalty of 0.1, against a target that drifts to the prediction."""


def settings_of(name: str) -> Settings:
    """An objective by its name, with settings behind it.

    `rw:alpha=1`, `duo:beta=0.25`, `sure:beta=0.5:far=10`; `duo:certainty=fisher` (or `mahalanobis`) puts another
    measure in the place of S, `rw:weights=1,0.5` fixed weights, one for each class, and `duo:semimetric=1` a Dice
    that is smallest at a soft target.

    Raises:
        ValueError: there is no such objective, or no such setting; the message has the valid names.

    >>> settings_of("rw:alpha=2") == DuoSettings(reweight=True, alpha=2.0)
    True
    """
    base, _, given = name.partition(":")
    if base not in OBJECTIVES:
        raise ValueError(f"unknown objective {base!r}; expected one of: {', '.join(OBJECTIVES)}")
    made = OBJECTIVES[base]
    for part in filter(None, given.split(":")):
        key, _, given_value = part.partition("=")
        settable = _settable(made)
        if made is None or key not in settable:
            raise ValueError(
                f"objective {name!r}: no setting {key!r}; expected "
                + (f"{', '.join(settable[:-1])} or {settable[-1]}" if settable else "none")
            )
        changed: dict[str, Any] = {key: _read(name, key, given_value, getattr(made, key))}
        try:
            made = replace(made, **changed)
        except ValueError as error:
            raise ValueError(f"objective {name!r}: {error}") from None
    return made


def is_evidential(name: str) -> bool:
    """Whether the logits of a network trained so stand for evidence."""
    return isinstance(settings_of(name), SureSettings)


def refuse_labels(name: str, labels: Strategy) -> None:
    """Raise for an objective that cannot learn from confidences, or not so.

    Args:
        name: of the objective.
        labels: how confidences are learnt.

    Raises:
        ValueError: evidence tells classes apart that exclude one another; `regress` is a loss of its own.
    """
    settings = settings_of(name)
    if isinstance(settings, SureSettings):
        raise ValueError(
            f"objective {name!r} learns classes that exclude one another, and --labels {labels} regions that may "
            "overlap; take plain or a cell of DUO; or train on the label, without --labels"
        )
    if settings is not None and labels.loss == "squared":
        raise ValueError(
            f"objective {name!r} and --labels {labels}: the squared error is an objective of its own; take plain, or "
            "--labels soft"
        )


def _settable(settings: Settings) -> tuple[str, ...]:
    if isinstance(settings, SureSettings):
        return tuple(one.name for one in fields(settings) if one.init)
    return () if settings is None else _OF_DUO


_OF_DUO = ("alpha", "beta", "penalty", "initial", "certainty", "weights", "semimetric")
_CERTAINTIES = ("fisher", "mahalanobis")


def _read(name: str, key: str, text: str, like: Any) -> Any:
    if key == "certainty":
        if text not in _CERTAINTIES:
            raise ValueError(
                f"objective {name!r}: certainty is {text!r}; expected {' or '.join(_CERTAINTIES)}"
            )
        return text
    try:
        if key == "weights":
            return tuple(map(float, text.split(",")))
        if isinstance(like, bool):
            return {"0": False, "1": True}[text]
        return text if isinstance(like, str) else type(like)(text)
    except (ValueError, KeyError):
        wanted = {"weights": "numbers, such as 1,0.5"}.get(
            key, "0 or 1" if isinstance(like, bool) else "a number"
        )
        raise ValueError(f"objective {name!r}: {key} is {text!r}; expected {wanted}") from None


def make_objective(
    settings: Settings,
    network: nn.Module,
    ids: Sequence[str],
    classes: int,
    *,
    seed: int = 0,
    spacing_mm: Sequence[float] | None = None,
    labels: Strategy | None = None,
) -> Objective:
    """The objective of a training.

    Args:
        settings: of `OBJECTIVES` or one's own; None: plain.
        network: hooked where labels are denoised, and otherwise left alone.
        ids: of all cases of the training.
        classes: foreground classes; with `labels` channels.
        seed: of the noise.
        spacing_mm: of the voxels that the network sees; None: the same along all axes.
        labels: how confidences are learnt, of those that `refuse_labels` lets pass; None: the label is.
    """
    if settings is None:
        return Plain() if labels is None else Regions(labels.loss)
    if isinstance(settings, SureSettings):
        return Evidential(settings, spacing_mm)
    return Duo(settings, network, ids, classes, seed, labels)
