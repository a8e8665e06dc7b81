"""What the audit refuses, by name."""

import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import Named
from torch import Tensor, nn

from service.errors import ModelRefused
from service.sampling.discovery import discover
from service.sampling.engine import Engine
from service.sampling.generators import draws_itself


def function(forward: Callable[[nn.Module, Tensor], Tensor], **children: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), Named(forward, **children))


def fold_in_vain(self: nn.Module, x: Tensor) -> Tensor:
    """What is dropped depends on no row and does nothing: nothing shows which entries are whose."""
    ones = torch.ones(2 * len(x), 2)
    return x + 0 * F.dropout(ones, 0.5, self.training).reshape(-1, 4)


def depends_on_neighbours(_self: nn.Module, x: Tensor) -> Tensor:
    return x - x.mean(0)


def counts_calls(self: nn.Module, x: Tensor) -> Tensor:
    if self.training:
        self.get_buffer("calls").add_(1)
    return F.dropout(x, 0.5, self.training)


def with_counter() -> nn.Module:
    model = function(counts_calls)
    model[1].register_buffer("calls", torch.zeros(1))
    return model


def drawn_elsewhere(self: nn.Module, x: Tensor) -> Tensor:
    noise = torch.tensor(np.random.default_rng().normal(size=tuple(x.shape)), dtype=x.dtype)
    return F.dropout(x, 0.5, self.training) + (noise if self.training else 0.0)


def skips_rarely(self: nn.Module, x: Tensor) -> Tensor:
    if self.training and np.random.random() < 1e-9:  # what a model should not do
        return x
    return F.dropout(x, 0.5, self.training)


class NormWithDropout(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(super().forward(x), 0.5, self.training)


def writes(self: nn.Module, x: Tensor) -> Tensor:
    if self.training:
        self.get_parameter("teacher").add_(1)
    return F.dropout(x, 0.5, self.training)


def with_teacher() -> nn.Module:
    model = function(writes)
    model[1].register_parameter("teacher", nn.Parameter(torch.zeros(1), requires_grad=False))
    return model


def replaces(self: nn.Module, x: Tensor) -> Tensor:
    if self.training:
        self.teacher = nn.Parameter(0.9 * self.get_parameter("teacher"), requires_grad=False)
    return F.dropout(x, 0.5, self.training)


def with_replaced_teacher() -> nn.Module:
    model = function(replaces)
    model[1].register_parameter("teacher", nn.Parameter(torch.ones(1), requires_grad=False))
    return model


def remembers(self: nn.Module, x: Tensor) -> Tensor:
    before = getattr(self, "before", None)
    self.before = x.detach()
    return x if before is None or before.shape != x.shape else x + 0.5 * before


@torch.jit.script
def scripted_drop(values: Tensor, training: bool) -> Tensor:
    return F.dropout(values, 0.5, training)


def drops(self: nn.Module, values: Tensor) -> Tensor:
    return F.dropout(values, 0.5, self.training)


REFUSED: dict[str, tuple[nn.Module, Sequence[int], str]] = {
    "noise": (
        function(lambda self, x: x + torch.randn_like(x) if self.training else x),
        (6,),
        r"aten.randn_like.default in 1\): no dropout function that can be sampled owns it",
    ),
    "dropout in eval": (
        function(lambda _self, x: F.dropout(x, 0.5)),
        (6,),
        r"aten.bernoulli_.float in 1\): dropout is left on in eval mode at 1 \(rate 0.5\), so",
    ),
    "attention that drops in eval": (
        function(lambda _self, x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.2)),
        (6,),
        r"dropout is left on in eval mode at 1 \(rate 0.2\), .* dropout_p=p if self.training else 0.0",
    ),
    "folded rows of no content": (
        function(fold_in_vain),
        (6,),
        r"dropout at 1: rows are folded into dimension 0",
    ),
    "a probability for each unit": (
        function(lambda self, x: x * torch.bernoulli(x.sigmoid()) if self.training else x),
        (6,),
        r"the probability of the mask drawn at 1 depends on the row",
    ),
    "neighbours": (function(depends_on_neighbours), (6,), r"depends on the rows beside it"),
    "batch statistics": (
        nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(16, 2)),
        (1, 4, 4),
        r"depends on the rows beside it",
    ),
    "changing buffer": (
        with_counter(),
        (6,),
        r"1.calls: changed while the model ran|1.calls, sampling 1.calls: changed",
    ),
    "drawn elsewhere": (function(drawn_elsewhere), (6,), r"random in a way that torch does not draw"),
    "drawn by numpy, rarely": (
        function(skips_rarely),
        (6,),
        r"the generator of Python or numpy|one set of masks",
    ),
    "rows before": (function(lambda _self, x: x.cumsum(0)), (6,), r"depends on the rows beside it"),
    "rows taken for positions": (
        Named(
            lambda self, x: self.get_submodule("drop")(self.get_submodule("rnn")(x)[0].mean(1)),
            rnn=nn.LSTM(6, 4),
            drop=nn.Dropout(0.3),
        ),
        (5, 6),
        r"depends on the rows beside it",
    ),
    "the first row": (function(lambda _self, x: x - x[:1]), (6,), r"depends on the rows beside it"),
    "logits in training": (
        function(lambda self, x: x if self.training else x.softmax(-1)),
        (6,),
        r"in training mode the model does more than drop",
    ),
    "dropout in a norm": (
        nn.Sequential(nn.Linear(6, 4), NormWithDropout(4), nn.Dropout(0.1)),
        (6,),
        r"dropout within 1 cannot be sampled: the layer has running statistics",
    ),
    "written parameter": (
        with_teacher(),
        (6,),
        r"1.teacher, sampling 1.teacher: changed while the model ran",
    ),
    "replaced parameter": (
        with_replaced_teacher(),
        (6,),
        r"1.teacher, sampling 1.teacher: changed while the model ran|sampling 1.teacher: changed",
    ),
    "scripted": (
        nn.Sequential(nn.Linear(6, 4), torch.jit.script(nn.Dropout(0.5))),
        (6,),
        r"the module 1 is TorchScript, and dropout in it cannot be seen; give the module itself",
    ),
    "scripted function": (
        function(lambda self, x: scripted_drop(x, self.training)),
        (6,),
        r"TorchScript cannot be seen, and it runs scripted_drop \(1.*\): give the plain function",
    ),
    "compiled function": (
        function(torch.compile(drops, backend="eager")),
        (6,),
        r"1.* is the function drops compiled by torch.compile, and dropout in it cannot be seen; give the fu",
    ),
    "compiled": (
        nn.Sequential(nn.Linear(6, 4), torch.compile(nn.Dropout(0.5), backend="eager")),
        (6,),
        r"the module 1 is compiled by torch.compile, and dropout in it cannot be seen",
    ),
    "remembers": (function(remembers), (6,), r"remembers what it was asked before"),
    "one name": (
        Named(
            lambda self, x: self.get_submodule("d:1")(self.get_submodule("d")(self.get_submodule("d")(x))),
            **{"d": nn.Dropout(0.5), "d:1": nn.Dropout(0.5)},
        ),
        (6,),
        r"two dropout calls have one name: d, d:1, d:1",
    ),
    "raises": (
        nn.Linear(7, 2),
        (6,),
        r"the model failed on made-up rows of shape \[6\] .*: RuntimeError: mat1",
    ),
    "integers": (function(lambda _self, x: x.long()), (6,), r"must be floating point, and is torch.int64"),
    "too many dimensions": (function(lambda _self, x: x[:, :, None]), (6,), r"5 rows gave \[5, 4, 1\]"),
    "rows lost": (function(lambda _self, x: x.sum(0)), (6,), r"5 rows gave \[4\]"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_cannot_be_served_correctly_is_refused_by_name(case: str) -> None:
    model, shape, message = REFUSED[case]
    with pytest.raises(ModelRefused, match=message):
        Engine(model, [list(shape)], [torch.float32])


@pytest.mark.parametrize("draw", [random.random, np.random.random])
def test_a_model_is_not_refused_for_what_another_thread_draws(
    monkeypatch: pytest.MonkeyPatch, draw: Callable[[], float]
) -> None:
    """A library's does, that waits at random before it tries again."""

    def beside_another(*given: Any) -> Any:
        thread = threading.Thread(target=draw)
        thread.start()
        thread.join()
        return discover(*given)

    monkeypatch.setattr("service.sampling.audit.discover", beside_another)
    dropped = function(lambda self, x: F.dropout(x, 0.5, self.training))
    assert Engine(dropped, [[6]], [torch.float32]).report.can_sample


def drawn_by_another_thread() -> None:
    thread = threading.Thread(target=random.random)
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    ("run", "draws"),
    [
        (lambda: random.random(), True),  # noqa: S311
        (lambda: random.uniform(0, 1), True),  # noqa: S311
        (lambda: random.shuffle([1, 2]), True),
        (lambda: random.Random().random(), False),  # noqa: S311
        (lambda: np.random.random(), True),
        (lambda: None, False),
        (drawn_by_another_thread, False),
    ],
)
def test_who_draws_is_told_from_who_does_not(run: Callable[[], object], draws: bool) -> None:
    assert draws_itself(run) == draws
