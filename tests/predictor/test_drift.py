"""How far served scores are from those of a calibration."""

import numpy as np
import pytest

from service.certification.monitoring import stability_index
from service.predictor.drift import ROWS, ScoreDrift
from service.repository.calibration import ScoreHistogram

EXPECTED = (50, 30, 20)
HISTOGRAM = ScoreHistogram(edges=(0.2, 0.5), counts=EXPECTED)


def scores(low: int, middle: int, high: int) -> np.ndarray:
    """So many in each bin; what equals an edge lies below it."""
    return np.repeat([0.2, 0.5, 0.51], [low, middle, high])


def test_the_index_is_of_the_last_rows() -> None:
    drift = ScoreDrift(HISTOGRAM)
    assert drift.add(scores(ROWS - 1, 0, 0)) is None
    assert drift.add(scores(0, 0, 1)) == pytest.approx(stability_index(EXPECTED, [ROWS - 1, 0, 1]))
    assert drift.add(scores(0, ROWS, 0)) == pytest.approx(stability_index(EXPECTED, [ROWS - 1, ROWS, 1]))
    assert drift.add(scores(0, 0, ROWS)) == pytest.approx(stability_index(EXPECTED, [0, ROWS, ROWS]))


def test_the_same_scores_do_not_drift() -> None:
    drift = ScoreDrift(HISTOGRAM)
    given = [drift.add(scores(50, 30, 20)) for _ in range(ROWS // 100)]
    assert given[:-1] == [None] * (ROWS // 100 - 1)
    assert given[-1] is not None
    assert given[-1] < 0.01 < stability_index(EXPECTED, [20, 30, 50])
