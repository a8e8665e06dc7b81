"""Recurrent functions and cells under vmap, against torch's own for one sample after another, in float64."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from agreement import sampled
from torch import Tensor, nn

from service.sampling.engine import Engine
from service.sampling.executor import Budgets, Pinned
from service.sampling.names import LOOP
from service.sampling.recurrent import BATCHED, BATCHED_CELLS

QUICK = Budgets(measuring_seconds=0.1)
SAMPLES, ROWS, LENGTH, FEATURES, WIDTH = 4, 2, 5, 3, 4

NETS = {torch.lstm: nn.LSTM, torch.gru: nn.GRU, torch.rnn_tanh: nn.RNN, torch.rnn_relu: nn.RNN}
CELLS = {
    torch.lstm_cell: nn.LSTMCell,
    torch.gru_cell: nn.GRUCell,
    torch.rnn_tanh_cell: nn.RNNCell,
    torch.rnn_relu_cell: nn.RNNCell,
}


def assert_same(run: Callable[[Tensor], Any], masks: Tensor) -> None:
    """Hold all samples at once against one after the other, by what torch itself gives for each."""
    together = torch.func.vmap(run)(masks)
    for number, mask in enumerate(masks):
        for held, expected in zip(tensors(together), tensors(run(mask)), strict=True):
            torch.testing.assert_close(held[number], expected, rtol=1e-12, atol=1e-12)


def tensors(made: Any) -> Sequence[Tensor]:
    return [made] if isinstance(made, Tensor) else list(made)


@pytest.mark.parametrize("function", NETS, ids=lambda function: str(function.__name__))
@pytest.mark.parametrize(("biased", "both_ways", "batch_first"), list(product([False, True], repeat=3)))
@pytest.mark.parametrize("smaller", [0, 2])
def test_dropped_weights_of_a_net(
    function: Callable[..., Any], biased: bool, both_ways: bool, batch_first: bool, smaller: int
) -> None:
    torch.manual_seed(0)
    if smaller and function is not torch.lstm:
        return  # projections are an LSTM's alone
    layers, given = 2, {"bias": biased, "bidirectional": both_ways, "batch_first": batch_first}
    net = NETS[function](FEATURES, WIDTH, layers, **given, **({"proj_size": smaller} if smaller else {}))
    first, own, *rest = [held.detach().double() for held in net._flat_weights]
    values = torch.randn(ROWS, LENGTH, FEATURES).double()
    values = values if batch_first else values.transpose(0, 1)
    hidden = torch.randn(layers * (1 + both_ways), ROWS, smaller or WIDTH).double()
    cell = torch.randn(layers * (1 + both_ways), ROWS, WIDTH).double()
    state = [hidden, cell] if function is torch.lstm else hidden
    masks = (torch.rand(SAMPLES, *own.shape) > 0.5).double()

    def run(mask: Tensor) -> Any:
        weights = [first, own * mask, *rest]
        return BATCHED[function](values, state, weights, biased, layers, 0.0, False, both_ways, batch_first)

    assert_same(run, masks)


@pytest.mark.parametrize("function", CELLS, ids=lambda function: str(function.__name__))
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dropped", ["state", "weights", "values"])
def test_a_cell(function: Callable[..., Any], biased: bool, dropped: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[function](FEATURES, WIDTH, bias=biased).double()
    weights = [held.detach() for held in cell.parameters()]
    values, hidden, beside = torch.randn(ROWS, FEATURES), torch.randn(ROWS, WIDTH), torch.randn(ROWS, WIDTH)
    shapes = {"state": hidden.shape, "weights": weights[1].shape, "values": values.shape}
    masks = (torch.rand(SAMPLES, *shapes[dropped]) > 0.5).double()

    def run(mask: Tensor) -> Any:
        of = {name: mask if name == dropped else 1.0 for name in shapes}
        state: Any = hidden.double() * of["state"]
        state = (state, beside.double()) if function is torch.lstm_cell else state
        own = [weights[0], weights[1] * of["weights"], *weights[2:]]
        return BATCHED_CELLS[function](values.double() * of["values"], state, *own)

    assert_same(run, masks)


class Steps(nn.Module):
    """A cell in a loop, whose mask is of the weights of its state: no rows to fold samples into."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(FEATURES, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, values: Tensor) -> Tensor:
        own = nn.functional.dropout(self.cell.weight_hh, 0.4, self.training)
        hidden = cell = values.new_zeros(len(values), WIDTH)
        for step in values.unbind(1):
            weights = self.cell.weight_ih, own, self.cell.bias_ih, self.cell.bias_hh
            hidden, cell = torch.lstm_cell(step, (hidden, cell), *weights)
        given: Tensor = self.head(hidden)
        return given


def test_weight_drop_of_a_cell_runs_batched() -> None:
    torch.manual_seed(0)
    engine = Engine(
        Steps(), [(LENGTH, FEATURES)], [torch.float32], pinned=Pinned("vmap", float32=True), budgets=QUICK
    )
    assert engine.plans is not None
    assert "vmap" not in engine.plans.refused
    inputs = (torch.randn(3, LENGTH, FEATURES),)
    loop = torch.cat(list(engine.samples(inputs, 1, range(20), LOOP)))
    torch.testing.assert_close(sampled(engine, inputs, range(20), seed=1), loop)
