"""Linear layers cut to the units that each sample keeps."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from service.sampling.shortcuts import Cut


class Kept(NamedTuple):
    """Which units of a site each sample keeps.

    Args:
        units: their numbers in order, then dropped ones so that all samples have as many, [samples, kept].
        factors: of these units, 0 for the dropped, [samples, kept].
    """

    units: Tensor
    factors: Tensor


class CutWeight(NamedTuple):
    """A linear layer for each sample.

    Args:
        weight: [samples, outputs kept, inputs kept], times the factors of the inputs.
        bias: [samples, outputs kept]; zeros where the layer has none.
    """

    weight: Tensor
    bias: Tensor


def kept_units(factors: Tensor) -> Kept:
    """Find the kept units of masks, [samples, …, units]."""
    flat = factors.flatten(1)
    dropped = flat == 0
    most = max(1, int((~dropped).sum(1).max()))
    units = dropped.int().argsort(dim=1, stable=True)[:, :most]
    return Kept(units, flat.gather(1, units))


def cut_weight(cut: Cut, kept: Mapping[str, Kept], samples: int, dtype: torch.dtype) -> CutWeight:
    """Cut a layer for each sample, by what its sites keep; gives weights of a dtype."""
    bias = cut.weight.new_zeros(len(cut.weight)) if cut.bias is None else cut.bias
    weights, biases = [], []
    for number in range(samples):
        weight, own = cut.weight, bias
        if cut.outputs:
            units = kept[cut.outputs].units[number]
            weight, own = weight[units], own[units]
        if cut.inputs:
            weight = weight[:, kept[cut.inputs].units[number]] * kept[cut.inputs].factors[number]
        weights.append(weight.to(dtype))
        biases.append(own.to(dtype))
    return CutWeight(torch.stack(weights), torch.stack(biases))


class Pick(Function):
    """values[..., units]; all samples' at once where the values are shared: [rows, units] → [rows, kept]."""

    @staticmethod
    def forward(values: Tensor, units: Tensor) -> Tensor:
        """Pick for one sample."""
        return values.index_select(-1, units)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: there is no backward pass."""

    @staticmethod
    def vmap(_info: Any, in_dims: tuple[Any, ...], values: Tensor, units: Tensor) -> tuple[Tensor, int]:
        """Pick for all samples, units [samples, kept]."""
        if in_dims[0] is not None:
            values = values.movedim(in_dims[0], 0)
            places = units.view(len(units), *[1] * (values.dim() - 2), -1)
            return values.gather(-1, places.expand(*values.shape[:-1], -1)), 0
        # Whole rows of the transposed values are copied: many times faster than picking single numbers.
        turned = values.flatten(0, -2).t().contiguous()
        picked = turned.index_select(0, units.flatten()).view(*units.shape, -1)
        return picked.transpose(1, 2).unflatten(1, values.shape[:-1]), 0


class CutLinear(Function):
    """values · weightᵀ + bias; under vmap one batched product for all samples."""

    @staticmethod
    def forward(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Run one sample."""
        return F.linear(values, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: there is no backward pass."""

    @staticmethod
    def vmap(
        _info: Any, in_dims: tuple[Any, ...], values: Tensor, weight: Tensor, bias: Tensor
    ) -> tuple[Tensor, int]:
        """Run all samples: weight [samples, outputs, inputs], bias [samples, outputs]."""
        if in_dims[0] is None:
            values = values.expand(len(weight), *values.shape)
        else:
            values = values.movedim(in_dims[0], 0)
        # Features before rows, as Pick leaves them: no operand is copied.
        made = weight @ values.flatten(1, -2).transpose(1, 2)
        made += bias.unsqueeze(-1)
        return made.transpose(1, 2).unflatten(1, values.shape[1:-1]), 0
