"""Exact bounds: known counts, and sums of binomials done with fractions."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from service.certification.binomial import at_most, rows_needed, tolerated, upper_bound


@pytest.mark.parametrize(("errors", "rows"), [(0, 149), (1, 236), (2, 313), (5, 523), (10, 845)])
def test_rows_for_two_per_cent_at_95(errors: int, rows: int) -> None:
    assert rows_needed(errors, 0.02, 0.95) == rows
    assert upper_bound(errors, rows, 0.95) <= 0.02 < upper_bound(errors, rows - 1, 0.95)


@pytest.mark.parametrize(
    ("errors", "rows", "share"), [(0, 5, "1/3"), (3, 20, "1/10"), (19, 20, "9/10"), (7, 60, "1/50")]
)
def test_probabilities_are_those_of_fractions(errors: int, rows: int, share: str) -> None:
    p = Fraction(share)
    exact = sum(comb(rows, k) * p**k * (1 - p) ** (rows - k) for k in range(errors + 1))
    assert at_most(errors, rows, float(p)) == pytest.approx(float(exact), rel=1e-12)


def test_no_error_has_a_closed_form() -> None:
    assert upper_bound(0, 100, 0.95) == pytest.approx(1 - 0.05 ** (1 / 100), rel=1e-12)
    assert upper_bound(0, 0, 0.95) == upper_bound(7, 7, 0.95) == 1
    assert at_most(-1, 5, 0.1) == 0


def test_what_is_tolerated_is_what_the_bound_says() -> None:
    table = tolerated(900, 0.02, 0.95)
    for rows in (0, 1, 148, 149, 235, 236, 522, 523, 844, 845, 900):
        errors = int(table[rows])
        assert errors < 0 or upper_bound(errors, rows, 0.95) <= 0.02
        assert upper_bound(errors + 1, rows, 0.95) > 0.02
    assert set(np.diff(table)) == {0, 1}


def test_many_rows_lose_no_digits() -> None:
    table = tolerated(50_000, 0.02, 0.95)
    assert upper_bound(int(table[-1]), 50_000, 0.95) <= 0.02 < upper_bound(int(table[-1]) + 1, 50_000, 0.95)
