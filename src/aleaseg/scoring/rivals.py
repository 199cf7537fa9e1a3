"""Every other measure of one case: what the paper compares with, and what the label-quality field uses.

They need the network's inside (`aleaseg.predictions.inside`) and are taken where it
was kept. Maps are read on the network's own grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Dataset
from aleaseg.measures.confident_learning import case_issue_share
from aleaseg.measures.effective_rank import effective_rank, participation_ratio
from aleaseg.measures.energy import mean_energy
from aleaseg.measures.entropy import mean_entropy
from aleaseg.measures.fisher import fisher_certainty
from aleaseg.measures.label_agreement import dice, near
from aleaseg.measures.label_loss import cross_entropy, error_norm
from aleaseg.measures.semantic_volume import semantic_volume
from aleaseg.measures.variance import intensity_variance, residual_variance
from aleaseg.predictions import Prediction
from aleaseg.spectral import Unfolding, semantic_perception_scale, singular_value_energies
from aleaseg.training.preprocessing import IGNORE, prepare_label

__all__ = ["Number", "rival_features", "rival_numbers", "unfolding"]

Number = tuple[str, str, str, float | None]
"""Measure, variant, class, value."""
_LEARNING = ("aum", "forgetting", "cartography_confidence", "cartography_variability")


def unfolding(values: NDArray) -> tuple[NDArray, Unfolding]:
    """2D maps, and volumes of one slice, are read as H x W matrices: D x HW would have rank one."""
    if values.ndim == 2:
        return values, "h_w"
    return (values[0], "h_w") if values.shape[0] == 1 else (values, "d_hw")


def rival_numbers(
    prediction: Prediction, image: NDArray, label: NDArray | None, dataset: Dataset
) -> Iterator[Number]:
    """Every number of a case that has a network's inside.

    Args:
        prediction: logits (softmax channels), with `inside`.
        image: (channel, *spatial).
        label: label values (*spatial); None without.
        dataset: for classes and the ignore label.
    """
    logits = np.asarray(prediction.maps[:], dtype=np.float32)
    predicted = logits.argmax(axis=0)
    yield from _of_maps(prediction, dataset, label)
    yield from _of_logits(logits, predicted, prediction, dataset)
    yield from _of_augmentation(prediction, dataset)
    seen = _in_own_range(image)
    yield "intensity_variance", "image", "", intensity_variance(seen)
    if label is None:
        return
    indices = prepare_label(label, predicted.shape, prediction.values, dataset.ignore)
    inside = (indices > 0) & (indices != IGNORE)
    if inside.any():
        at_home = np.isin(label, prediction.values)
        yield "intensity_variance", "mask", "", intensity_variance(seen, at_home)
    close = near(inside, predicted > 0) & (indices != IGNORE)
    yield from _of_given_labels(logits, prediction.own_probabilities(), indices, close)
    yield from _of_learning(prediction, indices, dataset)


def _in_own_range(image: NDArray) -> NDArray[np.float32]:
    """Each channel in units of its 1-99% range: variances of two scanners can be compared."""
    axes = tuple(range(1, image.ndim))
    low, high = np.percentile(image, [1, 99], axis=axes)
    span, found = np.maximum(high - low, 1e-8), np.empty(image.shape, np.float32)
    for channel, into, least, wide in zip(image, found, low[:, None], span[:, None], strict=True):
        for k, flat in enumerate(channel):  # in double, slice by slice
            into[k] = (flat - least) / wide
    return found


def _through_mask(prediction: Prediction) -> Prediction | None:
    """The prediction of the image normalised by its own mask."""
    maps = prediction.inside.get("logits_foreground")
    if maps is None:
        return None
    return replace(prediction, maps=maps, inside={})


def _of_maps(prediction: Prediction, dataset: Dataset, label: NDArray | None) -> Iterator[Number]:
    """S in every reading, ranks and volume, of each class's map."""
    probabilities = prediction.own_probabilities()
    values = prediction.values
    through = _through_mask(prediction)
    for name in dataset.classes:
        if label is not None and not np.isin(label, dataset.classes[name]).any():
            continue
        raw, unfold = unfolding(prediction.class_map(name))
        scale = semantic_perception_scale
        yield "perception_scale", "amplitude", name, float(scale(raw, unfold=unfold, power=1))
        if unfold == "d_hw":
            for other in ("h_dw", "w_dh"):
                yield "perception_scale", other, name, float(scale(raw, unfold=other))
        sure = probabilities[[1 + values.index(v) for v in dataset.classes[name]]].sum(axis=0)
        sure, _ = unfolding(sure)
        yield "perception_scale", "probability", name, float(scale(sure, unfold=unfold))
        if through is not None:
            seen, _ = unfolding(through.class_map(name))
            yield "perception_scale", "foreground", name, float(scale(seen, unfold=unfold))
            yield (
                "perception_scale",
                "foreground_amplitude",
                name,
                float(scale(seen, unfold=unfold, power=1)),
            )
        energies = singular_value_energies(raw, unfold=unfold)
        # Roy and Vetterli take amplitudes; of energies it would be r to the power of S.
        amplitudes = singular_value_energies(raw, unfold=unfold, power=1)
        yield "effective_rank", "", name, float(effective_rank(amplitudes))
        yield "participation_ratio", "", name, float(participation_ratio(energies))
        yield "semantic_volume", "", name, semantic_volume(raw.reshape(len(raw), -1))


def _of_logits(
    logits: NDArray, predicted: NDArray, prediction: Prediction, dataset: Dataset
) -> Iterator[Number]:
    yield from _of_values("fisher", fisher_certainty(logits, predicted), prediction, dataset)
    foreground = predicted > 0
    yield "energy", "", "", mean_energy(logits, foreground)
    yield "entropy", "", "", mean_entropy(logits, foreground)


def _of_values(measure: str, found: NDArray, prediction: Prediction, dataset: Dataset) -> Iterator[Number]:
    """A number of each label value, (values,): the mean over those of a class that have one."""
    for name, members in dataset.classes.items():
        known = [float(found[prediction.values.index(v)]) for v in members]
        if np.isfinite(known).any():
            yield measure, "", name, float(np.nanmean(known))


def _of_augmentation(prediction: Prediction, dataset: Dataset) -> Iterator[Number]:
    overlap = prediction.inside.get("tta_dice")
    if overlap is None:
        return
    yield from _of_values("tta_dice", overlap, prediction, dataset)
    yield "tta_information", "", "", float(prediction.inside["tta_information"])


def _of_given_labels(
    logits: NDArray, probabilities: NDArray, indices: NDArray, close: NDArray[np.bool_]
) -> Iterator[Number]:
    """How surprised the network is by the labels near the mask and its own prediction."""
    known = np.where(indices == IGNORE, 0, indices)
    given = np.take_along_axis(probabilities, known[None].astype(np.int64), axis=0)[0]
    yield "cross_entropy", "", "", cross_entropy(given, close)
    yield "el2n", "", "", error_norm(logits, indices, close)
    yield "label_issues", "", "", case_issue_share(probabilities, indices, close)
    residuals = (1 - given)[close]
    yield "residual_variance", "", "", residual_variance(residuals)[0] if residuals.size else None


def _of_learning(prediction: Prediction, indices: NDArray, dataset: Dataset) -> Iterator[Number]:
    inside = prediction.inside
    if "in_sample" not in inside:
        return
    values = prediction.values
    known = indices != IGNORE
    for name, members in dataset.classes.items():
        wanted = [1 + values.index(v) for v in members]
        predicted = np.isin(inside["in_sample"], wanted) & known
        yield "in_sample_dice", "", name, dice(np.isin(indices, wanted), predicted)
    for name in _LEARNING:
        yield name, "", "", float(inside[name])
    yield "el2n", "early", "", float(inside["el2n"])


def rival_features(prediction: Prediction, dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Mean features of each class: `predicted` where the network sees it, `mask` where the mask has it."""
    found: dict[str, dict[str, Any]] = {}
    values = prediction.values
    for name, key in (("predicted", "features"), ("mask", "features_mask")):
        means = prediction.inside.get(key)
        if means is None:
            continue
        for class_name, members in dataset.classes.items():
            rows = means[[1 + values.index(v) for v in members]]
            rows = rows[np.isfinite(rows).all(axis=1)]
            if len(rows):
                vector = [float(f"{x:.6g}") for x in rows.mean(axis=0)]
                found.setdefault(name, {})[class_name] = vector
    return found
