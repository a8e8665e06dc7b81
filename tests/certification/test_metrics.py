"""Figures of scores and probabilities, against counting pairs and against what can be said in a line."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.certification.probabilities import negative_log_likelihood, reliability
from service.certification.ranking import auroc
from service.certification.selective import augrc, aurc, risk_coverage

ROWS = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=9)


def halves(first: float, second: float) -> float:
    return (first > second) + (first == second) / 2


@given(ROWS)
def test_augrc_is_half_the_chance_that_the_surer_of_two_rows_is_wrong(rows: list[tuple[int, bool]]) -> None:
    """Of two rows drawn with replacement, so that a row meets itself too, as a tie."""
    scores, losses = (np.array(column, float) for column in zip(*rows, strict=True))
    pairs = product(range(len(rows)), repeat=2)
    wrong = [losses[i] * halves(scores[j], scores[i]) for i, j in pairs]
    assert augrc(scores, losses) == pytest.approx(float(np.mean(wrong)))


@given(ROWS)
def test_augrc_is_made_of_auroc_and_accuracy(rows: list[tuple[int, bool]]) -> None:
    scores, wrong = (np.array(column, float) for column in zip(*rows, strict=True))
    error = wrong.mean()
    expected = error**2 / 2
    if 0 < error < 1:
        expected += (1 - auroc(scores, wrong)) * error * (1 - error)
    assert augrc(scores, wrong) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scores", "losses"),
    [
        ([0, 1, 2, 3], [0, 1, 0, 1]),
        ([1, 1, 0, 2], [1, 0, 0, 1]),
        ([5, 5, 5], [1, 0, 0]),
        ([1, 2, 2], [0.5, 2, 0]),
    ],
)
def test_areas_are_means_over_the_orders_of_tied_rows(scores: list[float], losses: list[float]) -> None:
    orders = [
        order for order in permutations(range(len(scores))) if np.all(np.diff(np.take(scores, order)) >= 0)
    ]
    selective, generalised = [], []
    for order in orders:
        lost = np.append(0, np.cumsum(np.take(losses, order)))
        selective.append(np.mean(lost[1:] / np.arange(1, len(lost))))
        generalised.append(np.mean(lost[1:] + lost[:-1]) / 2 / len(scores))
    assert aurc(np.array(scores), np.array(losses)) == pytest.approx(np.mean(selective))
    assert augrc(np.array(scores), np.array(losses)) == pytest.approx(np.mean(generalised))


def test_no_score_is_better_than_the_loss_itself() -> None:
    losses = np.array([0, 0, 0, 1, 1.0])
    assert augrc(losses, losses) == pytest.approx(0.4**2 / 2)
    assert augrc(np.array([3, 1, 2, 5, 4.0]), losses) == pytest.approx(0.4**2 / 2)
    assert augrc(np.array([1, 2, 3, 0, -1.0]), losses) == pytest.approx(0.4 * 0.6 + 0.4**2 / 2)


def test_tied_rows_are_accepted_together() -> None:
    curve = risk_coverage(np.array([0.1, 0.3, 0.3, 0.9]), np.array([0, 1, 0, 1.0]))
    assert curve.thresholds.tolist() == [0.1, 0.3, 0.9]
    assert curve.accepted.tolist() == [1, 3, 4]
    assert curve.selective_risk.tolist() == [0, 1 / 3, 0.5]
    assert curve.generalised_risk.tolist() == [0, 0.25, 0.5]
    assert curve.coverage.tolist() == [0.25, 0.75, 1]


@given(ROWS)
def test_auroc_counts_pairs(rows: list[tuple[int, bool]]) -> None:
    ones = [score for score, positive in rows if positive]
    others = [score for score, positive in rows if not positive]
    found = auroc(np.array([score for score, _ in rows]), np.array([positive for _, positive in rows]))
    if ones and others:
        assert found == pytest.approx(np.mean([halves(*pair) for pair in product(ones, others)]))
    else:
        assert np.isnan(found)


def test_reliability_by_hand() -> None:
    found = reliability(np.array([0.05, 0.1, 0.95, 1.0]), np.array([0, 1, 1, 1]), bins=10)
    assert found.rows.tolist() == [2, 2]  # a bin has its upper end
    assert found.confidence.tolist() == pytest.approx([0.075, 0.975])
    assert found.accuracy.tolist() == [0.5, 1]
    assert found.expected_error == pytest.approx((0.425 + 0.025) / 2)


def test_probabilities_by_hand() -> None:
    probabilities, classes = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [1, 0, 0]]), np.array([0, 1, 0])
    assert negative_log_likelihood(probabilities, classes) == pytest.approx(-np.log(0.5 * 0.1) / 3)
    assert np.isfinite(negative_log_likelihood(probabilities, np.array([0, 0, 2])))
