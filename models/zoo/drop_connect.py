"""Multilayer perceptrons that drop weights instead of units: DropConnect (Wan et al. 2013)."""

from collections.abc import Sequence

from torch import nn

from models.layers.arguments import checked_size, checked_sizes
from models.layers.drop_connect import DropConnectLinear
from models.layers.scaling import NormalHead
from models.zoo.mlp import Mlp, hidden_layers


def classifier(
    *,
    features: int,
    classes: int,
    hidden: Sequence[int] = (64, 64),
    dropout: float | Sequence[float] = 0.3,
) -> nn.Module:
    """Build a classifier: logits, [rows, classes].

    Args:
        features: of the input, [rows, features].
        classes: of the output.
        hidden: units of each hidden layer, DropConnect linear → ReLU; the head keeps its weights.
        dropout: the rate of each hidden layer's weights: one for all, or one for each.
    """
    head = nn.Linear(checked_sizes("hidden", hidden)[-1], checked_size("classes", classes))
    return Mlp(features, hidden_layers(_layer, features, hidden, dropout), head)


def regressor(
    *,
    features: int,
    targets: int = 1,
    hidden: Sequence[int] = (64, 64),
    dropout: float | Sequence[float] = 0.1,
) -> nn.Module:
    """Build a regression model with a variance head: (means, log variances), [rows, 2·targets]."""
    head = NormalHead(checked_sizes("hidden", hidden)[-1], checked_size("targets", targets))
    return Mlp(features, hidden_layers(_layer, features, hidden, dropout), head)


def _layer(features: int, units: int, rate: float) -> nn.Module:
    return nn.Sequential(DropConnectLinear(features, units, rate), nn.ReLU())
