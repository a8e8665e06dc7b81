"""The stopping rule: how often a settled flag is not that of endless samples, over simulated rows."""

from collections.abc import Callable
from math import log

import numpy as np
import pytest
import torch
from scipy import stats

from service.uncertainty.classification import ClassificationMoments
from service.uncertainty.regression import RegressionMoments
from service.uncertainty.scores import score
from service.uncertainty.sequential import Rounds, ScoredMoments, settled
from service.uncertainty.student import t_quantile

ROWS = 1000
ERROR = 0.01
ROUNDS = Rounds(16, 200, ERROR)
LIMIT_SAMPLES = 200_000

Draw = Callable[[int, int], torch.Tensor]  # (samples, rows) → [samples, rows, width]


def two_kinds(share: float) -> Draw:
    """All networks but a share are sure of one class, the share of the other: few samples may not show it."""

    def draw(samples: int, rows: int) -> torch.Tensor:
        other = (torch.rand(samples, rows) < share).double() * 0.98 + 0.01
        return torch.stack([1 - other, other], -1)

    return draw


def dirichlet(*concentrations: float) -> Draw:
    return lambda samples, rows: torch.distributions.Dirichlet(
        torch.tensor(concentrations, dtype=torch.float64)
    ).sample((samples, rows))


def normal_logits(centre: float, spread: float, classes: int) -> Draw:
    def draw(samples: int, rows: int) -> torch.Tensor:
        logits = spread * torch.randn(samples, rows, classes, dtype=torch.float64)
        return (logits + centre * (torch.arange(classes) == 0)).softmax(-1)

    return draw


def sure_of_one(*shares: float) -> Draw:
    """Each class is the one that its share of the networks is nearly sure of."""

    def draw(samples: int, rows: int) -> torch.Tensor:
        votes = torch.multinomial(torch.tensor(shares), samples * rows, replacement=True)
        one_hot = torch.nn.functional.one_hot(votes, len(shares)).double()
        return (0.9 * one_hot + 0.1 / len(shares)).reshape(samples, rows, -1)

    return draw


def normal_values(centre: float, targets: int) -> Draw:
    """Targets that deviate by 1, [samples, rows, targets]."""
    return lambda samples, rows: centre + torch.randn(samples, rows, targets, dtype=torch.float64)


POPULATIONS = {
    "two kinds": two_kinds(0.2),
    "two kinds, nearly even": two_kinds(0.4),
    "sparse": dirichlet(0.19, 0.01),
    "smooth": dirichlet(6.0, 3.0, 1.0),
    "steep": normal_logits(5.0, 3.0, 2),
    "ten classes": normal_logits(4.0, 2.0, 10),
}


def walked(
    draw: Draw, name: str, threshold: float, moments: ScoredMoments
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample rows until they settle; gives their flags, whether they settled, and their samples."""
    flags, sure, samples = np.zeros(ROWS, bool), np.zeros(ROWS, bool), np.full(ROWS, ROUNDS.maximum)
    pending = np.arange(ROWS)
    for start, end in ROUNDS.spans:
        moments.update(draw(end - start, len(pending)))
        now = settled(moments, name, threshold, ROUNDS.spent(start, end))
        flags[pending] = score(moments.measures(), name) > threshold
        sure[pending], samples[pending] = now, end
        pending = pending[~now]
        if not len(pending):
            break
        moments.keep(torch.from_numpy(np.flatnonzero(~now)))
    return flags, sure, samples


def limit(draw: Draw, name: str) -> float:
    moments = ClassificationMoments(logits=False)
    moments.update(draw(LIMIT_SAMPLES, 1))
    return float(score(moments.measures(), name)[0])


def assert_keeps_its_promise(wrong: np.ndarray) -> None:
    assert wrong.mean() <= ERROR + 5 * np.sqrt(ERROR * (1 - ERROR) / ROWS)


@pytest.mark.parametrize("factor", [0.5, 0.98, 1.02, 2.0])
@pytest.mark.parametrize("name", ["predictive_entropy", "mutual_information", "variation_ratio"])
@pytest.mark.parametrize("population", POPULATIONS)
def test_settled_flags_are_those_of_endless_samples(population: str, name: str, factor: float) -> None:
    """Near and far from the threshold: wrong at most as often as stated, and 5 standard errors; seed 21."""
    draw = POPULATIONS[population]
    with torch.random.fork_rng():
        torch.manual_seed(21)
        truth = limit(draw, name)
        threshold = factor * truth
        flags, sure, _ = walked(draw, name, threshold, ClassificationMoments(logits=False))
    assert_keeps_its_promise(sure & (flags != (truth > threshold)))


@pytest.mark.parametrize("factor", [0.5, 0.98, 1.02, 2.0])
@pytest.mark.parametrize("degrees", [5, 1000])  # heavy tails, and nearly normal ones
def test_settled_flags_of_a_regression(degrees: int, factor: float) -> None:
    """Values of Student's t, whose deviation is known; seed 22."""

    def draw(samples: int, rows: int) -> torch.Tensor:
        return 100 + torch.distributions.StudentT(degrees).sample((samples, rows, 1)).double()

    truth = (degrees / (degrees - 2)) ** 0.5
    with torch.random.fork_rng():
        torch.manual_seed(22)
        flags, sure, _ = walked(
            draw, "standard_deviation", factor * truth, RegressionMoments(variance_head=False)
        )
    assert_keeps_its_promise(sure & (flags != (factor < 1)))


@pytest.mark.parametrize("factor", [0.95, 1.02, 1.05, 1.1])
@pytest.mark.parametrize("name", ["standard_deviation", "interval_width"])
@pytest.mark.parametrize("targets", [2, 8])
def test_settled_flags_of_equal_targets(targets: int, name: str, factor: float) -> None:
    """The greatest of equal deviations is biased up, beyond the threshold of the last three; seed 24."""
    unit = {"standard_deviation": 1.0, "interval_width": 2 * stats.norm.isf(0.025)}[name]
    with torch.random.fork_rng():
        torch.manual_seed(24)
        flags, sure, _ = walked(
            normal_values(5.0, targets), name, factor * unit, RegressionMoments(variance_head=False)
        )
    assert_keeps_its_promise(sure & (flags != (factor < 1)))


@pytest.mark.parametrize("factor", [0.98, 1.02])
@pytest.mark.parametrize("centre", [0.1, 0.2, -0.5])
def test_settled_flags_of_a_mean_near_zero(centre: float, factor: float) -> None:
    """The relative deviation has no bound there; seed 25."""
    truth = 1 / abs(centre)
    with torch.random.fork_rng():
        torch.manual_seed(25)
        moments = RegressionMoments(variance_head=False)
        flags, sure, _ = walked(
            normal_values(centre, 1), "relative_standard_deviation", factor * truth, moments
        )
    assert_keeps_its_promise(sure & (flags != (factor < 1)))


@pytest.mark.parametrize("name", ["variation_ratio", "max_probability"])
@pytest.mark.parametrize(
    ("shares", "threshold"),
    [
        ((0.5, 0.5), 0.45),
        ((0.5, 0.5), 0.475),
        ((0.5, 0.5), 0.499),
        ((0.34, 0.33, 0.33), 0.65),
        ((0.45, 0.45, 0.1), 0.52),
        ((0.45, 0.45, 0.1), 0.58),
        ((0.1,) * 10, 0.8),
        ((0.1,) * 10, 0.85),
        ((0.1,) * 10, 0.899),
    ],
)
def test_settled_flags_of_even_classes(shares: tuple[float, ...], threshold: float, name: str) -> None:
    """The greatest of even shares is biased up, so the score low; seed 26."""
    truth = 1 - (max(shares) if name == "variation_ratio" else 0.9 * max(shares) + 0.1 / len(shares))
    with torch.random.fork_rng():
        torch.manual_seed(26)
        flags, sure, _ = walked(sure_of_one(*shares), name, threshold, ClassificationMoments(logits=False))
    assert_keeps_its_promise(sure & (flags != (truth > threshold)))


def test_rows_far_from_the_threshold_take_few_samples() -> None:
    """Seed 23."""
    with torch.random.fork_rng():
        torch.manual_seed(23)
        draw = POPULATIONS["smooth"]
        truth = limit(draw, "predictive_entropy")
        moments = ClassificationMoments(logits=False)
        _, sure, samples = walked(draw, "predictive_entropy", truth / 2, moments)
    assert sure.mean() > 0.99
    assert samples.mean() < 30


@pytest.mark.parametrize(("samples", "is_settled"), [(16, False), (40, False), (400, True)])
def test_networks_that_agree_settle_nothing_at_once(samples: int, is_settled: bool) -> None:
    """An entropy of 0.3 takes 9 % of networks that disagree, and 40 samples may well miss them all."""
    moments = ClassificationMoments(logits=False)
    moments.update(torch.tensor([[[1.0, 0.0]]]).expand(samples, 1, 2))
    assert settled(moments, "predictive_entropy", 0.3, ERROR / 10).tolist() == [is_settled]


def test_a_threshold_at_the_score_is_never_settled() -> None:
    moments = ClassificationMoments(logits=False)
    moments.update(torch.full((400, 1, 2), 0.5))
    assert not settled(moments, "predictive_entropy", log(2), 0.25).any()


def test_rounds_spend_the_error_once() -> None:
    for rounds in (ROUNDS, Rounds(2, 1000), Rounds(50, 50)):
        assert [start for start, _ in rounds.spans] == [0, *(end for _, end in rounds.spans[:-1])]
        assert rounds.spans[0][1] == rounds.minimum
        assert rounds.spans[-1][1] == rounds.maximum
        assert sum(rounds.spent(*span) for span in rounds.spans) == pytest.approx(rounds.error)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 15, 16, 31])
@pytest.mark.parametrize("tail", [0.4, 0.05, 1e-3, 1e-7])
def test_quantiles_of_student(degrees: int, tail: float) -> None:
    assert t_quantile(tail, degrees) == pytest.approx(stats.t.isf(tail, degrees), rel=1e-7)
