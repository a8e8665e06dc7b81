"""Thresholds that keep a promise: below one, few enough rows are wrong.

**Selective risk**: of the rows that are accepted, at most a share r is wrong, with confidence 1 - δ.

A threshold t accepts A(t) rows, of which E(t) are wrong; R(t) is the share of wrong ones among all rows
that there will ever be with a score of at most t. It passes where the exact bound of `binomial` is at most
r: where E(t) ≤ e(A(t)). From a start that other rows have chosen, thresholds are taken from strict to loose,
one at each score that there is, until the first that does not pass: fixed-sequence testing (Maurer, Hothorn
& Lehmacher 1995; Angelopoulos et al. 2021, "Learn then test"), with steps as fine as the rows. It holds:

Let t₀ be the infimum of the thresholds from the start on with R(t) > r. R is continuous from the right, so
that R(t₀) ≥ r. The loosest threshold that is tried and is not above t₀ accepts the same rows as t₀. Whoever
certifies a threshold with R(t) > r has therefore passed there: E(t₀) ≤ e(A(t₀)). But t₀ depends on no row of
these, so that given A(t₀) = a, E(t₀) is binomial with a rows and a share of at least r, and at most δ is the
probability that it is no more than e(a). Nothing is asked of the scores: not that they are good, or
distinct, nor that R rises.

The start is where the power is. From the strictest threshold, one early error ends the sequence; near the
best one the first test may fail. `START_SHARE` of the coverage that looks best on other rows is between.

**Joint risk**: at most a share α of all rows is wrong and accepted: the loosest threshold with
(E(t) + 1) / (n + 1) ≤ α. This holds on average over calibrations (conformal risk control, Angelopoulos et al.
2022), not with a confidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.certification.binomial import rows_needed, tolerated, upper_bound
from service.certification.selective import RiskCoverage, risk_coverage

Array = NDArray[np.float64]

START_SHARE = 0.7
# The most that are tolerated at the earliest start, of few rows fewer: or one unlucky row ends everything.
_START_ERRORS = (2, 1)


@dataclass(frozen=True)
class Threshold:
    """What was found on the rows that certify.

    Args:
        value: rows of a higher score are flagged; None where no threshold keeps the promise.
        accepted: rows that are not flagged.
        errors: of these.
        rows: that certify.
        bound: on the share of errors among the accepted, with the confidence; 1 where nothing is certified.
    """

    value: float | None
    accepted: int
    errors: int
    rows: int
    bound: float

    @property
    def flagged(self) -> float:
        """Share of the rows that are flagged."""
        return 1 - self.accepted / self.rows


def selective_risk(curve: RiskCoverage, start: float, target: float, confidence: float) -> Threshold:
    """Find the loosest threshold of which it is certain enough that its selective risk is at most the target.

    Args:
        curve: of the rows that certify; losses are 0 and 1.
        start: the first threshold, chosen without these rows.
        target: r, above 0 and below 1.
        confidence: 1 - δ.
    """
    accepted, errors = curve.accepted.astype(int), curve.losses.astype(int)
    first = int(np.searchsorted(curve.thresholds, start, side="right"))
    tried = slice(max(first - 1, 0), None)  # the start accepts what the last score below it does
    if not first:
        return _none(curve.rows)
    passes = errors[tried] <= tolerated(curve.rows, target, confidence)[accepted[tried]]
    steps = len(passes) if passes.all() else int(passes.argmin())
    if not steps:
        return _none(curve.rows)
    last = first - 1 + steps - 1
    # The start itself was tried, and not the score below it: both accept the same rows here, not elsewhere.
    value = start if steps == 1 else float(curve.thresholds[last])
    return _found(curve, last, value, confidence)


def joint_risk(curve: RiskCoverage, target: float, confidence: float) -> Threshold:
    """Find the loosest threshold with (errors + 1) / (rows + 1) at most the target.

    Args: as of `selective_risk`; the confidence is only for `bound`.
    """
    passes = (curve.losses + 1) / (curve.rows + 1) <= target
    if not passes[0]:
        return _none(curve.rows)
    last = int(np.flatnonzero(passes)[-1])
    return _found(curve, last, float(curve.thresholds[last]), confidence)


def starting_threshold(scores: Array, wrong: Array, rows: int, target: float, confidence: float) -> float:
    """Choose where to begin, on rows that do not certify.

    Args:
        scores: of these rows.
        wrong: which of them are.
        rows: that will certify.
        target: r.
        confidence: 1 - δ.

    Returns:
        The threshold that accepts `START_SHARE` of what is accepted where the risk here is the target, and at
        least what it takes to tolerate an error or two.
    """
    curve = risk_coverage(scores, wrong)
    good = np.flatnonzero(curve.selective_risk <= target)
    hoped = START_SHARE * curve.coverage[good[-1]] if len(good) else 0.0
    least = next(
        (count for count in _starts(target, confidence) if count <= START_SHARE * rows),
        rows_needed(0, target, confidence),
    )
    return float(np.quantile(scores, min(1.0, max(hoped, least / rows))))


def _starts(target: float, confidence: float) -> Iterator[int]:
    return (rows_needed(errors, target, confidence) for errors in _START_ERRORS)


def _found(curve: RiskCoverage, step: int, value: float, confidence: float) -> Threshold:
    accepted, errors = int(curve.accepted[step]), int(curve.losses[step])
    return Threshold(value, accepted, errors, curve.rows, upper_bound(errors, accepted, confidence))


def _none(rows: int) -> Threshold:
    return Threshold(None, 0, 0, rows, 1.0)
