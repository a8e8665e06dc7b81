"""Random draws of a model's own: functions of torch that give it a mask, or numbers that it makes one of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from service.sampling.kinds import BERNOULLI, UNIFORM, Arguments, Kind, of_aten


@dataclass(frozen=True)
class DrawCall:
    """One call that draws.

    Args:
        kind: what is drawn.
        arguments: as for a dropout function; the values give shape, type and device.
        finish: makes what the function gives of what was drawn.
    """

    kind: Kind
    arguments: Arguments
    finish: Callable[[Tensor], Any]


def read_draw(
    function: Callable[..., Any], args: tuple[Any, ...], given: Mapping[str, Any]
) -> DrawCall | None:
    """Read a call of one of `DRAWS`; None where its randomness is no mask's.

    A generator of the model's own may give the same numbers each time, and those are not ours to replace.
    """
    named = {name: value for name, value in given.items() if value is not None}
    return None if {"generator", "out"} & named.keys() else DRAWS[function](args, named)


def _uniform(values: Tensor, finish: Callable[[Tensor], Tensor], *, in_place: bool = False) -> DrawCall:
    return DrawCall(UNIFORM, Arguments(values, 0.0, training=True, in_place=in_place), finish)


def _as_drawn(drawn: Tensor) -> Tensor:
    return drawn


def _rand(args: tuple[Any, ...], given: Mapping[str, Any]) -> DrawCall:
    return _uniform(torch.empty(*args, **given), _as_drawn)


def _rand_like(args: tuple[Any, ...], given: Mapping[str, Any]) -> DrawCall:
    return _uniform(torch.empty_like(*args, **given), _as_drawn)


def _uniform_(args: tuple[Any, ...], given: Mapping[str, Any]) -> DrawCall:
    named = dict(zip(("input", "from", "to"), args, strict=False)) | dict(given)
    values, low, high = named["input"], named.get("from", 0.0), named.get("to", 1.0)

    def spread(drawn: Tensor) -> Tensor:
        return drawn if (low, high) == (0, 1) else drawn.mul_(high - low).add_(low)

    return _uniform(values, spread, in_place=True)


def _bernoulli(args: tuple[Any, ...], given: Mapping[str, Any]) -> DrawCall:
    values, probability = _probability(args, given, None)
    if probability is None:  # the input itself holds the probabilities
        return _uniform(torch.empty_like(values), lambda drawn: (drawn < values).to(values.dtype))
    return _mask(values, probability, in_place=False)


def _bernoulli_(args: tuple[Any, ...], given: Mapping[str, Any]) -> DrawCall:
    values, probability = _probability(args, given, 0.5)
    if isinstance(probability, Tensor):
        return _uniform(torch.empty_like(values), lambda drawn: values.copy_(drawn < probability))
    return _mask(values, probability, in_place=True)


def _native_dropout(args: tuple[Any, ...], given: Mapping[str, Any]) -> DrawCall:
    """`torch.native_dropout(input, p, train)` gives what is dropped from, and the mask."""
    named = dict(zip(("input", "p", "train"), args, strict=False)) | dict(given)
    values: Tensor = named["input"] if "input" in named else named["self"]
    rate = float(named["p"])
    if not named.get("train", True):
        rate = 0.0

    def both(drawn: Tensor) -> tuple[Tensor, Tensor]:
        return values * drawn * (1 / (1 - rate) if rate < 1 else 0.0), drawn.to(torch.bool)

    return DrawCall(BERNOULLI, Arguments(torch.empty_like(values), rate, training=True, in_place=False), both)


def _mask(values: Tensor, probability: float, *, in_place: bool) -> DrawCall:
    return DrawCall(
        BERNOULLI, Arguments(values, 1 - probability, training=True, in_place=in_place), _as_drawn
    )


def _probability(args: tuple[Any, ...], given: Mapping[str, Any], default: Any) -> tuple[Tensor, Any]:
    named = dict(zip(("input", "p"), args, strict=False)) | dict(given)
    return named["input"] if "input" in named else named["self"], named.get("p", default)


DRAWS: dict[Callable[..., Any], Callable[[tuple[Any, ...], Mapping[str, Any]], DrawCall]] = {
    torch.rand: _rand,
    torch.rand_like: _rand_like,
    Tensor.uniform_: _uniform_,
    torch.bernoulli: _bernoulli,
    Tensor.bernoulli: _bernoulli,
    Tensor.bernoulli_: _bernoulli_,
    torch.native_dropout: _native_dropout,
}
DRAWS |= of_aten(DRAWS)
"""How each function's call is read."""
