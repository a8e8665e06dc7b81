"""Small networks, one for each way that models drop. Needs torch only."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 16  # of what a body gives, for every row
RATE = 0.3
BESIDE_RATE = 0.1


@dataclass(frozen=True)
class Mechanism:
    """One way to drop.

    Args:
        name: for the table.
        body: builds what drops; it gives [rows, WIDTH].
        row_shape: of its input.
    """

    name: str
    body: Callable[[], nn.Module]
    row_shape: tuple[int, ...] = (8,)

    def network(self, beside: bool, seed: int = 0) -> nn.Module:
        """Put a linear head on the body; each call gives the same weights.

        Args:
            beside: whether the head begins with an nn.Dropout, as one that a library finds.
            seed: of the weights.
        """
        torch.manual_seed(seed)
        dropped = [nn.Dropout(BESIDE_RATE)] if beside else []
        return nn.Sequential(self.body(), *dropped, nn.Linear(WIDTH, 3))

    def inputs(self, rows: int) -> Tensor:
        """Make rows."""
        return torch.randn((rows, *self.row_shape), generator=torch.Generator().manual_seed(1))


def _after_linear(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(8, WIDTH), *layers)


def _normed() -> nn.Module:
    """Statistics that are not those of the rows: a norm left in training mode moves the mean."""
    norm = nn.BatchNorm1d(WIDTH)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    return nn.Sequential(nn.Linear(8, WIDTH), norm, nn.ReLU(), nn.Dropout(RATE))


def _sequences() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, WIDTH, 3), nn.ReLU(), nn.Dropout1d(RATE), nn.AdaptiveAvgPool1d(1), nn.Flatten()
    )


def _images() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3), nn.ReLU(), nn.Dropout2d(RATE), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def _volumes() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(3, WIDTH, 3), nn.ReLU(), nn.Dropout3d(RATE), nn.AdaptiveAvgPool3d(1), nn.Flatten()
    )


def _feature_alpha() -> nn.Module:
    drop = nn.FeatureAlphaDropout(RATE)
    return nn.Sequential(nn.Conv1d(3, WIDTH, 3), nn.SELU(), drop, nn.AdaptiveAvgPool1d(1), nn.Flatten())


class Functional(nn.Module):
    """F.dropout, told by the flag of the module."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, WIDTH)

    def forward(self, values: Tensor) -> Tensor:
        return F.dropout(self.layer(values).relu(), RATE, training=self.training)


class Attention(nn.Module):
    """nn.MultiheadAttention over six positions, which are averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(WIDTH, 2, dropout=RATE, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        mixed, _ = self.attend(values, values, values, need_weights=False)
        return mixed.mean(1)


class EncoderLayer(nn.Module):
    """nn.TransformerEncoderLayer over six positions, which are averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, dropout=RATE, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        return self.layer(values).mean(1)


class FunctionalAttention(nn.Module):
    """F.scaled_dot_product_attention, with a rate in training mode alone."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, values: Tensor) -> Tensor:
        query, key, value = self.project(values).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        rate = RATE if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        return mixed.mean(2).flatten(1)


class Recurrent(nn.Module):
    """Two recurrent layers with dropout between them; the last step's output."""

    def __init__(self, cell: type[nn.RNNBase]) -> None:
        super().__init__()
        self.net = cell(4, WIDTH, 2, dropout=RATE, batch_first=True)  # type: ignore[arg-type]

    def forward(self, values: Tensor) -> Tensor:
        return self.net(values)[0][:, -1]


class StochasticDepth(nn.Module):
    """A branch that is left out for some rows, as timm writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.branch = nn.Linear(8, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, values: Tensor) -> Tensor:
        values = self.enter(values).relu()
        return values + self._dropped(self.branch(values))

    def _dropped(self, branch: Tensor) -> Tensor:
        if not self.training:
            return branch
        kept = branch.new_empty((len(branch), 1)).bernoulli_(1 - RATE)
        return branch * kept.div_(1 - RATE)


class DropConnect(nn.Module):
    """Weights are dropped, not units."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, WIDTH)

    def forward(self, values: Tensor) -> Tensor:
        return F.linear(values, F.dropout(self.layer.weight, RATE, self.training), self.layer.bias)


class WeightsByModule(nn.Module):
    """The same, by an nn.Dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(8, WIDTH), nn.Dropout(RATE)

    def forward(self, values: Tensor) -> Tensor:
        return F.linear(values, self.drop(self.layer.weight), self.layer.bias)


class OwnMask(nn.Module):
    """A mask from torch.bernoulli, in training mode alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, WIDTH)

    def forward(self, values: Tensor) -> Tensor:
        hidden = self.layer(values).relu()
        if not self.training:
            return hidden
        return hidden * torch.bernoulli(torch.full_like(hidden, 1 - RATE)) / (1 - RATE)


MECHANISMS = (
    Mechanism("nn.Dropout", _after_linear(nn.ReLU(), nn.Dropout(RATE))),
    Mechanism("nn.Dropout after batch norm", _normed),
    Mechanism("nn.Dropout1d", _sequences, (3, 8)),
    Mechanism("nn.Dropout2d", _images, (3, 6, 6)),
    Mechanism("nn.Dropout3d", _volumes, (3, 4, 4, 4)),
    Mechanism("nn.AlphaDropout", _after_linear(nn.SELU(), nn.AlphaDropout(RATE))),
    Mechanism("nn.FeatureAlphaDropout", _feature_alpha, (3, 8)),
    Mechanism("F.dropout", Functional),
    Mechanism("nn.MultiheadAttention", Attention, (6, WIDTH)),
    Mechanism("nn.TransformerEncoderLayer", EncoderLayer, (6, WIDTH)),
    Mechanism("F.scaled_dot_product_attention", FunctionalAttention, (6, WIDTH)),
    Mechanism("nn.LSTM, between layers", lambda: Recurrent(nn.LSTM), (5, 4)),
    Mechanism("nn.GRU, between layers", lambda: Recurrent(nn.GRU), (5, 4)),
    Mechanism("stochastic depth, as in timm", StochasticDepth),
    Mechanism("F.dropout on a weight (DropConnect)", DropConnect),
    Mechanism("nn.Dropout on a weight", WeightsByModule),
    Mechanism("torch.bernoulli of the model's own", OwnMask),
)
