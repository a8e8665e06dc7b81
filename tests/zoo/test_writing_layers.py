"""docs/dropout-layers.md: its layers are sampled as it says, and what it says is refused is."""

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from agreement import assert_close, assert_same_moments, sampled, train_mode
from networks import Named
from readme import ROOT
from torch import Tensor, nn

from service.errors import ModelRefused
from service.sampling.engine import Engine
from service.sampling.sites import Site

PAGE = (ROOT / "docs" / "dropout-layers.md").read_text("utf-8")
LAYERS: dict[str, Any] = {"torch": torch, "nn": nn, "F": F}
for _block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
    exec(_block, LAYERS)  # noqa: S102  # the page's own code

CASES = {
    "DroppedWeights": (lambda layer: layer(6, 5), [6], ("dropout", 0.3, (5, 6))),
    "SameAtEveryStep": (lambda layer: layer(), [4, 6], ("dropout", 0.25, (1, 1, 6))),
    "Attention": (lambda layer: layer(), [4, 6], ("dropout", 0.1, (1, 4, 4))),
    "StochasticDepth": (lambda layer: layer(nn.Linear(6, 6)), [6], ("uniform", 0.2, (1, 1))),
}


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    build, shape, _ = CASES[name]
    width = torch.zeros(1, *shape).numel() if name != "DroppedWeights" else 5
    return nn.Sequential(build(LAYERS[name]), nn.Flatten(), nn.Linear(width, 3))


def engine(name: str) -> Engine:
    return Engine(network(name), [CASES[name][1]], [torch.float32])


def found(site: Site) -> tuple[str, float, tuple[int, ...]]:
    return site.kind, round(site.rate, 6), site.mask_shape


def test_the_page_has_no_layer_that_is_not_tested() -> None:
    assert {name for name, made in LAYERS.items() if isinstance(made, type)} == set(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_layer_of_the_page_is_a_site_with_the_moments_of_its_training_mode(name: str) -> None:
    """Mean and variance of 1000 samples each; within 5 standard errors of their difference, seed 3."""
    of, rows = engine(name), torch.randn(2, *CASES[name][1])
    assert [found(site) for site in of.report.sites] == [CASES[name][2]]
    assert not of.report.findings
    ours = sampled(of, (rows,), range(1000), seed=3).double()
    plain = train_mode(network(name))
    torch.manual_seed(3)
    with torch.no_grad():
        theirs = torch.stack([plain(rows) for _ in range(1000)]).double()
    assert_same_moments(ours.numpy(), theirs.numpy(), standard_errors=5)


def test_all_rows_of_a_sample_share_its_mask() -> None:
    for name in CASES:
        rows = torch.randn(1, *CASES[name][1]).expand(4, *CASES[name][1])
        samples = sampled(engine(name), (rows,), range(5))
        assert_close(samples, samples[:, :1].expand_as(samples))


def test_a_mask_drawn_at_every_step_is_as_many_sites() -> None:
    def anew(self: nn.Module, values: Tensor) -> Tensor:
        steps = [F.dropout(step, 0.25, self.training) for step in values.unbind(1)]
        return self.get_submodule("last")(torch.stack(steps, 1).flatten(1))

    sites = Engine(Named(anew, last=nn.Linear(12, 3)), [[2, 6]], [torch.float32]).report.sites
    assert [site.name for site in sites] == ["(model)", "(model):1"]


class _Running(nn.Module):
    """It has running statistics, and drops."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(6))

    def forward(self, values: Tensor) -> Tensor:
        return F.dropout(values - self.running_mean, 0.2, self.training)


def _layer(draw: Any) -> nn.Module:
    return Named(lambda self, values: draw(values) if self.training else values)


REFUSED: dict[str, nn.Module] = {
    "drops without `self.training`": Named(lambda _self, values: F.dropout(values, 0.2)),
    "does not divide by what is kept": _layer(lambda values: values * (torch.rand_like(values) < 0.8)),
    "multiplies by uniform numbers": _layer(
        lambda values: values * torch.empty_like(values).uniform_(0.5, 1.5)
    ),
    "has a probability that depends on the row": _layer(
        lambda values: values * (torch.rand_like(values) < values.sigmoid())
    ),
    "has a generator of its own": _layer(
        lambda values: values * (torch.rand(6, generator=torch.Generator()) < 0.8) / 0.8
    ),
    "drops in a module with running statistics": nn.Sequential(_Running()),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_the_page_says_is_refused_is_refused_with_its_words(name: str) -> None:
    words = dict(re.findall(r"^\| (.+) \| `(.+)` \|$", PAGE, re.MULTILINE))
    assert words.keys() == REFUSED.keys()
    with pytest.raises(ModelRefused, match=re.escape(words[name])):
        Engine(nn.Sequential(nn.Linear(6, 6), REFUSED[name], nn.Linear(6, 3)), [[6]], [torch.float32])
