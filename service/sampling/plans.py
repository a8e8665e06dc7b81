"""Ways to run many samples. All give the same numbers, to rounding; they differ in price."""

from typing import Any, Protocol

import torch
from torch import Tensor

from service.sampling.interception import DropoutCall
from service.sampling.layout import Layout, Work
from service.sampling.sites import Site
from service.sampling.stochastic import Inputs, StochasticModel, check_shape, masked


class Plan(Protocol):
    """One way to run a chunk of samples."""

    @property
    def name(self) -> str:
        """As it is shown and pinned."""

    def takes(self, work: Work) -> bool:
        """Tell whether it can run this work."""

    def sample_row_bytes(self, layout: Layout) -> int:
        """Tell what one row of one more sample adds to the largest tensor."""

    def run(self, work: Work) -> Tensor:
        """Run it, [samples, rows, …]."""


class _OfModel:
    """What plans of one model share.

    Args:
        model: to run.
    """

    kind = ""

    def __init__(self, model: StochasticModel) -> None:
        self._model = model
        self.name = self.kind + model.suffix

    def takes(self, _work: Work) -> bool:
        """Take everything."""
        return True


class Loop(_OfModel):
    """One pass a sample, masks written in: what every other plan is held against.

    Args:
        model: to run.
    """

    kind = "loop"

    def sample_row_bytes(self, layout: Layout) -> int:
        """Tell what one row of one more sample adds to the largest tensor."""
        return layout.row_bytes

    def run(self, work: Work) -> Tensor:
        """Run a pass for each sample."""
        return torch.stack([self._pass(work, number) for number in range(len(work.networks.samples))])

    def _pass(self, work: Work, number: int) -> Tensor:
        masks = {name: factors[number] for name, factors in work.networks.masks.items()}

        def drop(call: DropoutCall, site: Site) -> Tensor:
            return masked(call, site, masks[site.name], in_place=True)

        output: Tensor = self._model.sample(work.inputs, work.layout.sites, drop)
        return output


class Vmap(_OfModel):
    """All samples in one pass, batched over the masks alone: what lies before the first site runs once.

    Args:
        model: to run.
    """

    kind = "vmap"

    def sample_row_bytes(self, layout: Layout) -> int:
        """Tell what one row of one more sample adds to the largest tensor."""
        return layout.sample_row_bytes

    def run(self, work: Work) -> Tensor:
        """Run one pass for all samples."""
        return torch.func.vmap(lambda masks: self.one(work.inputs, work.layout, masks))(self.batch(work))

    def batch(self, work: Work) -> Any:
        """Give what differs between the samples: a tree of tensors, [samples, …]."""
        return dict(work.networks.masks)

    def one(self, inputs: Inputs, layout: Layout, masks: Any) -> Tensor:
        """Run one sample by what `batch` gives for it."""

        def drop(call: DropoutCall, site: Site) -> Tensor:
            # A batched mask cannot be written into an unbatched input. Where a model lives off that write,
            # this plan differs from the loop, and is not verified.
            return masked(call, site, masks[site.name], in_place=False)

        output: Tensor = self._model.sample(inputs, layout.sites, drop)
        return output


class Fold(_OfModel):
    """Samples folded into the rows of one pass: for operations that vmap has no rule for.

    Args:
        model: to run.
    """

    kind = "fold"

    def takes(self, work: Work) -> bool:
        """Take what has rows at every site: dropped weights have none to fold samples into."""
        return all(site.rows is not None for site in work.layout.sampled)

    def sample_row_bytes(self, layout: Layout) -> int:
        """Tell what one row of one more sample adds to the largest tensor."""
        return layout.row_bytes

    def run(self, work: Work) -> Tensor:
        """Run one pass of samples · rows."""
        samples = len(work.networks.samples)

        def drop(call: DropoutCall, site: Site) -> Tensor:
            return _folded(call, site, work.networks.masks[site.name])

        repeated = tuple(tensor.repeat(samples, *[1] * (tensor.dim() - 1)) for tensor in work.inputs)
        output: Tensor = self._model.sample(repeated, work.layout.sites, drop)
        return output.unflatten(0, (samples, work.rows))


def _folded(call: DropoutCall, site: Site, factors: Tensor) -> Tensor:
    """Answer a dropout call whose rows are those of all samples, one sample's after the other's."""
    given, rows = call.arguments, site.rows
    check_shape(call, site)
    assert rows is not None  # noqa: S101  # such a site is not taken
    samples, parts = len(factors), rows.parts
    if rows.together:
        values = given.values.unflatten(rows.index, (samples, -1, parts))
        placed = factors.movedim(0, rows.index).unsqueeze(rows.index + 1)
    else:
        values = given.values.unflatten(rows.index, (parts, samples, -1))
        placed = factors.movedim(0, rows.index + 1).unsqueeze(rows.index + 2)
    return call.kind.apply(values, placed, given.rate).flatten(rows.index, rows.index + 2)
