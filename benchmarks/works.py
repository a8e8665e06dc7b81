"""The networks that benchmarks run. Needs torch only."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCABULARY = 30522


@dataclass(frozen=True)
class Work:
    """One thing to measure.

    Args:
        name: for the table.
        network: builds it.
        row_shape: of its input.
        rows: of the request.
        samples: of the request.
        tokens: whether its input is numbers of a vocabulary.
    """

    name: str
    network: Callable[[], nn.Module]
    row_shape: tuple[int, ...]
    rows: int
    samples: int = 50
    tokens: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Of its input."""
        return torch.int64 if self.tokens else torch.float32

    @property
    def range(self) -> tuple[float, float] | None:
        """Of its input's values."""
        return (0, VOCABULARY - 1) if self.tokens else None

    def inputs(self) -> Tensor:
        """Make the rows of the request."""
        torch.manual_seed(1)
        shape = (self.rows, *self.row_shape)
        return torch.randint(0, VOCABULARY, shape) if self.tokens else torch.randn(shape)


def mlp() -> nn.Module:
    """784-1024-1024-10, rate 0.5."""
    return nn.Sequential(
        nn.Linear(784, 1024),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(1024, 1024),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(1024, 10),
    )


def cnn(spatial: tuple[float, float] = (0.1, 0.2)) -> nn.Module:
    """Three convolutions over 3×32×32, spatial dropout after the later two, a head with dropout."""
    return nn.Sequential(
        *_block(3, 32, 0.0),
        *_block(32, 64, spatial[0]),
        *_block(64, 128, spatial[1]),
        nn.Flatten(),
        nn.Linear(128 * 16, 256),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(256, 10),
    )


def cnn_head_only() -> nn.Module:
    """The same, dropping in the head alone."""
    return cnn(spatial=(0.0, 0.0))


def _block(before: int, after: int, rate: float) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, padding=1),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout2d(rate),
    ]


class EncoderLayer(nn.Module):
    """A layer of BERT: attention and a feed-forward net, each dropped, added and normalised."""

    def __init__(self, width: int, heads: int, rate: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, rate
        self.query, self.key, self.value, self.mixed = (nn.Linear(width, width) for _ in range(4))
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.first_drop, self.second_drop = nn.Dropout(rate), nn.Dropout(rate)

    def forward(self, values: Tensor) -> Tensor:
        query, key, value = (
            layer(values).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        rate = self.rate if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        mixed = self.first_drop(self.mixed(attended.transpose(1, 2).flatten(-2)))
        values = self.first_norm(values + mixed)
        return self.second_norm(values + self.second_drop(self.outer(F.gelu(self.inner(values)))))


class Bert(nn.Module):
    """Six layers of width 384 over tokens, and a classifier on the first position."""

    def __init__(
        self, rate: float = 0.1, head_rate: float = 0.1, width: int = 384, length: int = 128
    ) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(VOCABULARY, width), nn.Embedding(length, width)
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(rate)
        self.layers = nn.Sequential(*(EncoderLayer(width, 6, rate) for _ in range(6)))
        self.pooler, self.head_drop, self.head = (
            nn.Linear(width, width),
            nn.Dropout(head_rate),
            nn.Linear(width, 3),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        values = self.drop(self.norm(self.words(tokens) + self.positions(positions)))
        return self.head(self.head_drop(self.pooler(self.layers(values)[:, 0]).tanh()))


class VariationalLstm(nn.Module):
    """Two LSTM layers with one mask for all steps, on inputs and on the recurrent state (Gal 2016)."""

    def __init__(self, features: int = 64, width: int = 128, rate: float = 0.25) -> None:
        super().__init__()
        self.width, self.rate = width, rate
        self.cells = nn.ModuleList([nn.LSTMCell(features, width), nn.LSTMCell(width, width)])
        self.head = nn.Linear(width, 3)

    def forward(self, values: Tensor) -> Tensor:
        steps = list(values.unbind(1))
        for cell in self.cells:
            assert isinstance(cell, nn.LSTMCell)
            steps = self._run(cell, steps)
        return self.head(steps[-1])

    def _run(self, cell: nn.LSTMCell, steps: list[Tensor]) -> list[Tensor]:
        rows = len(steps[0])
        input_mask = self._mask(steps[0].new_ones(rows, steps[0].shape[1]))
        state_mask = self._mask(steps[0].new_ones(rows, self.width))
        hidden = state = steps[0].new_zeros(rows, self.width)
        outputs = []
        for step in steps:
            gates = F.linear(step * input_mask, cell.weight_ih, cell.bias_ih)
            gates = gates + F.linear(hidden * state_mask, cell.weight_hh, cell.bias_hh)
            into, forget, new, out = gates.chunk(4, -1)
            state = forget.sigmoid() * state + into.sigmoid() * new.tanh()
            hidden = out.sigmoid() * state.tanh()
            outputs.append(hidden)
        return outputs

    def _mask(self, ones: Tensor) -> Tensor:
        return F.dropout(ones, self.rate, self.training)


def bert_head_only() -> nn.Module:
    """The same, dropping in the head alone."""
    return Bert(rate=0.0)


WORKS = (
    Work("MLP, 1 row", mlp, (784,), 1),
    Work("MLP, 32 rows", mlp, (784,), 32),
    Work("MLP, 256 rows", mlp, (784,), 256),
    Work("CNN, 1 row", cnn, (3, 32, 32), 1),
    Work("CNN, 16 rows", cnn, (3, 32, 32), 16),
    Work("CNN, head only, 16 rows", cnn_head_only, (3, 32, 32), 16),
    Work("BERT, 8 rows", Bert, (128,), 8, samples=20, tokens=True),
    Work("BERT, head only, 8 rows", bert_head_only, (128,), 8, tokens=True),
    Work("LSTM, 32 rows", VariationalLstm, (64, 64), 32),
)
