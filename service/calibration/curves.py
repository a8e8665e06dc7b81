"""The points that pictures of a calibration are drawn of: few, and of the same shape as all."""

from heapq import heappop, heappush
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.calibration.observing import Observed
from service.certification.probabilities import reliability
from service.certification.selective import risk_coverage
from service.repository.calibration import MOST_POINTS, Contract, Curve, Curves
from service.uncertainty.classification import ClassificationMeasures
from service.uncertainty.regression import RegressionMeasures
from service.uncertainty.tokens import TokenMeasures

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_LEVELS = np.arange(0.05, 0.999, 0.05)
_DECIMALS = 6  # a picture shows fewer
_LEAST_DEVIATION = 1e-12


def curves(observed: Observed, scores: Array, certifying: Indices, contract: Contract) -> Curves:
    """Give the points of all pictures.

    Args:
        observed: labelled rows.
        scores: of all rows, [rows].
        certifying: the numbers of those that certify.
        contract: by which the risk is that of the accepted rows, or of all.
    """
    found = risk_coverage(scores[certifying], observed.wrong[certifying])
    risk = found.generalised_risk if contract == "joint_risk" else found.selective_risk
    kept = thinned(found.coverage, risk)
    of_coverage = _curve(found.coverage[kept], risk[kept])
    if isinstance(observed.measures, RegressionMeasures):
        return Curves(of_coverage, _curve(_LEVELS, _inside(observed.measures, observed.truth)))
    bins = reliability(*sure_and_right(observed, observed.measures))
    counts = tuple(int(rows) for rows in bins.rows)
    return Curves(of_coverage, _curve(bins.confidence, bins.accuracy), counts)


def sure_and_right(observed: Observed, measures: ClassificationMeasures | TokenMeasures) -> tuple[Any, Any]:
    """Give the confidence of each class that was told, and whether it is right: of rows, or of tokens."""
    if isinstance(measures, ClassificationMeasures):
        return measures.confidence, observed.wrong == 0
    tokens, truth = measures.tokens, observed.truth
    sure = np.concatenate([of.confidence for of in tokens])
    return sure, np.concatenate([of.class_index == one for of, one in zip(tokens, truth, strict=True)])


def thinned(across: Array, up: Array, most: int = MOST_POINTS) -> Indices:
    """Choose points so that the line through them is near all: again and again the one farthest from it.

    Args:
        across: ascending, [points].
        up: [points].
        most: how many to choose, at least 2.

    Returns:
        Their numbers, ascending; the first and the last are among them.
    """
    kept = {0, len(across) - 1}
    waiting: list[tuple[float, int, int, int]] = []
    _put(waiting, across, up, 0, len(across) - 1)
    while waiting and len(kept) < most:
        _, first, farthest, last = heappop(waiting)
        kept.add(farthest)
        _put(waiting, across, up, first, farthest)
        _put(waiting, across, up, farthest, last)
    return np.array(sorted(kept))


def _put(waiting: list[tuple[float, int, int, int]], across: Array, up: Array, first: int, last: int) -> None:
    """Find the point between two that is farthest from their line, if any is off it."""
    between = slice(first + 1, last)
    line = np.interp(across[between], across[[first, last]], up[[first, last]])
    off = np.abs(up[between] - line)
    if off.size and off.max() > _LEAST_DEVIATION:
        heappush(waiting, (-float(off.max()), first, first + 1 + int(off.argmax()), last))


def _inside(measures: RegressionMeasures, truth: NDArray[Any]) -> Array:
    """Compute the share of true values inside of mean ± z · deviation, level by level."""
    off = np.abs(truth - measures.mean) / np.maximum(measures.deviation, 1e-12)
    reach = np.array([NormalDist().inv_cdf((1 + level) / 2) for level in _LEVELS])
    return np.asarray((off[..., None] <= reach).mean((0, 1)), float)


def _curve(across: Array, up: Array) -> Curve:
    return Curve(*(tuple(np.round(side, _DECIMALS).tolist()) for side in (across, up)))
