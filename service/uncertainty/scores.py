"""Scores: one number a row, the higher the less certain. A policy compares one with its threshold."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.uncertainty.classification import ClassificationMeasures, ClassStatistics
from service.uncertainty.regression import ValueStatistics
from service.uncertainty.tokens import TokenMeasures

Array = NDArray[np.float64]
Classes = ClassStatistics | ClassificationMeasures
Statistics = Classes | ValueStatistics | TokenMeasures
Task = Literal["classification", "token_classification", "regression"]

_SMALLEST_MEAN = 1e-12  # keeps a relative deviation finite where the mean is 0

# One less the greatest of the classes' shares, of the probability or of the votes.
SHARES = ("max_probability", "variation_ratio")

CLASSIFICATION_SCORES: dict[str, Callable[[Classes], Array]] = {
    "predictive_entropy": lambda of: of.predictive_entropy,
    "expected_entropy": lambda of: of.expected_entropy,
    "mutual_information": lambda of: of.mutual_information,
    "variation_ratio": lambda of: of.variation_ratio,
    "max_probability": lambda of: 1 - of.confidence,
}

# Of each target, [..., targets]; a row with several is as uncertain as its most uncertain one.
REGRESSION_SCORES: dict[str, Callable[[ValueStatistics], Array]] = {
    "standard_deviation": lambda of: np.sqrt(of.total_variance),
    "relative_standard_deviation": lambda of: (
        np.sqrt(of.total_variance) / np.maximum(np.abs(of.mean), _SMALLEST_MEAN)
    ),
    "interval_width": lambda of: of.interval_width,
}


def score_names(task: Task) -> tuple[str, ...]:
    """Name the scores of a task, as a policy's `measure` does."""
    return tuple(REGRESSION_SCORES if task == "regression" else CLASSIFICATION_SCORES)


def score(statistics: Statistics, name: str) -> Array:
    """Give a score, [rows], or of whatever dimensions the statistics lead with.

    A text has that of its worst token.

    Args:
        statistics: of any task.
        name: one of the task's `score_names`.
    """
    if isinstance(statistics, Classes):
        return CLASSIFICATION_SCORES[name](statistics)
    if isinstance(statistics, TokenMeasures):
        return np.array([score(tokens, name).max() for tokens in statistics.tokens])
    return np.asarray(target_scores(statistics, name).max(-1))


def target_scores(statistics: ValueStatistics, name: str) -> Array:
    """Give the score of each target, [..., targets]; arguments as above."""
    return REGRESSION_SCORES[name](statistics)
