"""Networks as people write them: sampled as in training mode, or refused in the right words."""

import pytest
import torch
from agreement import assert_close, assert_same_moments, sampled, train_mode
from ordinary_networks import ORDINARY, Ordinary, P
from torch import Tensor, nn

from service.errors import ModelRefused
from service.sampling.engine import Engine
from service.sampling.example import ExampleRows
from service.sampling.executor import Budgets, Pinned

SAMPLES = 1000
FEW = 400  # where each takes a pass
SAMPLED = sorted(name for name, case in ORDINARY.items() if case.refusal is None)
REFUSED = sorted(name for name, case in ORDINARY.items() if case.refusal is not None)


def network(case: Ordinary) -> nn.Module:
    torch.manual_seed(0)
    return case.make()


def engine(case: Ordinary) -> Engine:
    return Engine(
        network(case),
        case.shapes,
        case.dtypes,
        budgets=Budgets(measuring_seconds=0),
        pinned=Pinned(float32=True),
        output=case.output,
    )


def rows_of(case: Ordinary, rows: int) -> tuple[Tensor, ...]:
    return ExampleRows(case.shapes, case.dtypes, torch.device("cpu"))(rows)


@torch.no_grad()
def plain_samples(case: Ordinary, inputs: tuple[Tensor, ...]) -> Tensor:
    """Sample the usual way: in one pass of many copies of a row where copies have masks of their own."""
    model = train_mode(network(case))
    torch.manual_seed(1)
    if case.alone:
        outputs = [case.main(model(*(tensor.clone() for tensor in inputs))) for _ in range(FEW)]
        return torch.stack(outputs)
    copies = (tensor.repeat(SAMPLES, *[1] * (tensor.dim() - 1)) for tensor in inputs)
    return case.main(model(*copies))[:, None]


@pytest.mark.parametrize("name", SAMPLED)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_moments_are_those_of_the_plain_model_in_training_mode(name: str) -> None:
    """Mean and variance over as many samples of each, within 5 standard errors; seeds 7 and 1."""
    case = ORDINARY[name]
    of, inputs = engine(case), rows_of(case, 1)
    given = sampled(of, inputs, range(FEW if case.alone else SAMPLES)).double().numpy()
    assert given.var(0).max() > 0
    assert_same_moments(given, plain_samples(case, inputs).double().numpy(), standard_errors=5)
    expected = network(case).eval()(*(tensor.clone() for tensor in inputs))
    assert_close(of.predict(inputs), case.main(expected, evaluating=True))


RATED = ["bernoulli_bool_where", "bernoulli_inverted", "bernoulli_one_less", "deberta_stable_dropout"]
RATED += ["bernoulli_smaller_turned", "torch_alpha_dropout", "layer_drop_item", "weight_drop_fastai"]


@pytest.mark.parametrize("name", RATED)
def test_the_rate_is_what_is_dropped_whichever_way_the_mask_is_drawn(name: str) -> None:
    assert {round(site.rate, 6) for site in engine(ORDINARY[name]).report.sites} == {P}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_sampled_is_refused_with_the_way_out(name: str) -> None:
    case = ORDINARY[name]
    assert case.refusal is not None
    with pytest.raises(ModelRefused, match=case.refusal):
        engine(case)
