"""How a family learns a user's own texts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.types as kinds
import torch
from torch import nn

from models.training.augmentation import trim_padding
from models.training.data import Rows, Splits, split
from models.training.fit import Schedule, TrainingError
from models.training.own_data import target_values
from models.training.recipe import Recipe, Texts
from models.training.tables import column_of, read_table
from models.training.targets import Targets, read_targets
from models.training.tokenizer import encoded, places_for, tokenizer_of
from models.zoo import recurrent, transformer


@dataclass(frozen=True)
class TextFamily:
    """How a family learns texts.

    Args:
        factory: builds the classifier; it takes `vocabulary` and `classes` besides `arguments`.
        arguments: of the factory.
        schedule: how to fit.
        has_places: whether the factory takes `positions`, the most tokens of a text.
    """

    factory: Callable[..., nn.Module]
    arguments: Mapping[str, Any]
    schedule: Schedule
    has_places: bool = False


_SCHEDULE = Schedule(
    epochs=40, patience=8, batch_rows=32, learning_rate=1e-3, weight_decay=1e-2, augment=trim_padding
)
_RATES = {"input_dropout": 0.2, "state_dropout": 0.2}

TEXT_FAMILIES: Mapping[str, TextFamily] = {
    "lstm": TextFamily(recurrent.token_classifier, {"cell": "lstm", **_RATES}, _SCHEDULE),
    "gru": TextFamily(recurrent.token_classifier, {"cell": "gru", **_RATES}, _SCHEDULE),
    "transformer": TextFamily(
        transformer.token_classifier,
        {"embedding_dropout": 0.1, "attention_dropout": 0.1, "residual_dropout": 0.1},
        _SCHEDULE,
        has_places=True,
    ),
}

USUAL = "transformer"
"""The family, where nobody names one."""


def text_recipe(
    path: Path, column: str, target: str, family: str | None, seed: int, told: Mapping[str, Any]
) -> Recipe:
    """Put together how a family learns a column of texts.

    The tokenizer is made from the training rows alone: those that a split with this seed gives.

    Args:
        path: of a CSV or a Parquet file.
        column: of the texts.
        target: the column of their classes.
        family: None for the usual one.
        seed: of the split.
        told: what to keep of the data beside the weights.

    Raises:
        TrainingError: the family does not learn texts, or the columns are none.
    """
    chosen = family or USUAL
    if chosen not in TEXT_FAMILIES:
        raise TrainingError(f"{chosen} does not learn texts; choose one of {', '.join(TEXT_FAMILIES)}")
    texts, targets = _columns(path, column, target)
    splits = _numbered(targets, seed)
    training, validation, calibration = (
        [texts[row] for row in part.inputs.tolist()]
        for part in (splits.train, splits.validation, splits.calibration)
    )
    tokenizer = tokenizer_of(training)
    tokens = encoded(tokenizer, texts)
    places = places_for(tokens)
    known = TEXT_FAMILIES[chosen]
    sizes = {"vocabulary": tokenizer.get_vocab_size(), "classes": len(targets.labels)}
    return Recipe(
        task="classification",
        load=lambda: Rows(tokens, targets.values),
        factory=known.factory,
        arguments={**sizes, **({"positions": places} if known.has_places else {}), **known.arguments},
        input_name="input_ids",
        labels=targets.labels,
        schedule=known.schedule,
        policy=None,
        told={**told, "text": column, "family": chosen},
        texts=Texts(tokenizer.to_str(), places, tuple(calibration), (*training, *validation)),
    )


def _columns(path: Path, column: str, target: str) -> tuple[list[str], Targets]:
    table = read_table(path)
    texts = column_of(table, column, "--text")
    if not (kinds.is_string(texts.type) or kinds.is_large_string(texts.type)):
        raise TrainingError(
            f"--text {column!r} has no texts but {texts.type}; leave --text out to learn numbers"
        )
    if column == target:
        raise TrainingError(f"--text and --target are both {column!r}; a model learns the one from the other")
    targets = read_targets(target_values(column_of(table, target, "--target")), "classification")
    return texts.to_pylist(), targets


def _numbered(targets: Targets, seed: int) -> Splits:
    """Split the numbers of the rows, as any split with this seed splits the rows."""
    numbered = Rows(torch.arange(len(targets.values)), targets.values)
    return split(numbered, "classification", torch.Generator().manual_seed(seed))
