"""Whether two outputs are the same but for rounding."""

import pytest
import torch

from service.sampling.comparison import agree

# Two rows of an untrained network, which hardly differ, in a batch and alone.
BATCH = torch.tensor([[1.1715742349624634, 0.8130795955657959, -0.04494050145149231]])
ALONE = torch.tensor([[1.1715748310089111, 0.8130797743797302, -0.0449397936463356]])
SPREAD = torch.zeros(3)


def test_a_column_that_happens_to_be_small_is_rounded_as_its_neighbours_are() -> None:
    assert agree(BATCH, ALONE, SPREAD)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_more_than_rounding_is_seen_in_every_column(column: int) -> None:
    moved = BATCH.clone()
    moved[:, column] += 2e-6
    assert not agree(BATCH, moved, SPREAD)


def test_one_large_column_hides_nothing_in_others() -> None:
    expected = torch.tensor([[1e6, 1e-3, 2e-3]])
    assert not agree(expected, expected + torch.tensor([[0.0, 1e-6, 0.0]]), SPREAD)
