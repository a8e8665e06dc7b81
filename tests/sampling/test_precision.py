"""Samples in bfloat16: taken where they are fast and move the mean little, else not."""

import pytest
import torch
from networks import mlp
from torch import Tensor, nn

from service.sampling import executor
from service.sampling.engine import Engine
from service.sampling.executor import Budgets, Pinned
from service.sampling.precision import affordable, shares

FLOAT = torch.float32
QUICK = Budgets(measuring_seconds=0)


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claim that the machine has bfloat16: any machine can compute it, if slowly."""
    monkeypatch.setattr(executor, "has_bfloat16", lambda _device: True)


def wide() -> nn.Module:
    torch.manual_seed(1)
    hidden = [nn.Linear(20, 200), nn.ReLU(), nn.Dropout(0.5), nn.Linear(200, 200), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*hidden, nn.Linear(200, 3))


def test_every_plan_has_one_in_bfloat16_that_moves_the_mean_little(hardware: None) -> None:
    of = Engine(wide(), [[20]], [FLOAT], budgets=QUICK)
    assert of.plans is not None
    low = {"loop-bfloat16", "vmap-bfloat16", "fold-bfloat16", "thinned-bfloat16"}
    assert of.plans.shares.keys() == low
    rows = torch.randn(6, 20)
    expected = torch.cat(list(of.samples((rows,), 0, range(50), "loop")))
    for plan in low:
        given = torch.cat(list(of.samples((rows,), 0, range(50), plan)))
        mean, most = shares(expected, given)
        assert 0 < mean <= 0.1  # it is another precision, and near
        assert most <= 0.3
        assert given.dtype == FLOAT


def test_predictions_stay_as_they_are(hardware: None) -> None:
    network, rows = wide(), torch.randn(6, 20)
    expected = network.eval()(rows)
    of = Engine(network, [[20]], [FLOAT], budgets=QUICK)
    assert torch.equal(of.predict((rows,)), expected)
    assert all(held.dtype == FLOAT for held in of._model.dropping.parameters())


def test_a_plan_that_moves_the_mean_too_far_is_refused(hardware: None) -> None:
    """A large constant beside a small spread: bfloat16 has 8 bits for both."""

    class Offset(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return values + 1000

    of = Engine(nn.Sequential(wide(), Offset()), [[20]], [FLOAT], budgets=QUICK)
    assert of.plans is not None
    assert "vmap-bfloat16" in of.plans.refused
    assert "of their standard errors" in of.plans.refused["vmap-bfloat16"]
    assert not any(name.endswith("-bfloat16") for name in of.plans.by_rows[1])


def test_an_operator_can_pin_float32(hardware: None) -> None:
    of = Engine(wide(), [[20]], [FLOAT], budgets=QUICK, pinned=Pinned(float32=True))
    assert of.plans is not None
    assert not of.plans.shares
    assert not any(name.endswith("-bfloat16") for name in of.plans.by_rows[1])


def test_models_in_another_precision_are_left_in_it(hardware: None) -> None:
    of = Engine(mlp().double(), [[6]], [torch.float64], budgets=QUICK)
    assert of.plans is not None
    assert not of.plans.shares


def test_convolutions_are_spread_in_bfloat16_too(hardware: None) -> None:
    torch.manual_seed(0)
    tail = [nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3)]
    of = Engine(nn.Sequential(nn.Dropout2d(0.4), *tail), [[6, 6, 6]], [FLOAT], budgets=QUICK)
    assert of.plans is not None
    assert "spread-bfloat16" in of.plans.shares
    assert "spread-bfloat16" in of.plans.by_rows[1]


def test_shares_by_hand() -> None:
    """Two outputs of deviation 1 and 2 over four samples: standard errors 0.5 and 1; moved by 0.1 and 0.5."""
    unit = torch.tensor([-1.0, 1.0, -1.0, 1.0]) * (3 / 4) ** 0.5
    expected = torch.stack([unit, 2 * unit], -1).unsqueeze(1)
    given = expected + torch.tensor([0.1, 0.5])
    assert shares(expected, given) == (pytest.approx((0.2 + 0.5) / 2), pytest.approx(0.5))
    assert affordable(0.10, 0.30)
    assert not affordable(0.11, 0.30)
    assert not affordable(0.10, 0.31)


def test_a_deviation_that_grows_counts_as_a_mean_that_moves() -> None:
    """Deviation 1 over nine samples has a standard error of 1 / √16, of which 5 % more are 0.2."""
    expected = torch.tensor([-1.0] * 4 + [0.0] + [1.0] * 4).reshape(9, 1, 1)
    assert shares(expected, 1.05 * expected) == (pytest.approx(0.2), pytest.approx(0.2))
