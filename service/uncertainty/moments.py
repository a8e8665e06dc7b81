"""Means and variances of a stream of samples, in double precision, whatever the samples are in."""

import torch
from torch import Tensor


class Moments:
    """Mean and variance, element by element, of chunks that are seen once and forgotten.

    Chunks are merged by the pairwise rule of Chan, Golub & LeVeque (1983), "Algorithms for computing the
    sample variance": it keeps its digits where the variance is small beside the mean. The sums of squares of
    the textbook do not: in single precision the variance of 100 ± 0.05 came out as 0.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None  # the sum of squared deviations from the mean

    def update(self, chunk: Tensor) -> None:
        """Take in a chunk, [samples, …]; the rest of the shape is the same for every chunk."""
        values = chunk.double()
        count, mean = len(values), values.mean(0)
        squares = (values - mean).square().sum(0)
        if self._mean is None or self._squares is None:
            self.count, self._mean, self._squares = count, mean, squares
            return
        total = self.count + count
        apart = mean - self._mean
        self._mean = self._mean + apart * (count / total)
        self._squares = self._squares + squares + apart.square() * (self.count * count / total)
        self.count = total

    def keep(self, rows: Tensor) -> None:
        """Forget all but these indices of the dimension after the samples."""
        self._mean, self._squares = self._seen(self._mean)[rows], self._seen(self._squares)[rows]

    @property
    def mean(self) -> Tensor:
        """The mean, […], float64."""
        return self._seen(self._mean)

    @property
    def variance(self) -> Tensor:
        """The unbiased variance, […], float64, for at least 2 samples: squared deviations over count - 1."""
        return self._seen(self._squares) / (self.count - 1)

    @property
    def standard_error(self) -> Tensor:
        """The Monte Carlo standard error of the mean, […], float64: √(variance / count)."""
        return torch.sqrt(self.variance / self.count)

    def _seen(self, accumulated: Tensor | None) -> Tensor:
        if accumulated is None:
            raise ValueError("no samples have been taken in yet")
        return accumulated
