"""How many labelled rows it may take to certify what these show."""

from math import ceil

import numpy as np

from service.certification.binomial import at_most, rows_needed
from service.certification.selective import RiskCoverage

_MOST = 10**7
_LOOKS = 100


def rows_wanted(curve: RiskCoverage, target: float, confidence: float) -> int | None:
    """Estimate how many rows would certify some threshold, if risks are what they are here.

    Args:
        curve: of the rows there are; losses are 0 and 1.
        target: the selective risk.
        confidence: of the bound.

    Returns:
        The fewest over the thresholds; None where no threshold here has a risk below the target.
    """
    steps = np.unique(np.linspace(0, len(curve.thresholds) - 1, _LOOKS).astype(int))
    found = [
        ceil(accepted / coverage)
        for risk, coverage in zip(curve.selective_risk[steps], curve.coverage[steps], strict=True)
        if risk < target and (accepted := _accepted(float(risk), target, confidence)) is not None
    ]
    return max(min(found), curve.rows + 1) if found else None


def _accepted(risk: float, target: float, confidence: float) -> int | None:
    """Count the accepted rows of which a share of `risk` may be wrong."""
    low, high = 0, rows_needed(0, target, confidence)
    while not _enough(high, risk, target, confidence):
        low, high = high, high * 2
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _enough(middle, risk, target, confidence) else (middle, high)
    return high


def _enough(rows: int, risk: float, target: float, confidence: float) -> bool:
    return at_most(ceil(risk * rows), rows, target) <= 1 - confidence
