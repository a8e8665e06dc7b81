"""Whether a promise still holds, from labels that come in one by one after deployment.

Bounds here hold at every moment at once: one may look after every label, for ever, and stop when one likes.

With n audited rows of which e are wrong, the likelihood ratio of "the share of wrong rows is above p" against
p, mixed evenly over shares q from p to 1,

    M_n(p) = ∫_p^1 (q / p)^e ((1 - q) / (1 - p))^(n - e) dq / (1 - p)

is a martingale that starts at 1 if p is the truth, and a supermartingale if the truth is less. By Ville's
inequality (1939) it ever exceeds 1 / δ with a probability of at most δ. The least p at which it does not is a
lower bound (the mixture method: Robbins 1970; Howard et al. 2021; as a bet: Waudby-Smith & Ramdas 2024).
"""

from collections.abc import Sequence
from functools import lru_cache
from math import exp, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

Counts = Sequence[int] | NDArray[np.int64]

_HALVINGS = 50
_BOUNDS = 1024  # kept: who watches asks of the same counts again and again, and many errors take a while
_HALF_ROW = 0.5


def evidence_above(errors: int, rows: int, share: float) -> float:
    """Compute ln M: how strongly rows speak for a share of errors that is above `share`.

    Args:
        errors: seen so far.
        rows: audited so far.
        share: above 0 and below 1.
    """
    mixed = log_beta_above(errors + 1, rows - errors + 1, share) - log1p(-share)
    return mixed - errors * log(share) - (rows - errors) * log1p(-share)


@lru_cache(_BOUNDS)
def lower_bound(errors: int, rows: int, confidence: float) -> float:
    """Bound the share of errors from below, at every moment at once.

    Args:
        errors: seen so far.
        rows: audited so far.
        confidence: above 0 and below 1.

    Returns:
        0 where nothing speaks against any share.
    """
    if not errors:
        return 0.0
    low, high = 0.0, errors / rows
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _refutes(errors, rows, middle, confidence) else (low, middle)
    return low


def stability_index(expected: Counts, seen: Counts) -> float:
    """Compute the population stability index: how far counts have moved from those of the calibration.

    It is Σ (s - c) ln(s / c) over the bins, with s and c the shares; half a row more in each
    bin, so that none is 0.
    Below 0.1 is usually called stable, above 0.25 moved (Siddiqi 2006); chance alone gives about
    (bins - 1) · (1 / expected rows + 1 / seen rows).

    Args:
        expected: of the calibration, [bins].
        seen: of served rows, [bins].
    """
    first, second = (np.asarray(counts, float) + _HALF_ROW for counts in (expected, seen))
    was, now = first / first.sum(), second / second.sum()
    return float(((now - was) * np.log(now / was)).sum())


def _refutes(errors: int, rows: int, share: float, confidence: float) -> bool:
    return evidence_above(errors, rows, share) >= -log1p(-confidence)


def log_beta_above(first: int, second: int, share: float) -> float:
    """Compute ln ∫_share^1 q^(first - 1) (1 - q)^(second - 1) dq, for whole numbers.

    Of the whole integral it is the share P(q > share) = P(Bin(first + second - 1, share) < first).
    """
    whole = lgamma(first) + lgamma(second) - lgamma(first + second)
    return whole + _log_at_most(first - 1, first + second - 1, share)


def _log_at_most(errors: int, rows: int, share: float) -> float:
    """Compute ln P(Bin(rows, share) ≤ errors), however small."""
    wrong, right = log(share), log1p(-share)
    ways = [
        lgamma(rows + 1) - lgamma(k + 1) - lgamma(rows - k + 1) + k * wrong + (rows - k) * right
        for k in range(errors + 1)
    ]
    most = max(ways)
    return most + log(sum(exp(one - most) for one in ways))
