"""Student's t distribution, for whole degrees of freedom."""

from functools import lru_cache
from math import cos, pi, sin, sqrt, tan

_HALVINGS = 60
_SMALLEST_TAIL = 1e-10


@lru_cache(maxsize=1024)
def t_quantile(tail: float, degrees: int) -> float:
    """Compute the value that t exceeds with a probability.

    Args:
        tail: that probability, at most 0.5; one below 1e-10 is taken for 1e-10, which double precision can
        tell from 0. degrees: of freedom, at least 1.
    """
    low, high, tail = 0.0, pi / 2, max(tail, _SMALLEST_TAIL)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if upper_tail(middle, degrees) > tail else (low, middle)
    return sqrt(degrees) * tan(high)


def upper_tail(angle: float, degrees: int) -> float:
    """Compute the probability that t exceeds √degrees · tan(angle).

    (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4.)

    Args:
        angle: 0 to π/2.
        degrees: of freedom, at least 1.
    """
    even = degrees % 2 == 0
    total = term = 1.0 if even else cos(angle)
    for k in range(2 if even else 3, degrees, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    if even:
        return (1 - sin(angle) * total) / 2
    return 0.5 - (angle + sin(angle) * (total if degrees > 1 else 0)) / pi
