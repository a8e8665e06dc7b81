"""The model as a function of its inputs and of the masks of one sample."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from service.errors import ModelError
from service.sampling.custom_functions import forward_alone
from service.sampling.interception import DropoutCall, DropoutPass, ModulePaths
from service.sampling.kinds import Kind
from service.sampling.signature import Calling
from service.sampling.sites import RowDimension, Site
from service.sampling.trees import dropping_tree, predicting_tree

Inputs = tuple[Tensor, ...]
Sites = Mapping[str, Site]
Masks = Mapping[str, Tensor]
Drop = Callable[[DropoutCall, Site], Tensor]


class StochasticModel:
    """A model and its thinned networks.

    Args:
        model: kept, put into eval mode and frozen.
        calling: how it is called; None for by order, with one tensor to give.

    Attributes:
        suffix: of the names of plans that run it, where it is not in the model's own precision.
    """

    suffix = ""

    def __init__(self, model: nn.Module, calling: Calling | None = None) -> None:
        self._calling = calling or Calling(model)
        self.predicting = predicting_tree(model)
        self.dropping, self.held_in_eval = dropping_tree(model)
        self.paths = ModulePaths(self.dropping)

    def predict(self, inputs: Inputs) -> Any:
        """Run the whole network, nothing dropped."""
        # Some models write into their input; the caller's stays as it is.
        return self._calling(self.predicting, tuple(tensor.clone() for tensor in inputs))

    def sample(self, inputs: Inputs, sites: Sites, drop: Drop) -> Any:
        """Run thinned networks.

        Args:
            inputs: one tensor per argument of forward, [rows, …].
            sites: every site the model was seen to have with inputs of this shape, by name.
            drop: does what a sampled site does.

        Raises:
            ModelError: a dropout call is not the one that was seen when the model was loaded.
        """
        met: set[str] = set()

        def answer(call: DropoutCall) -> Tensor:
            site = _recognised(call, sites)
            met.add(site.name)
            return drop(call, site) if site.sampled else call.keep_all()

        output = self.intercepted(inputs, answer)
        missed = {site.name for site in sites.values() if site.sampled} - met
        if missed and not any(site.decides for site in sites.values()):
            raise ModelError(
                f"dropout at {', '.join(sorted(missed))} ran when the model was loaded, and not now"
            )
        return output

    def intercepted(self, inputs: Inputs, answer: Callable[[DropoutCall], Tensor]) -> Any:
        """Run one pass of the dropping tree in which `answer` stands for every dropout function."""
        self.paths.restart()
        with forward_alone(), DropoutPass(self.paths, answer, self.held_in_eval, len(inputs[0])):
            return self._calling(self.dropping, tuple(tensor.clone() for tensor in inputs))


def masked(call: DropoutCall, site: Site, factors: Tensor, *, in_place: bool) -> Tensor:
    """Answer a dropout call with one sample's mask.

    Args:
        call: what was called.
        site: the call's.
        factors: of the site's units, of its mask's shape.
        in_place: whether a call with `inplace=True` writes into its input, as torch does.

    Raises:
        ModelError: the mask is not made for an input of this shape.
    """
    given = call.arguments
    check_shape(call, site)
    dropped = _applied(call.kind, site.rows, given.values, factors, given.rate)
    return given.values.copy_(dropped) if in_place and given.in_place else dropped


def check_shape(call: DropoutCall, site: Site) -> None:
    """Refuse an input for which the site's mask is not made."""
    if not site.takes(call.kind.mask_shape(tuple(call.arguments.values.shape)), call.rows):
        raise ModelError(
            f"dropout at {call.name} met a shape for which its mask {site.mask_shape} is not made"
        )


def _applied(kind: Kind, rows: RowDimension | None, values: Tensor, factors: Tensor, rate: float) -> Tensor:
    if rows is None or rows.parts == 1:
        return kind.apply(values, factors, rate)
    return rows.folded(kind.apply(rows.unfolded(values), rows.for_rows(factors), rate))


def _recognised(call: DropoutCall, sites: Sites) -> Site:
    """Find the call's site. One that is new or changed must not pass as sampled, nor as nothing."""
    site = sites.get(call.name)
    if site is None:
        raise ModelError(f"dropout at {call.name} did not run when the model was loaded, so it has no mask")
    if site.kind != call.kind.name:
        raise ModelError(f"dropout at {call.name} was {site.kind} at load and is now {call.kind.name}")
    if site.zeros != call.arguments.rate and not call.kind.uniform:  # its rate is the model's to compare with
        raise ModelError(
            f"dropout at {call.name} had rate {site.zeros} at load and now {call.arguments.rate}"
        )
    return site
