"""Models that label each token, unmodified: their samples are those of the plain model, by every plan."""

import pytest
import torch
from agreement import assert_close, assert_same_moments, sampled
from taggers import CLASSES, TAGGERS, VOCABULARY, engine, tagger
from torch import Tensor, nn

from service.errors import ModelRefused
from service.sampling.engine import Engine
from service.sampling.names import LOOP

FAMILIES = sorted(TAGGERS)
NAMES = ("input_ids", "attention_mask")


@pytest.fixture(scope="module")
def engines() -> dict[str, Engine]:
    return {name: engine(tagger(name)) for name in FAMILIES}


def rows(count: int, length: int) -> tuple[Tensor, ...]:
    ids = torch.randint(1, VOCABULARY, (count, length), generator=torch.Generator().manual_seed(length))
    return ids, torch.ones_like(ids)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_prediction_of_each_token_is_the_plain_models(engines: dict[str, Engine], name: str) -> None:
    for length in (3, 8, 11):
        inputs = rows(5, length)
        with torch.no_grad():
            expected = tagger(name).eval()(**dict(zip(NAMES, inputs, strict=True))).logits
        assert_close(expected, engines[name].predict(inputs).unflatten(1, (length, CLASSES)))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("length", [5, 9])
def test_moments_of_each_token_are_the_plain_models(
    engines: dict[str, Engine], name: str, length: int
) -> None:
    """Mean and variance of 1000 samples each; within 5 standard errors of their difference, seed 3."""
    inputs = rows(2, length)
    ours = sampled(engines[name], inputs, range(1000), seed=3).double()
    plain = tagger(name).train()
    torch.manual_seed(3)
    with torch.no_grad():
        given = dict(zip(NAMES, inputs, strict=True))
        theirs = torch.stack([plain(**given).logits.flatten(1) for _ in range(1000)]).double()
    assert_same_moments(ours.numpy(), theirs.numpy(), standard_errors=5)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("length", [4, 8])
def test_plans_agree_and_rows_are_alone(engines: dict[str, Engine], name: str, length: int) -> None:
    of, inputs = engines[name], rows(5, length)
    batch = sampled(of, inputs, range(6), plan=LOOP)
    assert of.plans is not None
    plans = set(of.plans.by_rows[1])
    assert plans >= {LOOP, "vmap", "fold"}
    for plan in plans - {LOOP}:
        assert_close(batch, sampled(of, inputs, range(6), plan=plan))
    for row in range(5):
        alone = tuple(tensor[row : row + 1] for tensor in inputs)
        assert_close(batch[:, row : row + 1], sampled(of, alone, range(6)))


def test_a_classifier_of_rows_is_not_taken_for_one_of_tokens() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(VOCABULARY, 4)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
            return {"logits": self.words(input_ids).mean(1)}

    with pytest.raises(ModelRefused, match=r"\[rows, tokens, classes\]; \[5, 8\] tokens gave \[5, 4\]"):
        engine(Mean())


def test_a_class_that_no_sample_changes_is_found_whatever_the_token() -> None:
    class Half(nn.Module):
        """Its class 1 is never dropped."""

        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(VOCABULARY, 2)
            self.drop = nn.Dropout(0.5)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
            words = self.words(input_ids)
            return {"logits": torch.stack([self.drop(words)[..., 0], words[..., 1]], -1)}

    report = engine(Half()).report
    assert report.effect == (True, False)
    assert [finding.message for finding in report.findings if finding.code == "partial_effect"] == [
        "sampling does not change these outputs: 1"
    ]
