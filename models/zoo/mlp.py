"""Multilayer perceptrons with dropout after each hidden activation (Srivastava et al. 2014)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.layers.scaling import NormalHead, Standardize


class Mlp(nn.Module):
    """Hidden layers of Linear → ReLU → dropout over standardised features, then a head without dropout.

    Args:
        features: of the input, [rows, features], in its own units.
        hidden: units of each hidden layer.
        head: [rows, hidden[-1]] → the output.
        dropout: the rate after each hidden layer, 0 to 1.
    """

    def __init__(self, features: int, hidden: Sequence[int], head: nn.Module, dropout: float) -> None:
        super().__init__()
        self.standardize = Standardize(features)
        sizes = [features, *hidden]
        self.hidden = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout))
                for before, after in pairwise(sizes)
            )
        )
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
    *, features: int, classes: int, hidden: Sequence[int] = (64, 64), dropout: float = 0.2
) -> nn.Module:
    """Build a classifier: logits, [rows, classes]."""
    return Mlp(features, hidden, nn.Linear(hidden[-1], classes), dropout)


def regressor(
    *, features: int, targets: int = 1, hidden: Sequence[int] = (64, 64), dropout: float = 0.1
) -> nn.Module:
    """Build a regression model with a variance head: (means, log variances), [rows, 2·targets]."""
    return Mlp(features, hidden, NormalHead(hidden[-1], targets), dropout)
