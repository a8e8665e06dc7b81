"""Arithmetic that masks make needless, found by watching one pass.

Two patterns. A unit that is dropped need not be multiplied: where a linear layer takes the output of a
dropout whose mask has one entry a feature, the columns of its weight that meet dropped units can be cut out;
and where nothing but elementwise functions lies between a linear layer and a later dropout, so can the rows
that make units which that one drops. And where a convolution takes a shared input from which whole channels
are dropped, it is a sum of one map a channel, which all samples share: they differ in the weights of the sum.

A tensor that anything else looks at is left whole. What was found is a claim; the planner verifies it.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from service.sampling.interception import DropoutCall, ModulePaths
from service.sampling.sites import Site
from service.sampling.spreading import Convolution
from service.sampling.stochastic import Inputs, Sites, StochasticModel

ELEMENTWISE = frozenset(
    {
        *(F.relu, F.relu6, F.gelu, F.silu, F.elu, F.selu, F.celu, F.leaky_relu, F.softplus, F.mish),
        *(F.hardswish, F.hardtanh, F.tanh, F.sigmoid, torch.relu, torch.relu_, torch.tanh, torch.sigmoid),
        *(Tensor.relu, Tensor.relu_, Tensor.tanh, Tensor.sigmoid, Tensor.clone),
    }
)
"""Functions whose every output unit is a function of the same input unit alone, the same for all units."""

_WORTH_CUTTING = 0.3  # below, what is saved is less than what other shapes of matrix cost (measured 2026-11)


Call = str
"""A call of a linear or convolution function: the module in whose forward it stands, and its number there."""


@dataclass(frozen=True)
class Cut:
    """A linear layer of which a sample needs only a part.

    Args:
        weight: [outputs, inputs].
        bias: [outputs], or None.
        inputs: the site that drops inputs; None where all are there.
        outputs: the site that drops outputs; None where all are needed.
    """

    weight: Tensor = field(repr=False)
    bias: Tensor | None = field(repr=False)
    inputs: str | None
    outputs: str | None


@dataclass(frozen=True)
class SpreadCall:
    """A convolution whose input is shared but for the channels that a site drops.

    Args:
        site: which.
        maps_bytes: memory of its channels' maps for one row.
    """

    site: str
    maps_bytes: int


@dataclass(frozen=True)
class Shortcuts:
    """What can be left out for inputs of one shape.

    Args:
        cuts: linear layers of which a sample needs a part.
        gathered: sites whose input is whole: they pick what is kept.
        spread: convolutions that can be a sum over channels.
    """

    cuts: Mapping[Call, Cut]
    gathered: frozenset[str]
    spread: Mapping[Call, SpreadCall]

    @property
    def thinned(self) -> frozenset[str]:
        """The sites whose dropped units are never made, or never used."""
        return frozenset(cut.inputs for cut in self.cuts.values() if cut.inputs)

    @property
    def maps_bytes(self) -> int:
        """Memory of the largest maps for one row."""
        return max((spread.maps_bytes for spread in self.spread.values()), default=0)


class CallCounter:
    """Names the calls of a pass.

    Args:
        paths: of the tree that runs.
    """

    def __init__(self, paths: ModulePaths) -> None:
        self._paths = paths
        self._met: Counter[str] = Counter()

    def next(self) -> Call:
        """Name the call that is being made."""
        path = self._paths.current
        self._met[path] += 1
        return f"{path}#{self._met[path]}"


@torch.no_grad()
def find_shortcuts(model: StochasticModel, inputs: Inputs, sites: Sites) -> Shortcuts:
    """Watch a pass in which nothing is dropped."""
    watch = _Watch(model, sites)
    with watch:
        output = model.intercepted(inputs, watch.answer)
    return watch.finish(output)


@dataclass
class _Seen:
    """What is known of a tensor: it is from `site` or, through elementwise functions, from linear `call`."""

    tensor: Any  # kept, so that no other tensor takes its identity
    site: str | None = None
    call: Call | None = None
    varies: bool = False


class _Watch(TorchFunctionMode):
    """Follows what becomes of dropped units and of the outputs of linear layers."""

    def __init__(self, model: StochasticModel, sites: Sites) -> None:
        super().__init__()
        self._sites = sites
        self._constants = {id(held) for held in model.dropping.parameters()}
        self._counter = CallCounter(model.paths)
        self._seen: dict[int, _Seen] = {}
        self._spoilt: set[object] = set()  # sites and calls that something else looked at
        self._linears: dict[Call, tuple[Tensor, Tensor | None]] = {}
        self._takes: dict[Call, str] = {}  # a linear call, and the site whose output it takes
        self._makes: dict[str, Call] = {}  # a site, and the linear call whose outputs it drops
        self._spread: dict[Call, SpreadCall] = {}
        self._shared: set[str | None] = set()  # sites whose input is the same in all samples

    def answer(self, call: DropoutCall) -> Tensor:
        """Stand for a dropout function."""
        site = self._sites[call.name]
        values = call.arguments.values
        if not site.sampled:
            return values
        before = self._of(values)
        if not before.varies:
            self._shared.add(site.name)
        if _cuttable(site) and before.call and before.call not in self._makes.values():
            self._makes[site.name] = before.call
        else:
            self._spoil(values)
        dropped = values.clone()
        self._seen[id(dropped)] = _Seen(dropped, site=site.name, varies=True)
        return dropped

    def finish(self, output: object) -> Shortcuts:
        """Say what is left when the pass is over: whatever is part of the output must be whole."""
        for leaf in tree_leaves(output):
            self._spoil(leaf)
        sites = {
            name for name in self._takes.values() if name not in self._spoilt and _cuttable(self._sites[name])
        }
        makes = {
            call: name for name, call in self._makes.items() if name in sites and call not in self._spoilt
        }
        takes = {call: name for call, name in self._takes.items() if name in sites}
        cuts = {
            call: Cut(*self._linears[call], inputs=takes.get(call), outputs=makes.get(call))
            for call in self._linears
            if call in takes or call in makes
        }
        spread = {call: found for call, found in self._spread.items() if found.site not in self._spoilt}
        return Shortcuts(cuts, frozenset(sites - set(makes.values())), spread)

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        made = func(*args, **given)
        if func is F.linear:
            self._linear(args, given, made)
        elif func is F.conv2d:
            self._convolution(args, given, made)
        elif func in ELEMENTWISE and not self._of(args[0]).site:
            self._note(made, call=self._of(args[0]).call, varies=self._of(args[0]).varies)
        else:
            self._other(args, given, made)
        return made

    def _linear(self, args: tuple[Any, ...], given: dict[str, Any], made: Tensor) -> None:
        values, weight, bias = arguments_of_linear(*args, **given)
        call, before = self._counter.next(), self._of(values)
        if not (self._constant(weight) and self._constant(bias)):
            self._other(args, given, made)
            return
        self._linears[call] = weight, bias
        if before.site and _cuttable(self._sites[before.site]):
            self._takes[call] = before.site
            self._spoilt.add(before.call)
        else:
            self._spoil(values)
        self._note(made, call=call if before.varies else None, varies=before.varies)

    def _convolution(self, args: tuple[Any, ...], given: dict[str, Any], made: Tensor) -> None:
        convolution, call = Convolution.of(*args, **given), self._counter.next()
        site = self._sites.get(self._of(convolution.values).site or "")
        constant = self._constant(convolution.weight) and self._constant(convolution.bias)
        shared = site is not None and site.name in self._shared and _drops_channels(site)
        if site and shared and constant and convolution.can_spread(made):
            self._spread[call] = SpreadCall(site.name, convolution.maps_bytes(made))
            self._note(made, varies=True)
        else:
            self._other(args, given, made)

    def _constant(self, tensor: Tensor | None) -> bool:
        return tensor is None or id(tensor) in self._constants

    def _other(self, args: tuple[Any, ...], given: dict[str, Any], made: object) -> None:
        leaves = tree_leaves((args, given))
        varies = any(self._of(leaf).varies for leaf in leaves)
        for leaf in leaves:
            self._spoil(leaf)
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._note(leaf, varies=varies)

    def _note(self, tensor: Tensor, *, call: Call | None = None, varies: bool) -> None:
        self._seen[id(tensor)] = _Seen(tensor, call=call, varies=varies)

    def _of(self, tensor: object) -> _Seen:
        return self._seen.get(id(tensor), _NOTHING)

    def _spoil(self, tensor: object) -> None:
        seen = self._of(tensor)
        self._spoilt |= {seen.site, seen.call}


_NOTHING = _Seen(None)


def arguments_of_linear(
    input: Tensor,  # noqa: A002  # torch's name
    weight: Tensor,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Read a call of F.linear, however it was written."""
    return input, weight, bias


def _cuttable(site: Site) -> bool:
    """Tell whether its mask has one entry a feature, the same in every other dimension."""
    rows, last = site.rows, len(site.mask_shape) - 1
    return (
        site.kind == "dropout"
        and _WORTH_CUTTING <= site.rate < 1
        and rows is not None
        and rows.parts == 1
        and rows.index != last
        and all(size == 1 for size in site.mask_shape[:-1])
    )


def _drops_channels(site: Site) -> bool:
    rows = site.rows
    by_channel = (
        site.kind in ("dropout", "dropout2d") and [*site.mask_shape[:1], *site.mask_shape[2:]] == [1] * 3
    )
    return by_channel and rows is not None and rows.index == 0 and rows.parts == 1
