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
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.uncertainty.jackknife import Groups
from service.uncertainty.moments import Moments

Array = NDArray[np.float64]

INTERVAL_LEVEL = 0.95

FAR = 3.0


@dataclass(frozen=True)
class ValueStatistics:
    """What scores of a regression are made of; leading dimensions are those of the means behind it.

    Args:
        mean: [rows, targets].
        variance: epistemic, unbiased, [rows, targets].
        aleatoric_variance: [rows, targets], or None where the model has no variance head.
    """

    mean: Array
    variance: Array
    aleatoric_variance: Array | None

    @property
    def total_variance(self) -> Array:
        """Epistemic and, where it is known, aleatoric, [rows, targets]."""
        return self.variance if self.aleatoric_variance is None else self.variance + self.aleatoric_variance

    @property
    def deviation(self) -> Array:
        """Square root of the total variance, [rows, targets]."""
        return np.sqrt(self.total_variance)

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


@dataclass(frozen=True)
class RegressionMeasures(ValueStatistics):
    """Measures of a batch. `targets` is the number of values predicted for a row.

    Args:
        standard_error: of `mean`, [rows, targets].
        samples: T of each row, [rows].
    """

    standard_error: Array
    samples: NDArray[np.int64]

    @classmethod
    def exact(cls, mean: Array, variance: Array) -> "RegressionMeasures":
        """Give the measures of all networks, none of which was drawn: mean and variance [rows, targets]."""
        none = np.zeros(len(mean), np.int64)
        return cls(mean, variance, aleatoric_variance=None, standard_error=np.zeros_like(mean), samples=none)


class RegressionMoments:
    """Accumulates samples of a regression model.

    Args:
        variance_head: whether the model gives (values, log variances) side by side.

    Attributes:
        kind: of the measures.
        groups: of (value, its square, noise) of each target, [targets, 3], or 2 without noise. Values are
            counted from those of the first sample, or their squares would lose what little they vary.
    """

    kind = RegressionMeasures

    def __init__(self, *, variance_head: bool) -> None:
        self.groups = Groups()
        self._variance_head = variance_head
        self._values = Moments()
        self._noise = Moments()
        self._origin: Tensor | None = None

    def update(self, outputs: Tensor) -> None:
        """Take in a chunk of samples, [samples, rows, targets], or [.., 2·targets] with a variance head."""
        values, noise = values_and_noise(outputs, variance_head=self._variance_head)
        if self._origin is None:
            self._origin = values[0]
        self._values.update(values)
        if noise is not None:
            self._noise.update(noise)
        self.groups.update(_statistic(values - self._origin, noise))

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but those of these indices."""
        self._origin = self._first[rows]
        for kept in (self._values, self._noise) if self._variance_head else (self._values,):
            kept.keep(rows)
        self.groups.keep(rows)

    def measures(self) -> RegressionMeasures:
        """Give the measures of all samples taken in, of which there are at least 2."""
        mean = self._values.mean.cpu().numpy()
        return RegressionMeasures(
            mean=mean,
            variance=self._values.variance.cpu().numpy(),
            standard_error=self._values.standard_error.cpu().numpy(),
            aleatoric_variance=self._noise.mean.cpu().numpy() if self._variance_head else None,
            samples=np.full(len(mean), self._values.count),
        )

    def statistics(self, means: Array, samples: Array | float) -> ValueStatistics:
        """Turn means of what `groups` holds over `samples`, [...], into statistics.

        Args:
            means: [..., rows, targets, width].
            samples: [...].
        """
        mean, square = means[..., 0], means[..., 1]
        # One sample, as is left of two without a group, has no spread.
        count = np.asarray(samples)[..., None, None]
        unbiased = count / np.maximum(count - 1, 1)
        return ValueStatistics(
            mean=mean + self._first.cpu().numpy(),
            variance=np.maximum(square - np.square(mean), 0) * unbiased,
            aleatoric_variance=np.maximum(means[..., 2], 0) if self._variance_head else None,
        )

    def extremes(self) -> tuple[Array, Array]:
        """Imagine two samples that would lower every score, and two that would raise it.

        The lowest are at the mean and without noise. Nothing bounds a value from above: the highest are
        `FAR` standard deviations from the mean, on both sides, and from the noise, and no promise is made of
        networks that are rarer and farther away.

        Returns:
            What `groups` would be given, each [2, rows, targets, width].
        """
        mean, spread = self._values.mean - self._first, FAR * self._values.variance.sqrt()
        calm = torch.stack([mean, mean])
        apart = torch.stack([mean - spread, mean + spread])
        if not self._variance_head:
            return _array(calm, None), _array(apart, None)
        noise = self._noise.mean + FAR * self._noise.variance.sqrt()
        return _array(calm, torch.zeros_like(calm)), _array(apart, torch.stack([noise, noise]))

    @property
    def _first(self) -> Tensor:
        if self._origin is None:
            raise ValueError("no samples have been taken in yet")
        return self._origin


def _statistic(values: Tensor, noise: Tensor | None) -> Tensor:
    """Join what is averaged: [..., targets] each → [..., targets, 2], or 3 with noise."""
    parts = [values, values.square()] if noise is None else [values, values.square(), noise]
    return torch.stack(parts, -1)


def _array(values: Tensor, noise: Tensor | None) -> Array:
    return _statistic(values, noise).cpu().numpy()


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
