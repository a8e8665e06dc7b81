"""What masks make needless: found where it is, not where anything else looks, and equal to the loop."""

import random
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from networks import Named, mlp
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from service.errors import ModelError
from service.sampling.engine import Engine
from service.sampling.executor import Budgets, Pinned, Usual
from service.sampling.shortcuts import Shortcuts

FLOAT = torch.float32
QUICK = Budgets(measuring_seconds=0)


def engine(network: nn.Module, shape: list[int], usual: Usual | None = None) -> Engine:
    return Engine(network, [shape], [FLOAT], budgets=QUICK, usual=usual)


def shortcuts(network: nn.Module, shape: list[int]) -> Shortcuts:
    of = engine(network, shape)
    return of._layout(of.example.shapes).shortcuts


def sampled(of: Engine, rows: Tensor, samples: range, plan: str | None = None, seed: int = 0) -> Tensor:
    return torch.cat(list(of.samples((rows,), seed, samples, plan)))


def assert_close(one: Tensor, other: Tensor) -> None:
    assert one.shape == other.shape
    assert (one - other).abs().max() <= 3e-6 * other.abs().max()


def flops(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def test_a_chain_is_cut_on_both_sides() -> None:
    found = shortcuts(mlp(), [6])
    assert {call: (cut.inputs, cut.outputs) for call, cut in found.cuts.items()} == {
        "3#1": ("2", "5"),
        "6#1": ("5", None),
    }
    assert found.gathered == {"2"}


def test_cutting_saves_the_multiplications_it_promises() -> None:
    """A layer of 256 × 256 between two dropouts of rate 0.5 costs a quarter, but for padding of the cuts."""
    hidden = [nn.Linear(6, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5)]
    of = engine(nn.Sequential(*hidden, nn.Linear(256, 2)), [6])
    rows = torch.randn(4, 6)
    whole = flops(lambda: sampled(of, rows, range(50), "vmap"))
    thinned = flops(lambda: sampled(of, rows, range(50), "thinned"))
    assert 0.2 < thinned / whole < 0.4


LOOKS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "a residual sum": lambda held, x: held.get_submodule("last")(x + F.dropout(x, 0.5, held.training)),
    "a product by position": lambda held, x: held.get_submodule("last")(
        F.dropout(x, 0.5, held.training) * held.get_parameter("last.weight")[0]
    ),
    "a sum over units": lambda held, x: (
        held.get_submodule("last")(dropped := F.dropout(x, 0.5, held.training)) + dropped.sum(-1, True)
    ),
    "an activation between": lambda held, x: held.get_submodule("last")(
        F.dropout(x, 0.5, held.training).sigmoid()
    ),
    "the output": lambda held, x: torch.cat(
        [held.get_submodule("last")(dropped := F.dropout(x, 0.5, held.training)), dropped], -1
    ),
    "a weight that is made anew": lambda held, x: F.linear(
        F.dropout(x, 0.5, held.training), held.get_parameter("last.weight") * 2
    ),
}


@pytest.mark.parametrize("look", sorted(LOOKS))
def test_what_anything_else_looks_at_is_left_whole(look: str) -> None:
    assert not shortcuts(Named(LOOKS[look], last=nn.Linear(6, 6)), [6]).cuts


def test_outputs_that_are_used_twice_are_all_made() -> None:
    """The second layer's outputs go through a dropout and around it: only its inputs may be cut."""

    def forward(held: nn.Module, x: Tensor) -> Tensor:
        hidden = held.get_submodule("second")(F.dropout(held.get_submodule("first")(x), 0.5, held.training))
        return held.get_submodule("last")(F.dropout(hidden, 0.5, held.training)) + hidden.mean(-1, True)

    network = Named(forward, first=nn.Linear(6, 8), second=nn.Linear(8, 8), last=nn.Linear(8, 2))
    found = shortcuts(network, [6])
    assert {call: (cut.inputs, cut.outputs) for call, cut in found.cuts.items()} == {
        "second#1": ("(model)", None),
        "last#1": ("(model):1", None),
    }


def test_low_rates_and_masks_by_position_are_not_cut() -> None:
    assert not shortcuts(mlp(dropout=0.1), [6]).cuts
    assert not shortcuts(nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3), nn.Flatten()), [4, 6]).cuts


@pytest.mark.parametrize("seed", range(8))
def test_thinned_random_networks_equal_the_loop(seed: int) -> None:
    """Widths, depths, rates and activations by chance; fresh rows, samples in two ranges."""
    chance = random.Random(seed)  # noqa: S311
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    width = 5
    for _ in range(chance.randint(1, 4)):
        following = chance.randint(3, 40)
        layers += [nn.Linear(width, following, bias=chance.random() < 0.8)]
        layers += [chance.choice([nn.ReLU, nn.GELU, nn.Tanh, nn.SiLU])() for _ in range(chance.randint(0, 2))]
        layers += [nn.Dropout(chance.choice([0.0, 0.2, 0.5, 0.8]))] * (chance.random() < 0.9)
        width = following
    of = engine(nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(width, 3)), [5], Usual(3, 40))
    rows = torch.randn(chance.randint(1, 9), 5)
    assert of._layout(of.example.shapes).shortcuts.cuts
    loop = sampled(of, rows, range(40), "loop", seed=3)
    assert_close(sampled(of, rows, range(40), "thinned", seed=3), loop)
    assert_close(sampled(of, rows, range(11, 30), "thinned", seed=3), loop[11:30])


def test_other_seeds_and_samples_run_by_other_plans() -> None:
    """Cut weights are those of one seed's first samples, also where an operator pinned their plan."""
    network, pinned = mlp(), Pinned(plan="thinned")
    of = Engine(network, [[6]], [FLOAT], budgets=QUICK, usual=Usual(seed=0, samples=10), pinned=pinned)
    rows = torch.randn(3, 6)
    assert_close(sampled(of, rows, range(40)), sampled(of, rows, range(40), "loop"))
    assert_close(sampled(of, rows, range(10), seed=8), sampled(of, rows, range(10), "loop", seed=8))
    with pytest.raises(ModelError, match="no plan of thinned takes this request"):
        sampled(of, rows, range(10), "thinned", seed=8)


CONVOLUTIONS = [
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": 1, "bias": False},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (0, 1)},
    {"kernel_size": 2, "dilation": 2, "stride": 2},
]


@pytest.mark.parametrize("given", CONVOLUTIONS)
def test_a_spread_convolution_equals_the_loop(given: dict[str, object]) -> None:
    torch.manual_seed(4)
    convolution = nn.Conv2d(6, 5, **given)  # type: ignore[arg-type]
    normal = nn.BatchNorm2d(5)
    normal.running_mean, normal.running_var = torch.randn(5), torch.rand(5) + 0.5
    tail = [convolution, normal, nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(20, 3)]
    of = engine(nn.Sequential(nn.Conv2d(2, 6, 3), nn.Dropout2d(0.4), *tail), [2, 9, 10])
    assert list(of._layout(of.example.shapes).shortcuts.spread) == ["2#1"]
    rows = torch.randn(5, 2, 9, 10)
    assert_close(sampled(of, rows, range(12), "spread"), sampled(of, rows, range(12), "loop"))


def test_spreading_saves_the_multiplications_it_promises() -> None:
    """A 3×3 convolution of 8 channels into 16: a sample costs a ninth, and all maps one convolution."""
    network = nn.Sequential(nn.Dropout2d(0.3), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten())
    of = engine(network, [8, 6, 6])
    rows = torch.randn(2, 8, 6, 6)
    whole = flops(lambda: sampled(of, rows, range(50), "vmap"))
    spread = flops(lambda: sampled(of, rows, range(50), "spread"))
    assert spread / whole == pytest.approx(1 / 9 + 1 / 50, rel=0.05)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Dropout(0.3), nn.Conv2d(2, 3, 3), nn.Flatten()),  # a mask for each pixel
        nn.Sequential(nn.Dropout2d(0.3), nn.Conv2d(2, 4, 3, groups=2), nn.Flatten()),
        nn.Sequential(nn.Dropout2d(0.3), nn.Conv2d(2, 4, 1), nn.Flatten()),  # nothing to save
        nn.Sequential(nn.Dropout2d(0.3), nn.ReLU(), nn.Conv2d(2, 4, 3), nn.Flatten()),
        nn.Sequential(
            nn.Dropout2d(0.3), nn.Conv2d(2, 2, 1), nn.Dropout2d(0.3), nn.Conv2d(2, 2, 3), nn.Flatten()
        ),
    ],
)
def test_other_convolutions_are_left_whole(network: nn.Module) -> None:
    """The last has a site before it that is: its input differs between samples."""
    assert not shortcuts(network, [2, 8, 8]).spread
