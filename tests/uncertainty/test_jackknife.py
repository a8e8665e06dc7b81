"""The standard error of every score against the spread of the score over independent repetitions."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from service.uncertainty.classification import ClassificationMoments
from service.uncertainty.jackknife import Groups
from service.uncertainty.regression import RegressionMoments
from service.uncertainty.scores import score, score_names
from service.uncertainty.sequential import ScoredMoments, score_standard_error

REPETITIONS = 4000  # rows: each is a repetition of one population

CLASSIFICATION = [name for name in score_names("classification") if name != "variation_ratio"]


def logits(samples: int, seed: int) -> torch.Tensor:
    """Three classes of which the first is ahead, but not in every sample."""
    random = torch.Generator().manual_seed(seed)
    ahead = torch.tensor([1.5, 0.0, -0.5])
    return ahead + 1.2 * torch.randn(samples, REPETITIONS, 3, generator=random)


def values(samples: int, seed: int) -> torch.Tensor:
    """Two targets and their log variances, far from 0 beside their spread."""
    random = torch.Generator().manual_seed(seed)
    centre = torch.tensor([1000.0, 50.0, 0.0, -1.0])
    return centre + torch.tensor([3.0, 1.0, 0.5, 0.5]) * torch.randn(
        samples, REPETITIONS, 4, generator=random
    )


def assert_tells_the_spread(moments: ScoredMoments, name: str, outputs: torch.Tensor) -> None:
    """The root mean square of the standard errors is the score's deviation, within 10 % and 4 of its own.

    A deviation over n repetitions is exact to 1/√(2n), 1.1 % here; the jackknife itself errs upwards by a
    share of the order of 1 / samples, for which the 10 % are.
    """
    for chunk in outputs.split(7):
        moments.update(chunk)
    spread = score(moments.measures(), name).std(ddof=1)
    told = np.sqrt(np.square(score_standard_error(moments, name)).mean())
    assert abs(told / spread - 1) < 0.10 + 4 / np.sqrt(2 * REPETITIONS)


@pytest.mark.parametrize("samples", [40, 150])  # groups of unequal size
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_of_a_classifier(name: str, samples: int) -> None:
    assert_tells_the_spread(ClassificationMoments(logits=True), name, logits(samples, seed=11))


@pytest.mark.parametrize("samples", [40, 150])
@pytest.mark.parametrize("name", score_names("regression"))
def test_of_a_regression(name: str, samples: int) -> None:
    assert_tells_the_spread(RegressionMoments(variance_head=True), name, values(samples, seed=12))


def test_of_a_share_of_votes() -> None:
    """Wilson's is near the binomial's for a middling share, and not 0 where all agree."""
    assert_tells_the_spread(ClassificationMoments(logits=True), "variation_ratio", logits(150, seed=13))
    agreed = ClassificationMoments(logits=False)
    agreed.update(torch.tensor([[[0.9, 0.1]]]).expand(49, 1, 2))
    assert score_standard_error(agreed, "variation_ratio") == pytest.approx([0.01])


def test_of_a_mean_it_is_the_usual_one() -> None:
    """Up to `GROUPS` samples every group is one sample, and the jackknife of a mean has a closed form."""
    moments = ClassificationMoments(logits=True)
    moments.update(logits(20, seed=14)[:, :5])
    measures = moments.measures()
    usual = np.take_along_axis(measures.standard_error, measures.class_index[:, None], -1)[:, 0]
    assert score_standard_error(moments, "max_probability") == pytest.approx(usual)


@pytest.mark.parametrize(
    ("moments", "outputs", "names"),
    [
        (lambda: ClassificationMoments(logits=True), logits(2, 1)[:, :4], score_names("classification")),
        (lambda: RegressionMoments(variance_head=True), values(2, 1)[:, :4], score_names("regression")),
    ],
)
def test_two_samples_are_enough(
    moments: Callable[[], ScoredMoments], outputs: torch.Tensor, names: tuple[str, ...]
) -> None:
    for name in names:
        accumulated = moments()
        accumulated.update(outputs)
        assert np.isfinite(score_standard_error(accumulated, name)).all()


def test_groups_do_not_depend_on_chunks_and_do_not_grow() -> None:
    samples = torch.rand(1000, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    whole, parts = Groups(), Groups()
    whole.update(samples)
    for part in samples.split([1, 40, 200, 759]):
        parts.update(part)
    assert np.array_equal(whole.resamples().sums, parts.resamples().sums)
    assert np.allclose(whole.resamples().sums[3], samples[3::32].sum(0), rtol=1e-12)
    assert whole.resamples().sizes.tolist() == [len(range(group, 1000, 32)) for group in range(32)]
