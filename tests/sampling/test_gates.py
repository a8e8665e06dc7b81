"""A plan that gives wrong numbers is found out at every gate, and none is trusted unseen."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from networks import Named, mlp
from torch import Tensor, nn
from torch.testing import assert_close

from service.errors import ModelError
from service.sampling.engine import Engine
from service.sampling.executor import Budgets, Usual
from service.sampling.plans import Vmap
from service.sampling.thinned import Thinned

FLOAT = torch.float32
QUICK = Budgets(measuring_seconds=0.1)
ROWS = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


def engine(model: nn.Module, shape: list[int] | None = None, **given: Any) -> Engine:
    return Engine(model, [shape or [6]], [FLOAT], **{"budgets": QUICK, "usual": Usual(0, 12)} | given)


def sampled(of: Engine, rows: Tensor, plan: str | None = None, seed: int = 0, samples: int = 12) -> Tensor:
    return torch.cat(list(of.samples((rows,), seed, range(samples), plan)))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Vmap]], None]:
    """Make a plan give half as much again."""

    def spoil(plan: type[Vmap]) -> None:
        one = plan.one
        monkeypatch.setattr(plan, "one", lambda self, *given: 1.5 * one(self, *given))

    return spoil


@pytest.mark.parametrize("plan", [Vmap, Thinned])
def test_at_load(plan: type[Vmap], broken: Callable[[type[Vmap]], None]) -> None:
    broken(plan)
    of = engine(mlp())
    assert of.plans is not None
    assert of.plans.refused[plan.kind].startswith("it differs from the loop by")
    assert_close(sampled(of, ROWS), sampled(of, ROWS, "loop"))


def test_where_times_are_known(broken: Callable[[type[Vmap]], None]) -> None:
    """What an earlier start measured, perhaps with other code of the model, ranks and verifies nothing."""
    known = engine(mlp()).plans
    broken(Vmap)
    of = engine(mlp(), known=known)
    assert of.plans is not None
    assert "vmap" in of.plans.refused
    assert all("vmap" not in names for names in of.plans.by_rows.values())


def test_known_times_are_taken_where_all_is_well() -> None:
    found = engine(mlp()).plans
    assert found is not None
    known = replace(found, steady=True)  # on a busy machine they are not
    again = engine(mlp(), known=known, budgets=Budgets(measuring_seconds=0)).plans
    assert again is not None
    assert again.seconds == known.seconds


def test_at_a_new_shape(broken: Callable[[type[Vmap]], None]) -> None:
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    of = engine(Named(lambda self, rows: self.get_submodule("net")(rows).mean(1), net=model), [-1, 6])
    broken(Vmap)
    rows = torch.randn(3, 11, 6)
    assert_close(sampled(of, rows), sampled(of, rows, "loop"))


def test_a_plan_without_the_memory_for_usual_requests_is_no_plan(
    broken: Callable[[type[Vmap]], None],
) -> None:
    """It must not be verified on the few samples that it could keep, nor by the plan behind it."""
    broken(Thinned)
    of = engine(mlp(), budgets=Budgets(measuring_seconds=0.1, cuts_bytes=5_000))
    assert of.plans is not None
    assert all("thinned" not in names for names in of.plans.by_rows.values())
    with pytest.raises(ModelError, match="no plan of thinned takes this request"):
        sampled(of, ROWS, "thinned", samples=2)


class WithConstant(nn.Module):
    """Multiplies by a float32 tensor of its own making: torch multiplies no bfloat16 with that."""

    def forward(self, values: Tensor) -> Tensor:
        return values @ torch.eye(values.shape[-1])


class Fourier(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return torch.fft.rfft(values).abs()


@pytest.mark.parametrize("layer", [WithConstant, Fourier])
def test_a_model_that_cannot_run_in_bfloat16_runs_in_float32(layer: type[nn.Module], bfloat16: None) -> None:
    of = engine(nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), layer()))
    assert of.plans is not None
    refused = {
        name for name, reason in of.plans.refused.items() if reason.startswith("it cannot run this model")
    }
    assert refused >= {"loop-bfloat16", "vmap-bfloat16"}
    assert_close(sampled(of, ROWS), sampled(of, ROWS, "loop"))


def rate_by_length(self: nn.Module, rows: Tensor) -> Tensor:
    hidden = self.get_submodule("first")(rows).mean(1)
    return self.get_submodule("last")(F.dropout(hidden, 0.1 if rows.shape[1] <= 8 else 0.5, self.training))


def test_masks_are_those_of_the_rate_whatever_came_before() -> None:
    torch.manual_seed(0)
    model = Named(rate_by_length, first=nn.Linear(6, 64), last=nn.Linear(64, 2))
    of, other = engine(model, [-1, 6]), engine(model, [-1, 6])
    short, long = torch.ones(1, 8, 6), torch.ones(1, 16, 6)
    sampled(of, short, seed=7)
    assert_close(sampled(of, long, seed=7), sampled(other, long, seed=7))


def kind_by_value(self: nn.Module, rows: Tensor) -> Tensor:
    drop = F.alpha_dropout if rows.max() > 20 else F.dropout
    return self.get_submodule("last")(drop(rows, 0.5, self.training))


def test_another_kind_of_dropout_than_at_load_is_an_error() -> None:
    of = engine(Named(kind_by_value, last=nn.Linear(6, 2)))
    with pytest.raises(ModelError, match="was dropout at load and is now alpha_dropout"):
        sampled(of, 100 * torch.ones(2, 6))


def test_a_spectral_norm_improves_nothing_while_it_is_sampled() -> None:
    """Its vectors are running statistics: in training mode every pass would move the weights."""
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8))
    of = engine(nn.Sequential(layer, nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)))
    assert of.report.can_sample
    assert_close(sampled(of, ROWS), sampled(of, ROWS, "loop"))


def some_positions(self: nn.Module, tokens: Tensor) -> Tensor:
    """Only what is not padding is dropped: rows share the first dimension as it comes."""
    hidden: Tensor = self.get_submodule("words")(tokens)
    chosen = tokens != 5
    hidden[chosen] = F.dropout(hidden[chosen], 0.5, self.training)
    return self.get_submodule("last")(hidden.mean(1))


def test_rows_that_share_a_dimension_unevenly_are_an_error() -> None:
    """Two rows that keep 4 positions each must not pass for one that keeps 8."""
    model = Named(some_positions, words=nn.Embedding(10, 8), last=nn.Linear(8, 2))
    of = Engine(model, [[-1]], [torch.int64], budgets=QUICK)
    tokens = torch.tensor([[1, 2, 3, 4, 5, 5, 5, 5]] * 2)
    with pytest.raises(ModelError, match=r"met a shape for which its mask \(8, 8\) is not made"):
        list(of.samples((tokens,), 0, range(4)))


def test_the_first_chunk_counts_what_dropping_makes() -> None:
    """The widest tensor that differs between samples is the dropped one: nothing wide comes after it."""
    wide = nn.Sequential(nn.Linear(6, 1000), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1000, 2))
    of = engine(wide, budgets=Budgets(measuring_seconds=0.1, chunk_bytes=1 << 20))
    chunks = [len(chunk) for chunk in of.samples((torch.randn(100, 6),), 1, range(12), "vmap")]
    assert max(chunks) * 100 * 1000 * 4 <= 1 << 20


class Memory:
    """Stands for the device: a pass of more rows than fit fails as torch does."""

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.refused = 0

    def check(self, values: int) -> None:
        if values > self.fits:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")


def test_where_memory_runs_out_smaller_chunks_give_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    of, rows = engine(mlp()), torch.randn(40, 6)
    expected, predicted = sampled(of, rows, "vmap"), of.predict((rows,))
    memory, run = Memory(fits=30), Vmap.run

    def limited(self: Vmap, work: Any) -> Tensor:
        memory.check(work.rows * len(work.networks.samples))
        return run(self, work)

    monkeypatch.setattr(Vmap, "run", limited)
    assert_close(sampled(of, rows, "vmap"), expected)
    assert memory.refused > 3
    predict = of._model.predict

    def limited_prediction(inputs: tuple[Tensor, ...]) -> Any:
        memory.check(len(inputs[0]))
        return predict(inputs)

    monkeypatch.setattr(of._model, "predict", limited_prediction)
    assert_close(of.predict((rows,)), predicted)
    memory.fits = 0
    with pytest.raises(ModelError, match="the model ran out of memory"):
        sampled(of, rows, "vmap")
    with pytest.raises(ModelError, match="the model ran out of memory"):
        of.predict((rows,))
