"""Answers about the tokens of texts as the JSON that clients see."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from service.api.token_wire import TextRow, TextUncertainty, TokenRow, TokenUncertainty
from service.predictor.answers import PredictionAnswer, TokenPrediction, UncertaintyAnswer
from service.predictor.tokenized import TokenizedText
from service.uncertainty.classification import ClassificationMeasures
from service.uncertainty.scores import score
from service.uncertainty.tokens import TokenMeasures

_ENTROPIES = ("predictive_entropy", "expected_entropy", "mutual_information", "variation_ratio")
_MOMENTS = ("mean", "variance", "standard_error")


def text_rows(prediction: TokenPrediction, answer: PredictionAnswer) -> list[TextRow]:
    """Show predictions."""
    labels = answer.identity.labels
    return [
        TextRow(list(_predicted(text, tokens.tolist(), labels)))
        for text, tokens in zip(answer.texts, prediction.probabilities, strict=True)
    ]


def _predicted(
    text: TokenizedText, tokens: Sequence[Sequence[float]], labels: Sequence[str]
) -> Iterator[TokenRow]:
    for place, (span, probabilities) in enumerate(zip(text.spans, tokens, strict=True)):
        confidence = max(probabilities)
        index = probabilities.index(confidence)
        yield TokenRow(text.token(place), *span, labels[index], index, confidence, list(probabilities))


def text_results(
    measures: TokenMeasures, answer: UncertaintyAnswer, flags: Iterable[Mapping[str, Any]]
) -> list[TextUncertainty]:
    """Show Monte Carlo results; `flags` is what all tasks show of a row."""
    return [
        TextUncertainty(tokens=list(_sampled(text, tokens, answer)), **flag)
        for text, tokens, flag in zip(answer.texts, measures.tokens, flags, strict=True)
    ]


def _sampled(
    text: TokenizedText, measures: ClassificationMeasures, answer: UncertaintyAnswer
) -> Iterator[TokenUncertainty]:
    columns = {name: getattr(measures, name).tolist() for name in (*_MOMENTS, *_ENTROPIES)}
    columns |= {
        "class_index": measures.class_index.tolist(),
        "confidence": measures.confidence.tolist(),
        "score": score(measures, answer.policy.measure).tolist(),
    }
    labels = answer.identity.labels
    for place, values in enumerate(zip(*columns.values(), strict=True)):
        token = dict(zip(columns, values, strict=True))
        start, end = text.spans[place]
        label = labels[token["class_index"]]
        yield TokenUncertainty(text=text.token(place), start=start, end=end, label=label, **token)
