"""What is kept of a training beside its weights."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from models.training.fitting import Epoch, Figures
from models.training.objectives import OBJECTIVES
from models.training.recipe import Recipe


def record_of(
    recipe: Recipe,
    seed: int,
    epochs: Sequence[Epoch],
    best: int,
    figures: dict[str, Figures],
    rows: dict[str, int],
) -> dict[str, Any]:
    """Give what is kept of a training beside its weights.

    Args:
        recipe: that was followed.
        seed: of everything.
        epochs: that ran.
        best: number of the epoch whose weights were kept.
        figures: by the name of the split.
        rows: by the name of the split.
    """
    return {
        "task": recipe.task,
        "seed": seed,
        **recipe.told,
        "schedule": schedule_of(recipe),
        "best_epoch": best,
        "rows": rows,
        "figure": OBJECTIVES[recipe.task].figure_name,
        "figures": {part: asdict(found) for part, found in figures.items()},
        "epochs": [asdict(epoch) for epoch in epochs],
    }


def schedule_of(recipe: Recipe) -> dict[str, Any]:
    """Tell how it was fitted."""
    schedule = recipe.schedule
    return {
        "epochs": schedule.epochs,
        "patience": schedule.patience,
        "batch_rows": schedule.batch_rows,
        "learning_rate": schedule.learning_rate,
        "weight_decay": schedule.weight_decay,
        "augment": schedule.augment.__name__ if schedule.augment else None,
        "class_weights": "balanced" if recipe.balanced else None,
    }
