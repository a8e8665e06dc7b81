"""Multilayer perceptrons with dropout after each hidden activation (Srivastava et al. 2014)."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.layers.arguments import checked_rates, checked_size, checked_sizes
from models.layers.scaling import NormalHead, Standardize

Hidden = Callable[[int, int, float], nn.Module]  # features, units and a rate → a hidden layer


class Mlp(nn.Module):
    """Hidden layers over standardised features, then a head without dropout.

    Args:
        features: of the input, [rows, features], in its own units.
        hidden: the hidden layers, [rows, features] → [rows, units of the last].
        head: [rows, units of the last] → the output.
    """

    def __init__(self, features: int, hidden: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.standardize = Standardize(features)
        self.hidden = nn.Sequential(*hidden)
        self.head = head

    def fit_units(self, features: Tensor, targets: Tensor) -> None:
        """Take the units of the features, and of the targets where the head has units, from training data."""
        self.standardize.fit(features)
        if isinstance(self.head, NormalHead):
            self.head.fit(targets)

    def forward(self, features: Tensor) -> Tensor:
        """Give the head's output for [rows, features]."""
        output: Tensor = self.head(self.hidden(self.standardize(features)))
        return output


def classifier(
    *,
    features: int,
    classes: int,
    hidden: Sequence[int] = (64, 64),
    dropout: float | Sequence[float] = 0.2,
) -> nn.Module:
    """Build a classifier: logits, [rows, classes].

    Args:
        features: of the input.
        classes: of the output.
        hidden: units of each hidden layer, Linear → ReLU → dropout.
        dropout: the rate after each hidden layer: one for all, or one for each.
    """
    return Mlp(features, *classifying(_layer, features, classes, hidden, dropout))


def regressor(
    *,
    features: int,
    targets: int = 1,
    hidden: Sequence[int] = (64, 64),
    dropout: float | Sequence[float] = 0.1,
) -> nn.Module:
    """Build a regression model with a variance head: (means, log variances), [rows, 2·targets]."""
    return Mlp(features, *regressing(_layer, features, targets, hidden, dropout))


def classifying(
    layer: Hidden, features: int, classes: int, hidden: Sequence[int], dropout: float | Sequence[float]
) -> tuple[list[nn.Module], nn.Linear]:
    """Make the hidden layers of a classifier, each by `layer`, and its head."""
    head = nn.Linear(checked_sizes("hidden", hidden)[-1], checked_size("classes", classes))
    return _hidden_layers(layer, features, hidden, dropout), head


def regressing(
    layer: Hidden, features: int, targets: int, hidden: Sequence[int], dropout: float | Sequence[float]
) -> tuple[list[nn.Module], NormalHead]:
    """Make the hidden layers of a regression model, each by `layer`, and its head."""
    head = NormalHead(checked_sizes("hidden", hidden)[-1], checked_size("targets", targets))
    return _hidden_layers(layer, features, hidden, dropout), head


def _hidden_layers(
    layer: Hidden, features: int, hidden: Sequence[int], dropout: float | Sequence[float]
) -> list[nn.Module]:
    rates = checked_rates("dropout", dropout, len(hidden))
    sizes = [checked_size("features", features), *hidden]
    return [layer(*pair, rate) for pair, rate in zip(pairwise(sizes), rates, strict=True)]


def _layer(features: int, units: int, rate: float) -> nn.Module:
    return nn.Sequential(nn.Linear(features, units), nn.ReLU(), nn.Dropout(rate))
