"""Samples in bfloat16: taken where they are fast and move the mean little, else not."""

import pytest
import taggers
import torch
from agreement import BFLOAT16_SHARES, assert_near, sampled
from huggingface_networks import HUGGINGFACE
from networks import SAMPLED, mlp
from repositories import Repository
from servers import Serve
from torch import Tensor, nn

from service.sampling.engine import Engine
from service.sampling.executor import Budgets, Executor, Pinned
from service.sampling.names import LOOP, LOW
from service.sampling.precision import affordable, shares

FLOAT = torch.float32
QUICK = Budgets(measuring_seconds=0)


def wide() -> nn.Module:
    torch.manual_seed(1)
    hidden = [nn.Linear(20, 200), nn.ReLU(), nn.Dropout(0.5), nn.Linear(200, 200), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*hidden, nn.Linear(200, 3))


def test_every_plan_has_one_in_bfloat16_that_moves_the_mean_little(bfloat16: None) -> None:
    of = Engine(wide(), [[20]], [FLOAT], budgets=QUICK)
    assert of.plans is not None
    low = {"loop-bfloat16", "vmap-bfloat16", "fold-bfloat16", "thinned-bfloat16"}
    assert of.plans.shares.keys() == low
    assert low <= set(of.plans.by_rows[1])
    assert_lower_plans_are_near(of, (torch.randn(6, 20),))


def assert_lower_plans_are_near(of: Engine, rows: tuple[Tensor, ...]) -> None:
    expected = sampled(of, rows, range(50), seed=0, plan=LOOP)
    assert of.plans is not None
    for plan in of.plans.by_rows[1]:
        if plan.endswith(LOW):
            assert_near(expected, sampled(of, rows, range(50), seed=0, plan=plan))


NEAR = ["alpha", "any_length", "attention", "dropped_weights", "functional", "images", "in_place", "mlp"]
NEAR += ["sequences", "shared_twice", "volumes"]
# Where little is dropped beside much that is not, 8 bits are too few; and some mix precisions themselves.
REFUSED = {
    "residual": "it moves",
    "lstm": "it moves",
    "two_inputs": "it cannot run",
    "grouped_attention": "it cannot run",
}


@pytest.mark.parametrize("name", [*NEAR, *REFUSED])
def test_every_kind_of_network_is_near_by_every_plan_or_refused(name: str, bfloat16: None) -> None:
    """On fresh rows, 50 samples: plans that are not refused at load keep to their bound."""
    network, shapes, dtypes = SAMPLED[name]
    torch.manual_seed(0)
    of = Engine(network(), shapes, dtypes, budgets=QUICK)
    assert of.plans is not None
    refused = {plan: reason for plan, reason in of.plans.refused.items() if plan.endswith(LOW)}
    if name in REFUSED:
        assert all(reason.startswith(REFUSED[name]) for reason in refused.values())
        assert not any(plan.endswith(LOW) for plan in of.plans.by_rows[1])
        return
    assert {"loop-bfloat16", "vmap-bfloat16"} <= set(of.plans.by_rows[1])
    assert not refused
    torch.manual_seed(5)
    made_up = of.example(6)
    assert_lower_plans_are_near(
        of, tuple(torch.randn_like(t) if t.is_floating_point() else t for t in made_up)
    )


def test_classifiers_and_taggers_of_hugging_face_are_near_in_bfloat16(bfloat16: None) -> None:
    torch.manual_seed(5)
    ids = torch.randint(1, 20, (4, 7))
    for of in (HUGGINGFACE["bert"].engine("sdpa"), taggers.engine(taggers.tagger("bert"))):
        assert of.plans is not None
        assert "vmap-bfloat16" in of.plans.by_rows[1]
        assert_lower_plans_are_near(of, (ids, torch.ones_like(ids)))


def test_an_answer_in_bfloat16_is_near_that_in_float32(
    repository: Repository, serve: Serve, bfloat16: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the whole server, whatever measuring finds fastest here."""
    repository.add()
    question = {"inputs": torch.randn(3, 6, generator=torch.Generator().manual_seed(5)).tolist()}
    there = serve(precision="float32")
    expected = there.post("/v1/models/small/uncertainty", json=question).json()["results"]
    predicted = there.post("/v1/models/small/predict", json=question).json()["predictions"]
    monkeypatch.setattr(Executor, "ranking", lambda _self, _layout, _rows: ("vmap-bfloat16",))
    here = serve()
    given = here.post("/v1/models/small/uncertainty", json=question).json()["results"]
    assert here.post("/v1/models/small/predict", json=question).json()["predictions"] == predicted
    assert given != expected
    for one, other in zip(given, expected, strict=True):
        for mean, near, error in zip(one["mean"], other["mean"], other["standard_error"], strict=True):
            assert abs(mean - near) <= BFLOAT16_SHARES[1] * error


def test_predictions_stay_as_they_are(bfloat16: None) -> None:
    network, rows = wide(), torch.randn(6, 20)
    expected = network.eval()(rows)
    of = Engine(network, [[20]], [FLOAT], budgets=QUICK)
    assert torch.equal(of.predict((rows,)), expected)
    assert all(held.dtype == FLOAT for held in of._model.dropping.parameters())


def test_a_plan_that_moves_the_mean_too_far_is_refused(bfloat16: None) -> None:
    """A large constant beside a small spread: bfloat16 has 8 bits for both."""

    class Offset(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return values + 1000

    of = Engine(nn.Sequential(wide(), Offset()), [[20]], [FLOAT], budgets=QUICK)
    assert of.plans is not None
    assert "vmap-bfloat16" in of.plans.refused
    assert "of their standard errors" in of.plans.refused["vmap-bfloat16"]
    assert not any(name.endswith("-bfloat16") for name in of.plans.by_rows[1])


def test_an_operator_can_pin_float32(bfloat16: None) -> None:
    of = Engine(wide(), [[20]], [FLOAT], budgets=QUICK, pinned=Pinned(float32=True))
    assert of.plans is not None
    assert not of.plans.shares
    assert not any(name.endswith("-bfloat16") for name in of.plans.by_rows[1])


def test_models_in_another_precision_are_left_in_it(bfloat16: None) -> None:
    of = Engine(mlp().double(), [[6]], [torch.float64], budgets=QUICK)
    assert of.plans is not None
    assert not of.plans.shares


def test_convolutions_are_spread_in_bfloat16_too(bfloat16: None) -> None:
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
