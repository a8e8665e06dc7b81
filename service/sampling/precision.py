"""A model in another precision: thinned networks in bfloat16, and whether that can be afforded; and float64.

Networks run in bfloat16 where the hardware multiplies that faster. Predictions stay in the model's own
precision, and moments are accumulated in float64. What differs by rounding alone agrees in float64.
"""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from service.copies import Reached, copied
from service.sampling.interception import DropoutCall
from service.sampling.names import LOW
from service.sampling.stochastic import Inputs, StochasticModel

MEAN_SHARE = 0.10
LARGEST_SHARE = 0.30
"""What a lower precision may move a mean or a deviation by, as a share of its Monte Carlo standard error."""


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies matrices of bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities()
    return device.type == "cpu" and bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def is_float32(model: StochasticModel) -> bool:
    """Tell whether all floating-point parameters of a model are float32."""
    return all(
        held.dtype == torch.float32 for held in model.dropping.parameters() if held.is_floating_point()
    )


def in_bfloat16(model: StochasticModel) -> StochasticModel:
    """Copy the dropping tree of a model into bfloat16; inputs are converted, and outputs back.

    Raises:
        ModelRefused: it cannot be copied.
    """
    other = copy(model)
    # The hooks that follow modules are copied with them, so both trees share one record of paths.
    tree, apart = model.dropping, (model.paths,)
    other.dropping = copied(Reached(tree, apart), tree, partial(_weight_in, torch.bfloat16), apart)
    other.suffix = LOW
    run = other.intercepted

    def intercepted(inputs: Inputs, answer: Callable[[DropoutCall], Tensor]) -> Any:
        lowered = tuple(_converted(tensor, torch.bfloat16) for tensor in inputs)
        return tree_map(lambda leaf: _converted(leaf, torch.float32), run(lowered, answer))

    other.intercepted = intercepted  # type: ignore[method-assign]
    return other


def in_float64(model: StochasticModel) -> StochasticModel:
    """Copy both trees of a model into float64; inputs are converted, and outputs are left so.

    Raises:
        ModelRefused: it cannot be copied.
    """
    other, weight, apart = copy(model), partial(_weight_in, torch.float64), (model.paths,)
    other.predicting = copied(Reached(model.predicting), model.predicting, weight)
    other.dropping = copied(Reached(model.dropping, apart), model.dropping, weight, apart)
    predict, run = other.predict, other.intercepted
    raised = partial(_converted, dtype=torch.float64)
    other.predict = lambda inputs: predict(tuple(map(raised, inputs)))  # type: ignore[method-assign]
    other.intercepted = lambda inputs, answer: run(tuple(map(raised, inputs)), answer)  # type: ignore[method-assign]
    return other


def shares(expected: Tensor, given: Tensor) -> tuple[float, float]:
    """Compare means and deviations over samples, as shares of the standard errors of the expected ones.

    That of a deviation σ is taken for a normal distribution's, σ / √(2 (samples - 1)).

    Args:
        expected: [samples, rows, width].
        given: of the same shape.

    Returns:
        The mean share, of means or of deviations, whichever is larger, and the largest of all: over rows and
        outputs that vary at all.
    """
    expected, given = expected.double(), given.double()
    deviation, samples = expected.std(0), len(expected)
    means = (given.mean(0) - expected.mean(0)).abs() * samples**0.5
    deviations = (given.std(0) - deviation).abs() * (2 * (samples - 1)) ** 0.5
    relative = (torch.stack([means, deviations]) / deviation)[:, deviation > 0]
    if not relative.numel():
        return 0.0, 0.0
    return relative.mean(1).max().item(), relative.max().item()


def affordable(mean: float, most: float) -> bool:
    """Tell whether shares, on average and at most, are small enough."""
    return mean <= MEAN_SHARE and most <= LARGEST_SHARE


def _weight_in(dtype: torch.dtype, tensor: Tensor) -> Tensor:
    held = tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.detach().clone()
    return nn.Parameter(held, requires_grad=False) if isinstance(tensor, nn.Parameter) else held


def _converted(leaf: Any, dtype: torch.dtype) -> Any:
    return leaf.to(dtype) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf
