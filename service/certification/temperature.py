"""Temperature scaling: one number that makes probabilities less sure, or surer (Guo et al. 2017).

The logits of every sample are divided by τ before the softmax, and the probabilities averaged afterwards: τ
is fitted to the mean that is served, by its negative log-likelihood, and not to the whole network's
prediction.
"""

from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.certification.probabilities import negative_log_likelihood

Array = NDArray[np.float64]

LOWEST, HIGHEST = 0.1, 10.0

_LOOKS = 41  # the likelihood may have two valleys: look before descending
_HALVINGS = 40
_GOLDEN = (5**0.5 - 1) / 2
_LEAST = 1e-30


def tempered(samples: Array, temperature: float) -> Array:
    """Divide the logits behind probabilities, [..., classes], by a temperature."""
    logits = np.log(np.maximum(samples, _LEAST)) / temperature
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def fitted_temperature(samples: Array, classes: NDArray[np.integer[Any]]) -> float | None:
    """Find the temperature at which what happened is likeliest.

    Args:
        samples: probabilities, [samples, rows, classes].
        classes: what each row is, [rows].

    Returns:
        Between `LOWEST` and `HIGHEST`; None where it is at either end: rows that are all right say no more
        than "as sure as can be".
    """

    def cost(place: float) -> float:
        return negative_log_likelihood(tempered(samples, exp(place)).mean(0), classes)

    places = np.linspace(log(LOWEST), log(HIGHEST), _LOOKS)
    best = int(np.argmin([cost(place) for place in places]))
    if best in (0, _LOOKS - 1):
        return None
    low, high = places[best - 1], places[best + 1]
    for _ in range(_HALVINGS):
        first, second = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, second) if cost(first) < cost(second) else (first, high)
    return float(exp((low + high) / 2))
