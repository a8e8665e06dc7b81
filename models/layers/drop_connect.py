"""DropConnect: weights are dropped instead of units (Wan et al. 2013)."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.arguments import checked_rate


class DropConnectLinear(nn.Linear):
    """A linear layer that drops each of its weights: y = (W ⊙ M / (1 - p)) x + b, M_ij ~ Bernoulli(1 - p).

    One mask a pass, for all its rows: a mask for each row would need as many matrices. The bias is kept.

    Args:
        features: of the input, [..., features].
        units: of the output, [..., units].
        dropout: the probability p that a weight is dropped.
    """

    def __init__(self, features: int, units: int, dropout: float) -> None:
        super().__init__(features, units)
        self.dropout = checked_rate("dropout", dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Give [..., units] for [..., features]."""
        return F.linear(values, F.dropout(self.weight, self.dropout, self.training), self.bias)
