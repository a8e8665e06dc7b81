"""Concrete dropout: the rate is learned with the weights (Gal, Hron & Kendall 2017)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.arguments import checked_rate

_TEMPERATURE = 0.1  # as in the paper
_SMALLEST = 1e-6  # logarithms of 0 are kept out of the relaxed mask


class ConcreteDropout(nn.Module):
    """Dropout whose rate p is a parameter while it is learned, and a number that is saved ever after.

    Made, it has its rate as a buffer and drops as any dropout does: this is what is served. Between `learn`
    and `fix` the rate is σ(logit), and in training mode units are multiplied by (1 - z) / (1 - p), where
    z = σ((logit p + logit u) / t) with u uniform from 0 to 1: a mask that has a gradient to p, almost all of
    whose values are next to 0 or 1 (eq. 5; t = 0.1). A network that is still learning has weights of other
    names, so it is not served by mistake.

    Args:
        rate: the probability that a unit is dropped; where learning starts.
    """

    rate: Tensor
    logit: nn.Parameter | None

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.register_buffer("rate", torch.tensor(checked_rate("rate", rate), dtype=torch.float64))
        self.register_parameter("logit", None)
        self._fixed = float(self.rate)  # as a number: reading a tensor's would wait for the device each pass

    def learn(self) -> None:
        """Make the rate a parameter.

        Raises:
            ValueError: it is 0, from where no gradient leads away.
        """
        if self._fixed == 0:
            raise ValueError("a rate of 0 cannot be learned; start from a larger one, such as 0.1")
        self.logit = nn.Parameter(self.rate.logit().float())

    def fix(self) -> None:
        """Keep what was learned as the rate, and no parameter."""
        if self.logit is not None:
            self.rate.copy_(self.logit.detach().sigmoid())
            self.logit = None
            self._fixed = float(self.rate)

    def forward(self, values: Tensor) -> Tensor:
        """Drop units of [rows, …]."""
        if self.training and self.logit is not None:
            return _relaxed(values, self.logit)
        return F.dropout(values, self._fixed, self.training)

    def regulariser(self, following: nn.Linear) -> Tensor:
        """Compute ½·‖W‖² / (1 - p) - K·H(p), the divergence from a standard normal prior but for constants.

        K units are dropped before the weights W, and H(p) = -p ln p - (1 - p) ln(1 - p). The paper's
        ½·(1 - p)·‖M‖² is the same: kept units are divided by 1 - p here, so W = (1 - p)·M. It is of all the
        training rows: divide by their number where the loss is a mean.

        Args:
            following: the layer that takes what was dropped.
        """
        rate = self.rate if self.logit is None else self.logit.sigmoid()
        entropy = -(torch.xlogy(rate, rate) + torch.xlogy(1 - rate, 1 - rate))
        return following.weight.square().sum() / (2 * (1 - rate)) - following.in_features * entropy

    def _load_from_state_dict(self, *given: Any) -> None:
        super()._load_from_state_dict(*given)
        errors: list[str] = given[-1]
        try:
            self._fixed = checked_rate("rate", float(self.rate))
        except ValueError as cause:
            errors.append(str(cause))


def _relaxed(values: Tensor, logit: Tensor) -> Tensor:
    uniform = torch.rand_like(values).clamp(_SMALLEST, 1 - _SMALLEST)
    dropped = ((logit + uniform.logit()) / _TEMPERATURE).sigmoid()
    return values * (1 - dropped) / (1 - logit.sigmoid())
