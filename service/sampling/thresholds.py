"""What a model makes of its uniform draws: a mask, whose rate is found here, or noise, which is refused.

`torch.rand(shape) >= p`, `torch.rand_like(x) < keep` and `(keep + torch.rand(shape)).floor_()` make a mask of
numbers that are uniform from 0 to 1. At load a pass is watched from the draw to the mask: what the numbers
would be at 0 and at 1 goes along, so the probability of the comparison is known. In the mask's place stands
its expectation, so that the pass drops nothing; where it multiplies, or chooses what is filled, it tells the
rate, and the watch ends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from service.errors import ModelRefused

# By names, for each has several forms: a function, a method, an operator, in place or not.
_SHAPES = {"expand", "expand_as", "flatten", "getitem", "movedim", "permute", "repeat", "reshape", "squeeze"}
_SHAPES |= {"t", "transpose", "unflatten", "unsqueeze", "view"}
_TYPES = {"bfloat16", "bool", "double", "float", "half", "to", "type", "type_as"}
_SAME = _SHAPES | _TYPES | {"clone", "contiguous", "cpu", "cuda", "detach"}
_MULTIPLIES = {"div", "divide", "imul", "itruediv", "mul", "multiply", "rmul", "truediv"}
_AFFINE = _MULTIPLIES | {"add", "iadd", "isub", "radd", "rsub", "sub"}
_LARGER = {"ge", "greater", "greater_equal", "gt"}
_SMALLER = {"le", "less", "less_equal", "lt"}
_CHOOSES = {"masked_fill", "setitem", "where"}
_INVERTS = {"bitwise_not", "invert", "logical_not"}
_NO_SCORE = -1e4  # what models write for minus infinity is at most this
_READS = {"__array__", "__bool__", "__float__", "__index__", "__int__", "item", "numpy", "tolist"}


@dataclass(frozen=True)
class _Uniform:
    """Numbers on their way to a comparison.

    Args:
        site: that drew them.
        tensor: what the model holds.
        low: what it would hold had 0 been drawn.
        high: what it would hold had 1 been drawn.
    """

    site: str
    tensor: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class _Mask:
    """The expectation of a mask: the probability that each unit is true, or 1."""

    site: str
    tensor: Tensor


@dataclass(frozen=True)
class _Call:
    """A call of a function of torch that met something watched.

    Args:
        function: which.
        args: by position.
        given: by name.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    given: dict[str, Any]

    @property
    def name(self) -> str:
        """The function's name without what marks it as an operator or as in place."""
        return self.function.__name__.strip("_")

    @property
    def in_place(self) -> bool:
        name = self.function.__name__
        return name in ("__setitem__", "__imul__", "__itruediv__") or name.endswith("_") != name.endswith(
            "__"
        )

    def run(self) -> Any:
        return self.function(*self.args, **self.given)

    def run_with(self, other: Tensor, instead_of: Tensor) -> Any:
        """Run it with another tensor in the place of one."""
        args, given = tree_map_only(
            Tensor, lambda leaf: other if leaf is instead_of else leaf, (self.args, self.given)
        )
        return self.function(*args, **given)


class ThresholdWatch(TorchFunctionMode):
    """Watch what one pass makes of the uniform numbers that it draws. Used once, as a context.

    Attributes:
        rates: the probability that each unit is dropped, by site; none for a site that dropped nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rates: dict[str, Tensor] = {}
        # Each holds its tensor, so no other can come by its id.
        self._watched: dict[int, _Uniform | _Mask] = {}

    def follow(self, site: str, drawn: Tensor) -> None:
        """Watch what becomes of a draw, whose tensor stands for any numbers from 0 to 1."""
        self._keep(_Uniform(site, drawn, torch.zeros_like(drawn), torch.ones_like(drawn)))

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        call = _Call(func, args, kwargs or {})
        met = [
            self._watched[id(leaf)] for leaf in tree_leaves((args, call.given)) if id(leaf) in self._watched
        ]
        if not met:
            return call.run()
        if len(met) > 1 and call.name not in _MULTIPLIES:
            raise _lost(met[0], call)
        return self._of_uniform(met[0], call) if isinstance(met[0], _Uniform) else self._of_mask(met[0], call)

    def _keep(self, watched: _Uniform | _Mask) -> Tensor:
        self._watched[id(watched.tensor)] = watched
        return watched.tensor

    def _of_uniform(self, met: _Uniform, call: _Call) -> Any:
        if call.name in _LARGER | _SMALLER:
            return self._keep(_Mask(met.site, _probability(met, call)))
        if call.name == "floor":
            expected = _floored(met)
            return self._keep(_Mask(met.site, met.tensor.copy_(expected) if call.in_place else expected))
        low, high = (call.run_with(end, instead_of=met.tensor) for end in (met.low, met.high))
        made = call.run()
        if call.name in _SAME or (call.name in _AFFINE and _with_numbers(met, call)):
            return self._keep(_Uniform(met.site, made, low, high))
        return _unwatched(met, call, made)

    def _of_mask(self, met: _Mask, call: _Call) -> Any:
        mask = met.tensor
        if call.name in _INVERTS or (call.name == "rsub" and call.args[1] == 1):
            return self._keep(_Mask(met.site, 1 - mask))
        if call.name in _CHOOSES:
            return self._chosen(met, call)
        if call.name in _MULTIPLIES:
            return self._multiplied(met, call)
        if call.name == "copy" and call.args[1] is mask:
            return self._keep(_Mask(met.site, call.run()))
        try:
            made = call.run()
        except (IndexError, RuntimeError, TypeError) as cause:  # an expectation is no truth value to index by
            raise _lost(met, call) from cause
        if call.function.__name__ == "__bool__" and (mask == made).all():  # a rate of 0: nothing is left out
            self.rates.setdefault(met.site, torch.zeros(()))
            return made
        if call.name in _SAME and isinstance(made, Tensor) and call.args[0] is mask:
            # As a truth value it would be lost that it is an expectation.
            return self._keep(_Mask(met.site, made if made.is_floating_point() else mask.clone()))
        return _unwatched(met, call, made)

    def _multiplied(self, met: _Mask, call: _Call) -> Tensor:
        self.rates.setdefault(met.site, 1 - met.tensor)
        others = [
            leaf for leaf in tree_leaves(call.args) if isinstance(leaf, Tensor) and leaf is not met.tensor
        ]
        if call.in_place or not others:
            made = call.run()
            if made is met.tensor:
                self._watched.pop(id(made))  # it is scaled, and no probability any more
            return made
        return call.run_with(met.tensor.to(others[0].dtype), instead_of=met.tensor)

    def _chosen(self, met: _Mask, call: _Call) -> Any:
        mask, if_true, if_false = _choice(call)
        if mask is not met.tensor:
            raise _lost(met, call)
        true_drops = call.name != "where" or _is_dropped(if_true)
        self.rates.setdefault(met.site, mask if true_drops else 1 - mask)
        dropped, kept = (if_true, if_false) if true_drops else (if_false, if_true)
        # Next to minus infinity an expectation means nothing: with nothing dropped there is what is kept.
        finite = not _is_minus_infinity(dropped)
        mixed = mask * if_true + (1 - mask) * if_false if finite else torch.as_tensor(kept).expand(mask.shape)
        mixed = mixed.to(torch.result_type(if_true, if_false))
        return call.args[0].copy_(mixed) if call.in_place else mixed


def _choice(call: _Call) -> tuple[Any, Any, Any]:
    """Read who chooses between what: the mask, what stands where it is true, and what where it is not."""
    if len(call.args) < 3:
        return None, None, None
    first, second, third = call.args[:3]
    if call.name != "where":
        return second, third, first
    return (first, second, third) if call.function is torch.where else (second, first, third)


def _is_dropped(value: Tensor | float) -> bool:
    return not torch.as_tensor(value).any() or _is_minus_infinity(value)


def _is_minus_infinity(value: Tensor | float) -> bool:
    return bool((torch.as_tensor(value) <= _NO_SCORE).all())


def _probability(met: _Uniform, call: _Call) -> Tensor:
    """Compute how probable a comparison is: the share of the way from low to high on which it holds."""
    left, right = call.args[:2]
    other = right if left is met.tensor else left
    crossed = ((other - met.low) / (met.high - met.low)).clamp(0, 1)
    larger = (call.name in _LARGER) == (left is met.tensor)
    return torch.where(met.high > met.low, *((1 - crossed, crossed) if larger else (crossed, 1 - crossed)))


def _with_numbers(met: _Uniform, call: _Call) -> bool:
    """Tell whether nothing larger than a number is added or multiplied: with data it would be noise."""
    return all(
        leaf.numel() == 1
        for leaf in tree_leaves(call.args)
        if isinstance(leaf, Tensor) and leaf is not met.tensor
    )


def _floored(met: _Uniform) -> Tensor:
    """Compute how probable a 1 is where numbers from 0 to 2 are floored."""
    if (met.low < 0).any() or (met.high > 2).any() or (met.low > met.high).any():
        raise ModelRefused(f"uniform numbers drawn at {met.site} are floored, to more than zeros and ones")
    return (met.high - 1).clamp(0, 1) / (met.high - met.low)


def _unwatched(met: _Uniform | _Mask, call: _Call, made: Any) -> Any:
    """Let go what tells no numbers, such as a shape."""
    if call.function.__name__ in _READS or any(isinstance(leaf, Tensor) for leaf in tree_leaves(made)):
        raise _lost(met, call)
    return made


def _lost(met: _Uniform | _Mask, call: _Call) -> ModelRefused:
    name = call.function.__name__
    if isinstance(met, _Uniform):
        return ModelRefused(
            f"the uniform numbers drawn at {met.site} go into {name}, and are not compared with a rate: "
            "that is noise and no dropout, and is not sampled"
        )
    return ModelRefused(
        f"the mask drawn at {met.site} goes into {name}, beyond which its rate is not known: multiply by it, "
        "or choose with where or masked_fill"
    )
