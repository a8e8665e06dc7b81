"""Answers as a table: a column for each field that a row has in the server's answer."""

from collections.abc import Sequence
from itertools import compress
from typing import Any

import pyarrow as pa

from service.certification.conformal import interval, prediction_sets
from service.flagging.policy import Flag
from service.predictor.answers import Sampled
from service.predictor.drawing import Decision
from service.predictor.served_model import ServedModel
from service.predictor.tokenized import TokenizedText, worst_tokens
from service.uncertainty.classification import ClassificationMeasures
from service.uncertainty.regression import RegressionMeasures
from service.uncertainty.scores import score
from service.uncertainty.tokens import TokenMeasures

_VALUES = pa.list_(pa.float64())
_REASONS = pa.list_(pa.struct([("code", pa.string()), ("message", pa.string())]))

_CLASSIFICATION = {
    "label": pa.string(),
    "class_index": pa.int64(),
    "confidence": pa.float64(),
    "mean": _VALUES,
    "variance": _VALUES,
    "standard_error": _VALUES,
    "predictive_entropy": pa.float64(),
    "expected_entropy": pa.float64(),
    "mutual_information": pa.float64(),
    "variation_ratio": pa.float64(),
}
_REGRESSION = {
    "mean": _VALUES,
    "variance": _VALUES,
    "aleatoric_variance": _VALUES,
    "total_variance": _VALUES,
    "standard_error": _VALUES,
    "interval_lower": _VALUES,
    "interval_upper": _VALUES,
}
_TOKEN = {
    "text": pa.string(),
    "start": pa.int64(),
    "end": pa.int64(),
    **_CLASSIFICATION,
    "score": pa.float64(),
}
_TOKENS = {"tokens": pa.list_(pa.struct(list(_TOKEN.items())))}
_ALL = {
    "samples": pa.int64(),
    "score": pa.float64(),
    "score_standard_error": pa.float64(),
    "settled": pa.bool_(),
    "low_confidence": pa.bool_(),
    "certified": pa.bool_(),
    "reasons": _REASONS,
}


_FIELDS = {"classification": _CLASSIFICATION, "token_classification": _TOKENS, "regression": _REGRESSION}


class Answers:
    """Makes tables of answers of one model.

    Args:
        model: that answers.
        decision: how.

    Attributes:
        schema: of the tables.
    """

    def __init__(self, model: ServedModel, decision: Decision) -> None:
        self._labels = model.identity.labels
        self._decision = decision
        fields = _FIELDS[model.manifest.task]
        if model.manifest.task == "classification" and decision.conformal is not None:
            fields = fields | {"prediction_set": pa.list_(pa.string())}
        self.schema = pa.schema(list((fields | _ALL).items()))

    def table(self, sampled: Sampled, texts: Sequence[TokenizedText]) -> pa.Table:
        """Give the answers to some rows.

        Args:
            sampled: what the samples gave.
            texts: the rows, where their tokens are labelled.
        """
        measures, policy = sampled.measures, self._decision.policy
        flags = policy.decide(sampled.scores.tolist(), worst_tokens(texts, measures, policy.measure))
        if isinstance(measures, ClassificationMeasures):
            columns = self._of_classes(measures)
        elif isinstance(measures, TokenMeasures):
            columns = {"tokens": [self._of_text(*pair) for pair in zip(texts, measures.tokens, strict=True)]}
        else:
            columns = self._of_values(measures)
        columns |= {
            "samples": measures.samples,
            "score": sampled.scores,
            "score_standard_error": sampled.standard_errors,
            "settled": sampled.settled,
            "low_confidence": [flag.low_confidence for flag in flags],
            "certified": [policy.certified] * len(flags),
            "reasons": [_reasons(flag) for flag in flags],
        }
        return pa.table(
            [_column(columns[field.name], field.type, len(flags)) for field in self.schema], self.schema
        )

    def _of_classes(self, measures: ClassificationMeasures) -> dict[str, Any]:
        index = measures.class_index
        columns = vars(measures) | {"class_index": index, "confidence": measures.confidence}
        columns["label"] = [self._labels[place] for place in index.tolist()]
        if self._decision.conformal is not None:
            inside = prediction_sets(measures.mean, self._decision.conformal.quantiles[0])
            columns["prediction_set"] = [list(compress(self._labels, row)) for row in inside.tolist()]
        return columns

    def _of_text(self, text: TokenizedText, measures: ClassificationMeasures) -> list[dict[str, Any]]:
        columns = self._of_classes(measures) | {"score": score(measures, self._decision.policy.measure)}
        starts, ends = zip(*text.spans, strict=True)
        columns |= {"text": [text.token(place) for place in range(len(starts))], "start": starts, "end": ends}
        each = zip(*(columns[name] for name in _TOKEN), strict=True)
        return [dict(zip(_TOKEN, token, strict=True)) for token in each]

    def _of_values(self, measures: RegressionMeasures) -> dict[str, Any]:
        conformal = self._decision.conformal
        bounds = (
            measures.interval
            if conformal is None
            else interval(measures.mean, measures.deviation, conformal.quantiles)
        )
        more = {"total_variance": measures.total_variance}
        return vars(measures) | more | dict(zip(("interval_lower", "interval_upper"), bounds, strict=True))


def _reasons(flag: Flag) -> list[dict[str, str]]:
    return [{"code": reason.code, "message": reason.message} for reason in flag.reasons]


def _column(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, kind)
    if kind == _VALUES:
        ends = pa.array(range(0, values.size + 1, values.shape[1]), pa.int32())
        return pa.ListArray.from_arrays(ends, pa.array(values.ravel(), pa.float64()))
    return pa.array(values, kind)
