"""The engine on every kind of network it takes: same numbers alone, in any batch, chunk, plan and thread."""

import threading
from math import sqrt

import numpy as np
import pytest
import torch
from agreement import assert_close, assert_same_moments, sampled, train_mode, variance_error
from drawn_networks import DRAWN
from networks import SAMPLED, linear, mlp
from torch import Tensor, nn

from service.sampling.engine import Budgets, Engine
from service.sampling.example import ExampleRows
from service.sampling.names import LOOP

NETWORKS = SAMPLED | DRAWN

QUICK = Budgets(measuring_seconds=0)

# What a plan cannot do: an in-place dropout that a residual branch sees has no batched write; nor have masks
# that choose where a tensor is written.
REFUSED = {"in_place_alias": {"vmap", "fold"}, "written": {"vmap"}}


@pytest.fixture(params=sorted(NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name][0]()


def engine(name: str, budgets: Budgets | None = None) -> Engine:
    _, shapes, dtypes = NETWORKS[name]
    return Engine(network(name), shapes, dtypes, budgets=budgets or QUICK)


def rows_for(name: str, rows: int) -> tuple[Tensor, ...]:
    _, shapes, dtypes = NETWORKS[name]
    return ExampleRows(shapes, dtypes, torch.device("cpu"))(rows)


def test_every_plan_equals_the_loop(name: str) -> None:
    """On fresh rows, 20 samples, or it was refused."""
    of = engine(name)
    torch.manual_seed(int.from_bytes(name.encode()) % 2**31)
    inputs = tuple(torch.randn_like(t) if t.is_floating_point() else t for t in rows_for(name, 5))
    loop = sampled(of, inputs, range(20), plan=LOOP, seed=0)
    assert of.plans is not None
    assert set(of.plans.refused) == REFUSED.get(name, set())
    for plan in of.plans.by_rows[1]:
        assert_close(loop, sampled(of, inputs, range(20), plan=plan, seed=0))


def test_a_row_has_the_same_answer_alone_and_in_any_batch(name: str) -> None:
    of, inputs = engine(name), rows_for(name, 9)
    batch = sampled(of, inputs, range(6))
    whole = of.predict(inputs)
    for row in (0, 4, 8):
        alone = tuple(tensor[row : row + 1] for tensor in inputs)
        assert_close(batch[:, row : row + 1], sampled(of, alone, range(6)))
        assert_close(whole[row : row + 1], of.predict(alone))
    turned = tuple(tensor.flip(0) for tensor in inputs)
    assert_close(batch.flip(1), sampled(of, turned, range(6)))


def test_a_sample_is_the_same_whatever_the_count(name: str) -> None:
    of, inputs = engine(name), rows_for(name, 3)
    many = sampled(of, inputs, range(40))
    assert_close(many[:7], sampled(of, inputs, range(7)))
    assert_close(many[30:33], sampled(of, inputs, range(30, 33)))


def test_a_sample_is_the_same_in_any_chunk_and_block(name: str) -> None:
    """A budget of one byte runs row by row and sample by sample."""
    inputs = rows_for(name, 4)
    assert_close(
        sampled(engine(name), inputs, range(5)),
        sampled(engine(name, Budgets(chunk_bytes=1, measuring_seconds=0)), inputs, range(5)),
    )


def test_different_seeds_are_different_samples(name: str) -> None:
    of, inputs = engine(name), rows_for(name, 2)
    assert torch.equal(sampled(of, inputs, range(8), seed=1), sampled(of, inputs, range(8), seed=1))
    assert not torch.equal(sampled(of, inputs, range(8), seed=1), sampled(of, inputs, range(8), seed=2))


def test_prediction_is_the_plain_model_in_eval_mode(name: str) -> None:
    inputs = rows_for(name, 4)
    plain = network(name).eval()
    with torch.no_grad():
        expected = plain(*(tensor.clone() for tensor in inputs))
    assert_close(engine(name).predict(inputs), expected)


def test_inputs_are_left_as_they_are(name: str) -> None:
    of, inputs = engine(name), rows_for(name, 2)
    before = [tensor.clone() for tensor in inputs]
    sampled(of, inputs, range(4))
    of.predict(inputs)
    assert all(torch.equal(*pair) for pair in zip(before, inputs, strict=True))


def test_moments_are_those_of_the_plain_model_in_train_mode(name: str) -> None:
    """Mean and variance of 2000 samples each; within 5 standard errors of their difference, seed 3."""
    inputs = rows_for(name, 2)
    ours = sampled(engine(name), inputs, range(2000), seed=3).double()
    plain = train_mode(network(name))
    torch.manual_seed(3)
    with torch.no_grad():
        theirs = torch.stack([plain(*(tensor.clone() for tensor in inputs)) for _ in range(2000)]).double()
    assert_same_moments(ours.numpy(), theirs.numpy(), standard_errors=5)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_linear_model_has_its_closed_form(rate: float) -> None:
    """Dropout on x, then Wx + b: mean Wx + b, variance p/(1-p)·Σ_j (W_ij x_j)².

    20,000 samples, seed 5; within 4 standard errors. The plan is the one the engine chose.
    """
    torch.manual_seed(1)
    model = linear(rate)
    layer = model[1]
    x = torch.randn(4, 6)
    samples = sampled(Engine(model, [[6]], [torch.float32]), (x,), range(20_000), seed=5).double().numpy()
    weight, bias, rows = (t.detach().double().numpy() for t in (layer.weight, layer.bias, x))
    mean = rows @ weight.T + bias
    variance = rate / (1 - rate) * (rows**2) @ (weight**2).T
    count = len(samples)
    assert (np.abs(samples.mean(0) - mean) < 4 * np.sqrt(variance / count)).all()
    assert (np.abs(samples.var(0, ddof=1) - variance) < 4 * variance_error(samples)).all()


def test_rows_of_one_sample_are_one_function() -> None:
    """Rows share masks: equal rows give equal outputs in every sample, unlike independent masks."""
    x = torch.randn(1, 6).repeat(5, 1)
    outputs = sampled(Engine(mlp(), [[6]], [torch.float32]), (x,), range(10))
    assert_close(outputs, outputs[:, :1].expand_as(outputs))


def test_ten_thousand_predictions_beside_sampling_threads_are_all_equal() -> None:
    """Two threads sample all the while; of 10,000 predictions not one differs by a bit."""
    torch.manual_seed(0)
    of = Engine(mlp(), [[6]], [torch.float32])
    x = (torch.randn(3, 6),)
    expected = of.predict(x)
    expected_samples = sampled(of, x, range(10))
    stop = threading.Event()
    problems: list[str] = []

    def sample() -> None:
        while not stop.is_set():
            if not torch.equal(sampled(of, x, range(10)), expected_samples):
                problems.append("sample")

    def predict() -> None:
        for _ in range(5000):
            if not torch.equal(of.predict(x), expected):
                problems.append("prediction")

    samplers = [threading.Thread(target=sample) for _ in range(2)]
    predictors = [threading.Thread(target=predict) for _ in range(2)]
    for thread in (*samplers, *predictors):
        thread.start()
    for thread in predictors:
        thread.join()
    stop.set()
    for thread in samplers:
        thread.join()
    assert not problems


def test_nothing_of_the_model_changes(name: str) -> None:
    of = engine(name)
    tree = of._model.predicting
    before = {key: value.clone() for key, value in tree.state_dict().items()}
    sampled(of, rows_for(name, 3), range(10))
    assert all(torch.equal(before[key], value) for key, value in tree.state_dict().items())
    assert not any(module.training for module in tree.modules())
    twins = list(of._model.dropping.parameters())
    assert all(mine is theirs for mine, theirs in zip(tree.parameters(), twins, strict=True))


def test_memory_of_masks_does_not_grow_with_the_samples() -> None:
    of = Engine(mlp(), [[6]], [torch.float32], budgets=Budgets(masks_bytes=64_000))
    for _chunk in of.samples((torch.randn(2, 6),), 1, range(5000)):
        assert of._masks.kept_bytes <= 64_000


def test_the_share_of_dropped_units_is_the_rate() -> None:
    """Through the whole engine: what is dropped is 0, what is kept 1/(1-p); 4 standard errors, seed 9."""
    model = nn.Sequential(nn.Dropout(0.3), nn.Identity())
    outputs = sampled(Engine(model, [[50]], [torch.float32]), (torch.ones(1, 50),), range(4000), seed=9)
    assert outputs.unique().tolist() == pytest.approx([0, 1 / 0.7])
    dropped = (outputs == 0).double().mean().item()
    assert abs(dropped - 0.3) < 4 * sqrt(0.3 * 0.7 / outputs.numel())
