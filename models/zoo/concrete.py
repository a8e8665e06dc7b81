"""Multilayer perceptrons that learn their rates: concrete dropout (Gal, Hron & Kendall 2017)."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.layers.concrete import ConcreteDropout
from models.zoo.mlp import Mlp, classifying, regressing


class ConcreteMlp(Mlp):
    """Hidden layers of Linear → ReLU → concrete dropout, then a head.

    Before training call `learn_rates`, and after it `fix_rates`; the training adds `regulariser`, divided by
    the number of training rows, to the mean loss.
    """

    def learn_rates(self) -> None:
        """Make every rate a parameter."""
        for dropout, _ in self._pairs():
            dropout.learn()

    def fix_rates(self) -> None:
        """Keep the rates that were learned."""
        for dropout, _ in self._pairs():
            dropout.fix()

    @property
    def rates(self) -> list[float]:
        """The rates that are fixed, from the first layer to the last."""
        return [float(dropout.rate) for dropout, _ in self._pairs()]

    def regulariser(self) -> Tensor:
        """Sum the layers' divergences from the prior: a scalar."""
        return torch.stack([dropout.regulariser(following) for dropout, following in self._pairs()]).sum()

    def _pairs(self) -> Iterator[tuple[ConcreteDropout, nn.Linear]]:
        """Give each dropout with the linear layer that takes what it left."""
        layers = [
            module
            for part in (self.hidden, self.head)
            for module in part.modules()
            if isinstance(module, ConcreteDropout | nn.Linear)
        ]
        for dropout, following in pairwise(layers):
            if isinstance(dropout, ConcreteDropout) and isinstance(following, nn.Linear):
                yield dropout, following


def classifier(
    *,
    features: int,
    classes: int,
    hidden: Sequence[int] = (64, 64),
    dropout: float | Sequence[float] = 0.1,
) -> ConcreteMlp:
    """Build a classifier: logits, [rows, classes].

    Args:
        features: of the input, [rows, features].
        classes: of the output.
        hidden: units of each hidden layer.
        dropout: where the rates start, one for all or one for each; weights that were learned bring theirs.
    """
    return ConcreteMlp(features, *classifying(_layer, features, classes, hidden, dropout))


def regressor(
    *,
    features: int,
    targets: int = 1,
    hidden: Sequence[int] = (64, 64),
    dropout: float | Sequence[float] = 0.1,
) -> ConcreteMlp:
    """Build a regression model with a variance head: (means, log variances), [rows, 2·targets]."""
    return ConcreteMlp(features, *regressing(_layer, features, targets, hidden, dropout))


def _layer(features: int, units: int, rate: float) -> nn.Module:
    return nn.Sequential(nn.Linear(features, units), nn.ReLU(), ConcreteDropout(rate))
