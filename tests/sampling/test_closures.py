"""Networks whose functions hold on to the network are served as if run by hand, in every copy of them."""

import functools
import weakref
from collections.abc import Callable

import closures
import pytest
import torch
import torch.nn.functional as F
from agreement import assert_same_moments, sampled
from closures import HOLDING, Holding
from repositories import Repository
from safetensors.torch import load_model
from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm

from service.copies import Reached, copied
from service.errors import ModelRefused
from service.repository.folder import ModelFolder
from service.sampling.engine import Engine
from service.sampling.executor import Budgets, Pinned
from service.sampling.precision import in_bfloat16
from service.sampling.stochastic import StochasticModel

SAMPLES = 700
QUICK = Budgets(measuring_seconds=0)

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")


def by_hand(network: nn.Module, rows: Tensor) -> Tensor:
    """Run passes in training mode, [samples, rows, width]; singular vectors stay as they are."""
    network.train()
    for module in network.modules():
        module.training = not any(isinstance(one, SpectralNorm) for one in module._forward_pre_hooks.values())
    with torch.no_grad():
        return torch.stack([network(rows) for _ in range(SAMPLES)])


@pytest.mark.parametrize("name", HOLDING)
def test_what_functions_hold_is_the_served_networks(repository: Repository, name: str) -> None:
    """Predictions are equal to those by hand, and means and variances within 5 standard errors."""
    torch.manual_seed(3)
    folder = repository.add(
        network=HOLDING[name](), source={"kind": "factory", "factory": f"closures:{name}", "arguments": {}}
    )
    torch.manual_seed(4)
    reference = HOLDING[name]()
    load_model(reference, folder / "weights.safetensors")
    model = ModelFolder(folder.parent)
    module = model.read(model.manifest(), 1, ("closures",)).module
    of = Engine(module, [[6]], [torch.float32], budgets=QUICK, pinned=Pinned(float32=True))
    rows = torch.randn(4, 6)
    with torch.no_grad():
        assert torch.equal(of.predict((rows,)), reference.eval()(rows))
    assert len(of.report.sites) == 1
    expected = by_hand(reference, rows)
    assert (expected.var(0) > 0).all()
    given = sampled(of, (rows,), range(SAMPLES), plan="vmap")
    assert_same_moments(given.numpy(), expected.numpy(), standard_errors=5)


@pytest.mark.parametrize("name", HOLDING)
def test_in_bfloat16_functions_hold_the_copy_in_bfloat16(name: str) -> None:
    torch.manual_seed(3)
    model = StochasticModel(HOLDING[name]())
    low, rows = in_bfloat16(model), (torch.randn(4, 6),)
    with torch.no_grad():
        expected, given = (one.intercepted(rows, lambda call: call.keep_all()) for one in (model, low))
        assert not torch.equal(given, expected)  # it is another precision, and near
        assert (given - expected).abs().max() <= 0.03 * expected.abs().max()
        for weight in low.dropping.parameters():
            weight.zero_()
        assert torch.equal(model.intercepted(rows, lambda call: call.keep_all()), expected)


@pytest.mark.parametrize("name", [*HOLDING])
def test_a_copy_with_weights_of_its_own_follows_them_alone(name: str) -> None:
    """As a factory's network is copied that was given before."""
    torch.manual_seed(3)
    network, rows = HOLDING[name]().eval(), torch.randn(2, 6)
    with torch.no_grad():
        expected = network(rows)
        other = copied(Reached(network), network, lambda weight: weight.detach().clone())
        assert torch.equal(other(rows), expected)
        for weight in network.parameters():
            weight.zero_()
        assert torch.equal(other(rows), expected)
        assert not torch.equal(network(rows), expected)


def test_a_mask_by_the_networks_own_mode_is_a_site() -> None:
    """Beside a dropout module: both drop, and the variance is that of both."""

    def network() -> nn.Module:
        torch.manual_seed(0)
        made = Holding()
        made.drop = lambda values: F.dropout(values, 0.5, training=made.training)
        made.tied = nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.1), nn.Linear(16, 6))
        return made

    rows = torch.randn(3, 6)
    of = Engine(network(), [[6]], [torch.float32], budgets=QUICK, pinned=Pinned(float32=True))
    assert len(of.report.sites) == 2
    assert_same_moments(
        sampled(of, (rows,), range(SAMPLES)).numpy(), by_hand(network(), rows).numpy(), standard_errors=5
    )


GLOBAL: dict[str, nn.Module] = {}


def _by_a_global(network: Holding) -> None:
    GLOBAL["network"] = network
    network.drop = lambda values: F.dropout(values, 0.5, GLOBAL["network"].training)


class _ItsOwnCopy:
    def __init__(self, of: nn.Module) -> None:
        self.of = of

    def __deepcopy__(self, _memo: object) -> "_ItsOwnCopy":
        return self

    def __call__(self, values: Tensor) -> Tensor:
        return F.dropout(values, 0.5, self.of.training)


def _by_its_own_copy(network: Holding) -> None:
    network.drop = _ItsOwnCopy(network)


def _by_its_class(network: Holding) -> None:
    class Shared(nn.Module):
        of = network

        def forward(self, values: Tensor) -> Tensor:
            return F.dropout(values, 0.5, self.of.training)

    network.drop = Shared()


def _by_a_weak_value(network: Holding) -> None:
    held: weakref.WeakValueDictionary[str, nn.Module] = weakref.WeakValueDictionary(of=network)
    network.drop = lambda values: F.dropout(values, 0.5, held["of"].training)


def _by_a_local_class(network: Holding) -> None:
    class Shared:
        def __call__(self, values: Tensor) -> Tensor:
            return F.dropout(values, 0.5, network.training)

    network.drop = Shared()


class Registry:
    network: nn.Module


def _by_a_global_class(network: Holding) -> None:
    Registry.network = network
    network.drop = lambda values: F.dropout(values, 0.5, Registry.network.training)


def _by_a_generator(network: Holding) -> None:
    modes = (network.training for _ in iter(int, 1))
    network.drop = lambda values: F.dropout(values, 0.5, next(modes))


@pytest.mark.parametrize("hold", [_by_a_local_class, _by_a_global_class, _by_a_generator])
def test_dropout_by_the_mode_of_the_original_is_refused(hold: Callable[[Holding], None]) -> None:
    """Where nobody has looked for it; beside other dropout, which alone would be sampled else."""
    network = Holding()
    network.tied = nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 6))
    hold(network)
    with pytest.raises(ModelRefused, match=r"dropout at .* looks at the mode of another module"):
        Engine(network, [[6]], [torch.float32], budgets=QUICK)


@pytest.mark.parametrize(
    ("hold", "named"),
    [
        (_by_a_global, r"drop, its global GLOBAL\['network'\] leads to Holding the model itself of the"),
        (_by_its_own_copy, r"drop.of leads to Holding the model itself of the network"),
        (_by_its_class, r"drop.of leads to Holding the model itself of the network"),
        (_by_a_weak_value, r"leads to Holding the model itself of the network"),
    ],
)
def test_what_cannot_follow_a_copy_is_refused_by_name(hold: Callable[[Holding], None], named: str) -> None:
    network = Holding()
    network.tied = nn.Linear(16, 6)
    hold(network)
    with pytest.raises(ModelRefused, match=named):
        Engine(network, [[6]], [torch.float32], budgets=QUICK)


ACTIVATION = nn.Tanh()


@torch.jit.script
def scripted(values: Tensor) -> Tensor:
    return values.tanh()


def test_what_is_not_the_networks_may_be_shared_with_a_copy() -> None:
    """A module that all networks of a file use; a library and a scripted function in attributes."""
    network = Holding()
    network.scripted = scripted
    network.drop, network.tied = (
        nn.Dropout(0.4),
        lambda values: network.scripted(ACTIVATION(network.closed(values))),
    )
    network.library = functools
    of = Engine(network, [[6]], [torch.float32], budgets=QUICK, pinned=Pinned(float32=True))
    assert len(of.report.sites) == 1


class OfAGlobal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last, self.activation, self.drop = nn.Linear(6, 3), ACTIVATION, nn.Dropout(0.4)

    def forward(self, values: Tensor) -> Tensor:
        mapped: Tensor = self.last(self.drop(self.activation(values)))
        return mapped


def test_a_global_that_a_network_is_built_of_may_be_a_part_of_it() -> None:
    """A pass reads the attribute: only `__init__` reads the global, and no copy calls that."""
    of = Engine(OfAGlobal(), [[6]], [torch.float32], budgets=QUICK, pinned=Pinned(float32=True))
    assert len(of.report.sites) == 1


def test_every_factory_of_these_is_there() -> None:
    assert all(callable(getattr(closures, name)) for name in HOLDING)
