"""Classifiers of Hugging Face, unmodified, with both ways of attention that they have."""

from functools import cache

import pytest
import torch
from agreement import assert_close, assert_same_moments, sampled
from huggingface_networks import HUGGINGFACE, VOCABULARY, Served
from torch import Tensor

from service.errors import ModelRefused
from service.sampling.engine import Engine
from service.sampling.names import LOOP

ATTENTION = ["sdpa", "eager"]


@pytest.fixture(params=sorted(HUGGINGFACE))
def served(request: pytest.FixtureRequest) -> Served:
    return HUGGINGFACE[request.param]


@pytest.fixture(params=ATTENTION)
def attention(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@cache
def engine(served: Served, attention: str) -> Engine:
    return served.engine(attention)


def rows(served: Served, count: int, length: int = 6) -> tuple[Tensor, ...]:
    """Random rows; of text, each with another number of tokens that count."""
    torch.manual_seed(count)
    if len(served.names) == 1:
        return (torch.randn(count, *served.shapes[0]),)
    mask = torch.arange(length) < torch.randint(2, length + 1, (count, 1))
    return torch.randint(1, VOCABULARY, (count, length)), mask.long()


LENGTH = 8  # of made-up rows
SITES = {
    # Embeddings; in each layer attention, what it gives, what the layer gives; the classifier.
    "bert": [(1, LENGTH, 12), *[(1, 2, LENGTH, LENGTH), (1, LENGTH, 12), (1, LENGTH, 12)] * 2, (1, 12)],
    "distilbert": [(1, LENGTH, 12), *[(1, 2, LENGTH, LENGTH), (1, LENGTH, 12)] * 2, (1, 12)],
    "gpt2": [(1, LENGTH, 12), *[(1, 2, LENGTH, LENGTH), (1, LENGTH, 12), (1, LENGTH, 12)] * 2],
    "vit": [(1, 5, 12), *[(1, 2, 5, 5), (1, 5, 12), (1, 5, 12)] * 2],
}


@pytest.mark.parametrize("name", sorted(HUGGINGFACE))
def test_every_place_that_drops_is_a_site(name: str, attention: str) -> None:
    report = engine(HUGGINGFACE[name], attention).report
    sites = report.sites
    assert not report.findings
    assert [site.mask_shape for site in sites] == SITES[name]
    assert {site.rate for site in sites[:-1]} == {0.1}
    assert sites[-1].rate == (0.2 if name == "distilbert" else 0.1)


def test_moments_are_those_of_the_plain_model_in_train_mode(served: Served, attention: str) -> None:
    """Mean and variance of 1000 samples each; within 5 standard errors of their difference, seed 3."""
    inputs = rows(served, 2)
    ours = sampled(engine(served, attention), inputs, range(1000), seed=3).double()
    plain = served.network(attention).train()
    torch.manual_seed(3)
    given = dict(zip(served.names, inputs, strict=True))
    with torch.no_grad():
        theirs = torch.stack([plain(**given).logits for _ in range(1000)]).double()
    assert_same_moments(ours.numpy(), theirs.numpy(), standard_errors=5)


def test_the_prediction_is_the_plain_models(served: Served, attention: str) -> None:
    inputs = rows(served, 5)
    plain = served.network(attention).eval()
    with torch.no_grad():
        expected = plain(**dict(zip(served.names, inputs, strict=True))).logits
    assert_close(expected, engine(served, attention).predict(inputs))


def test_plans_agree_and_rows_are_alone(served: Served, attention: str) -> None:
    of, inputs = engine(served, attention), rows(served, 5)
    batch = sampled(of, inputs, range(6), plan=LOOP)
    assert_close(batch, sampled(of, inputs, range(6), plan="vmap"))
    for row in range(5):
        alone = tuple(tensor[row : row + 1] for tensor in inputs)
        assert_close(batch[:, row : row + 1], sampled(of, alone, range(6)))


def test_without_an_output_by_name_the_model_says_what_it_gives() -> None:
    served = HUGGINGFACE["bert"]
    with pytest.raises(
        ModelRefused, match=r"returned SequenceClassifierOutput of logits \[5, 3\]; choose one"
    ):
        Engine(served.network("sdpa"), served.shapes, served.dtypes, ranges=served.ranges, names=served.names)


def test_ids_outside_the_vocabulary_are_the_models_error_that_names_the_range() -> None:
    served = HUGGINGFACE["bert"]
    far = ((0, 10 * VOCABULARY), (0, 1))
    with pytest.raises(ModelRefused, match=r"failed on made-up rows .*input.range.*: IndexError"):
        Engine(
            served.network("sdpa"),
            served.shapes,
            served.dtypes,
            ranges=far,
            names=served.names,
            output="logits",
        )
