"""Points of pictures: few, and of the same shape as all."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from service.calibration.curves import thinned
from service.certification.selective import risk_coverage
from service.repository.calibration import MOST_POINTS, Curve, Curves


def risky(rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A curve as they are: wild where few rows are accepted, and smooth then."""
    random = np.random.default_rng(0)
    scores = random.random(rows)
    found = risk_coverage(scores, (random.random(rows) < 0.02 + 0.3 * scores**3).astype(float))
    return found.coverage, found.selective_risk


@pytest.mark.parametrize("rows", [150, 2_000, 50_000])
def test_the_line_through_few_points_is_near_all(rows: int) -> None:
    across, up = risky(rows)
    kept = thinned(across, up)
    assert len(kept) <= MOST_POINTS
    assert (kept[0], kept[-1]) == (0, rows - 1)
    assert (np.diff(kept) > 0).all()
    assert np.abs(np.interp(across, across[kept], up[kept]) - up).max() < 0.003


def test_a_peak_of_one_point_is_kept() -> None:
    up = np.zeros(10_001)
    up[6_789] = 1
    assert thinned(np.linspace(0, 1, 10_001), up, 5).tolist() == [0, 6_788, 6_789, 6_790, 10_000]


@pytest.mark.parametrize("points", [1, 2, 3])
def test_a_straight_line_needs_its_ends_alone(points: int) -> None:
    line = np.arange(points, dtype=float)
    assert thinned(line, 0.5 * line).tolist() == sorted({0, points - 1})


@pytest.mark.parametrize(
    ("across", "up", "said"),
    [([0.1] * 201, [0.1] * 201, "length <= 200"), ([0.1], [], "1 points across, and 0 upwards")],
)
def test_what_is_no_curve_is_refused(across: list[float], up: list[float], said: str) -> None:
    given = {"across": across, "up": up}
    curve = Curve((0.0,), (0.0,))
    content = {"risk_coverage": given, "reliability": msgspec.to_builtins(curve)}
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(content, Curves)
