"""Predictions measured against a reference, and evaluations compared case by case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aleaseg.extras import late

if TYPE_CHECKING:
    from aleaseg.evaluation.comparing import Comparison as Comparison
    from aleaseg.evaluation.comparing import Pair as Pair
    from aleaseg.evaluation.comparing import compare_evaluations as compare_evaluations
    from aleaseg.evaluation.evaluating import evaluate as evaluate
    from aleaseg.evaluation.evaluation import Evaluation as Evaluation
    from aleaseg.evaluation.evaluation import open_evaluation as open_evaluation
    from aleaseg.evaluation.outcomes import Outcome as Outcome
    from aleaseg.evaluation.outcomes import outcome as outcome
    from aleaseg.evaluation.settings import CompareSettings as CompareSettings
    from aleaseg.evaluation.settings import EvaluationSettings as EvaluationSettings
    from aleaseg.evaluation.settings import OutcomeSettings as OutcomeSettings
    from aleaseg.evaluation.writing import compare as compare
    from aleaseg.evaluation.writing import evaluate_against as evaluate_against

_FACE = {
    "CompareSettings": "aleaseg.evaluation.settings",
    "Comparison": "aleaseg.evaluation.comparing",
    "Evaluation": "aleaseg.evaluation.evaluation",
    "EvaluationSettings": "aleaseg.evaluation.settings",
    "Outcome": "aleaseg.evaluation.outcomes",
    "OutcomeSettings": "aleaseg.evaluation.settings",
    "Pair": "aleaseg.evaluation.comparing",
    "compare": "aleaseg.evaluation.writing",
    "compare_evaluations": "aleaseg.evaluation.comparing",
    "evaluate": "aleaseg.evaluation.evaluating",
    "evaluate_against": "aleaseg.evaluation.writing",
    "open_evaluation": "aleaseg.evaluation.evaluation",
    "outcome": "aleaseg.evaluation.outcomes",
}
__all__ = sorted(_FACE)
__getattr__ = late(__name__, _FACE)
