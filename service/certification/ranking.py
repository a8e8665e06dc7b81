"""How well a score tells one kind of row from another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def auroc(scores: Array, positive: NDArray[Any]) -> float:
    """Compute the area under the receiver operating characteristic.

    It is the probability that a positive row has a higher score than another, a tie counting half (Mann &
    Whitney 1947).

    Args:
        scores: [rows].
        positive: which rows should have the higher ones, [rows].

    Returns:
        0 to 1; NaN where all rows are of one kind.
    """
    positive = np.asarray(positive, bool)
    ones, others = int(positive.sum()), int((~positive).sum())
    if not ones or not others:
        return float("nan")
    return float((_ranks(np.asarray(scores))[positive].sum() - ones * (ones + 1) / 2) / (ones * others))


def average_precision(scores: Array, positive: NDArray[Any]) -> float:
    """Compute the area under the precision-recall curve, as a sum over its steps: Σ (R_k - R_(k-1)) P_k.

    Args: as of `auroc`.

    Returns:
        0 to 1; NaN where no row is positive.
    """
    found, taken = _steps(scores, positive)
    if not found[-1]:
        return float("nan")
    return float((np.diff(found, prepend=0) / found[-1] * found / taken).sum())


def false_positive_rate(scores: Array, positive: NDArray[Any], recall: float = 0.95) -> float:
    """Compute the share of the other rows that have to be taken with at least a share of the positive ones.

    Args:
        scores: [rows].
        positive: [rows].
        recall: that share.

    Returns:
        0 to 1; NaN where all rows are of one kind.
    """
    found, taken = _steps(scores, positive)
    others = taken - found
    if not found[-1] or not others[-1]:
        return float("nan")
    return float((others / others[-1])[np.argmax(found >= recall * found[-1] - 1e-9)])


def _steps(scores: Array, positive: NDArray[Any]) -> tuple[Array, Array]:
    """Count the positive rows, and all, at or above each value of the score, from the highest."""
    _, index, counts = np.unique(-np.asarray(scores), return_inverse=True, return_counts=True)
    ones = np.bincount(index, weights=np.asarray(positive, bool).astype(float), minlength=len(counts))
    return np.cumsum(ones), np.cumsum(counts).astype(float)


def _ranks(scores: Array) -> Array:
    """Rank from 1; tied rows share the mean of their ranks."""
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[index])
