"""Mean and variance over all thinned networks, where they have a closed form.

A model that drops nowhere but at the input h of its last linear layer gives, with m_i = 0 with probability p
and 1 / (1 - p) otherwise, each unit for itself,

    y_o      = b_o + Σ_i W_oi m_i h_i
    E[y_o]   = b_o + Σ_i W_oi h_i
    Var[y_o] = p / (1 - p) · Σ_i W_oi² h_i²

The mean is the deterministic prediction, and no network need be drawn. Wang & Manning (2013), "Fast dropout
training", section 2, have the same sums, and go on to approximate what comes after; nothing does here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from service.sampling.comparison import one_output, same_samples
from service.sampling.interception import DropoutCall
from service.sampling.shortcuts import arguments_of_linear
from service.sampling.sites import Site
from service.sampling.stochastic import Inputs, Sites, StochasticModel


@dataclass(frozen=True)
class LastLayer:
    """A last linear layer, and the one site, which drops from its input.

    Args:
        site: which.
        weight: [outputs, units].
        bias: [outputs], or None.
    """

    site: Site
    weight: Tensor = field(repr=False)
    bias: Tensor | None = field(repr=False)

    def moments(self, model: StochasticModel, inputs: Inputs, sites: Sites) -> tuple[Tensor, Tensor]:
        """Give mean and variance over all thinned networks, each [rows, width], float64."""
        units, output = _seen(model, inputs, sites)
        mean = one_output(output, len(inputs[0])).double()
        rate = self.site.rate
        variance = rate / (1 - rate) * F.linear(units.double().square(), self.weight.double().square())
        return mean, variance.reshape(mean.shape)

    @torch.no_grad()
    def gives(
        self, samples: Tensor, masks: Tensor, model: StochasticModel, inputs: Inputs, sites: Sites
    ) -> bool:
        """Tell whether the layer alone gives the samples of the whole model, but for rounding.

        Args:
            samples: of the loop, on `inputs`, [samples, rows, …].
            masks: the site's factors of these samples.
            model: that they are of.
            inputs: the rows.
            sites: of a pass on them.
        """
        units, _ = _seen(model, inputs, sites)
        given = [F.linear(units * mask.to(units.dtype), self.weight, self.bias) for mask in masks]
        return same_samples(samples, torch.stack(given))


@torch.no_grad()
def find_last_layer(model: StochasticModel, inputs: Inputs, sites: Sites) -> LastLayer | None:
    """Watch a pass in which nothing is dropped; what is found is a claim, for `LastLayer.gives`."""
    sampled = [site for site in sites.values() if site.sampled]
    if len(sampled) != 1 or not _drops_units(sampled[0]):
        return None
    watch = _Watch(model)
    with watch:
        _, output = _seen(model, inputs, sites, watch.follow)
    if watch.layer is None or watch.made is not output:
        return None
    last = LastLayer(sampled[0], *watch.layer)
    return last if last.weight.shape[1] == last.site.mask_shape[-1] else None


_RESHAPING = frozenset(
    {
        *(Tensor.reshape, Tensor.view, Tensor.flatten, Tensor.squeeze, Tensor.unsqueeze, Tensor.contiguous),
        *(torch.reshape, torch.flatten, torch.squeeze, torch.unsqueeze),
    }
)
"""Functions that leave every number as it is."""


class _Watch(TorchFunctionMode):
    """Finds the linear layer that takes what a site gives, and what of its output is left as it is.

    A function that does nothing to the example rows may do something to others, as a clamp does: any but
    those that change the shape alone ends the search.
    """

    def __init__(self, model: StochasticModel) -> None:
        super().__init__()
        self.layer: tuple[Tensor, Tensor | None] | None = None
        self.made: Tensor | None = None
        self._constants = {id(held) for held in model.dropping.parameters()} | {id(None)}
        self._followed: Tensor | None = None

    def follow(self, dropped: Tensor) -> None:
        """Look out for what takes this."""
        self._followed = dropped

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        made = func(*args, **given)
        leaves = tree_leaves((args, given))
        if func is F.linear and arguments_of_linear(*args, **given)[0] is self._followed:
            _, weight, bias = arguments_of_linear(*args, **given)
            if {id(weight), id(bias)} <= self._constants:
                self.layer, self.made = (weight, bias), made
        elif self.made is not None and any(leaf is self.made for leaf in leaves):
            if func in _RESHAPING:
                self.made = made
            elif isinstance(made, Tensor) or func is Tensor.__setitem__:
                self.made = None
        return made


def _seen(
    model: StochasticModel, inputs: Inputs, sites: Sites, follow: Callable[[Tensor], None] = lambda _: None
) -> tuple[Tensor, Any]:
    """Run a pass in which nothing is dropped; gives what its one sampled site takes, and the output."""
    taken: list[Tensor] = []

    def drop(call: DropoutCall, _site: Site) -> Tensor:
        taken.append(call.arguments.values.clone())  # the model may write into it later
        follow(given := call.keep_all())
        return given

    output = model.sample(inputs, sites, drop)
    return taken[0], output


def _drops_units(site: Site) -> bool:
    """Tell whether it drops each unit of a row for itself."""
    return site.kind == "dropout" and site.rate < 1 and site.rows is not None and site.rows.parts == 1
