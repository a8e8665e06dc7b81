"""Networks with an autograd.Function of their own: batched by vmap, and differentiated elsewhere as ever."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function

from service.sampling.custom_functions import forward_alone
from service.sampling.engine import Engine
from service.sampling.executor import Pinned
from service.sampling.names import LOOP


class WithContext(Function):
    """Swish, as it is written to keep less memory."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(values)
        ctx.mark_non_differentiable()
        ctx.noted = any(ctx.needs_input_grad)
        return values * values.sigmoid()

    @staticmethod
    def backward(ctx: Any, grown: Tensor) -> Tensor:  # type: ignore[override]
        (values,) = ctx.saved_tensors
        part = values.sigmoid()
        return grown * (part * (1 + values * (1 - part)))


class WithoutContext(Function):
    """The same in the newer form, with no rule for vmap."""

    @staticmethod
    def forward(values: Tensor, scale: float = 1.0) -> Tensor:  # type: ignore[override]
        return values * values.sigmoid() * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004  # torch's names
        ctx.save_for_backward(inputs[0])


class WithRule(WithoutContext):
    """One that brings its own rule, which is the one that is to run."""

    @staticmethod
    def vmap(_info: Any, in_dims: Any, values: Tensor, scale: float) -> tuple[Tensor, int]:
        return values * values.sigmoid() * scale + 1000, in_dims[0]


class Net(nn.Module):
    def __init__(self, function: type[Function]) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(4, 8), nn.Linear(8, 2)
        self.apply_function = function.apply  # the usual alias

    def forward(self, values: Tensor) -> Tensor:
        hidden = nn.functional.dropout(self.enter(values), 0.4, self.training)
        given: Tensor = self.leave(self.apply_function(hidden))
        return given


@pytest.mark.parametrize("function", [WithContext, WithoutContext])
def test_samples_run_batched_and_are_those_of_the_loop(function: type[Function]) -> None:
    torch.manual_seed(0)
    engine = Engine(Net(function), [(4,)], [torch.float32], pinned=Pinned(float32=True))
    assert engine.plans is not None
    assert not engine.plans.refused.keys() & {"vmap"}
    inputs = (torch.randn(3, 4),)
    vmap, loop = (torch.cat(list(engine.samples(inputs, 1, range(20), plan))) for plan in ("vmap", LOOP))
    torch.testing.assert_close(vmap, loop)
    assert loop.std(0).min() > 0


def test_a_rule_of_its_own_is_used() -> None:
    values = torch.randn(5, 3)
    with forward_alone():
        made = torch.func.vmap(lambda part: WithRule.apply(part, 1.0))(values)
    torch.testing.assert_close(made, values * values.sigmoid() + 1000)


def test_outside_of_a_pass_it_has_its_gradient_and_vmap_refuses() -> None:
    values = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(WithContext.apply, values)
    with forward_alone():
        assert torch.autograd.gradcheck(WithContext.apply, values)
    with pytest.raises(RuntimeError, match="setup_context"):
        torch.func.vmap(WithContext.apply)(values)
