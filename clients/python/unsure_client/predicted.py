"""Answers to calls for predictions, by the model's task."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from unsure_client.columns import Columns, Json
from unsure_client.predictions import ClassPredictions, ValuePredictions, reply_fields
from unsure_client.tokens import TokenPredictions, predicted_tokens

Predictions: TypeAlias = ClassPredictions | TokenPredictions | ValuePredictions


def read_predictions(answers: Sequence[Json], index: Any) -> Predictions:
    """Read the answers to one call."""
    columns = Columns(answers, "predictions")
    head = reply_fields(columns, index)
    if columns.has("value"):
        noise = columns.floats("aleatoric_variance") if columns.has("aleatoric_variance") else None
        return ValuePredictions(value=columns.floats("value"), aleatoric_variance=noise, **head)
    if columns.has("tokens"):
        return TokenPredictions(tokens=predicted_tokens(columns), **head)
    return ClassPredictions(
        label=tuple(columns.values("label")),
        class_index=columns.integers("class_index"),
        confidence=columns.floats("confidence"),
        probabilities=columns.floats("probabilities"),
        **head,
    )
