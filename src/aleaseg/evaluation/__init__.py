"""Predictions measured against a reference, and evaluations compared case by case."""

from __future__ import annotations

from aleaseg.evaluation.comparing import Comparison as Comparison
from aleaseg.evaluation.comparing import Pair as Pair
from aleaseg.evaluation.comparing import compare_evaluations as compare_evaluations
from aleaseg.evaluation.evaluating import Evaluation as Evaluation
from aleaseg.evaluation.evaluating import EvaluationSettings as EvaluationSettings
from aleaseg.evaluation.evaluating import evaluate as evaluate
from aleaseg.evaluation.evaluating import open_evaluation as open_evaluation
from aleaseg.evaluation.writing import compare as compare
from aleaseg.evaluation.writing import evaluate_against as evaluate_against

__all__ = [
    "Comparison",
    "Evaluation",
    "EvaluationSettings",
    "Pair",
    "compare",
    "compare_evaluations",
    "evaluate",
    "evaluate_against",
    "open_evaluation",
]
