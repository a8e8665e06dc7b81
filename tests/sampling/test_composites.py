"""Attention written out, against torch's own: with no dropout exactly, whatever its arguments."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from service.sampling.composites import attention


def keep(values: Tensor, rate: float) -> Tensor:
    return values


ARGUMENTS: list[dict[str, Any]] = [
    {"is_causal": causal, "scale": scale, "enable_gqa": grouped}
    for causal, scale, grouped in itertools.product([False, True], [None, 0.7], [False, True])
]


@pytest.mark.parametrize("given", ARGUMENTS)
def test_without_dropout_it_is_torchs(given: dict[str, Any]) -> None:
    torch.manual_seed(0)
    heads = 2 if given["enable_gqa"] else 4
    query, key, value = torch.randn(3, 4, 5, 8), torch.randn(3, heads, 6, 8), torch.randn(3, heads, 6, 7)
    expected = F.scaled_dot_product_attention(query, key, value, **given)
    assert torch.allclose(attention(keep, query, key, value, **given), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["boolean", "added", "a row that sees nothing"])
def test_masks_are_torchs(kind: str) -> None:
    torch.manual_seed(1)
    query, key, value = torch.randn(3, 3, 4, 5, 8)
    mask = torch.rand(5, 5) > 0.4
    mask[:, 0] = True
    if kind == "a row that sees nothing":
        mask[2] = False
    given = torch.randn(5, 5) if kind == "added" else mask
    expected = F.scaled_dot_product_attention(query, key, value, given)
    mine = attention(keep, query, key, value, given)
    assert torch.allclose(mine, expected, atol=1e-6)
    assert mine.isfinite().all()


def test_the_weights_are_what_is_dropped() -> None:
    torch.manual_seed(2)
    query, key, value = torch.randn(3, 2, 4, 5, 8)
    met: list[tuple[Tensor, float]] = []

    def drop(values: Tensor, rate: float) -> Tensor:
        met.append((values, rate))
        return values * 2

    doubled = attention(drop, query, key, value, dropout_p=0.3)
    ((weights, rate),) = met
    assert rate == 0.3
    assert weights.shape == (2, 4, 5, 5)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 4, 5))
    assert torch.allclose(doubled, 2 * F.scaled_dot_product_attention(query, key, value), atol=1e-6)
