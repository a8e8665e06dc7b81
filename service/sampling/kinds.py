"""What each dropout function of torch does with its mask.

Every kind is affine in the factors s of its mask (0 where dropped, `kept_scale` where kept):

    dropout, dropout1d…3d          y = x·s                                    kept_scale = 1 / (1 - p)
    alpha, feature alpha dropout   y = (x + α)·s - α·a·(1 - p)                kept_scale = a
    bernoulli                      y = s: the mask itself, for the model      kept_scale = 1
    uniform                        y = s, from 0 to 1: the model makes its mask of it by a comparison

with α = 1.7580993408473766, the negative of where SELU saturates, and a = (1 - p)^-½ (1 + p·α²)^-½, which
keeps mean and variance (Klambauer et al. 2017, "Self-normalizing neural networks", eq. 8). With p = 1
torch gives zeros for all kinds, and so do these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, ...]

_ALPHA = 1.7580993408473766


@dataclass(frozen=True)
class Kind:
    """One dropout function.

    Args:
        name: as torch calls it.
        mask_shape: an input's shape to the shape of its mask, which broadcasts over the input.
        alpha: whether dropped units take SELU's saturation value instead of zero.
        on_by_default: the function's default for its argument `training`.
        draws: whether it gives its factors themselves, instead of dropping from its input.
        uniform: whether its factors are numbers from 0 to 1, and not a mask.
    """

    name: str
    mask_shape: Callable[[Shape], Shape]
    alpha: bool = False
    on_by_default: bool = True
    draws: bool = False
    uniform: bool = False

    def kept_scale(self, rate: float) -> float:
        """The factor of a kept unit, for a rate from 0 to 1."""
        if self.draws:
            return 1.0
        if rate == 1:
            return 0.0
        return _alpha_scale(rate) if self.alpha else 1 / (1 - rate)

    def keep_all(self, values: Tensor, rate: float) -> Tensor:
        """Give what a call gives where nothing is dropped; for a draw of the model's own, its expectation."""
        if self.uniform:
            return torch.full_like(values, 0.5)
        if self.draws:
            return torch.full_like(values, 1 - rate)
        # As a dropout's, it is no parameter of a layer that is given it for a weight.
        return values.detach() if isinstance(values, nn.Parameter) else values

    def apply(self, values: Tensor, factors: Tensor, rate: float) -> Tensor:
        """Drop: `values` of any shape, `factors` broadcasting over it, the rate they were drawn with."""
        if self.uniform:
            factors = _below_one(factors, values.dtype)
        if self.draws:
            # Where the model drew it, which may not be where it runs; a copy, for it may write into it.
            return factors.to(values.device, values.dtype).expand(values.shape).clone()
        factors = factors.to(values.dtype)
        if self.alpha and rate < 1:
            return (values + _ALPHA) * factors - _ALPHA * _alpha_scale(rate) * (1 - rate)
        return values * factors


@dataclass(frozen=True)
class Arguments:
    """The arguments that all of torch's dropout functions share."""

    values: Tensor
    rate: float
    training: bool
    in_place: bool


def arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Read a call `function(input, p=0.5, training=…, inplace=False)`, however it was written.

    Those of torch itself say `train` for `training`, and those in place are named for it.
    """
    given = dict(zip(("input", "p", "training", "inplace"), args, strict=False)) | kwargs
    return Arguments(
        values=given["input"] if "input" in given else given["self"],
        rate=float(given.get("p", 0.5)),
        training=bool(given.get("training", given.get("train", KINDS[function].on_by_default))),
        in_place=bool(given.get("inplace", function.__name__.partition(".")[0].endswith("_"))),
    )


def _alpha_scale(rate: float) -> float:
    return 1 / sqrt((1 - rate) * (1 + rate * _ALPHA**2))


def _below_one(factors: Tensor, dtype: torch.dtype) -> Tensor:
    """Cut numbers from 0 to 1 to the digits of a type: rounded, 0.999 would be 1 in bfloat16."""
    steps = 2 / torch.finfo(dtype).eps
    return (factors * steps).floor() / steps if steps < 2 / torch.finfo(factors.dtype).eps else factors


def _every_element(shape: Shape) -> Shape:
    return shape


def _every_channel(shape: Shape) -> Shape:
    return shape[:2] + (1,) * (len(shape) - 2)


def _every_channel_of(dimensions: int) -> Callable[[Shape], Shape]:
    """Dropout of `dimensions` spatial ones takes an input with one dimension fewer as one unbatched row."""

    def mask_shape(shape: Shape) -> Shape:
        unbatched = len(shape) == dimensions + 1
        return shape[:1] + (1,) * (len(shape) - 1) if unbatched else _every_channel(shape)

    return mask_shape


KINDS: dict[Callable[..., Tensor], Kind] = {
    F.dropout: Kind("dropout", _every_element),
    F.dropout1d: Kind("dropout1d", _every_channel_of(1)),
    # With three dimensions dropout2d means (row, channel, length): a documented leftover of torch.
    F.dropout2d: Kind("dropout2d", _every_channel),
    F.dropout3d: Kind("dropout3d", _every_channel_of(3)),
    F.alpha_dropout: Kind("alpha_dropout", _every_element, alpha=True, on_by_default=False),
    F.feature_alpha_dropout: Kind("feature_alpha_dropout", _every_channel, alpha=True, on_by_default=False),
}
KINDS |= {
    getattr(torch, name + place): kind
    for name, kind in {
        "dropout": KINDS[F.dropout],
        "feature_dropout": Kind("feature_dropout", _every_channel),
        "alpha_dropout": KINDS[F.alpha_dropout],
        "feature_alpha_dropout": KINDS[F.feature_alpha_dropout],
    }.items()
    for place in ("", "_")
}
"""Torch's own, which those call, and which models call themselves."""


def of_aten(functions: Mapping[Callable[..., Any], Any]) -> dict[Callable[..., Any], Any]:
    """Give the entries of a table again, under the names of the same functions in `torch.ops.aten`."""
    found = {}
    for function, entry in functions.items():
        packet = getattr(torch.ops.aten, function.__name__, None)
        if packet is not None and function is not F.dropout:
            found[packet] = entry
            found |= {getattr(packet, overload): entry for overload in packet.overloads()}
    return found


KINDS |= of_aten({function: kind for function, kind in KINDS.items() if function.__module__ != F.__name__})

BERNOULLI = Kind("bernoulli", _every_element, draws=True)
"""A mask that the model draws and multiplies with itself, as stochastic depth does (Huang et al. 2016)."""

UNIFORM = Kind("uniform", _every_element, draws=True, uniform=True)
"""Numbers from 0 to 1 that the model compares with its rate: `torch.rand(shape) >= p` and its relatives."""
