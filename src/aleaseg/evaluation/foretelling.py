"""A target foretold from features: penalised regression in cross-validation that keeps patients whole.

Five folds by patient, repeated; within each training part an inner cross-validation, by patient too, chooses the
penalty. Features are filled up, centred and scaled by the training part alone. Ridge for numbers; for classes the
logistic regression and the stratified folds of scikit-learn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aleaseg.metrics.bootstrap import interval
from aleaseg.metrics.detection import auroc, average_precision
from aleaseg.metrics.paired import FEWEST_GROUPS, case_resamples
from aleaseg.metrics.regression import absolute_error, r_squared, weighted_pearson
from aleaseg.predictions.folds import make_folds

__all__ = ["METRICS_OF", "Problem", "Scores", "foretell", "permuted", "score"]

Task = Literal["regression", "classification"]
METRICS_OF: Mapping[str, tuple[str, ...]] = {
    "regression": ("r2", "mae", "pearson"),
    "classification": ("auroc", "ap"),
}
"""The first one decides in the permutation test."""
_PENALTIES = (1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)
_INNER = 3

Foretold = NDArray[np.float64]
"""(N,) of a regression, (N, K) probabilities of a classification."""


@dataclass(frozen=True)
class Problem:
    """What is to be foretold, and of whom.

    Attributes:
        y: (N,) numbers, or classes 0 .. K - 1.
        group: (N,) the patient.
        task: of the two.
        folds, repeats: of the outer cross-validation.
        seed: of both.
    """

    y: NDArray[np.float64]
    group: NDArray[np.str_]
    task: Task
    folds: int = 5
    repeats: int = 5
    seed: int = 0

    @property
    def classes(self) -> int:
        """K."""
        return int(self.y.max()) + 1

    def splits(
        self, rows: NDArray[np.intp], folds: int, seed: int
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """(train, test) among some rows, no patient on both sides; of classes each fold has its share, where it can."""
        if self.task == "classification":
            from sklearn.model_selection import StratifiedGroupKFold

            dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            with warnings.catch_warnings():
                # A class with fewer members than folds is told before.
                warnings.simplefilter("ignore", UserWarning)
                for train, test in dealer.split(rows, self.y[rows], self.group[rows]):
                    yield rows[train], rows[test]
            return
        of_row = {str(row): str(self.group[row]) for row in rows}
        for held in make_folds(of_row, folds, seed):
            test = np.array(sorted(map(int, held)), dtype=np.intp)
            yield np.setdiff1d(rows, test), test


@dataclass(frozen=True)
class Scores:
    """How well a set of features predicts the target.

    Attributes:
        values: metric -> its mean over the repeats.
        low, high: metric -> 95% interval, patients resampled; NaN with fewer than five.
    """

    values: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]


def foretell(problem: Problem, X: NDArray[np.float64] | None, repeats: int | None = None) -> list[Foretold]:
    """Out-of-fold predictions of every row, once for each repeat.

    Args:
        problem: what is foretold.
        X: (N, F) features, NaN where there is none; None: without any, by the mean or the prevalence.
        repeats: fewer than the problem has.
    """
    everybody = np.arange(len(problem.y))
    found = []
    for repeat in range(problem.repeats if repeats is None else repeats):
        foretold = _empty(problem)
        for train, test in problem.splits(everybody, problem.folds, problem.seed + repeat):
            if X is None:
                foretold[test] = _usual(problem, train)
            else:
                penalty = _best_penalty(problem, X, train, problem.seed + repeat)
                foretold[test] = _foretold(problem, X, train, test, [penalty])[0]
        found.append(foretold)
    return found


def score(problem: Problem, foretold: list[Foretold]) -> Scores:
    """Metrics of out-of-fold predictions, the mean over repeats, with intervals by a bootstrap over patients."""
    groups = len(set(problem.group.tolist()))
    weights = case_resamples(problem.group).weights
    every = [_metrics(problem, one, None) for one in foretold]
    resampled = [_metrics(problem, one, weights) for one in foretold]
    values, low, high = {}, {}, {}
    for name in METRICS_OF[problem.task]:
        values[name] = float(np.mean([one[name] for one in every]))
        between = (np.nan, np.nan)
        if groups >= FEWEST_GROUPS:
            between = interval(np.mean([one[name] for one in resampled], axis=0))
        low[name], high[name] = between
    return Scores(values, low, high)


def permuted(
    problem: Problem,
    X: NDArray[np.float64],
    count: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[NDArray[np.float64], float]:
    """The first metric with targets that were dealt anew to patients, and p: how often chance does as well.

    Args:
        problem: with the true targets.
        X: (N, F) features.
        count: how often; one repeat of the cross-validation each.
        progress: called with done, total.

    Returns:
        (count,) of the metric, and p = (1 + #{as good or better}) / (count + 1).
    """
    name = METRICS_OF[problem.task][0]
    rng = np.random.default_rng([problem.seed, 11])
    true = float(_metrics(problem, foretell(problem, X, 1)[0], None)[name])
    found = np.empty(count)
    for number in range(count):
        dealt = Problem(_dealt(problem, rng), problem.group, problem.task, problem.folds, 1, problem.seed)
        found[number] = _metrics(dealt, foretell(dealt, X, 1)[0], None)[name]
        progress(number + 1, count)
    return found, (1 + int((found >= true).sum())) / (count + 1)


def _dealt(problem: Problem, rng: np.random.Generator) -> NDArray[np.float64]:
    """Targets of other patients; where a patient has several, of other rows."""
    _, first, of_row = np.unique(problem.group, return_index=True, return_inverse=True)
    whole = problem.y[first]
    if (whole[of_row] == problem.y).all():
        return np.asarray(rng.permutation(whole)[of_row])
    return np.asarray(rng.permutation(problem.y))


def _empty(problem: Problem) -> Foretold:
    shape = (len(problem.y), problem.classes) if problem.task == "classification" else (len(problem.y),)
    return np.full(shape, np.nan)


def _usual(problem: Problem, train: NDArray[np.intp]) -> Any:
    if problem.task == "regression":
        return problem.y[train].mean()
    return np.bincount(problem.y[train].astype(int), minlength=problem.classes) / len(train)


def _best_penalty(problem: Problem, X: NDArray[np.float64], train: NDArray[np.intp], seed: int) -> float:
    """The penalty of the least loss in an inner cross-validation; the largest of equals."""
    groups = len(set(problem.group[train].tolist()))
    loss = np.zeros(len(_PENALTIES))
    for inner, held in problem.splits(train, min(_INNER, groups), seed):
        for place, foretold in enumerate(_foretold(problem, X, inner, held, _PENALTIES)):
            if problem.task == "regression":
                loss[place] += ((foretold - problem.y[held]) ** 2).sum()
            else:
                given = foretold[np.arange(len(held)), problem.y[held].astype(int)]
                loss[place] -= np.log(np.clip(given, 1e-6, 1)).sum()
    return float(_PENALTIES[len(loss) - 1 - int(loss[::-1].argmin())])


def _foretold(
    problem: Problem,
    X: NDArray[np.float64],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    penalties: Sequence[float],
) -> list[Foretold]:
    """What models of some rows say of others, one for each penalty."""
    seen, unseen = _scaled(X[train], X[test])
    y = problem.y[train]
    if problem.task == "regression":
        return _ridge(seen, y, unseen, penalties)
    if len(set(y.tolist())) == 1:
        return [np.tile(_usual(problem, train), (len(test), 1))] * len(penalties)
    return [_logistic(seen, y, unseen, penalty, problem.classes) for penalty in penalties]


def _scaled(X: NDArray[np.float64], *others: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Features filled up by their mean, centred and scaled, all as the first ones say."""
    known = ~np.isnan(X)
    count = known.sum(axis=0)
    mean = np.where(known, X, 0).sum(axis=0) / np.maximum(count, 1)
    filled = np.where(known, X, mean)
    spread = filled.std(axis=0)
    # What does not vary here says nothing, whatever it is elsewhere.
    scale = np.where(spread > 1e-12 * np.maximum(1, np.abs(mean)), spread, np.inf)
    return [(np.where(np.isnan(each), mean, each) - mean) / scale for each in (X, *others)]


def _ridge(
    X: NDArray[np.float64], y: NDArray[np.float64], unseen: NDArray[np.float64], penalties: Sequence[float]
) -> list[Foretold]:
    """Ridge regression, beta = (X'X + a 1)^-1 X'(y - mean y), of every penalty a by one decomposition."""
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    along = U.T @ (y - y.mean())
    return [y.mean() + unseen @ (Vt.T @ (s / (s**2 + penalty) * along)) for penalty in penalties]


def _logistic(
    X: NDArray[np.float64],
    y: NDArray[np.float64],
    unseen: NDArray[np.float64],
    penalty: float,
    classes: int,
) -> Foretold:
    """Probabilities (N, K) of a logistic regression; 0 for a class that it has not seen."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1 / penalty, max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    found = np.zeros((len(unseen), classes))
    found[:, model.classes_.astype(int)] = model.predict_proba(unseen)
    return found


def _metrics(problem: Problem, foretold: Foretold, weights: NDArray | None) -> dict[str, Any]:
    """The metrics of one repeat; of classes each against the others, and their mean."""
    if problem.task == "regression":
        named: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("r2", r_squared), ("mae", absolute_error), ("pearson", weighted_pearson),
        )  # fmt: skip
        return {name: function(problem.y, foretold, weights) for name, function in named}
    # Of two classes both say the same of AUROC; AP is that of the second.
    places = [1] if problem.classes == 2 else range(problem.classes)
    found = {}
    for name, function in (("auroc", auroc), ("ap", average_precision)):
        each = [function(foretold[:, place], problem.y == place, weights=weights) for place in places]
        found[name] = np.mean(each, axis=0)
    return found
