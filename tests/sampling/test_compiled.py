"""Compiled code gives the loop's numbers, stands for nothing that it was not made for, and delays nobody."""

import shutil
import threading
from collections.abc import Callable

import pytest
import torch
from agreement import assert_near
from networks import Named, encoder, images, mlp
from torch import Tensor, nn

from service.errors import ModelError
from service.sampling import compiled
from service.sampling.engine import Engine
from service.sampling.executor import Budgets, Executor, Usual

FLOAT = torch.float32
USUAL = Usual(seed=0, samples=12)

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="compiling takes a C++ compiler")


def engine(network: nn.Module, shape: list[int], after: float | None = None) -> Engine:
    budgets = Budgets(measuring_seconds=0, compiling_after_seconds=after)
    return Engine(network, [shape], [FLOAT], budgets=budgets, usual=USUAL)


def sampled(of: Engine, rows: Tensor, plan: str | None = None, seed: int = 0) -> Tensor:
    return torch.cat(list(of.samples((rows,), seed, range(12), plan)))


def assert_close(one: Tensor, other: Tensor) -> None:
    assert (one - other).abs().max() <= 3e-6 * other.abs().max()


def code(of: Engine) -> list[tuple[int, int]]:
    return [(key.rows, key.samples) for key in of.compiled]


@pytest.mark.parametrize(("network", "shape"), [(mlp, [6]), (images, [2, 8, 8]), (encoder, [5, 6])])
def test_compiled_code_equals_the_loop(
    network: Callable[[], nn.Module], shape: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For fresh rows, as many as it was made for and one less, which are padded, and for other seeds."""
    monkeypatch.setattr(compiled, "_ratio", lambda _run, _base: 0.5)
    torch.manual_seed(0)
    of = engine(network(), shape)
    of.compile((torch.randn(4, *shape),), 0, 12)
    assert code(of) == [(4, 12)]
    for count in (4, 3):
        rows = torch.randn(count, *shape)
        for seed in (0, 9):
            assert_close(sampled(of, rows, seed=seed), sampled(of, rows, "loop", seed=seed))


def test_code_compiled_in_bfloat16_is_near_the_loop(bfloat16: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the plan in bfloat16, where that is the fastest; held to a bound of its own."""
    monkeypatch.setattr(compiled, "_ratio", lambda _run, _base: 0.5)
    monkeypatch.setattr(
        Executor, "_measured_ranking", lambda _self, _layout, _rows: ("vmap-bfloat16", "loop")
    )
    torch.manual_seed(0)
    of, rows = engine(mlp(), [6]), torch.randn(4, 6)
    of.compile((rows,), 0, 12)
    assert [key.base for key in of.compiled] == ["vmap-bfloat16"]
    assert_near(sampled(of, rows, "loop"), sampled(of, rows))


def test_code_that_is_no_faster_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_ratio", lambda _run, _base: 1.0)
    of = engine(mlp(), [6])
    with pytest.raises(ModelError, match="no faster"):
        of.compile((torch.randn(4, 6),), 0, 12)


def test_padding_that_costs_more_than_compiling_saved_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code for 8 rows that takes 0.75 of the time is worth it for 7 rows, and not for 5."""
    monkeypatch.setattr(compiled, "_ratio", lambda _run, _base: 0.75)
    of = engine(mlp(), [6])
    of.compile((torch.randn(8, 6),), 0, 12)
    plan, layout = of._executor.compiled, of._layout(((6,),))
    assert plan is not None
    taken = [
        rows
        for rows in range(1, 10)
        if plan.takes(of._executor._usual_work(layout, (torch.randn(rows, 6),), 12))
    ]
    assert taken == [7, 8]


def test_a_model_that_decides_by_a_value_is_not_compiled() -> None:
    """Its decision would be baked in; the plans that ask each time serve it."""

    def forward(held: nn.Module, x: Tensor) -> Tensor:
        hidden = held.get_submodule("first")(x)
        usable = 1.0 if x.max().item() < 100 else 0.0
        return held.get_submodule("last")(usable * held.get_submodule("drop")(hidden))

    torch.manual_seed(0)
    of = engine(Named(forward, first=nn.Linear(6, 8), drop=nn.Dropout(0.5), last=nn.Linear(8, 2)), [6])
    with pytest.raises(ModelError, match="no code was compiled"):
        of.compile((torch.ones(1, 6),), 0, 12)
    for rows in (torch.ones(1, 6), 1000 * torch.ones(1, 6)):
        assert_close(sampled(of, rows), sampled(of, rows, "loop"))


class Compiler:
    """Stands for the compiler: waits until it is let go, and counts."""

    def __init__(self, real: Callable[..., Callable[..., object]]) -> None:
        self.begun, self.go, self.calls = threading.Event(), threading.Event(), 0
        self._real = real

    def __call__(self, *args: object, **given: object) -> Callable[..., object]:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(60)
        return self._real(*args, **given)


def test_a_compiler_that_is_at_work_delays_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers come while it works; it is asked once for a shape; when it is done, its code serves."""
    monkeypatch.setattr(compiled, "_ratio", lambda _run, _base: 0.5)
    compiler = Compiler(compiled._by_inductor)
    monkeypatch.setattr(compiled, "_by_inductor", compiler)
    of, rows = engine(mlp(), [6], after=1e-9), torch.randn(2, 6)
    first = sampled(of, rows)
    assert compiler.begun.wait(60)
    assert_close(sampled(of, rows), first)
    assert not of.compiled
    compiler.go.set()
    _threads_end()
    assert code(of) == [(2, 12)]
    assert_close(sampled(of, rows), first)
    assert compiler.calls == 1


def test_nothing_is_compiled_before_requests_have_run_for_long() -> None:
    of = engine(mlp(), [6], after=1e9)
    for _ in range(20):
        sampled(of, torch.randn(2, 6))
    assert not of.compiled
    assert all(thread.name != "compile" for thread in threading.enumerate())


def test_a_compiler_that_fails_is_told_of_and_others_serve(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object, **_given: object) -> Callable[..., object]:
        raise RuntimeError("no C++ compiler was found")

    monkeypatch.setattr(compiled, "_by_inductor", broken)
    of, rows = engine(mlp(), [6], after=1e-9), torch.randn(2, 6)
    first = sampled(of, rows)
    _threads_end()
    assert "no C++ compiler was found" in caplog.text
    assert_close(sampled(of, rows), first)


def test_code_that_differs_from_the_loop_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = compiled._compiled
    monkeypatch.setattr(
        compiled, "_compiled", lambda *given: lambda inputs, batch: 1.01 * real(*given)(inputs, batch)
    )
    of = engine(mlp(), [6])
    with pytest.raises(ModelError, match="differs from the loop"):
        of.compile((torch.randn(4, 6),), 0, 12)
    assert not of.compiled


def _threads_end() -> None:
    for thread in threading.enumerate():
        if thread.name == "compile":
            thread.join(120)
            assert not thread.is_alive()
