"""Recurrent layers with variational dropout: one mask for all steps (Gal & Ghahramani 2016).

Dropping anew at every step would destroy what the state remembers; one thinned network reads the whole
sequence instead. torch's own nn.LSTM and nn.GRU drop between layers only, and never the recurrent state.
"""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.arguments import checked_rate, checked_size

State = tuple[Tensor, ...]  # each [rows, units]; the first is what the layer gives


class VariationalMask(nn.Module):
    """Factors for every step of a sequence: 0 with probability p, else 1 / (1 - p); ones in eval mode.

    Args:
        rate: the probability p that a unit is dropped.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor, units: int) -> Tensor:
        """Draw factors, [rows, units], for the rows of values, [rows, …]."""
        return F.dropout(values.new_ones(len(values), units), self.rate, self.training)


class VariationalRecurrent(nn.Module):
    """A recurrent layer that masks its input by z_x and its state by z_h, each the same at every step.

    Both are drawn once a pass, for each row. Dropping only what the matrices multiply, and not the
    path by which a gate carries the state on, is what makes a mask the same as matrices without some columns.

    Args:
        features: of the input at each step.
        units: of the state.
        input_dropout: the rate of z_x.
        state_dropout: the rate of z_h.
    """

    gates: int

    def __init__(self, features: int, units: int, input_dropout: float, state_dropout: float) -> None:
        super().__init__()
        self.units = checked_size("units", units)
        self.input_mask = VariationalMask(checked_rate("input_dropout", input_dropout))
        self.state_mask = VariationalMask(checked_rate("state_dropout", state_dropout))
        self.of_input = nn.Linear(checked_size("features", features), self.gates * units)
        self.of_state = nn.Linear(units, self.gates * units)

    def forward(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """Read sequences.

        Args:
            values: [rows, steps, features].
            present: [rows, steps], boolean; where it is false the state stays as it was.

        Returns:
            The state after each step, [rows, steps, units].
        """
        given = self.of_input(values * self.input_mask(values, values.shape[-1])[:, None])
        mask = self.state_mask(values, self.units)
        state = self._start(values)
        states = []
        for number, now in enumerate(given.unbind(1)):
            stepped = self._step(now, mask, state)
            state = stepped if present is None else _kept(present[:, number, None], stepped, state)
            states.append(state[0])
        return torch.stack(states, 1)

    def _start(self, values: Tensor) -> State:
        return (values.new_zeros(len(values), self.units),)

    @abstractmethod
    def _step(self, given: Tensor, mask: Tensor, state: State) -> State:
        """Make the next state of what the input gives the gates, [rows, gates·units], and the state."""


class VariationalLSTM(VariationalRecurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with variational dropout.

    With x masked by z_x and h by z_h: i, f, o = σ(W x + U h + b), g = tanh(W x + U h + b),
    c' = f·c + i·g, h' = o·tanh(c').
    """

    gates = 4

    def __init__(self, features: int, units: int, input_dropout: float, state_dropout: float) -> None:
        super().__init__(features, units, input_dropout, state_dropout)
        with torch.no_grad():
            self.of_input.bias[units : 2 * units] = 1  # at first, remember (Jozefowicz et al. 2015)

    def _start(self, values: Tensor) -> State:
        return super()._start(values) * 2

    def _step(self, given: Tensor, mask: Tensor, state: State) -> State:
        hidden, cell = state
        enter, forget, new, leave = (given + self.of_state(hidden * mask)).chunk(4, -1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        return leave.sigmoid() * cell.tanh(), cell


class VariationalGRU(VariationalRecurrent):
    """Gated recurrent unit (Cho et al. 2014) with variational dropout, its gates as torch's.

    With x masked by z_x and h by z_h in the products: r, u = σ(W x + U h + b),
    n = tanh(W x + b + r·(U h + b)), h' = (1 - u)·n + u·h.
    """

    gates = 3

    def _step(self, given: Tensor, mask: Tensor, state: State) -> State:
        (hidden,) = state
        reset, update, new = given.chunk(3, -1)
        old_reset, old_update, old_new = self.of_state(hidden * mask).chunk(3, -1)
        candidate = (new + (reset + old_reset).sigmoid() * old_new).tanh()
        share = (update + old_update).sigmoid()
        return ((1 - share) * candidate + share * hidden,)


def _kept(present: Tensor, stepped: State, before: State) -> State:
    return tuple(torch.where(present, new, old) for new, old in zip(stepped, before, strict=True))
