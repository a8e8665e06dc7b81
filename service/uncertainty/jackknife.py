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
        sums: [groups, rows, width].
        sizes: samples of each group, [groups].
    """

    sums: Tensor
    sizes: Tensor

    @property
    def whole(self) -> Tensor:
        """The mean over all samples, [rows, width]."""
        return self.sums.sum(0) / self.sizes.sum()

    @property
    def left_out(self) -> Tensor:
        """The means over all samples but those of one group, [groups, rows, width]."""
        return (self.sums.sum(0) - self.sums) / self.rest[:, None, None]

    def with_samples(self, statistics: Tensor) -> "Resamples":
        """Add imagined samples, [samples, rows, width], each a group of its own."""
        ones = self.sizes.new_ones(len(statistics))
        return Resamples(torch.cat([self.sums, statistics]), torch.cat([self.sizes, ones]))

    @property
    def rest(self) -> Tensor:
        """How many samples are not of a group, [groups]."""
        return self.sizes.sum() - self.sizes

    def standard_error(self, whole: Array, left_out: Array) -> Array:
        """Compute the standard error of a score.

        Args:
            whole: the score of all samples, [rows].
            left_out: the scores without each group, [groups, rows].
        """
        groups = len(self.sizes)
        return np.asarray(np.sqrt(groups / (groups - 1) * np.square(self._moves(whole, left_out)).sum(0)))

    def corrected(self, whole: Array, left_out: Array) -> Array:
        """Compute a score less its bias of order 1 / samples (Quenouille 1956); arguments as above."""
        return np.asarray(whole + self._moves(whole, left_out).sum(0))

    def moved(self, steps: Array, whole: Array, left_out: Array) -> Tensor:
        """Move the mean so many standard errors of the score, the way that the samples speak against least.

        Each group weighs more or less in proportion to what the score owes to it (the least favourable
        family, Efron 1987).

        Args:
            steps: standard errors, up or down, [rows].
            whole: the score of all samples, [rows].
            left_out: the scores without each group, [groups, rows].

        Returns:
            [rows, width].
        """
        error = np.maximum(self.standard_error(whole, left_out), np.finfo(float).tiny)
        correction = len(self.sizes) / (len(self.sizes) - 1)
        weights = torch.from_numpy(correction * self._moves(whole, left_out) * (steps / error)).to(self.sums)
        means = self._shares[:, None, None] * (self.whole - self.left_out)
        return self.whole + (weights[..., None] * means).sum(0)

    def _moves(self, whole: Array, left_out: Array) -> Array:
        """Estimate how much of the score is owed to each group, [groups, rows]."""
        return np.asarray(self._shares.cpu().numpy()[:, None] * (whole - left_out))

    @property
    def _shares(self) -> Tensor:
        """The share of the samples that are not of a group, [groups]."""
        return self.rest / self.sizes.sum()


class Groups:
    """Accumulates the sums of a statistic over groups of samples, in double precision."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: Tensor | None = None

    def update(self, statistics: Tensor) -> None:
        """Take in a chunk, [samples, rows, width]."""
        if self._sums is None:
            self._sums = statistics.new_zeros(GROUPS, *statistics.shape[1:], dtype=torch.float64)
        while len(statistics):
            first = self.count % GROUPS
            part, statistics = statistics[: GROUPS - first], statistics[GROUPS - first :]
            self._sums[first : first + len(part)] += part
            self.count += len(part)

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but those of these indices."""
        self._sums = self._seen()[:, rows]

    def resamples(self) -> Resamples:
        """Give the groups that have samples."""
        used = min(self.count, GROUPS)
        sums = self._seen()[:used]
        sizes = (self.count - 1 - torch.arange(used)) // GROUPS + 1
        return Resamples(sums, sizes.to(sums))

    def _seen(self) -> Tensor:
        if self._sums is None:
            raise ValueError("no samples have been taken in yet")
        return self._sums
