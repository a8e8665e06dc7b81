"""Ways to run many samples. All give the same numbers, to rounding; they differ in price."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from service.sampling.interception import DropoutCall
from service.sampling.kinds import BERNOULLI, UNIFORM
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
            batched = torch._C._functorch.is_batchedtensor(call.arguments.values)  # noqa: SLF001
            return masked(call, site, masks[site.name], in_place=call.kind.draws and batched)

        with _DrawnInto(self._model, layout, masks):
            output: Tensor = self._model.sample(inputs, layout.sites, drop)
        return output


class _DrawnInto(TorchFunctionMode):
    """Makes what a model is about to write a mask into, as `torch.empty(n).bernoulli_(p)`, for each sample.

    Args:
        model: that runs.
        layout: says which of its modules draw.
        masks: of one sample, within vmap, by the site's name.
    """

    def __init__(self, model: StochasticModel, layout: Layout, masks: Any) -> None:
        super().__init__()
        self._paths = model.paths
        self._drawing = {
            site.path: masks[site.name]
            for site in layout.sampled
            if site.kind in (BERNOULLI.name, UNIFORM.name) and site.name in masks
        }

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if func not in _EMPTY or self._paths.current not in self._drawing:
            return made
        one = self._drawing[self._paths.current].flatten()[:1].to(made.device, made.dtype)
        return one.expand(made.shape).clone()


_EMPTY = frozenset({torch.empty, torch.empty_like, Tensor.new_empty})


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
    index = rows.index
    values = given.values.unflatten(index, (rows.outer, len(factors), -1, rows.inner))
    placed = rows.apart(factors, index + 1).movedim(0, index + 1).unsqueeze(index + 2)
    dropped = call.kind.apply(values, placed, given.rate).flatten(index, index + 3)
    return given.values.copy_(dropped) if call.kind.draws and given.in_place else dropped
