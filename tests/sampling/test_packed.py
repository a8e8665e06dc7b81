"""Recurrent nets over packed sequences: the dropout between their layers, shared by rows of every length."""

import pytest
import torch
from agreement import assert_close, assert_same_moments, sampled
from packed_networks import CELLS, DTYPES, LENGTH, RANGES, SHAPES
from torch import Tensor, nn

from service.sampling.engine import Budgets, Engine


@pytest.fixture(params=sorted(CELLS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def network(name: str, *, packed: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return CELLS[name](packed)


def engine(name: str, *, packed: bool = True) -> Engine:
    return Engine(
        network(name, packed=packed), SHAPES, DTYPES, ranges=RANGES, budgets=Budgets(measuring_seconds=0)
    )


def rows(lengths: list[int]) -> tuple[Tensor, Tensor]:
    torch.manual_seed(len(lengths))
    return torch.randn(len(lengths), LENGTH, 6), torch.tensor(lengths)


def test_what_each_layer_gives_to_the_next_is_a_site(name: str) -> None:
    sites = engine(name).report.sites
    width = 8 if "both_ways" in name else 4
    assert [(site.name, site.kind, site.rate, site.mask_shape) for site in sites] == [
        ("net", "dropout", 0.3, (LENGTH, 1, width)),
        ("net:1", "dropout", 0.3, (LENGTH, 1, width)),
    ]


def test_rows_of_one_length_are_as_if_padded(name: str) -> None:
    """The mask of a packed net is that of the padded one, number by number."""
    inputs = rows([LENGTH] * 4)
    assert_close(
        sampled(engine(name), inputs, range(8)), sampled(engine(name, packed=False), inputs, range(8))
    )


def test_moments_are_those_of_the_plain_model_in_train_mode(name: str) -> None:
    """Three lengths; mean and variance of 2000 samples each; within 5 standard errors, seed 3."""
    inputs = rows([3, 5, 1])
    ours = sampled(engine(name), inputs, range(2000), seed=3).double()
    plain = network(name).train()
    torch.manual_seed(3)
    with torch.no_grad():
        theirs = torch.stack([plain(*inputs) for _ in range(2000)]).double()
    assert_same_moments(ours.numpy(), theirs.numpy(), standard_errors=5)


def test_a_row_has_the_same_answer_beside_rows_of_other_lengths(name: str) -> None:
    """Also where the longest of the rows is shorter than what the rows are padded to."""
    of, inputs = engine(name), rows([2, 5, 4, 1, 5])
    batch, whole = sampled(of, inputs, range(6)), of.predict(inputs)
    for chosen in ([0], [3], [3, 0], [1, 2]):
        some = tuple(tensor[chosen] for tensor in inputs)
        assert_close(batch[:, chosen], sampled(of, some, range(6)))
        assert_close(whole[chosen], of.predict(some))


def test_with_nothing_dropped_it_is_torchs(name: str) -> None:
    """With nothing to drop, one layer at a time is what torch does at once."""
    of, inputs = engine(name), rows([4, 2, 5])
    plain = network(name).eval()
    with torch.no_grad():
        expected = plain(*inputs)
    undropped = of._model.intercepted(inputs, lambda call: call.keep_all())
    assert_close(expected, undropped)
