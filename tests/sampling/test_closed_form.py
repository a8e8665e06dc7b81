"""Mean and variance in closed form, against all networks, one by one."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from networks import Named
from torch import Tensor, nn
from torch.testing import assert_close

from service.errors import InvalidInput
from service.sampling.engine import Engine
from service.sampling.executor import Budgets

UNITS = 6
QUICK = Budgets(measuring_seconds=0.1)


def engine(model: nn.Module, shape: list[int], selection: str = "all", budgets: Budgets = QUICK) -> Engine:
    return Engine(model, [shape], [torch.float32], selection, budgets=budgets)  # type: ignore[arg-type]


def all_networks(last: nn.Linear, units: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Mean and variance by running every network there is, weighted by its probability, float64."""
    masks = torch.tensor(list(product((0.0, 1.0), repeat=UNITS)), dtype=torch.float64)
    weights = (rate ** (UNITS - masks.sum(1)) * (1 - rate) ** masks.sum(1))[:, None, None]
    outputs = F.linear(units.double() * masks[:, None] / (1 - rate), last.weight.double(), last.bias.double())
    mean = (weights * outputs).sum(0)
    return mean, (weights * (outputs - mean).square()).sum(0)


@pytest.mark.parametrize("seed", range(3))
def test_the_moments_are_those_of_every_network(seed: int) -> None:
    torch.manual_seed(seed)
    rate = 0.1 + 0.8 * float(torch.rand(()))
    before, last = nn.Sequential(nn.Linear(4, UNITS), nn.Tanh()), nn.Linear(UNITS, 3)
    of = engine(nn.Sequential(before, nn.Dropout(rate), last), [4])
    rows = torch.randn(5, 4)
    mean, variance = of.moments((rows,))
    assert of.exact
    assert (mean.dtype, mean.shape, variance.shape) == (torch.float64, (5, 3), (5, 3))
    with torch.no_grad():
        expected = all_networks(last, before(rows), rate)
    assert_close((mean, variance), expected, rtol=1e-5, atol=1e-6)


def in_place() -> nn.Module:
    return nn.Sequential(nn.Linear(4, UNITS), nn.ReLU(), nn.Dropout(0.4, inplace=True), nn.Linear(UNITS, 3))


def squeezed() -> nn.Module:
    """One value a row, [rows]; functional dropout, weights without a bias."""

    def forward(self: nn.Module, values: Tensor) -> Tensor:
        return F.linear(F.dropout(values, 0.3, self.training), self.get_parameter("last.weight")).squeeze(-1)

    return Named(forward, last=nn.Linear(4, 1))


def positions() -> nn.Module:
    """Four positions through one layer, [rows, 4 · 2]."""
    layers = nn.Unflatten(1, (4, 1)), nn.Linear(1, UNITS), nn.Dropout(0.2), nn.Linear(UNITS, 2), nn.Flatten()
    return nn.Sequential(*layers)


@pytest.mark.parametrize("network", [in_place, squeezed, positions])
def test_samples_have_these_moments(network: Callable[[], nn.Module]) -> None:
    """Over 20000 samples of seed 3: within 5 standard errors, the variance's that of normal values."""
    torch.manual_seed(0)
    of, rows, count = engine(network(), [4]), torch.randn(3, 4), 20_000
    mean, variance = of.moments((rows,))
    samples = torch.cat(list(of.samples((rows,), 3, range(count)))).double()
    assert ((samples.mean(0) - mean).abs() <= 5 * (variance / count).sqrt() + 1e-6).all()
    assert ((samples.var(0) / variance - 1).abs() <= 5 * (2 / count) ** 0.5).all()


def test_rows_in_blocks_have_the_same_moments() -> None:
    torch.manual_seed(0)
    network, rows = in_place(), torch.randn(50, 4)
    small = engine(network, [4], budgets=Budgets(measuring_seconds=0.1, chunk_bytes=256))
    assert_close(small.moments((rows,)), engine(network, [4]).moments((rows,)))


def scaled(values: Tensor) -> Tensor:
    return 2 * values


def inside(self: nn.Module, values: Tensor) -> Tensor:
    made: Tensor = self.get_submodule("last")(self.get_submodule("drop")(values))
    return made


def written_over(self: nn.Module, values: Tensor) -> Tensor:
    """Like a clamp, it does nothing to rows such as those of the examples."""
    made = inside(self, values)
    made[made > 50] = 50.0
    return made


def no_closed_form() -> dict[str, nn.Module]:
    def after(self: nn.Module, values: Tensor) -> Tensor:
        return scaled(inside(self, values))

    def both(self: nn.Module, values: Tensor) -> Tensor:
        dropped = self.get_submodule("drop")(values)
        return self.get_submodule("last")(dropped) + dropped

    parts = {"drop": nn.Dropout(0.3), "last": nn.Linear(4, 4)}
    return {
        "scaled": Named(after, **parts),
        "residual": Named(both, **parts),
        "activation": nn.Sequential(nn.Dropout(0.3), nn.Linear(4, 3), nn.Tanh()),
        "two layers": nn.Sequential(nn.Dropout(0.3), nn.Linear(4, 3), nn.Linear(3, 3)),
        "two sites": nn.Sequential(nn.Dropout(0.3), nn.Linear(4, 3), nn.Dropout(0.3), nn.Linear(3, 3)),
        "clamped": Named(lambda self, values: inside(self, values).clamp_min(-50), **parts),
        "clamped in place": Named(lambda self, values: inside(self, values).clamp_(-50, 50), **parts),
        "written over": Named(written_over, **parts),
        "alpha": nn.Sequential(nn.AlphaDropout(0.3), nn.Linear(4, 3)),
        "channels": nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Dropout1d(0.3), nn.Flatten(), nn.Linear(4, 3)),
        "nothing but": nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.3)),
    }


@pytest.mark.parametrize("name", no_closed_form())
def test_where_there_is_none_nothing_is_claimed(name: str) -> None:
    of = engine(no_closed_form()[name], [4])
    assert not of.exact
    with pytest.raises(InvalidInput, match=r"with rows of shape \[4\] there is no closed form"):
        of.moments((torch.randn(2, 4),))


def test_only_sampled_sites_count() -> None:
    network = no_closed_form()["two sites"]
    assert engine(network, [4], selection="head").exact
    assert not engine(nn.Sequential(nn.Linear(4, 3)), [4]).exact
