"""Streamed moments against numpy over all samples at once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.uncertainty.moments import Moments


def streamed(samples: np.ndarray, cuts: list[int]) -> Moments:
    moments = Moments()
    for chunk in np.split(samples, sorted({cut for cut in cuts if 0 < cut < len(samples)})):
        moments.update(torch.from_numpy(chunk))
    return moments


@given(
    samples=arrays.arrays(
        np.float64,
        arrays.array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=9),
        elements=st.floats(-1e3, 1e3),
    ),
    cuts=st.lists(st.integers(1, 8)),
)
def test_any_chunks_give_the_moments_of_the_whole(samples: np.ndarray, cuts: list[int]) -> None:
    moments = streamed(samples, cuts)
    assert moments.count == len(samples)
    assert np.allclose(moments.mean, samples.mean(0), rtol=1e-12, atol=1e-9)
    assert np.allclose(moments.variance, samples.var(0, ddof=1), rtol=1e-9, atol=1e-9)
    assert np.allclose(
        moments.standard_error, np.sqrt(samples.var(0, ddof=1) / len(samples)), rtol=1e-9, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_small_variance_beside_a_large_mean_keeps_its_digits(dtype: torch.dtype) -> None:
    """Outputs in low precision are accumulated in double: what they say is kept to 9 digits."""
    samples = (100_000 + 0.05 * torch.randn(1000, 3, generator=torch.Generator().manual_seed(2))).to(dtype)
    moments = Moments()
    for chunk in samples.split(7):
        moments.update(chunk)
    expected = samples.double().numpy()
    assert np.allclose(moments.variance, expected.var(0, ddof=1), rtol=1e-9, atol=0)


def test_moments_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        _ = Moments().mean
