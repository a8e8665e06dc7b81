"""Finding the sites of a model by running it.

Two passes with different numbers of rows tell which dimension of each site's input holds the rows: the one
that changed. All rows share a mask, so it has 1 there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from service.errors import ModelRefused
from service.sampling.interception import DropoutCall
from service.sampling.kinds import Shape
from service.sampling.observation import PassObserver, RandomOperation
from service.sampling.sites import Site
from service.sampling.stochastic import Inputs, StochasticModel

Example = Callable[[int], Inputs]  # a number of rows → inputs with so many rows


@dataclass(frozen=True)
class Discovery:
    """What passes in which nothing was dropped have shown, for inputs of one shape.

    Args:
        sites: in the order of the forward pass; nothing selected yet.
        random: random operations that no dropout function asked for.
        row_bytes: what one row adds to the largest tensor of a pass, at least 1.
    """

    sites: tuple[Site, ...]
    random: tuple[RandomOperation, ...]
    row_bytes: int


@dataclass(frozen=True)
class _SeenCall:
    call: DropoutCall
    shape: Shape
    flops_before: int


@torch.no_grad()
def discover(model: StochasticModel, example: Example) -> Discovery:
    """Run the dropping tree on 2 and on 3 rows, and compare what its dropout calls met.

    Raises:
        ModelRefused: the calls differ between the passes, or the rows cannot be told apart.
    """
    seen_with_two, two = _walk(model, example(2))
    seen_with_three, three = _walk(model, example(3))
    if [seen.call.name for seen in seen_with_two] != [seen.call.name for seen in seen_with_three]:
        raise ModelRefused(
            "which dropout layers run depends on the number of rows; such a model has no sites"
        )
    sites = tuple(
        _site(seen.call, _mask_shape(seen, other), 1 - seen.flops_before / max(1, two.flops))
        for seen, other in zip(seen_with_two, seen_with_three, strict=True)
    )
    return Discovery(sites, tuple(two.random), _row_bytes(two.made_bytes, three.made_bytes))


def _walk(model: StochasticModel, inputs: Inputs) -> tuple[list[_SeenCall], PassObserver]:
    seen: list[_SeenCall] = []
    observer = PassObserver(model.paths)

    def record(call: DropoutCall) -> Tensor:
        seen.append(_SeenCall(call, tuple(call.arguments.values.shape), observer.flops))
        return call.arguments.values

    with observer:
        model.intercepted(inputs, record)
    return seen, observer


def _site(call: DropoutCall, mask_shape: Shape, share_of_cost: float) -> Site:
    return Site(
        name=call.name,
        path=call.path,
        kind=call.kind.name,
        rate=call.arguments.rate,
        mask_shape=mask_shape,
        kept_scale=call.kind.kept_scale(call.arguments.rate),
        share_of_cost=share_of_cost,
    )


def _mask_shape(two: _SeenCall, three: _SeenCall) -> Shape:
    """One sample's mask: as torch would draw it, but with 1 in the dimension of the rows."""
    name = two.call.name
    changed = [
        axis for axis, sizes in enumerate(zip(two.shape, three.shape, strict=False)) if sizes[0] != sizes[1]
    ]
    if len(two.shape) != len(three.shape) or len(changed) > 1:
        raise ModelRefused(
            f"dropout at {name}: its input has no one dimension of rows: {two.shape}, {three.shape}"
        )
    mask = list(two.call.kind.mask_shape(two.shape))
    for axis in changed:  # none where weights are dropped: they have no rows
        if (two.shape[axis], three.shape[axis]) != (2, 3):
            raise ModelRefused(
                f"dropout at {name}: rows are folded into dimension {axis} of its input: with 2 rows it is "
                f"{two.shape}, with 3 {three.shape}; keep rows in a dimension of their own"
            )
        mask[axis] = 1
    return tuple(mask)


def _row_bytes(two: Sequence[int], three: Sequence[int]) -> int:
    """Compare the passes tensor by tensor: a transposed weight is large, but no row makes it larger."""
    return max(1, *(more - less for less, more in zip(two, three, strict=False)))
