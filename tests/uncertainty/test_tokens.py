"""Measures of texts whose tokens are labelled, and when their flags are settled."""

import numpy as np
import pytest
import torch
from torch import Tensor

from service.uncertainty.classification import ClassificationMoments
from service.uncertainty.scores import CLASSIFICATION_SCORES, score
from service.uncertainty.sequential import Rounds, score_standard_error, settled
from service.uncertainty.tokens import TokenMoments

COUNTED = torch.tensor([[0, 1, 1, 0], [0, 0, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
CLASSES = 3


def logits(samples: int, rows: int = len(COUNTED), tokens: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(samples)
    return torch.randn(samples, rows, tokens, CLASSES, generator=generator) * 3


def moments(*chunks: Tensor, counted: Tensor = COUNTED) -> TokenMoments:
    made = TokenMoments(counted, logits=True, temperature=2.0)
    for chunk in chunks:
        made.update(chunk.flatten(2))
    return made


def alone(chunks: list[Tensor], row: int) -> ClassificationMoments:
    """The tokens of one row as rows."""
    made = ClassificationMoments(logits=True, temperature=2.0)
    for chunk in chunks:
        made.update(chunk[:, row, COUNTED[row]])
    return made


@pytest.mark.parametrize("name", CLASSIFICATION_SCORES)
def test_a_text_has_the_measures_of_its_tokens_and_the_score_of_the_worst(name: str) -> None:
    chunks = [logits(10), logits(7)]
    found = moments(*chunks)
    measures = found.measures()
    assert measures.samples.tolist() == [17, 17, 17]
    errors = score_standard_error(found, name)
    for row in range(len(COUNTED)):
        expected = alone(chunks, row)
        tokens, scores = expected.measures(), score(expected.measures(), name)
        for field, values in vars(tokens).items():
            assert np.allclose(getattr(measures.tokens[row], field), values, atol=1e-12)
        assert score(measures, name)[row] == pytest.approx(scores.max())
        assert errors[row] == pytest.approx(score_standard_error(expected, name)[scores.argmax()])


def test_rows_that_leave_take_their_tokens_along() -> None:
    first, later = logits(10), logits(7)
    found = moments(first)
    found.keep(torch.tensor([0, 2]))
    found.update(later[:, [0, 2]].flatten(2))
    for place, row in enumerate((0, 2)):
        expected = alone([first, later], row).measures()
        assert np.allclose(found.measures().tokens[place].variance, expected.variance, atol=1e-12)


@pytest.mark.parametrize("name", ["predictive_entropy", "variation_ratio", "max_probability"])
def test_a_text_of_one_token_settles_as_a_row_does(name: str) -> None:
    one = torch.ones(50, 1, dtype=torch.bool)
    chunk = logits(40, rows=50, tokens=1)
    rows = ClassificationMoments(logits=True, temperature=2.0)
    rows.update(chunk[:, :, 0])
    texts = moments(chunk, counted=one)
    for threshold in np.quantile(score(rows.measures(), name), [0.2, 0.8]):
        expected = settled(rows, name, threshold, 0.01)
        assert settled(texts, name, np.full(50, threshold), 0.01).tolist() == expected.tolist()


def test_one_token_above_settles_a_text_and_all_must_be_below() -> None:
    """Samples that hardly differ, of tokens far below the threshold, at it, and far above."""
    low, middle, high = [9.0, 0.0, 0.0], [4.0, 4.0, -4.0], [0.0, 0.0, 0.0]
    centres = torch.tensor([[low, middle, high], [low, middle, low], [low, low, low], [low, high, high]])
    chunk = centres + 0.01 * logits(64, rows=4, tokens=3)
    found = TokenMoments(torch.ones(4, 3, dtype=torch.bool), logits=True)
    found.update(chunk.flatten(2))
    at = score(found.tokens.measures(), "predictive_entropy")[4]
    assert settled(found, "predictive_entropy", at, 0.01).tolist() == [True, False, True, True]
    found.keep(torch.tensor([1, 3]))
    assert settled(found, "predictive_entropy", np.array([at, 1.0]), 0.01).tolist() == [False, True]


ERROR, ROWS, TOKENS = 0.1, 150, 40
ROUNDS = Rounds(16, 80, ERROR)


@pytest.mark.parametrize("factor", [0.98, 1.002])
@pytest.mark.parametrize("name", ["predictive_entropy", "variation_ratio"])
def test_settled_flags_of_texts_are_those_of_endless_samples(name: str, factor: float) -> None:
    """All tokens are as near to the threshold: wrong at most as often as stated, and 5 standard errors."""
    spread = torch.distributions.Dirichlet(torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64))
    with torch.random.fork_rng():
        torch.manual_seed(31)
        endless = ClassificationMoments(logits=False)
        endless.update(spread.sample((100_000, 1)))
        truth = float(score(endless.measures(), name)[0])
        threshold = factor * truth
        found = TokenMoments(torch.ones(ROWS, TOKENS, dtype=torch.bool), logits=False)
        wrong, pending = np.zeros(ROWS, bool), np.arange(ROWS)
        for start, end in ROUNDS.spans:
            found.update(spread.sample((end - start, len(pending), TOKENS)).flatten(2))
            now = settled(found, name, threshold, ROUNDS.spent(start, end))
            flags = score(found.measures(), name) > threshold
            wrong[pending[now]] = flags[now] != (truth > threshold)
            pending = pending[~now]
            if not len(pending):
                break
            found.keep(torch.from_numpy(np.flatnonzero(~now)))
    assert wrong.mean() <= ERROR + 5 * np.sqrt(ERROR * (1 - ERROR) / ROWS)
