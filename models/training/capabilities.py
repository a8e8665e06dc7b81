"""What a network may bring to its training besides parameters."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class FitsUnits(Protocol):
    """A network that takes the units of its inputs, and perhaps of its targets, from the training rows."""

    def fit_units(self, inputs: Tensor, targets: Tensor, /) -> None:
        """Take units: [rows, …] and targets."""


@runtime_checkable
class LearnsRates(Protocol):
    """A network whose rates are parameters during training, and numbers afterwards."""

    def learn_rates(self) -> None:
        """Make every rate a parameter."""

    def fix_rates(self) -> None:
        """Keep the rates that were learned."""

    def regulariser(self) -> Tensor:
        """Compute a scalar that joins the sum of the training rows' losses."""
