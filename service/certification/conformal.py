"""Split conformal prediction: sets and intervals that hold the truth of a share of the rows.

With n rows that nothing was learnt from and a number for each that says how strange its truth is, the
⌈(n + 1) · level⌉-th smallest is exceeded by the next row with a probability of at most 1 - level (Vovk et al.
2005; Lei et al. 2018). It holds on average over rows and calibrations, and not for each kind of row.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SPLIT_CONFORMAL = "split_conformal"
"""The method, as answers name it."""


def conformal_quantile(strangeness: Array, level: float) -> float | None:
    """Give the number that the next row's strangeness is at most, with a probability of at least `level`.

    Args:
        strangeness: of rows, [rows].
        level: above 0 and below 1.

    Returns:
        None where the rows are too few: fewer than level / (1 - level).
    """
    place = ceil((len(strangeness) + 1) * level - 1e-9)
    return float(np.sort(strangeness)[place - 1]) if place <= len(strangeness) else None


def strangeness_of_classes(probabilities: Array, classes: NDArray[np.integer[Any]]) -> Array:
    """Give 1 - the probability of what each row is, [rows] (Sadinle, Lei & Wasserman 2019)."""
    return np.asarray(1 - np.take_along_axis(probabilities, np.asarray(classes)[:, None], -1)[:, 0])


def strangeness_of_values(truth: Array, mean: Array, deviation: Array) -> Array:
    """Give |truth - mean| / deviation, [rows, targets] (Lei et al. 2018, section 5.2)."""
    return np.abs(truth - mean) / np.maximum(deviation, SMALLEST_DEVIATION)


SMALLEST_DEVIATION = 1e-12
"""Keeps a quotient finite where the networks agree to the last digit."""


def prediction_sets(probabilities: Array, quantile: float) -> NDArray[np.bool_]:
    """Tell which classes are in each row's set, [rows, classes]: at least the likeliest."""
    likely = 1 - probabilities <= quantile
    np.put_along_axis(likely, probabilities.argmax(-1)[:, None], values=True, axis=-1)
    return np.asarray(likely)


def interval(mean: Array, deviation: Array, quantiles: Sequence[float]) -> tuple[Array, Array]:
    """Give lower and upper bounds, each [rows, targets], from a quantile for each target."""
    half = np.maximum(deviation, SMALLEST_DEVIATION) * np.asarray(quantiles)
    return mean - half, mean + half
