"""A thousand calibrations: how often each method breaks its promise, and what it lets through."""

from math import sqrt

import numpy as np
import pytest
from selective_methods import BEST_COVERAGE, CONFIDENCE, METHODS, TARGET, Population

from service.certification.selective import risk_coverage
from service.certification.thresholds import joint_risk, selective_risk, starting_threshold

RUNS, ROWS, CHOOSING = 1000, 1000, 250


@pytest.fixture(scope="module")
def population() -> Population:
    return Population()


def within(share: float, expected: float, errors: float = 4) -> bool:
    """Whether a share of RUNS is what is expected, but for so many standard errors."""
    return abs(share - expected) <= errors * sqrt(max(expected * (1 - expected), 1 / RUNS) / RUNS)


def simulated(population: Population, method: str, choosing: int = CHOOSING) -> tuple[float, float]:
    """Give how often the promise is broken, and the mean coverage."""
    generator = np.random.default_rng(1)
    found = []
    for _ in range(RUNS):
        others = population.draw(choosing, generator)
        scores, wrong = population.draw(ROWS, generator)
        found.append(METHODS[method](scores, wrong) if method in METHODS else ours(others, (scores, wrong)))
    return float(np.mean([population.risk(one) > TARGET for one in found])), float(np.mean(found))


def ours(others: tuple[np.ndarray, np.ndarray], rows: tuple[np.ndarray, np.ndarray]) -> float:
    start = starting_threshold(*others, len(rows[0]), TARGET, CONFIDENCE)
    return selective_risk(risk_coverage(*rows), start, TARGET, CONFIDENCE).value or 0.0


def test_the_population_is_that_of_the_published_figures(population: Population) -> None:
    assert population.error.mean() == pytest.approx(0.133, abs=5e-4)
    assert population.risk(BEST_COVERAGE) == pytest.approx(TARGET, abs=2e-4)


@pytest.mark.parametrize(
    ("method", "broken", "coverage"),
    [("naive", 0.51, BEST_COVERAGE), ("sgr", 0.002, 0.574), ("fixed_sequence", 0.007, 0.674)],
)
def test_published_methods_do_as_published(
    population: Population, method: str, broken: float, coverage: float
) -> None:
    found = simulated(population, method)
    assert within(found[0], broken)
    assert found[1] == pytest.approx(coverage, abs=0.02)


def test_ours_keeps_the_promise_and_lets_more_through(population: Population) -> None:
    broken, coverage = simulated(population, "ours")
    assert broken <= 1 - CONFIDENCE
    assert coverage >= 0.70


def test_a_score_that_says_nothing_breaks_no_promise() -> None:
    """All thresholds are just beyond the target: the worst there is, and every certified one is broken."""
    generator = np.random.default_rng(2)
    broken = 0
    for _ in range(RUNS):
        scores, wrong = generator.random(ROWS), (generator.random(ROWS) < TARGET * 1.0001).astype(float)
        others = generator.random(CHOOSING), (generator.random(CHOOSING) < TARGET).astype(float)
        broken += ours(others, (scores, wrong)) > 0
    assert broken / RUNS <= 1 - CONFIDENCE + 3 * sqrt(0.05 * 0.95 / RUNS)


def test_a_risk_that_falls_and_rises_breaks_no_promise() -> None:
    """Wrong and sure, as mislabelled rows are: the selective risk crosses the target three times."""
    generator = np.random.default_rng(3)
    edges, error = np.array([0.15, 0.3, 0.5, 0.6]), np.array([0.021, 0.0185, 0.021, 0.0195, 0.2])
    shares = np.diff(edges, prepend=0)

    def drawn(rows: int) -> tuple[np.ndarray, np.ndarray]:
        scores = generator.random(rows)
        return scores, (generator.random(rows) < error[np.searchsorted(edges, scores)]).astype(float)

    def risk(threshold: float) -> float:
        inside = np.clip(threshold - np.concatenate([[0], edges]), 0, np.append(shares, 0.4))
        return float((inside * error).sum() / threshold)

    found = [ours(drawn(CHOOSING), drawn(ROWS)) for _ in range(RUNS)]
    broken = np.mean([one > 0 and risk(one) > TARGET for one in found])
    assert broken <= 1 - CONFIDENCE + 3 * sqrt(0.05 * 0.95 / RUNS)


def test_ties_are_accepted_together() -> None:
    scores, wrong = np.array([0.1] * 200 + [0.5] * 200 + [0.9] * 200), np.zeros(600)
    wrong[-1] = wrong[-2] = wrong[-3] = wrong[-4] = wrong[-5] = wrong[-6] = 1
    wrong[-7:] = 1
    found = selective_risk(risk_coverage(scores, wrong), 0.1, TARGET, CONFIDENCE)
    assert (found.value, found.accepted, found.errors, found.rows) == (0.5, 400, 0, 600)
    assert found.flagged == pytest.approx(1 / 3)
    assert found.bound == pytest.approx(1 - 0.05 ** (1 / 400))


def test_the_start_itself_is_certified_where_the_next_score_fails() -> None:
    """The threshold was fixed beforehand: it need not be a score of these rows."""
    scores, wrong = np.arange(300) / 300, np.zeros(300)
    wrong[200:] = 1
    found = selective_risk(risk_coverage(scores, wrong), 199.5 / 300, TARGET, CONFIDENCE)
    assert (found.value, found.accepted) == (199.5 / 300, 200)


@pytest.mark.parametrize("start", [-1.0, 0.3, 100 / 300])
def test_nothing_is_certified_where_the_first_test_fails(start: float) -> None:
    scores, wrong = np.arange(300) / 300, np.zeros(300)
    found = selective_risk(risk_coverage(scores, wrong), start, TARGET, CONFIDENCE)
    assert (found.value, found.accepted, found.bound) == (None, 0, 1)


def test_joint_risk_by_hand() -> None:
    scores, wrong = np.arange(99) / 99, np.zeros(99)
    wrong[[50, 60, 80]] = 1
    found = joint_risk(risk_coverage(scores, wrong), 0.03, CONFIDENCE)
    assert (found.errors, found.accepted) == (2, 80)  # (2 + 1) / (99 + 1) is 3 %, and one more is 4 %
    assert joint_risk(risk_coverage(scores, wrong), 0.009, CONFIDENCE).value is None


def test_joint_risk_holds_on_average(population: Population) -> None:
    generator = np.random.default_rng(4)
    risks = []
    for _ in range(RUNS):
        scores, wrong = population.draw(100, generator)
        value = joint_risk(risk_coverage(scores, wrong), 0.05, CONFIDENCE).value or 0.0
        risks.append(population.risk(value) * value)
    mean, error = np.mean(risks), np.std(risks) / sqrt(RUNS)
    assert 0.05 - 1 / 101 - 3 * error <= mean <= 0.05 + 3 * error
