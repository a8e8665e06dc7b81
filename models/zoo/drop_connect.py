"""Multilayer perceptrons that drop weights instead of units: DropConnect (Wan et al. 2013)."""

from collections.abc import Sequence

from torch import nn

from models.layers.drop_connect import DropConnectLinear
from models.zoo.mlp import Mlp, classifying, regressing


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


def _layer(features: int, units: int, rate: float) -> nn.Module:
    return nn.Sequential(DropConnectLinear(features, units, rate), nn.ReLU())
