"""Standard errors of scores by the jackknife over groups of samples.

Sample t belongs to group t mod `GROUPS`, whatever the chunks, and of each group only a sum is kept: memory
does not grow with the number of samples. With θ the score of all n samples and θ₋g the score without the m_g
samples of group g, the n - m_g others give, to first order, (n - m_g)(θ - θ₋g) = the sum of the influences of
group g, so that with G groups

    SE² = G / (G - 1) · Σ_g ((n - m_g) / n)² (θ₋g - θ)²

For groups of one size this is the usual delete-a-group jackknife (Tukey 1958; Shao & Wu 1989), which tends
to err upwards (Efron & Stein 1981). Any smooth function of means has one this way, and none needs a
derivative, or a covariance of classes by classes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

GROUPS = 32
"""A standard error then has 31 degrees of freedom, and is itself exact to about 13 %."""


@dataclass(frozen=True)
class Resamples:
    """Sums of a statistic over groups of samples.

    Args:
        sums: [groups, rows, ..., width].
        sizes: samples of each group, [groups].
    """

    sums: Array
    sizes: Array

    @cached_property
    def count(self) -> float:
        """How many samples."""
        return float(self.sizes.sum())

    @cached_property
    def whole(self) -> Array:
        """The mean over all samples, [rows, ..., width]."""
        return np.asarray(self.sums.sum(0) / self.count)

    @cached_property
    def left_out(self) -> Array:
        """The means over all samples but those of one group, [groups, rows, ..., width]."""
        return np.asarray((self.whole * self.count - self.sums) / _as_groups_of(self.sums, self.rest))

    def with_samples(self, statistics: Array) -> "Resamples":
        """Add imagined samples, [samples, rows, ..., width], each a group of its own."""
        ones = np.ones(len(statistics))
        return Resamples(np.concatenate([self.sums, statistics]), np.concatenate([self.sizes, ones]))

    @cached_property
    def rest(self) -> Array:
        """How many samples are not of a group, [groups]."""
        return self.count - self.sizes

    def standard_error(self, whole: Array, left_out: Array) -> Array:
        """Compute the standard error of a score.

        Args:
            whole: the score of all samples, [rows, ...].
            left_out: the scores without each group, [groups, rows, ...].
        """
        groups = len(self.sizes)
        return np.asarray(np.sqrt(groups / (groups - 1) * np.square(self._moves(whole, left_out)).sum(0)))

    def corrected(self, whole: Array, left_out: Array) -> Array:
        """Compute a score less its bias of order 1 / samples (Quenouille 1956); arguments as above."""
        return np.asarray(whole + self._moves(whole, left_out).sum(0))

    def direction(self, whole: Array, left_out: Array) -> Array:
        """Tell where the mean moves for one standard error of the score, the way that samples resist least.

        Each group weighs more or less in proportion to what the score owes to it (the least favourable
        family, Efron 1987).

        Args:
            whole: the score of all samples, [rows, ...].
            left_out: the scores without each group, [groups, rows, ...].

        Returns:
            What to add to `whole` for a score one standard error higher, [rows, ..., width].
        """
        error = np.maximum(self.standard_error(whole, left_out), np.finfo(float).tiny)
        correction = len(self.sizes) / (len(self.sizes) - 1)
        moves = self._moves(whole, left_out)
        weights = correction * moves / error * _as_groups_of(moves, self._shares)
        return np.asarray(np.einsum("g...,g...w->...w", weights, self.whole - self.left_out))

    def _moves(self, whole: Array, left_out: Array) -> Array:
        """Estimate how much of the score is owed to each group, [groups, rows, ...]."""
        return np.asarray(_as_groups_of(left_out, self._shares) * (whole - left_out))

    @cached_property
    def _shares(self) -> Array:
        """The share of the samples that are not of a group, [groups]."""
        return self.rest / self.count


def _as_groups_of(array: Array, values: Array) -> Array:
    """Give a value of each group the dimensions of an array, [groups, ...]."""
    return values.reshape(-1, *[1] * (array.ndim - 1))


class Groups:
    """Accumulates the sums of a statistic over groups of samples, in double precision."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: Tensor | None = None
        self._resamples: Resamples | None = None

    def update(self, statistics: Tensor) -> None:
        """Take in a chunk, [samples, rows, ..., width]."""
        self._resamples = None
        if self._sums is None:
            self._sums = statistics.new_zeros(GROUPS, *statistics.shape[1:], dtype=torch.float64)
        while len(statistics):
            first = self.count % GROUPS
            part, statistics = statistics[: GROUPS - first], statistics[GROUPS - first :]
            self._sums[first : first + len(part)] += part
            self.count += len(part)

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but those of these indices."""
        self._sums, self._resamples = self._seen()[:, rows], None

    def resamples(self) -> Resamples:
        """Give the groups that have samples; what is made of them is kept until there are more."""
        if self._resamples is None:
            used = min(self.count, GROUPS)
            sizes = np.array([(self.count - 1 - group) // GROUPS + 1 for group in range(used)], np.float64)
            # A copy: the sums go on.
            self._resamples = Resamples(self._seen()[:used].cpu().numpy().copy(), sizes)
        return self._resamples

    def _seen(self) -> Tensor:
        if self._sums is None:
            raise ValueError("no samples have been taken in yet")
        return self._sums
