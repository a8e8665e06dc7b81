"""What a model makes of its random draws: masks and decisions, whose rates are found here, or noise.

`torch.rand(shape) >= p`, `torch.rand_like(x) < keep` and `(keep + torch.rand(shape)).floor_()` make a mask of
numbers that are uniform from 0 to 1; `torch.empty(shape).bernoulli_(keep)` is one as it is drawn. At load a
pass is watched from the draw to where the mask multiplies, or chooses what is filled: what the model would
hold for either outcome goes along, so the probability of each is known whatever is done to it on the way
(`mask == 1`, `~mask.bool()`, `1 - mask`, `mask.div_(keep)`). In the mask's place stands its expectation, so
that the pass drops nothing. Where it decides what runs, as in `if torch.rand(1) < p: continue`, the
likelier outcome stands.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from service.errors import ModelRefused

# By names, for each has several forms: a function, a method, an operator, in place or not.
_SHAPES = {"expand", "expand_as", "flatten", "getitem", "movedim", "permute", "repeat", "reshape", "squeeze"}
_SHAPES |= {"H", "T", "broadcast_to", "data", "mT", "select", "t", "transpose", "unbind", "unflatten"}
_SHAPES |= {"unsqueeze", "view", "view_as"}
_TYPES = {"bfloat16", "bool", "byte", "double", "float", "half", "int", "long", "to", "type", "type_as"}
_SAME = _SHAPES | _TYPES | {"clone", "contiguous", "cpu", "cuda", "detach"}
_MULTIPLIES = {"div", "divide", "imul", "itruediv", "mul", "multiply", "rmul", "truediv", "true_divide"}
_AFFINE = _MULTIPLIES | {"add", "iadd", "isub", "radd", "rsub", "sub", "subtract"}
_LARGER = {"ge", "greater", "greater_equal", "gt"}
_SMALLER = {"le", "less", "less_equal", "lt"}
_COMPARES = _LARGER | _SMALLER | {"eq", "equal", "ne", "not_equal"}
_INVERTS = {"bitwise_not", "invert", "logical_not"}
_UNARY = {"abs", "ceil", "clamp", "floor", "neg", "negative", "pow", "round", "sign", "sqrt", "square"}
_OF_EACH = _SAME | _AFFINE | _COMPARES | _INVERTS | _UNARY | {"rdiv", "reciprocal", "rtruediv"}
_CHOOSES = {"masked_fill", "setitem", "where"}
_NO_SCORE = -1e4  # what models write for minus infinity is at most this
_NUMBERS = {"__float__", "__int__", "item", "tolist"}
_READS = _NUMBERS | {"__array__", "__bool__", "__index__", "numpy"}


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
    """What has one of two values.

    Args:
        site: that drew it.
        tensor: what the model holds: of a floating-point type the expectation, else anything.
        chance: the probability of `on`, 0 to 1.
        off: the one value.
        on: the other.
    """

    site: str
    tensor: Tensor
    chance: Tensor
    off: Tensor
    on: Tensor

    @property
    def expected(self) -> Tensor:
        """The expectation; next to minus infinity it means nothing, and there is the other value."""
        off, on = _floating(self.off), _floating(self.on)
        mean = torch.where(self.chance == 1, on, off + self.chance * (on - off)).to(on.dtype)
        return torch.where(on <= _NO_SCORE, off, torch.where(off <= _NO_SCORE, on, mean))

    @property
    def rate(self) -> Tensor:
        """The probability that something is dropped: of zero or of next to minus infinity."""
        on_drops = (self.on <= _NO_SCORE) | ((self.on == 0) & (self.off != 0))
        return torch.where(on_drops, self.chance, 1 - self.chance)

    @property
    def is_finite(self) -> bool:
        """Whether neither value is next to minus infinity."""
        return bool(((self.off > _NO_SCORE) & (self.on > _NO_SCORE)).all())

    @property
    def likelier(self) -> Tensor:
        """The value that is more likely."""
        return torch.where(self.chance > 0.5, self.on, self.off)

    @property
    def smaller_chance(self) -> Tensor:
        """The probability of the less likely value."""
        return torch.minimum(self.chance, 1 - self.chance)


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
        """The function's name without what marks it as an operator or as in place; of a property its own."""
        name = self.function.__name__
        return self.function.__self__.__name__ if name == "__get__" else name.strip("_")  # type: ignore[attr-defined]

    @property
    def in_place(self) -> bool:
        name = self.function.__name__
        return name in ("__setitem__", "__imul__", "__itruediv__") or name.endswith("_") != name.endswith(
            "__"
        )

    def run(self) -> Any:
        return self.function(*self.args, **self.given)

    def replaced(self, other: Tensor, instead_of: Tensor) -> "_Call":
        """Give the call with another tensor in the place of one."""
        args, given = tree_map_only(
            Tensor, lambda leaf: other if leaf is instead_of else leaf, (self.args, self.given)
        )
        return _Call(self.function, args, given)

    def run_with(self, other: Tensor, instead_of: Tensor) -> Any:
        """Run it with another tensor in the place of one."""
        return self.replaced(other, instead_of).run()


class ThresholdWatch(TorchFunctionMode):
    """Watch what one pass makes of what it draws. Used once, as a context.

    Args:
        turned: sites by which the model decides, of which the less likely outcome is to stand.

    Attributes:
        rates: the probability that each unit is dropped, by site; none for a site that dropped nothing.
        decisions: the sites by which the model decides what runs.
        unfollowed: what is to be said of masks that went where an expectation may mean nothing.
    """

    def __init__(self, turned: Collection[str] = ()) -> None:
        super().__init__()
        self.rates: dict[str, Tensor] = {}
        self.decisions: list[str] = []
        self.unfollowed: list[ModelRefused] = []
        self._turned = turned
        self._of_uniforms: set[str] = set()
        # Each holds its tensor, so no other can come by its id.
        self._watched: dict[int, _Uniform | _Mask] = {}

    def follow(self, site: str, drawn: Tensor) -> None:
        """Watch what becomes of a draw, whose tensor stands for any numbers from 0 to 1."""
        self._of_uniforms.add(site)
        self._keep(_Uniform(site, drawn, torch.zeros_like(drawn), torch.ones_like(drawn)))

    def follow_mask(self, site: str, drawn: Tensor, chance: float) -> None:
        """Watch what becomes of a mask, of zeros and ones, by the probability of a one."""
        kind = torch.promote_types(drawn.dtype, torch.float32)  # a mask of float64 is not rounded to less
        chances = torch.full(drawn.shape, chance, dtype=kind, device=drawn.device)
        self._keep(_Mask(site, drawn, chances, torch.zeros_like(drawn), torch.ones_like(drawn)))

    def decided(self, mask: _Mask) -> bool:
        """Decide by a mask of one unit which of its values a model reads: whether it is `on`."""
        self.rates.setdefault(mask.site, mask.smaller_chance)
        on = mask.chance.item() > 0.5
        if mask.smaller_chance.item() > 0:
            self.decisions.append(mask.site)
            on = on != (mask.site in self._turned)
        return on

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        call = _Call(func, args, kwargs or {})
        met = [
            self._watched[id(leaf)] for leaf in tree_leaves((args, call.given)) if id(leaf) in self._watched
        ]
        if not met:
            return call.run()
        if len(met) > 1:
            return self._of_several(met, call)
        return self._of_uniform(met[0], call) if isinstance(met[0], _Uniform) else self._of_mask(met[0], call)

    def _keep(self, watched: _Uniform | _Mask) -> Tensor:
        self._watched[id(watched.tensor)] = watched
        return watched.tensor

    def _of_several(self, met: list[_Uniform | _Mask], call: _Call) -> Any:
        masks = [one for one in met if isinstance(one, _Mask)]
        if len(masks) < len(met):
            raise _lost(met[0], call)
        for mask in masks:
            if call.name in _MULTIPLIES:
                self.rates.setdefault(mask.site, mask.rate)
            else:
                self._pass_on(mask, call)
        return self._run_with_expectations(masks, call)

    def _of_uniform(self, met: _Uniform, call: _Call) -> Any:
        if call.name in _LARGER | _SMALLER:
            return self._keep_made(_compared(met, call), call)
        if call.name == "floor":
            return self._keep_made(_floored(met), call)
        if call.name == "item" and met.tensor.numel() == 1:
            return _Number.read(self, met)
        if call.function.__name__ in _READS:
            raise _lost(met, call)
        low, high = (call.run_with(end, instead_of=met.tensor) for end in _ends(call, met.low, met.high))
        made = call.run()
        if call.name in _SAME or (call.name in _AFFINE and _with_numbers(met.tensor, call)):
            return tree_map(lambda *held: self._keep(_Uniform(met.site, *held)), made, low, high)
        return _unwatched(met, call, made)

    def _of_mask(self, met: _Mask, call: _Call) -> Any:
        if call.function.__name__ in _NUMBERS | {"__bool__"} and met.tensor.numel() == 1:
            return call.run_with(met.on if self.decided(met) else met.off, instead_of=met.tensor)
        if call.name in _CHOOSES and (mask := _placed(met, call)) is not None:
            return self._chosen(met.site, mask, call)
        if call.name == "copy" and call.args[1] is met.tensor:
            off, on = (torch.empty_like(call.args[0]).copy_(end) for end in (met.off, met.on))
            return self._keep_made(_Mask(met.site, on, met.chance, off, on), call)
        if _is_of_each(met, call):
            return self._of_each(met, call)
        is_added = call.name in _AFFINE - _MULTIPLIES and met.site in self._of_uniforms and met.is_finite
        if call.function.__name__ in _READS or is_added:
            raise _lost(met, call)
        made = self._run_with_expectations([met], call)
        if call.name in _MULTIPLIES:
            self.rates.setdefault(met.site, met.rate)
        elif any(isinstance(leaf, Tensor) for leaf in tree_leaves(made)):  # and not a shape or such
            self._pass_on(met, call)
        return made

    def _of_each(self, met: _Mask, call: _Call) -> Any:
        """Follow what is done to each value by itself, or to where it stands."""
        off, on = (call.run_with(end, instead_of=met.tensor) for end in _ends(call, met.off, met.on))
        chance = call.run_with(met.chance, instead_of=met.tensor) if call.name in _SHAPES else met.chance
        if isinstance(on, Tensor):
            return self._keep_made(_Mask(met.site, on, chance.broadcast_to(on.shape), off, on), call)
        return tree_map(lambda *held: self._keep_made(_Mask(met.site, held[2], *held), call), chance, off, on)

    def _keep_made(self, made: _Mask, call: _Call) -> Tensor:
        """Keep what a call made of something watched, where it stands if it was written in place."""
        held = call.args[0] if call.in_place else made.on.clone()
        if held.is_floating_point():
            held.copy_(made.expected)
        return self._keep(replace(made, tensor=held))

    def _pass_on(self, met: _Mask, call: _Call) -> None:
        """Note a mask that goes where it is not followed."""
        self.rates.setdefault(met.site, met.smaller_chance)
        self.unfollowed.append(_lost(met, call))

    def _run_with_expectations(self, masks: list[_Mask], call: _Call) -> Any:
        others = [
            leaf.dtype
            for leaf in tree_leaves((call.args, call.given))
            if isinstance(leaf, Tensor) and leaf.dtype != torch.bool and id(leaf) not in self._watched
        ]
        kind = next((dtype for dtype in others if dtype.is_floating_point), others[0] if others else None)
        for met in masks:
            if call.in_place and call.args[0] is met.tensor:
                self._watched.pop(id(met.tensor))  # what is written there is no mask any more
            elif not met.tensor.is_floating_point():
                # Next to integers an expectation means nothing.
                held = met.expected if kind is None or kind.is_floating_point else met.likelier
                call = call.replaced(held if kind is None else held.to(kind), instead_of=met.tensor)
        try:
            return call.run()
        except (IndexError, RuntimeError, TypeError) as cause:  # an expectation is no truth value to index by
            raise _lost(masks[0], call) from cause

    def _chosen(self, site: str, mask: Tensor, call: _Call) -> Any:
        """Give what is expected where a mask chooses; `mask` is the probability that it is true."""
        _, if_true, if_false = _choice(call)
        true_drops = call.name != "where" or _is_dropped(if_true)
        if true_drops or _is_dropped(if_false) or torch.as_tensor(if_false).numel() == 1:
            self.rates.setdefault(site, mask if true_drops else 1 - mask)
            dropped, likelier = (if_true, if_false) if true_drops else (if_false, if_true)
        else:  # one of two, as where a branch is left out
            self.rates.setdefault(site, torch.minimum(mask, 1 - mask))
            dropped, likelier = if_true, torch.where(mask > 0.5, if_true, if_false)
        kind = torch.result_type(if_true, if_false)
        mixed = mask * if_true + (1 - mask) * if_false
        # Next to minus infinity, of integers and between two values an expectation means nothing.
        if (
            not kind.is_floating_point
            or (torch.as_tensor(dropped).numel() > 1 and not _is_dropped(dropped))
            or _is_minus_infinity(dropped)
        ):
            mixed = torch.as_tensor(likelier).expand(mixed.shape)
        mixed = mixed.to(kind)
        return call.args[0].copy_(mixed) if call.in_place else mixed


class _Number(float):
    """A uniform number that the model has read, and compares by itself: the likelier outcome holds."""

    watch: ThresholdWatch
    met: _Uniform

    @classmethod
    def read(cls, watch: ThresholdWatch, met: _Uniform) -> "_Number":
        number = cls(met.tensor.item())
        number.watch, number.met = watch, met
        return number

    def _compared(self, function: Callable[..., Any], other: Any) -> bool:
        return self.watch.decided(_compared(self.met, _Call(function, (self.met.tensor, other), {})))

    def __lt__(self, other: Any) -> bool:
        return self._compared(torch.lt, other)

    def __le__(self, other: Any) -> bool:
        return self._compared(torch.le, other)

    def __gt__(self, other: Any) -> bool:
        return self._compared(torch.gt, other)

    def __ge__(self, other: Any) -> bool:
        return self._compared(torch.ge, other)


def _ends(call: _Call, *ends: Tensor) -> tuple[Tensor, ...]:
    """Give what a call may write into, if it does."""
    return tuple(end.clone() for end in ends) if call.in_place else ends


def _is_of_each(met: _Mask, call: _Call) -> bool:
    """Tell whether a call does something to each value of a mask by itself, or moves it."""
    if not call.args or (call.in_place and call.args[0] is not met.tensor):
        return False
    if call.name in _SAME:
        return call.args[0] is met.tensor
    return call.name in _OF_EACH and _with_numbers(met.tensor, call)


_CHOICES = {"masked_fill": ("input", "mask", "value"), "setitem": ("input", "mask", "value")}


def _choice(call: _Call) -> tuple[Any, Any, Any]:
    """Read who chooses between what: the mask, what stands where it is true, and what where it is not."""
    method = (
        ("input", "condition", "other") if call.function is Tensor.where else ("condition", "input", "other")
    )
    names = _CHOICES.get(call.name, method)
    named = dict(zip(names, call.args, strict=False)) | call.given
    given = [named.get(name) for name in names]
    if call.name != "where":
        return given[1], given[2], given[0]
    return named.get("condition"), named.get("input"), named.get("other")


def _placed(met: _Mask, call: _Call) -> Tensor | None:
    """Where a mask chooses, give the probability that it is true, with as many dimensions as it needs."""
    mask, _, of = _choice(call)
    expected = met.expected
    if mask is met.tensor:
        return expected if call.name != "setitem" else expected[(..., *[None] * (of.dim() - expected.dim()))]
    if call.name != "setitem" or not isinstance(mask, tuple) or mask[-1] is not met.tensor:
        return None
    before = len(mask) - 1
    if any(index != slice(None) for index in mask[:-1]):
        return None
    return expected[(..., *[None] * (of.dim() - before - expected.dim()))]


def _is_dropped(value: Tensor | float) -> bool:
    return not torch.as_tensor(value).any() or _is_minus_infinity(value)


def _is_minus_infinity(value: Tensor | float) -> bool:
    return bool((torch.as_tensor(value) <= _NO_SCORE).all())


def _compared(met: _Uniform, call: _Call) -> _Mask:
    """Compute how probable a comparison is: the share of the way from low to high on which it holds."""
    left, right = call.args[:2]
    other = right if left is met.tensor else left
    crossed = ((other - met.low) / (met.high - met.low)).clamp(0, 1)
    larger = (call.name in _LARGER) == (left is met.tensor)
    chance = torch.where(met.high > met.low, *((1 - crossed, crossed) if larger else (crossed, 1 - crossed)))
    return _zeros_and_ones(met, chance, met.tensor.dtype if call.in_place else torch.bool)


def _with_numbers(held: Tensor, call: _Call) -> bool:
    """Tell whether nothing larger than a number is added or multiplied: with data it would be noise."""
    return all(
        leaf.numel() == 1
        for leaf in tree_leaves((call.args, call.given))
        if isinstance(leaf, Tensor) and leaf is not held
    )


def _floored(met: _Uniform) -> _Mask:
    """Compute how probable a 1 is where numbers from 0 to 2 are floored."""
    if (met.low < 0).any() or (met.high > 2).any() or (met.low > met.high).any():
        raise ModelRefused(f"uniform numbers drawn at {met.site} are floored, to more than zeros and ones")
    return _zeros_and_ones(met, (met.high - 1).clamp(0, 1) / (met.high - met.low), met.tensor.dtype)


def _zeros_and_ones(met: _Uniform, chance: Tensor, dtype: torch.dtype) -> _Mask:
    off = torch.zeros_like(chance, dtype=dtype)
    return _Mask(met.site, met.tensor, chance, off, torch.ones_like(off))


def _floating(values: Tensor) -> Tensor:
    return values if values.is_floating_point() else values.to(torch.get_default_dtype())


def _unwatched(met: _Uniform | _Mask, call: _Call, made: Any) -> Any:
    """Let go what tells no numbers, such as a shape."""
    if any(isinstance(leaf, Tensor) for leaf in tree_leaves(made)):
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
