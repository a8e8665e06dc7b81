"""Torch's recurrent functions with a rule for vmap, which torch does not give them.

Samples are folded into the rows of one call, where only values and states differ between samples.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

Recurrent = Callable[..., tuple[Tensor, ...]]


class _Folded(Function):
    """A recurrent function of padded values, as a function of tensors alone."""

    @staticmethod
    def forward(call: "_Call", *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run one sample."""
        return call.run(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: there is no backward pass."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], call: "_Call", *tensors: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Run all samples."""
        samples, dims = info.batch_size, in_dims[1:]
        if any(dim is not None for dim in dims[call.varying :]):
            raise RuntimeError("a recurrent function whose weights are dropped has no rule for vmap")
        folded = [
            _fold(_first(tensor, dim, samples), 1 + call.row_dimension(number))
            for number, (tensor, dim) in enumerate(zip(tensors[: call.varying], dims, strict=False))
        ]
        made = call.run((*folded, *tensors[call.varying :]))
        places = [call.row_dimension(number) for number in range(len(made))]
        outputs = [held.unflatten(place, (samples, -1)) for held, place in zip(made, places, strict=True)]
        return tuple(outputs), tuple(places)


def _first(tensor: Tensor, dim: int | None, samples: int) -> Tensor:
    return tensor.expand(samples, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def _fold(tensor: Tensor, rows: int) -> Tensor:
    """[samples, …, rows, …] → [… , samples · rows, …]."""
    return tensor.movedim(0, rows - 1).flatten(rows - 1, rows)


class _Call:
    """All of a call but its tensors.

    Args:
        function: torch.lstm, torch.gru, torch.rnn_tanh or torch.rnn_relu.
        states: how many tensors the first state is; 0 where it is one that stands by itself.
        rest: the arguments after the weights.
    """

    def __init__(self, function: Recurrent, states: int, rest: Sequence[Any]) -> None:
        self._function = function
        self._states = states
        self._rest = tuple(rest)
        self.varying = 1 + max(1, states)  # the values and the states; what follows are weights

    def row_dimension(self, number: int) -> int:
        """Tell which dimension holds the rows, of the values or outputs (0) or of a state."""
        batch_first = bool(self._rest[-1])
        return 0 if number == 0 and batch_first else 1

    def run(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Call the function."""
        values, states, weights = tensors[0], tensors[1 : self.varying], tensors[self.varying :]
        state = list(states) if self._states else states[0]
        return tuple(self._function(values, state, list(weights), *self._rest))


def batched(function: Recurrent) -> Recurrent:
    """Give a recurrent function a rule for vmap; for padded values, by torch's own positional arguments."""

    def run(
        values: Tensor, states: Tensor | Sequence[Tensor], weights: Sequence[Tensor], *rest: Any
    ) -> tuple[Tensor, ...]:
        several = not isinstance(states, Tensor)
        given = [*states] if several else [states]
        call = _Call(function, len(given) if several else 0, rest)
        made: tuple[Tensor, ...] = _Folded.apply(call, values, *given, *weights)
        return made

    return run


def is_padded(args: Sequence[Any]) -> bool:
    """Tell a call with padded values from one with packed values, which has their lengths second."""
    return not isinstance(args[1], Tensor) or args[1].is_floating_point()


BATCHED: Mapping[Callable[..., Any], Recurrent] = {
    function: batched(function) for function in (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)
}
"""Functions that vmap can run, in place of torch's."""
