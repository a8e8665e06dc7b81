"""A temperature that was put in is found again."""

import numpy as np
import pytest
import torch

from service.certification.probabilities import negative_log_likelihood
from service.certification.temperature import fitted_temperature, tempered
from service.uncertainty.classification import probabilities


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_the_temperature_of_made_up_labels_is_found(truth: float) -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, (1, 4000, 3)) + generator.normal(0, 0.3, (8, 4000, 3))
    samples = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mean = tempered(samples, truth).mean(0)
    classes = (mean.cumsum(-1) < generator.random((4000, 1))).sum(-1)
    found = fitted_temperature(samples, classes)
    assert found == pytest.approx(truth, rel=0.08)
    at_best = negative_log_likelihood(tempered(samples, found).mean(0), classes)
    assert at_best <= negative_log_likelihood(mean, classes)


def test_rows_that_are_all_right_show_no_temperature() -> None:
    """The likelihood rises without end as the temperature falls."""
    samples = np.tile([[0.9, 0.1], [0.2, 0.8]], (4, 1, 1))
    assert fitted_temperature(samples, np.array([0, 1])) is None
    assert fitted_temperature(samples, np.array([1, 0])) is None


@pytest.mark.parametrize("logits", [True, False])
def test_serving_scales_as_fitting_does(logits: bool) -> None:
    given = torch.randn(5, 4, 3).double()
    plain = given.softmax(-1)
    served = probabilities(given if logits else plain, logits=logits, temperature=2.5)
    assert np.allclose(served.numpy(), tempered(plain.numpy(), 2.5), atol=1e-12)
    assert torch.allclose(probabilities(plain, logits=False), plain)
