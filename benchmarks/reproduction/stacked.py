"""Many small networks trained at once, each as if it were alone.

A network of one hidden layer of 50 units is far too small for a processor: a step of 128 rows is 0.3 million
multiplications, less than the calls cost of the dozen functions that make it. So networks are stacked,
[splits, rates, decays, …], and each function is called once for all. A network's gradient has nothing of the
others in it, and Adam works number by number: each network takes the steps that it would take alone.

What bounds the stack is the passes over its hidden units. 120 networks of 128 rows have 3 MB of them, and a
step takes seven passes: twice as many by automatic differentiation, which took half as long again (2026-11),
so gradients are written out. Uniform numbers would cost as much as all that: they are drawn once a split. All
its settings share them, as they share the first weights and the batches (common random numbers: what differs
between settings is the settings' doing).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import SFC64, Generator
from torch import Tensor, nn

BATCH_ROWS = 128
LEARNING_RATE = 1e-3
EPSILON = 1e-7  # Keras's, which the published figures are made with; torch's is 1e-8


@dataclass(frozen=True)
class Weights:
    """Of networks with one hidden layer; the last row of each matrix is the bias.

    Args:
        hidden: [splits, rates, decays, features + 1, units].
        output: [splits, rates, decays, units + 1, 1].
    """

    hidden: Tensor
    output: Tensor

    def network(self, index: tuple[int, int, int], rate: float) -> nn.Sequential:
        """Build one of the networks, as people write it."""
        first, last = (_linear(matrices[index]) for matrices in (self.hidden, self.output))
        return nn.Sequential(nn.Dropout(rate), first, nn.ReLU(), nn.Dropout(rate), last).eval()


def _linear(matrix: Tensor) -> nn.Linear:
    layer = nn.Linear(len(matrix) - 1, matrix.shape[1])
    with torch.no_grad():
        layer.weight.copy_(matrix[:-1].T)
        layer.bias.copy_(matrix[-1])
    return layer


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

    @property
    def stack(self) -> tuple[int, int, int]:
        """How many splits, rates and decays there are."""
        return (len(self.seeds), *self.decays.shape[1:])


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


@torch.no_grad()
def train(lesson: Lesson, watch: Callable[[], object]) -> Weights:
    """Train networks; `watch` is called after each epoch."""
    generators = [Generator(SFC64(seed)) for seed in lesson.seeds]
    weights = _first(lesson, generators)
    optimizer = torch.optim.Adam([weights.hidden, weights.output], lr=LEARNING_RATE, eps=EPSILON, fused=True)
    rates = lesson.rates[:, :, None, None, None]
    decays = lesson.decays.expand(lesson.stack)[..., None, None]
    for _ in range(lesson.epochs):
        for batch in _batches(lesson, generators):
            weights.hidden.grad, weights.output.grad = _gradients(weights, batch, rates, decays)
            optimizer.step()
        watch()
    return weights


def _first(lesson: Lesson, generators: Sequence[Generator]) -> Weights:
    """Draw the first weights as Glorot & Bengio (2010) do, uniformly; biases are 0."""

    def drawn(before: int, after: int) -> Tensor:
        most = (6 / (before + after)) ** 0.5
        unit = _uniform(generators, before, after)
        matrices = F.pad((2 * unit - 1) * most, (0, 0, 0, 1))[:, None, None]
        return matrices.repeat(1, *lesson.stack[1:], 1, 1)

    return Weights(drawn(lesson.inputs.shape[-1], lesson.units), drawn(lesson.units, 1))


def _batches(lesson: Lesson, generators: Sequence[Generator]) -> Iterator[_Batch]:
    """Shuffle each split's rows, and cut them; the last batch has what is left."""
    splits, rows, features = lesson.inputs.shape
    order = torch.tensor(np.stack([one.permutation(rows) for one in generators]))
    which = torch.arange(splits)[:, None]
    uniform = _uniform(generators, rows, features + lesson.units)
    parts = (lesson.inputs[which, order], lesson.targets[which, order][..., None], uniform)
    for cut in zip(*(part[:, None, None].split(BATCH_ROWS, dim=3) for part in parts), strict=True):
        yield _Batch(*cut)


def _uniform(generators: Sequence[Generator], *shape: int) -> Tensor:
    return torch.from_numpy(np.stack([one.random(shape, dtype=np.float32) for one in generators]))


def _gradients(weights: Weights, batch: _Batch, rates: Tensor, decays: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the gradients of each network's mean squared error + λ Σw²; biases have no decay."""
    kept_inputs, kept_units = batch.masks(rates)
    inputs = F.pad(batch.inputs * kept_inputs, (0, 1), value=1.0)
    output, bias = weights.output[..., :-1, :], weights.output[..., -1:, :]
    hidden = _products(inputs, weights.hidden).relu_() * kept_units
    errors = _products(hidden, output) + bias - batch.targets
    slopes = errors.mul_(2 / errors.shape[-2])
    # A unit passes the gradient on where it is above 0, which it is not where it was dropped.
    back = torch.ops.aten.threshold_backward(slopes * (output / (1 - rates)).mT, hidden, 0.0)
    of_hidden, of_output = _products(inputs.mT, back), _products(hidden.mT, slopes)
    of_hidden[..., :-1, :].addcmul_(decays, weights.hidden[..., :-1, :], value=2)
    of_output.addcmul_(decays, output, value=2)
    return of_hidden, torch.cat([of_output, slopes.sum(-2, keepdim=True)], -2)


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Multiply matrices of each network, [splits, rates, decays or 1, …] with [splits, rates, decays, …]."""
    stack = right.shape[:3]
    first, second = (
        part.expand(*stack, -1, -1).reshape(prod(stack), *part.shape[-2:]) for part in (left, right)
    )
    return torch.bmm(first, second).reshape(*stack, left.shape[-2], right.shape[-1])
