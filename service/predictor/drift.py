"""Whether scores are still those that a threshold was certified with."""

import numpy as np
from numpy.typing import NDArray

from service.certification.monitoring import stability_index
from service.repository.calibration import ScoreHistogram

ROWS = 500
"""After so many the index is computed anew, over the last twice as many; the first is over these alone."""


class ScoreDrift:
    """Holds served scores against those of a calibration. To be used from one thread.

    Args:
        histogram: of the calibration's scores.
    """

    def __init__(self, histogram: ScoreHistogram) -> None:
        self._edges = np.array(histogram.edges)
        self._expected = np.array(histogram.counts)
        self._before = np.zeros_like(self._expected)
        self._recent = np.zeros_like(self._expected)

    def add(self, scores: NDArray[np.float64]) -> float | None:
        """Count scores, [rows]; gives the population stability index after so many rows, else None."""
        places = np.searchsorted(self._edges, scores, side="left")
        self._recent += np.bincount(places, minlength=len(self._recent))
        if self._recent.sum() < ROWS:
            return None
        seen = self._before + self._recent
        self._before, self._recent = self._recent, np.zeros_like(self._recent)
        return stability_index(self._expected, seen)
