"""Bounds for labels that come one by one: never wrong too often, however often one looks."""

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.certification.binomial import upper_bound
from service.certification.monitoring import evidence_above, lower_bound, stability_index

STREAMS, LABELS = 1000, 600
ENOUGH = log(20)  # of evidence, for a confidence of 0.95


def test_evidence_is_the_mixed_likelihood_ratio() -> None:
    errors, rows, share = 4, 30, 0.05
    steps = share + (1 - share) * (np.arange(200_000) + 0.5) / 200_000
    ratios = (steps / share) ** errors * ((1 - steps) / (1 - share)) ** (rows - errors)
    assert evidence_above(errors, rows, share) == pytest.approx(np.log(ratios.mean()), rel=1e-6)


@given(st.integers(0, 40), st.integers(0, 400), st.floats(0.001, 0.9))
def test_the_next_label_neither_gains_nor_loses_where_the_share_is_the_truth(
    errors: int, right: int, share: float
) -> None:
    """A martingale: the mean over the next label is what it is now."""
    now, wrong, fine = (
        np.exp(
            evidence_above(errors + more, errors + right + 1 - one, share)
            - evidence_above(errors, errors + right, share)
        )
        for more, one in ((0, 1), (1, 0), (0, 0))
    )
    assert now == 1
    assert share * wrong + (1 - share) * fine == pytest.approx(1, rel=1e-6)


def test_a_promise_that_holds_is_rarely_ever_refuted() -> None:
    """Looked at after each of 600 labels, with the share at the target itself."""
    generator = np.random.default_rng(1)
    errors = np.cumsum(generator.random((STREAMS, LABELS)) < 0.02, 1)
    table = {}
    ever = 0
    for stream in errors:
        for rows, count in enumerate(stream.tolist(), 1):
            key = (count, rows)
            if key not in table:
                table[key] = evidence_above(count, rows, 0.02) >= ENOUGH
            if table[key]:
                ever += 1
                break
    assert ever / STREAMS <= 0.05 + 3 * sqrt(0.05 * 0.95 / STREAMS)
    assert ever > 0  # it is no bound that never speaks


def test_a_broken_promise_is_refuted() -> None:
    """Of 10 % wrong rows where 2 % are promised, 100 labels tell."""
    assert lower_bound(10, 100, 0.95) > 0.02
    assert lower_bound(2, 100, 0.95) < 0.02
    assert lower_bound(0, 5000, 0.95) == 0


@given(st.integers(0, 30), st.integers(0, 300))
def test_the_bound_is_where_the_refuting_ends(errors: int, right: int) -> None:
    rows = errors + right
    if not rows:
        return
    bound = lower_bound(errors, rows, 0.95)
    assert 0 <= bound <= errors / rows <= upper_bound(errors, rows, 0.5) + 1e-9
    if bound > 1e-6:
        assert evidence_above(errors, rows, bound * 0.99) >= ENOUGH
        assert evidence_above(errors, rows, min(bound * 1.01, 0.999)) < ENOUGH


def test_stability_by_hand() -> None:
    assert stability_index([10, 20, 30], [100, 200, 300]) == pytest.approx(0, abs=1e-2)
    moved = stability_index([500, 500], [800, 200])
    assert moved == pytest.approx(0.3 * np.log(1.6) - 0.3 * np.log(0.4), rel=1e-2)
    assert np.isfinite(stability_index([10, 0], [0, 10]))
