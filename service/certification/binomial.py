"""Exact bounds on a share from a count: Clopper & Pearson (1934), one side.

The bound is at the share at which so few errors would have a probability of exactly 1 - confidence. It is the
quantile BetaInv(confidence; errors + 1, rows - errors), found here from the binomial sum itself.
"""

from functools import lru_cache
from math import exp, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

_HALVINGS = 60
_MOST_ROWS = 2**40
Counts = NDArray[np.int64]


def at_most(errors: int, rows: int, share: float) -> float:
    """Compute the probability of at most so many errors among rows of which each is one with that share."""
    if errors >= rows or share <= 0:
        return 1.0
    if errors < 0 or share >= 1:
        return 0.0
    return min(1.0, sum(_exactly(count, rows, share) for count in range(errors + 1)))


def upper_bound(errors: int, rows: int, confidence: float) -> float:
    """Bound the share of errors from above, with a confidence.

    Args:
        errors: seen.
        rows: among so many.
        confidence: above 0 and below 1.

    Returns:
        The share; 1 where there are no rows.
    """
    if errors >= rows:
        return 1.0
    low, high = errors / rows, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(errors, rows, middle) > 1 - confidence else (low, middle)
    return high


@lru_cache(maxsize=65536)
def rows_needed(errors: int, share: float, confidence: float) -> int:
    """Count the rows of which so many may be wrong, and still the share is at most `share`.

    At 2 % and 95 %: 149 with no error, 236 with one, 313 with two.
    """
    low, high = errors, errors + 1
    while at_most(errors, high, share) > 1 - confidence:
        low, high = high, high * 2
        if high > _MOST_ROWS:
            raise ValueError(f"a share of {share} takes more rows than anybody has")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at_most(errors, middle, share) > 1 - confidence else (low, middle)
    return high


@lru_cache(maxsize=64)
def tolerated(rows: int, share: float, confidence: float) -> Counts:
    """Count for every number of rows how many may be wrong, and still the share is at most `share`.

    Args:
        rows: the most.
        share: above 0 and below 1.
        confidence: above 0 and below 1.

    Returns:
        For 0 rows and more, [rows + 1]; -1 where even no error shows nothing.
    """
    counts = np.full(rows + 1, -1, np.int64)
    errors, below = 0, 1.0  # the probability of at most `errors`, from one number of rows to the next
    for count in range(1, rows + 1):
        below -= share * _exactly(errors, count - 1, share)
        if below <= 1 - confidence:
            counts[count] = errors
            errors += 1
            below += _exactly(errors, count, share)
        else:
            counts[count] = errors - 1
    counts.flags.writeable = False  # it is kept, and given to others
    return counts


def _exactly(errors: int, rows: int, share: float) -> float:
    """Compute the probability of so many errors."""
    if errors > rows:
        return 0.0
    ways = lgamma(rows + 1) - lgamma(errors + 1) - lgamma(rows - errors + 1)
    return exp(ways + errors * log(share) + (rows - errors) * log1p(-share))
