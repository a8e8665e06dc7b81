"""Masks that a model draws itself: what they are, at which rate, and what only looks like one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from drawn_networks import DRAWN, KEEP, RATE, ROW_SPELLINGS
from hypothesis import given
from hypothesis import strategies as st
from networks import Named
from torch import Tensor, nn

from service.errors import ModelRefused
from service.sampling.engine import Budgets, Engine
from service.sampling.kinds import UNIFORM
from service.sampling.thresholds import ThresholdWatch

FLOAT = torch.float32
QUICK = Budgets(measuring_seconds=0)

Draw = Callable[[nn.Module, Tensor], Tensor]


def drawing(draw: Draw) -> nn.Module:
    """Linear, then what `draw` does with [rows, 6] in training mode, then linear."""
    forward: Draw = lambda self, x: draw(self, x) if self.training else x  # noqa: E731
    return nn.Sequential(nn.Linear(6, 6), Named(forward), nn.Linear(6, 3))


def engine(draw: Draw) -> Engine:
    return Engine(drawing(draw), [[6]], [FLOAT], budgets=QUICK)


MASK_SHAPES = dict.fromkeys(ROW_SPELLINGS, (1, 1)) | {
    "depth_of_a_batch": (1, 1),
    "depth_of_a_batch_as_torchvision": (1, 1),
    "folded_depth": (2, 1),
    "drop_connect": (3, 6),
    "drop_connect_of_a_tensor": (3, 6),
    "uneven": (1, 6),
    "drop_key": (1, 5, 5),
}
NUMBERS = {
    "bernoulli_with_a_number",
    "torchvision",
    "drawn_into",
    "depth_of_a_batch_as_torchvision",
    "folded_depth",
}


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_a_mask_of_the_models_own_is_a_site_with_its_rate(name: str) -> None:
    factory, shapes, dtypes = DRAWN[name]
    report = Engine(factory(), shapes, dtypes, budgets=QUICK).report
    (site,) = report.sites
    rate = 0.25 if name == "uneven" else RATE  # on average over linspace(0.5, 1, 6)
    assert (site.path, site.mask_shape) == ("(model)", MASK_SHAPES[name])
    assert site.kind == ("bernoulli" if name in NUMBERS else "uniform")
    assert site.rate == pytest.approx(rate, abs=1e-6)
    assert not report.findings


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_uniform_numbers_stay_below_one_in_every_type(dtype: torch.dtype) -> None:
    largest = torch.full((1,), 1 - 2**-24)
    given = UNIFORM.apply(torch.empty(1, dtype=dtype), largest, 0.0)
    assert given.dtype == dtype
    assert given.item() < 1


COMPARISONS: list[Callable[[Any, float], Any]] = [
    lambda u, c: u >= c,
    lambda u, c: u.gt(c),
    lambda u, c: u < c,
    lambda u, c: torch.le(u, c),
    lambda u, c: torch.tensor(c) > u,
    lambda u, c: torch.tensor([c]) <= u[:, None],
]
STEPS: list[Callable[[Any, float], Any]] = [
    lambda u, _c: u,
    lambda u, c: c + u,
    lambda u, c: c - u,
    lambda u, c: u * c,
    lambda u, c: u.sub(c).view(-1, 1).squeeze(1),
    lambda u, c: (u / (1.5 + c)).add_(0.25).clone(),
]


@given(
    st.sampled_from(STEPS),
    st.sampled_from(COMPARISONS),
    st.floats(-1, 1, width=16),
    st.floats(-1, 2, width=16),
)
def test_the_probability_of_a_comparison_is_found(
    step: Any, comparison: Any, shift: float, limit: float
) -> None:
    """Against the share of 4096 evenly spaced numbers for which it holds, to within two and rounding."""
    numbers = (torch.arange(4096) + 0.5) / 4096
    if step is STEPS[3] and abs(shift) < 0.01:
        return  # all numbers are then nearly one: rounding decides
    share = comparison(step(numbers, shift), limit).double().mean().item()
    drawn = torch.full((3,), 0.5)
    with ThresholdWatch() as watch:
        watch.follow("site", drawn)
        torch.ones(2, 1, 1) * comparison(step(drawn, shift), limit)
    rates = watch.rates["site"]
    assert rates.numel() == 3
    assert (rates - (1 - share)).abs().max() <= 2 / 4096 + 1e-4


def draws_in_vain(_self: nn.Module, x: Tensor) -> Tensor:
    torch.rand_like(x)
    return x


def leaves_out_a_layer(_self: nn.Module, x: Tensor) -> Tensor:
    return x if torch.rand(()) < RATE else x.relu()


LOST: dict[str, tuple[Draw, str]] = {
    "added": (lambda _, x: x + torch.rand_like(x), r"drawn at 1 go into add, .* noise and no dropout"),
    "logistic": (lambda _, x: x + torch.rand_like(x).logit(), r"drawn at 1 go into logit, .* noise"),
    "multiplied": (
        lambda _, x: x * torch.empty_like(x).uniform_(0.9, 1.1),
        r"drawn at 1 go into mul, .* noise",
    ),
    "two draws": (lambda _, x: x * (torch.rand_like(x) < torch.rand_like(x)), r"drawn at 1 go into lt"),
    "another function by chance": (
        leaves_out_a_layer,
        r"more than drop: .* What runs is decided by the numbers drawn at 1; where",
    ),
    "read": (lambda _, x: x * torch.rand(()).item(), r"what becomes of .* drawn at 1 is not seen"),
    "read by Python": (lambda _, x: x * float(torch.rand(())), r"drawn at 1 go into __float__"),
    "added as a mask": (
        lambda _, x: x + (torch.rand_like(x) < 0.5).float() - 0.5,
        r"the mask drawn at 1 goes into add",
    ),
    "summed": (lambda _, x: x * (torch.rand_like(x) < KEEP).sum(), r"the mask drawn at 1 goes into sum"),
    "an index": (lambda _, x: x[torch.rand(len(x)) < KEEP], r"the mask drawn at 1 goes into __getitem__"),
    "floored too far": (lambda _, x: x * (1.5 + torch.rand_like(x)).floor(), r"more than zeros and ones"),
    "unseen": (draws_in_vain, r"what becomes of .* drawn at 1 is not seen"),
    "of the row": (
        lambda _, x: x * (torch.rand_like(x) < x.sigmoid()),
        r"probability of the mask drawn at 1 depends on the row",
    ),
    "of the rows": (
        lambda _, x: x * (torch.rand(1, 6) < x.sigmoid().mean(0)),
        r"probability of the mask drawn at 1 depends on the row",
    ),
    "unscaled": (
        lambda _, x: x * (torch.rand_like(x) < KEEP),
        r"in training mode the model does more than drop",
    ),
    "in parts": (lambda _, x: x * (torch.rand_like(x).chunk(2, 1)[0] < KEEP), r"drawn at 1 go into chunk, "),
    "folded rows, each mask for two": (
        lambda _, x: (
            x * (torch.rand(2 * len(x), 3) < KEEP).reshape(2, -1, 3).roll(1, 1).reshape(-1, 6) / KEEP
        ),
        r"dropout at 1: rows are folded into dimension 0",
    ),
    "own generator": (
        lambda _, x: x * (torch.rand(x.shape, generator=torch.Generator()) < KEEP) / KEEP,
        r"aten.rand.generator in 1\): no dropout function that can be sampled owns it",
    ),
}


@pytest.mark.parametrize("case", sorted(LOST))
def test_what_is_no_mask_or_cannot_be_followed_is_refused(case: str) -> None:
    draw, message = LOST[case]
    with pytest.raises(ModelRefused, match=message):
        engine(draw)


def test_a_draw_in_eval_mode_is_refused_as_random() -> None:
    forward: Draw = lambda _self, x: x * (torch.rand_like(x) < KEEP) / KEEP  # noqa: E731
    with pytest.raises(ModelRefused, match="it runs in eval mode too, so predictions would be random"):
        Engine(nn.Sequential(nn.Linear(6, 6), Named(forward)), [[6]], [FLOAT], budgets=QUICK)


def test_certain_masks_are_not_sampled_and_leave_everything() -> None:
    """At rate 0: also where a draw might leave out a layer, and where the tensor to fill holds anything."""

    def draw(_self: nn.Module, x: Tensor) -> Tensor:
        if torch.rand(()) < 0.0:
            return x.relu()
        return x * (torch.rand_like(x) >= 0.0) * torch.full_like(x, torch.nan).bernoulli_(1.0)

    of = Engine(nn.Sequential(drawing(draw), nn.Dropout(0.5)), [[6]], [FLOAT], budgets=QUICK)
    assert [(site.rate, site.sampled) for site in of.report.sites] == [(0.0, False)] * 3 + [(0.5, True)]
    (outputs,) = of.samples((torch.randn(2, 6),), 1, range(4))
    assert outputs.isfinite().all()


def test_a_mask_may_change_its_shape_before_it_is_used() -> None:
    def draw(_self: nn.Module, x: Tensor) -> Tensor:
        numbers = torch.rand(3, len(x)).t().repeat(1, 2).unflatten(1, (2, 3))
        return x * (numbers < KEEP).flatten(1) / KEEP

    (site,) = engine(draw).report.sites
    assert (site.rate, site.mask_shape) == (pytest.approx(RATE), (3, 1))


def test_one_mask_may_be_used_twice() -> None:
    def draw(_self: nn.Module, x: Tensor) -> Tensor:
        mask = torch.rand_like(x) < KEEP
        return x * mask + x.relu() * mask - x.relu() * KEEP + x * RATE

    (site,) = engine(draw).report.sites
    assert site.rate == pytest.approx(RATE)
