"""Torch's recurrent functions with a rule for vmap, which torch does not give them.

Where values and states alone differ between samples, these are folded into the rows of one call of torch's
own. Where weights differ, which are dropped then, the function is written out step by step, as cells always
are: a step is one product for all samples.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

Recurrent = Callable[..., tuple[Tensor, ...]]
Step = Callable[[Tensor, Sequence[Tensor], Callable[[Tensor], Tensor]], tuple[Tensor, ...]]
"""What the values give to the gates, the state, and what a hidden state gives to them → the next state."""


def _lstm_step(
    given: Tensor, state: Sequence[Tensor], of_hidden: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    enter, forget, new, leave = (given + of_hidden(state[0])).chunk(4, -1)
    cell = forget.sigmoid() * state[1] + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def _gru_step(
    given: Tensor, state: Sequence[Tensor], of_hidden: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    (hidden,) = state
    reset, update, new = given.chunk(3, -1)
    own_reset, own_update, own_new = of_hidden(hidden).chunk(3, -1)
    candidate = (new + (reset + own_reset).sigmoid() * own_new).tanh()
    return (candidate + (update + own_update).sigmoid() * (hidden - candidate),)


def _tanh_step(
    given: Tensor, state: Sequence[Tensor], of_hidden: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    return ((given + of_hidden(state[0])).tanh(),)


def _relu_step(
    given: Tensor, state: Sequence[Tensor], of_hidden: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    return ((given + of_hidden(state[0])).relu(),)


_STEPS: Mapping[Callable[..., Any], Step] = {
    torch.lstm: _lstm_step,
    torch.gru: _gru_step,
    torch.rnn_tanh: _tanh_step,
    torch.rnn_relu: _relu_step,
}
_CELL_STEPS: Mapping[Callable[..., Any], Step] = {
    torch.lstm_cell: _lstm_step,
    torch.gru_cell: _gru_step,
    torch.rnn_tanh_cell: _tanh_step,
    torch.rnn_relu_cell: _relu_step,
}


class _Batched(Function):
    """A call as a function of tensors alone, which vmap runs in another way."""

    @staticmethod
    def forward(call: Any, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Run one sample."""
        made: tuple[Tensor, ...] = call.run(tensors)
        return made

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: there is no backward pass."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], call: Any, *tensors: Tensor | None
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Run all samples."""
        made: tuple[tuple[Tensor, ...], tuple[int, ...]] = call.batched(info.batch_size, in_dims[1:], tensors)
        return made


class _Call:
    """All of a call but its tensors: these are the values, the states, and what follows are weights.

    Args:
        function: torch.lstm, torch.gru, torch.rnn_tanh or torch.rnn_relu.
        states: how many tensors the first state is; 0 where it is one that stands by itself.
        rest: the arguments after the weights: has_biases, num_layers, dropout, train, bidirectional and
            batch_first.
    """

    def __init__(self, function: Recurrent, states: int, rest: Sequence[Any]) -> None:
        self._function = function
        self._states = states
        self._rest = tuple(rest)
        self._varying = 1 + max(1, states)

    def run(self, tensors: Sequence[Any]) -> tuple[Tensor, ...]:
        """Call the function."""
        values, states, weights = tensors[0], tensors[1 : self._varying], tensors[self._varying :]
        state = list(states) if self._states else states[0]
        return tuple(self._function(values, state, list(weights), *self._rest))

    def batched(
        self, samples: int, dims: Sequence[int | None], tensors: Sequence[Any]
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Run all samples; gives the outputs, and which dimension of each holds the samples."""
        if any(dim is not None for dim in dims[self._varying :]):
            return _by_samples(self._written_out, dims, tensors)
        folded = [
            _fold(_first(tensor, dim, samples), 1 + self._row_dimension(number))
            for number, (tensor, dim) in enumerate(zip(tensors[: self._varying], dims, strict=False))
        ]
        made = self.run((*folded, *tensors[self._varying :]))
        places = [self._row_dimension(number) for number in range(len(made))]
        outputs = [held.unflatten(place, (samples, -1)) for held, place in zip(made, places, strict=True)]
        return tuple(outputs), tuple(places)

    def _row_dimension(self, number: int) -> int:
        """Tell which dimension holds the rows, of the values or outputs (0) or of a state."""
        batch_first = bool(self._rest[-1])
        return 0 if number == 0 and batch_first else 1

    def _written_out(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        biased, layers, _, _, bidirectional, batch_first = self._rest
        ways = 2 if bidirectional else 1
        values, states, weights = tensors[0], tensors[1 : self._varying], tensors[self._varying :]
        values = values.transpose(0, 1) if batch_first else values
        each = len(weights) // (layers * ways)
        last: list[Sequence[Tensor]] = []
        for layer in range(layers):
            outputs = []
            for way in range(layer * ways, (layer + 1) * ways):
                own = weights[way * each : (way + 1) * each]
                steps = list(
                    _passed(
                        _STEPS[self._function],
                        values,
                        [held[way] for held in states],
                        own,
                        biased,
                        way % ways,
                    )
                )
                last.append(steps[-1])
                hidden = [state[0] for state in steps]
                outputs.append(torch.stack(hidden[::-1] if way % ways else hidden))
            values = torch.cat(outputs, -1)
        values = values.transpose(0, 1) if batch_first else values
        return values, *(torch.stack(held) for held in zip(*last, strict=True))


def _passed(
    step: Step,
    values: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    biased: bool,
    backwards: int,
) -> Iterator[Sequence[Tensor]]:
    """Go through [length, rows, features] one way; gives the state after each step, in the order of going."""
    (of_values, of_hidden), rest = weights[:2], weights[2:]
    bias, own_bias = rest[:2] if biased else (None, None)
    smaller = rest[2:] if biased else rest  # of an LSTM with projections
    given = F.linear(values, of_values, bias)
    for number in range(len(given)):
        state = step(
            given[-1 - number if backwards else number],
            state,
            lambda held: F.linear(held, of_hidden, own_bias),
        )
        if smaller:
            state = F.linear(state[0], smaller[0]), *state[1:]
        yield state


class _Cell:
    """All of a call of a cell but its tensors: the values, the state, and what weights it has.

    Args:
        function: torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell or torch.rnn_relu_cell.
        states: how many tensors the state is; 0 where it is one that stands by itself.
    """

    def __init__(self, function: Callable[..., Any], states: int) -> None:
        self._function = function
        self._states = states
        self._varying = 1 + max(1, states)

    def run(self, tensors: Sequence[Any]) -> tuple[Tensor, ...]:
        """Call the function."""
        states = list(tensors[1 : self._varying])
        made = self._function(tensors[0], states if self._states else states[0], *tensors[self._varying :])
        return (made,) if isinstance(made, Tensor) else tuple(made)

    def batched(
        self, _samples: int, dims: Sequence[int | None], tensors: Sequence[Any]
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Run all samples; gives the new state, and which dimension of each tensor holds the samples."""
        return _by_samples(self._written_out, dims, tensors)

    def _written_out(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        of_values, of_hidden, bias, own_bias = tensors[self._varying :]
        given = F.linear(tensors[0], of_values, bias)
        states = tensors[1 : self._varying]
        return _CELL_STEPS[self._function](given, states, lambda held: F.linear(held, of_hidden, own_bias))


def _by_samples(
    written_out: Recurrent, dims: Sequence[int | None], tensors: Sequence[Any]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    made = torch.func.vmap(written_out, in_dims=tuple(dims))(*tensors)
    return tuple(made), (0,) * len(made)


def _first(tensor: Tensor, dim: int | None, samples: int) -> Tensor:
    return tensor.expand(samples, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def _fold(tensor: Tensor, rows: int) -> Tensor:
    """[samples, …, rows, …] → [… , samples · rows, …]."""
    return tensor.movedim(0, rows - 1).flatten(rows - 1, rows)


def batched(function: Recurrent) -> Recurrent:
    """Give a recurrent function a rule for vmap; for padded values, by torch's own positional arguments."""

    def run(
        values: Tensor, states: Tensor | Sequence[Tensor], weights: Sequence[Tensor], *rest: Any
    ) -> tuple[Tensor, ...]:
        several = not isinstance(states, Tensor)
        given = [*states] if several else [states]
        call = _Call(function, len(given) if several else 0, rest)
        made: tuple[Tensor, ...] = _Batched.apply(call, values, *given, *weights)
        return made

    return run


def batched_cell(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a recurrent cell a rule for vmap; by torch's own arguments."""

    def run(
        input: Tensor,  # noqa: A002  # torch's names
        hx: Tensor | Sequence[Tensor],
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> Any:
        several = not isinstance(hx, Tensor)
        given = [*hx] if several else [hx]
        cell = _Cell(function, len(given) if several else 0)
        made = _Batched.apply(cell, input, *given, w_ih, w_hh, b_ih, b_hh)
        return made if several else made[0]

    return run


def is_padded(args: Sequence[Any]) -> bool:
    """Tell a call with padded values from one with packed values, which has their lengths second."""
    return not isinstance(args[1], Tensor) or args[1].is_floating_point()


BATCHED: Mapping[Callable[..., Any], Recurrent] = {function: batched(function) for function in _STEPS}
"""Functions that vmap can run, in place of torch's."""

BATCHED_CELLS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    function: batched_cell(function) for function in _CELL_STEPS
}
"""Cells that vmap can run, in place of torch's."""
