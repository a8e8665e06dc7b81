"""What a user may change of a recipe."""

from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

from models.training.fit import TrainingError
from models.training.recipe import Recipe

# Spatial dropout is not among them: whole maps are dropped at lower rates than a head's units.
_RATES = (
    "dropout",
    "head_dropout",
    "input_dropout",
    "state_dropout",
    "embedding_dropout",
    "attention_dropout",
    "residual_dropout",
)


@dataclass(frozen=True)
class Options:
    """What is otherwise than the recipe says; None where nothing is.

    Args:
        epochs: at most.
        batch_rows: rows of a step.
        learning_rate: at the start.
        weight_decay: of AdamW.
        dropout: the rate of all places of the family that have one, but feature maps.
        balanced: whether each class counts alike, however few rows it has.
    """

    epochs: int | None = None
    batch_rows: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    dropout: float | None = None
    balanced: bool = False


def with_options(recipe: Recipe, options: Options) -> Recipe:
    """Give a recipe as a user wants it.

    Raises:
        TrainingError: an option is not for such a recipe.
    """
    if options.balanced and recipe.task != "classification":
        raise TrainingError("--class-weights is for classification: a regression has no classes")
    names = ("epochs", "batch_rows", "learning_rate", "weight_decay")
    changes: dict[str, Any] = {name: value for name in names if (value := getattr(options, name)) is not None}
    changed = replace(recipe, schedule=replace(recipe.schedule, **changes), balanced=options.balanced)
    return changed if options.dropout is None else with_dropout(changed, options.dropout)


def with_dropout(recipe: Recipe, rate: float) -> Recipe:
    """Give a recipe with another rate."""
    return replace(recipe, arguments={**recipe.arguments, **dict.fromkeys(rates_of(recipe), rate)})


def rates_of(recipe: Recipe) -> list[str]:
    """Name the arguments of a recipe's factory that are rates which a user sets."""
    return [name for name in _RATES if name in signature(recipe.factory).parameters]
