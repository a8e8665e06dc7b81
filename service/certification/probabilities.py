"""How far predicted probabilities are from what happened."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Classes = NDArray[np.integer[Any]]

BINS = 15

_LEAST = 1e-12  # a probability of 0 for what happened would cost without end


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, bin by bin; bins without rows are left out.

    Args:
        confidence: the mean of each bin's rows, [bins].
        accuracy: the share that is right, [bins].
        rows: how many, [bins].
    """

    confidence: Array
    accuracy: Array
    rows: Array

    @property
    def expected_error(self) -> float:
        """The expected calibration error: Σ rows / all · |accuracy - confidence| (Guo et al. 2017)."""
        return float((self.rows / self.rows.sum() * np.abs(self.accuracy - self.confidence)).sum())


def reliability(confidence: Array, right: NDArray[Any], bins: int = BINS) -> Reliability:
    """Sort rows into bins of confidence, equally wide, each with its upper end.

    Args:
        confidence: [rows], 0 to 1.
        right: whether the prediction is, [rows].
        bins: how many.
    """
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    place = np.searchsorted(edges, confidence, side="left")
    sure, hits, rows = (
        np.bincount(place, weights=np.asarray(weights), minlength=bins).astype(float)
        for weights in (confidence, right, np.ones(len(confidence)))
    )
    used = rows > 0
    return Reliability(sure[used] / rows[used], hits[used] / rows[used], rows[used])


def negative_log_likelihood(probabilities: Array, classes: Classes) -> float:
    """Compute the mean of -ln p of what each row is, in nats.

    Args:
        probabilities: [rows, classes].
        classes: what each row is, [rows].
    """
    given = np.take_along_axis(probabilities, np.asarray(classes)[:, None], -1)
    return float(-np.log(np.maximum(given, _LEAST)).mean())
