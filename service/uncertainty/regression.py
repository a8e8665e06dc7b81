"""What samples of predicted values say about a row.

With μ_t the value of sample t and σ²_t the noise that the model predicts there (its variance head):

    mean        (1/T) Σ_t μ_t
    variance    unbiased, of the μ_t            epistemic: what the thinned networks disagree about
    aleatoric   (1/T) Σ_t σ²_t                  the data's own noise; unknown without a variance head
    total       variance + aleatoric            (the law of total variance; Kendall & Gal 2017, eq. 9)

The interval is mean ± z·√total, as for a normal distribution.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from service.uncertainty.moments import Moments

Array = NDArray[np.float64]

INTERVAL_LEVEL = 0.95


@dataclass(frozen=True)
class RegressionMeasures:
    """Measures of a batch. `targets` is the number of values predicted for a row.

    Args:
        mean: [rows, targets].
        variance: epistemic, unbiased, [rows, targets].
        standard_error: of `mean`, [rows, targets].
        aleatoric_variance: [rows, targets], or None where the model has no variance head.
        samples: T.
    """

    mean: Array
    variance: Array
    standard_error: Array
    aleatoric_variance: Array | None
    samples: int

    @property
    def total_variance(self) -> Array:
        """Epistemic and, where it is known, aleatoric, [rows, targets]."""
        return self.variance if self.aleatoric_variance is None else self.variance + self.aleatoric_variance

    @property
    def interval_method(self) -> str:
        """What the interval is about: without the data's noise, the networks' disagreement alone."""
        return "normal_epistemic" if self.aleatoric_variance is None else "normal"

    @property
    def interval_width(self) -> Array:
        """Upper less lower bound of the interval, [rows, targets]."""
        return 2 * NormalDist().inv_cdf((1 + INTERVAL_LEVEL) / 2) * np.sqrt(self.total_variance)

    @property
    def interval(self) -> tuple[Array, Array]:
        """Lower and upper bound, each [rows, targets]."""
        half = self.interval_width / 2
        return self.mean - half, self.mean + half


class RegressionMoments:
    """Accumulates samples of a regression model.

    Args:
        variance_head: whether the model gives (values, log variances) side by side.
    """

    def __init__(self, *, variance_head: bool) -> None:
        self._variance_head = variance_head
        self._values = Moments()
        self._noise = Moments()

    def update(self, outputs: Tensor) -> None:
        """Take in a chunk of samples, [samples, rows, targets], or [.., 2·targets] with a variance head."""
        values, noise = values_and_noise(outputs, variance_head=self._variance_head)
        self._values.update(values)
        if noise is not None:
            self._noise.update(noise)

    def measures(self) -> RegressionMeasures:
        """Give the measures of all samples taken in, of which there are at least 2."""
        return RegressionMeasures(
            mean=self._values.mean.cpu().numpy(),
            variance=self._values.variance.cpu().numpy(),
            standard_error=self._values.standard_error.cpu().numpy(),
            aleatoric_variance=self._noise.mean.cpu().numpy() if self._variance_head else None,
            samples=self._values.count,
        )


def values_and_noise(outputs: Tensor, *, variance_head: bool) -> tuple[Tensor, Tensor | None]:
    """Split a model's outputs into values and variances of the noise, in double precision.

    Args:
        outputs: [..., targets], or [..., 2·targets] with a variance head.
        variance_head: whether the second half holds log variances.
    """
    if not variance_head:
        return outputs.double(), None
    values, log_variance = outputs.double().chunk(2, -1)
    return values, log_variance.exp()
