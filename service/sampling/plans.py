"""Ways to run many samples. All give the same numbers, to rounding; they differ in price."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from service.sampling.stochastic import Inputs, Masks, Sites, StochasticModel


@dataclass(frozen=True)
class Plan:
    """One way to run a chunk of samples.

    Args:
        name: as it is shown and pinned.
        run: (model, inputs [rows, …], sites, masks [samples, …]) → outputs [samples, rows, width].
    """

    name: str
    run: Callable[[StochasticModel, Inputs, Sites, Masks], Tensor]


def _loop(model: StochasticModel, inputs: Inputs, sites: Sites, masks: Masks) -> Tensor:
    samples = len(next(iter(masks.values())))
    return torch.stack(
        [
            model.sample(inputs, sites, {name: factors[t] for name, factors in masks.items()}, in_place=True)
            for t in range(samples)
        ]
    )


def _vmap(model: StochasticModel, inputs: Inputs, sites: Sites, masks: Masks) -> Tensor:
    def one(factors: dict[str, Tensor]) -> Tensor:
        # A batched mask cannot be written into an unbatched input. Where a model lives off that write, this
        # plan differs from the loop, and is not verified.
        return model.sample(inputs, sites, factors, in_place=False)

    return torch.func.vmap(one)(dict(masks))


LOOP = Plan("loop", _loop)
"""One pass a sample, masks written in: what every other plan is held against."""

VMAP = Plan("vmap", _vmap)
"""All samples in one pass, batched over the masks alone: what lies before the first site runs once."""
