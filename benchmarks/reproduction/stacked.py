"""Many small networks trained at once, each as if it were alone.

A network of one hidden layer of 50 units is far too small for a processor: a step of 128 rows is 0.3 million
multiplications, less than the calls cost of the dozen functions that make it. So networks are stacked,
[splits, rates, decays, …], and each function is called once for all. Their losses are added up, and Adam
works number by number: each network takes the steps that it would take alone.

What bounds the stack is the passes over its hidden units. 48 networks of 128 rows have 1.2 MB of them, which
stay in a cache of 2 MB; a step takes fifteen passes or so and 65 MFLOP. Uniform numbers would cost as much:
they are drawn once a split. All its settings share them, as they share the first weights and the batches
(common random numbers: what differs between settings is the settings' doing).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BATCH_ROWS = 128
LEARNING_RATE = 1e-3
EPSILON = 1e-7  # Keras's, which the published figures are made with; torch's is 1e-8


@dataclass(frozen=True)
class Weights:
    """Of networks with one hidden layer.

    Args:
        hidden: [splits, rates, decays, features, units].
        hidden_bias: [splits, rates, decays, 1, units].
        output: [splits, rates, decays, units, 1].
        output_bias: [splits, rates, decays, 1, 1].
    """

    hidden: Tensor
    hidden_bias: Tensor
    output: Tensor
    output_bias: Tensor

    @property
    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [self.hidden, self.hidden_bias, self.output, self.output_bias]

    def network(self, index: tuple[int, int, int], rate: float) -> nn.Sequential:
        """Build one of the networks, as people write it."""
        features, units = self.hidden.shape[-2:]
        first, last = nn.Linear(features, units), nn.Linear(units, 1)
        with torch.no_grad():
            first.weight.copy_(self.hidden[index].T)
            first.bias.copy_(self.hidden_bias[index].flatten())
            last.weight.copy_(self.output[index].T)
            last.bias.copy_(self.output_bias[index].flatten())
        return nn.Sequential(nn.Dropout(rate), first, nn.ReLU(), nn.Dropout(rate), last).eval()


@dataclass(frozen=True)
class Lesson:
    """What networks learn, and how.

    Args:
        inputs: standardised, [splits, rows, features].
        targets: standardised, [splits, rows].
        rates: of dropout, [splits or 1, rates]; each split has its own row, or all have one.
        decays: λ of λ·Σw², [splits or 1, rates, decays].
        seeds: of each split's first weights, batches and masks.
        units: of the hidden layer.
        epochs: how many.
    """

    inputs: Tensor
    targets: Tensor
    rates: Tensor
    decays: Tensor
    seeds: Sequence[int]
    units: int
    epochs: int


@dataclass(frozen=True)
class _Batch:
    """Rows of a step, [splits, 1, 1, rows, …]; uniform numbers of every input and of every hidden unit."""

    inputs: Tensor
    targets: Tensor
    uniform: Tensor

    def masks(self, rates: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the factors of inputs and of hidden units: 0, or 1 / (1 - rate).

        As numbers: multiplying with truth values takes twice as long.
        """
        factors = torch.ge(self.uniform, rates, out=self.uniform.new_empty(0)).div_(1 - rates)
        features = self.inputs.shape[-1]
        return factors[..., :features], factors[..., features:]


def train(lesson: Lesson, watch: Callable[[], None]) -> Weights:
    """Train networks; `watch` is called after each epoch."""
    generators = [torch.Generator().manual_seed(seed) for seed in lesson.seeds]
    weights = _first(lesson, generators)
    optimizer = torch.optim.Adam(weights.tensors, lr=LEARNING_RATE, eps=EPSILON, fused=True)
    rates = lesson.rates[:, :, None, None, None]
    for _ in range(lesson.epochs):
        for batch in _batches(lesson, generators):
            optimizer.zero_grad()
            _losses(weights, batch, rates, lesson.decays).sum().backward()
            optimizer.step()
        watch()
    return weights


def _first(lesson: Lesson, generators: Sequence[torch.Generator]) -> Weights:
    """Draw the first weights as Glorot & Bengio (2010) do, uniformly; biases are 0."""
    features, units = lesson.inputs.shape[-1], lesson.units
    settings = torch.broadcast_shapes(lesson.decays.shape, (len(generators), 1, 1))[1:]

    def learned(values: Tensor) -> Tensor:
        return values.expand(-1, *settings, -1, -1).clone().requires_grad_()

    def drawn(before: int, after: int) -> Tensor:
        most = (6 / (before + after)) ** 0.5
        unit = torch.stack([torch.rand(before, after, generator=one) for one in generators])
        return learned(((2 * unit - 1) * most)[:, None, None])

    def zero(width: int) -> Tensor:
        return learned(torch.zeros(len(generators), 1, 1, 1, width))

    return Weights(drawn(features, units), zero(units), drawn(units, 1), zero(1))


def _batches(lesson: Lesson, generators: Sequence[torch.Generator]) -> Iterator[_Batch]:
    """Shuffle each split's rows, and cut them; the last batch has what is left."""
    splits, rows, features = lesson.inputs.shape
    order = torch.stack([torch.randperm(rows, generator=one) for one in generators])
    uniform = torch.stack([torch.rand(rows, features + lesson.units, generator=one) for one in generators])
    which = torch.arange(splits)[:, None]
    parts = (lesson.inputs[which, order], lesson.targets[which, order][..., None], uniform)
    for cut in zip(*(part[:, None, None].split(BATCH_ROWS, dim=3) for part in parts), strict=True):
        yield _Batch(*cut)


def _losses(weights: Weights, batch: _Batch, rates: Tensor, decays: Tensor) -> Tensor:
    """Compute each network's mean squared error, and its decay: [splits, rates, decays]."""
    kept_inputs, kept_units = batch.masks(rates)
    hidden = ((batch.inputs * kept_inputs) @ weights.hidden + weights.hidden_bias).relu()
    outputs = (hidden * kept_units) @ weights.output + weights.output_bias
    errors = (outputs - batch.targets).square().mean((-2, -1))
    squares = weights.hidden.square().sum((-2, -1)) + weights.output.square().sum((-2, -1))
    return errors + decays * squares
