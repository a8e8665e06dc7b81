"""Concrete dropout: rates that are learned, then fixed, saved and served."""

import math

import pytest
import torch
from repositories import Repository
from servers import Serve
from torch import nn

from models.layers.concrete import ConcreteDropout
from models.zoo import concrete
from models.zoo.concrete import ConcreteMlp
from service.errors import ModelRefused
from service.sampling.engine import Engine


def learned() -> ConcreteMlp:
    """A network whose two rates went from 0.1 to σ(-1) and σ(1)."""
    torch.manual_seed(0)
    network = concrete.classifier(features=6, classes=3, hidden=[8, 5], dropout=0.1)
    network.learn_rates()
    for dropout, logit in zip(dropouts(network), (-1.0, 1.0), strict=True):
        assert dropout.logit is not None
        nn.init.constant_(dropout.logit, logit)
    return network


def dropouts(network: nn.Module) -> list[ConcreteDropout]:
    return [module for module in network.modules() if isinstance(module, ConcreteDropout)]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_a_learned_rate_is_served_as_a_fixed_one(repository: Repository, serve: Serve) -> None:
    network = learned()
    network.fix_rates()
    arguments = {"features": 6, "classes": 3, "hidden": [8, 5]}
    source = {"kind": "factory", "factory": "models.zoo.concrete:classifier", "arguments": arguments}
    repository.add(network=network, source=source)
    client = serve(factories="models.zoo")
    sites = client.get("/v1/models/small/dropout").json()["sites"]
    assert [site["kind"] for site in sites] == ["dropout", "dropout"]
    assert [site["rate"] for site in sites] == pytest.approx([sigmoid(-1), sigmoid(1)])
    assert network.rates == pytest.approx([sigmoid(-1), sigmoid(1)])


def test_a_fixed_rate_is_dropped_at_without_a_file_between() -> None:
    network = learned()
    network.fix_rates()
    sites = Engine(network, [[6]], [torch.float32]).report.sites
    assert [site.rate for site in sites] == pytest.approx([sigmoid(-1), sigmoid(1)])


def test_a_network_that_still_learns_is_refused_as_noise() -> None:
    with pytest.raises(ModelRefused, match=r"uniform numbers drawn at hidden\.0\.2"):
        Engine(learned(), [[6]], [torch.float32])


def test_a_fixed_network_has_no_more_parameters_than_the_plain_one() -> None:
    network = learned()
    assert "hidden.0.2.logit" in network.state_dict()
    network.fix_rates()
    assert "hidden.0.2.logit" not in network.state_dict()
    assert "hidden.0.2.rate" in network.state_dict()


def test_while_it_learns_a_mask_is_relaxed_around_its_rate() -> None:
    """The mean of (1 - z) / (1 - p) is next to 1 and most of z next to 0 or 1; 100,000 units, seed 0."""
    torch.manual_seed(0)
    layer = ConcreteDropout(0.3)
    layer.learn()
    factors = layer.train()(torch.ones(100_000)).detach()
    assert (factors < 0.5 / 0.7).double().mean().item() == pytest.approx(0.3, abs=5 * (0.21 / 1e5) ** 0.5)
    kept = factors * 0.7
    assert ((kept < 0.05) | (kept > 0.95)).double().mean() > 0.8
    assert torch.equal(layer.eval()(torch.ones(5)), torch.ones(5))


def test_the_rate_gets_its_gradient() -> None:
    torch.manual_seed(0)
    layer = ConcreteDropout(0.3)
    layer.learn()
    layer.train()(torch.randn(64, 5)).square().sum().backward()
    assert layer.logit is not None
    assert layer.logit.grad is not None
    assert layer.logit.grad.abs() > 0


def test_the_regulariser_is_its_formula_and_pulls_towards_a_half() -> None:
    linear = nn.Linear(4, 2)
    nn.init.constant_(linear.weight, 0.5)
    layer = ConcreteDropout(0.2)
    entropy = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))
    expected = 8 * 0.25 / (2 * 0.8) - 4 * entropy
    assert layer.regulariser(linear).item() == pytest.approx(expected)
    layer.learn()
    assert layer.regulariser(linear).item() == pytest.approx(expected)
    nn.init.zeros_(linear.weight)
    layer.regulariser(linear).backward()
    assert layer.logit is not None
    assert layer.logit.grad is not None
    assert layer.logit.grad < 0  # less loss at a larger rate, where there are no weights to pay for it


@pytest.mark.parametrize("build", [concrete.classifier, concrete.regressor])
def test_the_networks_regulariser_is_over_all_its_dropouts(build: type) -> None:
    sizes = {"classes": 3} if build is concrete.classifier else {"targets": 2}
    network = build(features=6, hidden=[8, 5], **sizes)
    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    head = network.head if build is concrete.classifier else network.head.linear
    following = [next(layer for layer in linears if layer.in_features == 8), head]
    parts = [dropout.regulariser(layer) for dropout, layer in zip(dropouts(network), following, strict=True)]
    assert network.regulariser().item() == pytest.approx(sum(part.item() for part in parts), rel=1e-6)


def test_a_rate_of_zero_cannot_be_learned() -> None:
    with pytest.raises(ValueError, match="a rate of 0 cannot be learned"):
        ConcreteDropout(0).learn()


def test_weights_with_a_rate_that_is_none_do_not_load() -> None:
    layer = ConcreteDropout(0.2)
    with pytest.raises(RuntimeError, match=r"rate is 1\.5; it must be a number from 0 to less than 1"):
        layer.load_state_dict({"rate": torch.tensor(1.5)})


def test_a_fixed_rate_stays_when_it_is_fixed_again() -> None:
    layer = ConcreteDropout(0.2)
    layer.fix()
    assert float(layer.rate) == 0.2
