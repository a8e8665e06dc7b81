"""The same samples on a GPU as on the CPU, by every plan."""

import pytest
import torch
from agreement import sampled
from networks import SAMPLED

from service.sampling.engine import Engine
from service.sampling.example import ExampleRows
from service.sampling.executor import Budgets, Usual

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")

# Other kernels add in another order: of the largest output, fp32 without TF32.
ROUNDING = 2e-5


def engine(name: str, device: str) -> Engine:
    network, shapes, dtypes = SAMPLED[name]
    torch.manual_seed(0)
    budgets = Budgets(measuring_seconds=0)
    return Engine(network(), shapes, dtypes, device=device, budgets=budgets)


def rows_for(name: str, rows: int) -> tuple[torch.Tensor, ...]:
    _, shapes, dtypes = SAMPLED[name]
    return ExampleRows(shapes, dtypes, torch.device("cpu"))(rows)


@pytest.mark.parametrize("name", sorted(SAMPLED))
def test_samples_and_predictions_are_those_of_the_cpu(name: str) -> None:
    here, there, inputs = engine(name, "cpu"), engine(name, "cuda"), rows_for(name, 5)
    expected = sampled(here, inputs, range(20), plan="loop")
    assert there.plans is not None
    for plan in there.plans.by_rows[1]:
        given = sampled(there, inputs, range(20), plan=plan).cpu()
        assert (given - expected).abs().max() <= ROUNDING * expected.abs().max()
    predicted = here.predict(inputs)
    assert (there.predict(inputs).cpu() - predicted).abs().max() <= ROUNDING * predicted.abs().max()


def test_bfloat16_is_taken_where_it_moves_the_mean_little(bfloat16: None) -> None:
    of = engine("mlp", "cuda")
    assert of.plans is not None
    assert "vmap-bfloat16" in of.plans.shares


def test_compiled_code_runs_as_one_graph_and_gives_the_same() -> None:
    network, shapes, dtypes = SAMPLED["mlp"]
    torch.manual_seed(0)
    of = Engine(network(), shapes, dtypes, device="cuda", usual=Usual(0, 50))
    inputs = rows_for("mlp", 1)
    expected = sampled(of, inputs, range(50), seed=0, plan="loop")
    of.compile(inputs, 0, 50)
    for _ in range(3):  # a CUDA graph is recorded in the first runs, and played in later ones
        given = sampled(of, inputs, range(50), seed=0)
        assert (given - expected).abs().max() <= ROUNDING * expected.abs().max()
