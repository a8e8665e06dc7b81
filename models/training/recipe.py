"""What a training is made of: rows, a network, and how the one learns the other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from models.training.data import Rows, Task
from models.training.fit import Schedule


@dataclass(frozen=True)
class Texts:
    """What a model of texts needs besides its weights.

    Args:
        tokenizer: its file, as the library tokenizers writes it.
        max_tokens: of a text.
        calibration: the texts of the calibration rows, in their order.
        seen: those of the training and validation rows.
    """

    tokenizer: str
    max_tokens: int
    calibration: tuple[str, ...]
    seen: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """One data set and the model that learns it.

    Args:
        task: of the model.
        load: gives all its rows.
        factory: builds the network; its arguments are `arguments`.
        arguments: of the factory.
        input_name: of the model's one input.
        labels: of the classes.
        schedule: how to fit.
        policy: of model.toml; None for one that the training rows' targets tell.
        balanced: whether each class counts alike in the loss, however few rows it has.
        texts: of a model whose rows are texts; None of others.
        told: what else to keep beside the weights, such as the columns' names.
    """

    task: Task
    load: Callable[[], Rows]
    factory: Callable[..., nn.Module]
    arguments: Mapping[str, Any]
    input_name: str
    labels: tuple[str, ...]
    schedule: Schedule
    policy: Mapping[str, Any] | None
    balanced: bool = False
    texts: Texts | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def factory_name(self) -> str:
        """The factory as model.toml names it."""
        return f"{self.factory.__module__}:{self.factory.__name__}"
