"""Selective prediction: what a score is worth where the rows with the higher ones are given away.

Rows are accepted from the lowest score up. With k of n accepted and L(k) the sum of their losses:

    coverage           k / n
    selective risk     L(k) / k      of the accepted rows
    generalised risk   L(k) / n      of all rows: wrong and accepted

    AURC    the mean of the selective risk over the coverages       (Geifman & El-Yaniv 2017)
    AUGRC   the area under the generalised risk, by trapezes        (Traub et al. 2024)

AUGRC is half the probability that of two rows the one with the lower score is wrong; of losses 0 and 1 it is
(1 - AUROC) · acc · (1 - acc) + ½ (1 - acc)². AURC weighs the first few rows far more than they are worth,
which is why scores are compared by the other. Of tied rows, both are means over all orders.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RiskCoverage:
    """What is accepted at each threshold that changes something, from the strictest.

    Args:
        thresholds: the distinct scores, ascending, [steps].
        accepted: rows whose score is at most the threshold, [steps].
        losses: the sum of theirs, [steps].
        rows: how many there are.
    """

    thresholds: Array
    accepted: Array
    losses: Array
    rows: int

    @property
    def coverage(self) -> Array:
        """Share of the rows that are accepted, [steps]."""
        return self.accepted / self.rows

    @property
    def selective_risk(self) -> Array:
        """Mean loss of the accepted rows, [steps]."""
        return self.losses / self.accepted

    @property
    def generalised_risk(self) -> Array:
        """Loss of the accepted rows over the number of all, [steps]."""
        return self.losses / self.rows


def risk_coverage(scores: Array, losses: Array) -> RiskCoverage:
    """Trace the curve.

    Args:
        scores: [rows], the higher the less certain.
        losses: [rows], 0 and 1 for right and wrong, or any.
    """
    thresholds, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    sums = np.bincount(index, weights=np.asarray(losses, float), minlength=len(thresholds))
    return RiskCoverage(thresholds, np.cumsum(counts).astype(float), np.cumsum(sums), len(scores))


def augrc(scores: Array, losses: Array) -> float:
    """Compute the area under the generalised risk-coverage curve; lower is better.

    Args: as of `risk_coverage`.
    """
    lost = _cumulative(risk_coverage(scores, losses))
    return float((lost[:-1] + lost[1:]).mean() / 2 / len(losses))


def aurc(scores: Array, losses: Array) -> float:
    """Compute the area under the risk-coverage curve; lower is better.

    Args: as of `risk_coverage`.
    """
    lost = _cumulative(risk_coverage(scores, losses))
    return float((lost[1:] / np.arange(1, len(lost))).mean())


def _cumulative(curve: RiskCoverage) -> Array:
    """Sum the losses of the first k rows for every k from 0, tied rows in the mean order, [rows + 1]."""
    steps, sums = np.append(0, curve.accepted), np.append(0, curve.losses)
    return np.asarray(np.interp(np.arange(curve.rows + 1), steps, sums))
