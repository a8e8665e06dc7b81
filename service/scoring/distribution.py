"""How the scores of an output lie: read from the file twice, and never held as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet

Array = NDArray[np.float64]

_FINE = 4096  # bins: a quantile is right to a four thousandth of the range
_READ_ROWS = 65_536


@dataclass(frozen=True)
class Distribution:
    """The scores of all rows that have one.

    Args:
        rows: how many.
        flagged: how many of them are.
        failed: rows that have an error in place of a score.
        low: the least score.
        high: the greatest.
        mean: of all.
        counts: of scores, in bins of one width from `low` to `high`.
    """

    rows: int
    flagged: int
    failed: int
    low: float
    high: float
    mean: float
    counts: NDArray[np.int64]

    def quantile(self, share: float) -> float:
        """Give a score that so many are below, to the width of a bin."""
        place = int(np.searchsorted(self.counts.cumsum(), share * self.rows))
        return float(
            self.low + (self.high - self.low) * min(place + 0.5, len(self.counts)) / len(self.counts)
        )

    def histogram(self, bins: int) -> tuple[Array, NDArray[np.int64]]:
        """Give edges, and counts between them; `bins` divides the fine ones."""
        edges = np.linspace(self.low, self.high, bins + 1)
        return edges, self.counts.reshape(bins, -1).sum(1)


def distribution(output: Path) -> Distribution:
    """Read the scores of an output."""
    rows = flagged = failed = 0
    low, high, total = np.inf, -np.inf, 0.0
    for scores, flags, missing in _read(output):
        failed += missing
        flagged += int(flags.sum())
        if len(scores):
            rows, total = rows + len(scores), total + float(scores.sum())
            low, high = min(low, float(scores.min())), max(high, float(scores.max()))
    if not rows:
        return Distribution(0, 0, failed, 0.0, 0.0, 0.0, np.zeros(_FINE, np.int64))
    counts = np.zeros(_FINE, np.int64)
    for scores, _, _ in _read(output):
        counts += _counted(scores, low, high)
    return Distribution(rows, flagged, failed, low, high, total / rows, counts)


def _counted(scores: Array, low: float, high: float) -> NDArray[np.int64]:
    width = (high - low) or 1.0
    places = ((scores - low) / width * _FINE).astype(np.int64)
    return np.bincount(np.minimum(places, _FINE - 1), minlength=_FINE)


def _read(output: Path) -> Iterator[tuple[Array, NDArray[np.bool_], int]]:
    """Give scores and flags of some rows, and how many have none."""
    with parquet.ParquetFile(output) as file:
        for batch in file.iter_batches(_READ_ROWS, columns=["score", "low_confidence"]):
            there = batch.column("score").is_valid()
            kept = batch.filter(there)
            scores = kept.column("score").to_numpy(zero_copy_only=False)
            flags = kept.column("low_confidence").to_numpy(zero_copy_only=False)
            yield scores, flags.astype(bool), len(batch) - len(kept)
