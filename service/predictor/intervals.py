"""Intervals of values, as they are answered and as they enter the review queue."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.certification.conformal import SPLIT_CONFORMAL, interval
from service.repository.calibration import Conformal
from service.uncertainty.regression import INTERVAL_LEVEL, RegressionMeasures


@dataclass(frozen=True)
class Intervals:
    """Where the true values are expected.

    Args:
        level: the share of them that is.
        lower: bounds, [rows, targets].
        upper: bounds, [rows, targets].
        method: by which they were made.
    """

    level: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    method: str


def intervals(measures: RegressionMeasures, conformal: Conformal | None) -> Intervals:
    """Give intervals that were calibrated, or else those of a normal distribution."""
    if conformal is None:
        return Intervals(INTERVAL_LEVEL, *measures.interval, measures.interval_method)
    bounds = interval(measures.mean, measures.deviation, conformal.quantiles)
    return Intervals(conformal.level, *bounds, SPLIT_CONFORMAL)
