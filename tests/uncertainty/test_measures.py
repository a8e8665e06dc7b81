"""Measures against their formulas, written out in numpy over all samples at once."""

from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.uncertainty.classification import ClassificationMeasures, ClassificationMoments
from service.uncertainty.regression import RegressionMeasures, RegressionMoments
from service.uncertainty.scores import score, score_names


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.where(p > 0, p, 1))).sum(-1)


def classified(outputs: np.ndarray, *, logits: bool, chunk: int = 7) -> ClassificationMeasures:
    moments = ClassificationMoments(logits=logits)
    for part in torch.from_numpy(outputs).split(chunk):
        moments.update(part)
    return moments.measures()


def regressed(outputs: np.ndarray, *, variance_head: bool, chunk: int = 7) -> RegressionMeasures:
    moments = RegressionMoments(variance_head=variance_head)
    for part in torch.from_numpy(outputs).split(chunk):
        moments.update(part)
    return moments.measures()


@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(2, 30),
    rows=st.integers(1, 4),
    classes=st.integers(2, 6),
    spread=st.floats(0.01, 30),  # below, logits tie but for rounding, and so do votes
)
def test_classification(seed: int, samples: int, rows: int, classes: int, spread: float) -> None:
    outputs = np.random.default_rng(seed).normal(0, spread, (samples, rows, classes))
    p = softmax(outputs)
    measures = classified(outputs, logits=True)
    mean = p.mean(0)
    votes = np.stack([(p.argmax(-1) == label).sum(0) for label in range(classes)]).max(0)
    assert np.allclose(measures.mean, mean)
    assert np.allclose(measures.variance, p.var(0, ddof=1))
    assert np.allclose(measures.standard_error, p.std(0, ddof=1) / np.sqrt(samples))
    assert np.allclose(measures.predictive_entropy, entropy(mean))
    assert np.allclose(measures.expected_entropy, entropy(p).mean(0))
    assert np.allclose(measures.mutual_information, entropy(mean) - entropy(p).mean(0), atol=1e-12)
    assert np.allclose(measures.variation_ratio, 1 - votes / samples)
    assert measures.samples.tolist() == [samples] * rows
    assert (measures.mutual_information >= 0).all()
    assert np.array_equal(measures.class_index, measures.mean.argmax(-1))
    assert np.allclose(measures.confidence, mean.max(-1))


def test_probabilities_are_averaged_and_not_logits() -> None:
    """Two sure thinned networks that disagree: half and half, and all of it disagreement."""
    outputs = np.array([[[50.0, 0.0]], [[0.0, 50.0]]])
    measures = classified(outputs, logits=True)
    assert measures.mean[0] == pytest.approx([0.5, 0.5])
    assert measures.predictive_entropy[0] == pytest.approx(log(2))
    assert measures.mutual_information[0] == pytest.approx(log(2))
    assert measures.variation_ratio[0] == 0.5
    assert measures.variance[0] == pytest.approx([0.5, 0.5])


def test_certain_probabilities_have_no_entropy() -> None:
    outputs = np.array([[[1.0, 0.0, 0.0]]] * 3)
    measures = classified(outputs, logits=False)
    assert measures.predictive_entropy[0] == 0
    assert measures.variation_ratio[0] == 0


@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(2, 30), targets=st.integers(1, 3))
def test_regression_with_a_variance_head(seed: int, samples: int, targets: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(5, 2, (samples, 4, targets))
    log_variances = random.normal(0, 1, (samples, 4, targets))
    measures = regressed(np.concatenate([values, log_variances], -1), variance_head=True)
    noise = np.exp(log_variances).mean(0)
    total = values.var(0, ddof=1) + noise
    assert np.allclose(measures.mean, values.mean(0))
    assert np.allclose(measures.variance, values.var(0, ddof=1))
    assert measures.aleatoric_variance is not None
    assert np.allclose(measures.aleatoric_variance, noise)
    assert np.allclose(measures.total_variance, total)
    assert np.allclose(measures.standard_error, values.std(0, ddof=1) / np.sqrt(samples))
    lower, upper = measures.interval
    assert np.allclose(lower, values.mean(0) - 1.959963984540054 * np.sqrt(total))
    assert np.allclose(upper, values.mean(0) + 1.959963984540054 * np.sqrt(total))


def test_regression_without_a_variance_head() -> None:
    values = np.random.default_rng(0).normal(0, 1, (20, 3, 2))
    measures = regressed(values, variance_head=False)
    assert measures.aleatoric_variance is None
    assert np.allclose(measures.total_variance, values.var(0, ddof=1))


def test_the_interval_covers_what_it_says() -> None:
    """Normal values: 95 % of 40,000 fresh ones lie inside, within 4 standard errors; seed 8."""
    random = np.random.default_rng(8)
    measures = regressed(random.normal(3, 2, (20_000, 1, 1)), variance_head=False)
    lower, upper = measures.interval
    inside = np.mean([(lower[0, 0] <= y <= upper[0, 0]) for y in random.normal(3, 2, 40_000)])
    assert abs(inside - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 40_000)


def test_every_score_of_a_classifier() -> None:
    measures = classified(np.random.default_rng(1).normal(0, 2, (9, 5, 3)), logits=True)
    expected = {
        "predictive_entropy": measures.predictive_entropy,
        "expected_entropy": measures.expected_entropy,
        "mutual_information": measures.mutual_information,
        "variation_ratio": measures.variation_ratio,
        "max_probability": 1 - measures.mean.max(-1),
    }
    assert set(score_names("classification")) == set(expected)
    for name, values in expected.items():
        assert np.array_equal(score(measures, name), values)


def test_every_score_of_a_regression() -> None:
    measures = regressed(np.random.default_rng(1).normal(0, 2, (9, 5, 2)), variance_head=False)
    deviation = np.sqrt(measures.variance)
    lower, upper = measures.interval
    expected = {
        "standard_deviation": deviation.max(-1),
        "relative_standard_deviation": (deviation / np.abs(measures.mean)).max(-1),
        "interval_width": (upper - lower).max(-1),
    }
    assert set(score_names("regression")) == set(expected)
    for name, values in expected.items():
        assert np.allclose(score(measures, name), values)


def test_a_relative_deviation_stays_finite_around_zero() -> None:
    measures = regressed(np.array([[[1.0]], [[-1.0]]]), variance_head=False)
    assert np.isfinite(score(measures, "relative_standard_deviation")).all()
