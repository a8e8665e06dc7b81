"""LSTM and GRU classifiers with variational dropout, over sequences of numbers or of tokens."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.layers.arguments import checked_rate, checked_size, checked_sizes
from models.layers.scaling import Standardize
from models.layers.variational import VariationalGRU, VariationalLSTM, VariationalRecurrent

PADDING = 0

_CELLS: Mapping[str, type[VariationalRecurrent]] = {"lstm": VariationalLSTM, "gru": VariationalGRU}


class SequenceClassifier(nn.Module):
    """Recurrent layers over sequences of numbers; the state after the last step tells the class.

    Args:
        features: of each step of the input, [rows, steps, features], in its own units.
        layers: recurrent layers, the first from `features`.
        classes: of the output.
    """

    def __init__(self, features: int, layers: Sequence[VariationalRecurrent], classes: int) -> None:
        super().__init__()
        self.standardize = Standardize(features)
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(layers[-1].units, classes)

    def fit_units(self, sequences: Tensor, _targets: Tensor) -> None:
        """Take the units of the features from training data, [rows, steps, features]."""
        self.standardize.fit(sequences.flatten(0, 1))

    def forward(self, sequence: Tensor) -> Tensor:
        """Give logits, [rows, classes], for [rows, steps, features]."""
        return _read(self.layers, self.head, self.standardize(sequence), None)


class TokenClassifier(nn.Module):
    """Recurrent layers over embedded tokens; at a padding token, 0, every state stays as it was.

    Args:
        vocabulary: how many tokens there are; the input, [rows, steps], has 0 to vocabulary - 1.
        width: of an embedded token.
        layers: recurrent layers, the first from `width`.
        classes: of the output.
    """

    def __init__(
        self, vocabulary: int, width: int, layers: Sequence[VariationalRecurrent], classes: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(layers[-1].units, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give logits, [rows, classes], for [rows, steps]."""
        return _read(self.layers, self.head, self.embedding(tokens), tokens != PADDING)


def classifier(
    *,
    features: int,
    classes: int,
    cell: str = "lstm",
    units: Sequence[int] = (64,),
    input_dropout: float = 0.2,
    state_dropout: float = 0.2,
) -> nn.Module:
    """Build a classifier of [rows, steps, features]: logits, [rows, classes].

    Args:
        features: of each step.
        classes: of the output.
        cell: "lstm" or "gru".
        units: of the state of each layer.
        input_dropout: the rate of each layer's input, one mask for all steps.
        state_dropout: the rate of each layer's state, one mask for all steps.
    """
    layers = _layers(cell, features, units, input_dropout, state_dropout)
    return SequenceClassifier(features, layers, checked_size("classes", classes))


def token_classifier(
    *,
    vocabulary: int,
    classes: int,
    cell: str = "lstm",
    width: int = 64,
    units: Sequence[int] = (64,),
    input_dropout: float = 0.2,
    state_dropout: float = 0.2,
) -> nn.Module:
    """Build a classifier of tokens, [rows, steps]: logits, [rows, classes]."""
    layers = _layers(cell, checked_size("width", width), units, input_dropout, state_dropout)
    return TokenClassifier(
        checked_size("vocabulary", vocabulary), width, layers, checked_size("classes", classes)
    )


def _layers(
    cell: str, features: int, units: Sequence[int], input_dropout: float, state_dropout: float
) -> list[VariationalRecurrent]:
    if cell not in _CELLS:
        raise ValueError(f"cell is {cell!r}; it must be one of {', '.join(_CELLS)}")
    rates = checked_rate("input_dropout", input_dropout), checked_rate("state_dropout", state_dropout)
    sizes = [checked_size("features", features), *checked_sizes("units", units)]
    return [_CELLS[cell](before, after, *rates) for before, after in pairwise(sizes)]


def _read(layers: nn.ModuleList, head: nn.Linear, values: Tensor, present: Tensor | None) -> Tensor:
    for layer in layers:
        values = layer(values, present)
    logits: Tensor = head(values[:, -1])
    return logits
