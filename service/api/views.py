"""Answers of the predictor as the JSON that clients see."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from typing import Any

from msgspec import UNSET, UnsetType

from service.api.token_views import text_results, text_rows
from service.api.token_wire import TokenPredictions, TokenUncertainties
from service.api.wire import (
    AdaptiveSamples,
    ClassPredictions,
    ClassRow,
    ClassUncertainties,
    ClassUncertainty,
    GuaranteeView,
    Interval,
    PolicyView,
    PredictionSet,
    Quantiles,
    ReasonView,
    ValuePredictions,
    ValueRow,
    ValueUncertainties,
    ValueUncertainty,
)
from service.certification.conformal import SPLIT_CONFORMAL, prediction_sets
from service.flagging.policy import Guarantee, Policy
from service.predictor.answers import (
    DETERMINISTIC,
    MC_DROPOUT,
    ClassPrediction,
    Exact,
    Identity,
    PredictionAnswer,
    Sampled,
    TokenPrediction,
    UncertaintyAnswer,
    ValuePrediction,
)
from service.predictor.intervals import intervals
from service.repository.calibration import Conformal
from service.uncertainty.classification import ClassificationMeasures
from service.uncertainty.regression import RegressionMeasures
from service.uncertainty.sequential import Rounds
from service.uncertainty.tokens import TokenMeasures


def predict_reply(
    answer: PredictionAnswer, request_id: str
) -> ClassPredictions | TokenPredictions | ValuePredictions:
    """Show predictions."""
    prediction = answer.prediction
    head = _head(answer.identity, DETERMINISTIC, request_id)
    if isinstance(prediction, ClassPrediction):
        return ClassPredictions(predictions=_class_rows(prediction, answer.identity), **head)
    if isinstance(prediction, TokenPrediction):
        return TokenPredictions(predictions=text_rows(prediction, answer), **head)
    return ValuePredictions(predictions=_value_rows(prediction), **head)


def uncertainty_reply(
    answer: UncertaintyAnswer, request_id: str
) -> ClassUncertainties | TokenUncertainties | ValueUncertainties:
    """Show Monte Carlo results."""
    head = _head(answer.identity, MC_DROPOUT, request_id)
    head |= {
        "seed": answer.seed,
        "samples": samples_view(answer.rounds),
        "policy": policy_view(answer.policy),
        "review_error": UNSET if answer.reviewed.error is None else answer.reviewed.error,
    }
    measures = answer.sampled.measures
    if isinstance(measures, ClassificationMeasures):
        return ClassUncertainties(results=_class_results(measures, answer), **head)
    if isinstance(measures, TokenMeasures):
        return TokenUncertainties(results=text_results(measures, answer, _flags(answer)), **head)
    return ValueUncertainties(results=_value_results(measures, answer), **head)


def _head(identity: Identity, mode: str, request_id: str) -> dict[str, Any]:
    return {"model": identity.model, "version": identity.version, "mode": mode, "request_id": request_id}


def samples_view(samples: int | Exact | Rounds) -> int | Exact | AdaptiveSamples:
    """Show how many samples there are, or may be."""
    if isinstance(samples, Rounds):
        return AdaptiveSamples(samples.minimum, samples.maximum, samples.error)
    return samples


def policy_view(policy: Policy) -> PolicyView:
    """Show a policy."""
    return PolicyView(
        id=policy.id,
        measure=policy.measure,
        threshold=policy.threshold,
        source=policy.source,
        certified=policy.certified,
        guarantee=None if policy.guarantee is None else _guarantee(policy.guarantee),
        uncertified_reasons=list(policy.uncertified),
    )


def _guarantee(promised: Guarantee) -> GuaranteeView:
    tolerance = UNSET if promised.tolerance is None else promised.tolerance
    each = UNSET if promised.tolerances is None else list(promised.tolerances)
    return GuaranteeView(promised.contract, promised.target_error, promised.confidence, tolerance, each)


def _class_rows(prediction: ClassPrediction, identity: Identity) -> list[ClassRow]:
    indices = prediction.class_index.tolist()
    rows = prediction.probabilities.tolist()
    return [
        ClassRow(identity.labels[index], index, row[index], row)
        for index, row in zip(indices, rows, strict=True)
    ]


def _value_rows(prediction: ValuePrediction) -> list[ValueRow]:
    values = prediction.value.tolist()
    if prediction.aleatoric_variance is None:
        return [ValueRow(value) for value in values]
    noise = prediction.aleatoric_variance.tolist()
    return [ValueRow(*pair) for pair in zip(values, noise, strict=True)]


def _class_results(measures: ClassificationMeasures, answer: UncertaintyAnswer) -> list[ClassUncertainty]:
    labels = answer.identity.labels
    columns = {
        "class_index": measures.class_index,
        "confidence": measures.confidence,
        "mean": measures.mean,
        "variance": measures.variance,
        "standard_error": measures.standard_error,
        "predictive_entropy": measures.predictive_entropy,
        "expected_entropy": measures.expected_entropy,
        "mutual_information": measures.mutual_information,
        "variation_ratio": measures.variation_ratio,
    }
    sets = _prediction_sets(measures, answer)
    return [
        ClassUncertainty(label=labels[row["class_index"]], prediction_set=labels_of, **row, **rest)
        for row, labels_of, rest in zip(_rows(columns), sets, _rests(answer), strict=True)
    ]


def _prediction_sets(
    measures: ClassificationMeasures, answer: UncertaintyAnswer
) -> Sequence[PredictionSet | UnsetType]:
    conformal, labels = answer.conformal, answer.identity.labels
    if conformal is None:
        return [UNSET] * len(answer.flags)
    inside = prediction_sets(measures.mean, conformal.quantiles[0])
    return [
        PredictionSet(conformal.level, list(compress(labels, row)), SPLIT_CONFORMAL)
        for row in inside.tolist()
    ]


def _value_results(measures: RegressionMeasures, answer: UncertaintyAnswer) -> list[ValueUncertainty]:
    columns = {
        "mean": measures.mean,
        "variance": measures.variance,
        "total_variance": measures.total_variance,
        "standard_error": measures.standard_error,
    }
    noise = measures.aleatoric_variance
    noises = [None] * len(answer.flags) if noise is None else noise.tolist()
    intervals = _intervals(measures, answer.conformal)
    return [
        ValueUncertainty(aleatoric_variance=noise, interval=interval, **row, **rest)
        for row, noise, interval, rest in zip(_rows(columns), noises, intervals, _rests(answer), strict=True)
    ]


def _intervals(measures: RegressionMeasures, conformal: Conformal | None) -> list[Interval]:
    found = intervals(measures, conformal)
    pairs = zip(found.lower.tolist(), found.upper.tolist(), strict=True)
    return [Interval(found.level, *pair, found.method) for pair in pairs]


def _rows(columns: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Turn arrays with one entry a row into one dictionary a row."""
    names = tuple(columns)
    values = (column.tolist() for column in columns.values())
    return (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))


def _rests(answer: UncertaintyAnswer) -> Iterable[dict[str, Any]]:
    """What classes and values of rows show beside them."""
    outputs, quantiles = _sample_outputs(answer.sampled), _quantiles(answer.sampled)
    for row, flag in enumerate(_flags(answer)):
        yield {**flag, "sample_outputs": outputs(row), "quantiles": quantiles(row)}


def _flags(answer: UncertaintyAnswer) -> Iterable[dict[str, Any]]:
    """What all tasks show of a row."""
    sampled = answer.sampled
    columns = {
        "samples": sampled.measures.samples,
        "score_standard_error": sampled.standard_errors,
        "settled": sampled.settled,
    }
    return (
        {
            **counts,
            "score": flag.score,
            "low_confidence": flag.low_confidence,
            "reasons": [ReasonView(reason.code, reason.message) for reason in flag.reasons],
            "review_id": answer.reviewed.ids.get(row),
        }
        for row, (flag, counts) in enumerate(zip(answer.flags, _rows(columns), strict=True))
    )


def _sample_outputs(sampled: Sampled) -> Callable[[int], list[list[float]] | UnsetType]:
    outputs = sampled.outputs
    if outputs is None:
        return lambda _: UNSET
    return lambda row: outputs[row].tolist()


def _quantiles(sampled: Sampled) -> Callable[[int], Quantiles | UnsetType]:
    quantiles = sampled.quantiles
    if quantiles is None:
        return lambda _: UNSET
    return lambda row: Quantiles(*(values[row].tolist() for values in quantiles.values()))
