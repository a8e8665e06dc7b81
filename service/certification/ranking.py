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


def _ranks(scores: Array) -> Array:
    """Rank from 1; tied rows share the mean of their ranks."""
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[index])
