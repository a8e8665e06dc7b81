"""Plans that leave out what masks make needless."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from threading import Lock
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from service.sampling.cuts import CutLinear, CutWeight, Pick, cut_weight, kept_units
from service.sampling.interception import DropoutCall, ModulePaths
from service.sampling.layout import Layout, Work
from service.sampling.masks import MaskStore
from service.sampling.plans import Vmap
from service.sampling.shortcuts import Call, CallCounter, Cut, arguments_of_linear
from service.sampling.sites import Site
from service.sampling.spreading import Convolution, normalised
from service.sampling.stochastic import Inputs, StochasticModel, masked


class Batch(NamedTuple):
    """What differs between samples; each tensor is [samples, …].

    Args:
        masks: of the sites that drop as ever.
        picks: the units that a site keeps.
        cuts: layers of which only a part is needed.
    """

    masks: dict[str, Tensor]
    picks: dict[str, Tensor]
    cuts: dict[Call, CutWeight]


@dataclass(frozen=True)
class KeptSamples:
    """Samples that are asked for again and again.

    Args:
        seed: of them.
        samples: how many, from the first.
        budget_bytes: the most memory that what is made for them may take.
    """

    seed: int
    samples: int
    budget_bytes: int


class Spread(Vmap):
    """Like vmap, with convolutions of dropped channels as sums over the channels.

    Args:
        model: to run.
        maps_bytes: the most memory that maps of channels may take.
    """

    kind = "spread"

    def __init__(self, model: StochasticModel, maps_bytes: int) -> None:
        super().__init__(model)
        self._maps_bytes = maps_bytes

    def takes(self, work: Work) -> bool:
        """Take what has such a convolution."""
        return 0 < work.rows * work.layout.shortcuts.maps_bytes <= self._maps_bytes

    def batch(self, work: Work) -> Batch:
        """Give what differs between the samples."""
        return Batch(dict(work.networks.masks), {}, {})

    def one(self, inputs: Inputs, layout: Layout, batch: Any) -> Tensor:
        """Run one sample by what `batch` gives for it."""
        maps = len(inputs[0]) * layout.shortcuts.maps_bytes
        spread = layout.shortcuts.spread if maps <= self._maps_bytes else {}
        spreading = {found.site for found in spread.values()}

        def drop(call: DropoutCall, site: Site) -> Tensor:
            values = call.arguments.values
            if site.name in spreading:
                return values
            if site.name in batch.masks:
                return masked(call, site, batch.masks[site.name], in_place=False)
            return Pick.apply(values, batch.picks[site.name]) if site.name in batch.picks else values

        factors = {call: batch.masks[found.site].flatten() for call, found in spread.items()}
        with _Shortened(self._model.paths, factors, batch.cuts):
            output: Tensor = self._model.sample(inputs, layout.sites, drop)
        return output


class _Shortened(TorchFunctionMode):
    """One pass in which some linear layers are cut and some convolutions are sums over channels."""

    def __init__(
        self, paths: ModulePaths, factors: Mapping[Call, Tensor], cuts: Mapping[Call, CutWeight]
    ) -> None:
        super().__init__()
        self._counter = CallCounter(paths)
        self._factors = factors
        self._cuts = cuts

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func is F.batch_norm:
            return normalised(*args, **given)
        if func is F.linear or func is F.conv2d:
            call = self._counter.next()
            if call in self._cuts:
                return CutLinear.apply(arguments_of_linear(*args, **given)[0], *self._cuts[call])
            if call in self._factors:
                return Convolution.of(*args, **given).weighted(self._factors[call])
        return func(*args, **given)


class Thinned(Spread):
    """Like those, without what a sample drops: linear layers are cut to the units that it keeps.

    A chain Linear → elementwise → dropout → Linear costs (1 - p)² of its multiplications. The cut weights are
    made once, for the samples of one seed that is asked for again and again.

    Args:
        model: to run.
        layout: of the inputs it is made for.
        masks: where masks come from.
        kept: whose cut weights are kept.
        maps_bytes: the most memory that maps of channels may take.
    """

    kind = "thinned"

    def __init__(
        self,
        model: StochasticModel,
        layout: Layout,
        masks: MaskStore,
        kept: KeptSamples,
        maps_bytes: int,
    ) -> None:
        super().__init__(model, maps_bytes)
        self._masks = masks
        self._layout = layout
        self._seed = kept.seed
        each = sum(_cut_bytes(cut, layout) for cut in layout.shortcuts.cuts.values())
        # All that are usual or none: what was verified and measured is what runs.
        self._samples = kept.samples if each * kept.samples <= kept.budget_bytes else 0
        self._lock = Lock()
        self._made: Batch | None = None

    def takes(self, work: Work) -> bool:
        """Take samples of the kept seed, for a model that has layers to cut."""
        networks, cuts = work.networks, work.layout.shortcuts.cuts
        kept = networks.seed == self._seed and networks.samples.stop <= self._samples
        return kept and bool(cuts) and cuts.keys() == self._layout.shortcuts.cuts.keys()

    def batch(self, work: Work) -> Batch:
        """Give what differs between the samples."""
        thinned = work.layout.shortcuts.thinned
        masks = {name: held for name, held in work.networks.masks.items() if name not in thinned}
        made, chunk = self._kept(), slice(work.networks.samples.start, work.networks.samples.stop)
        picks = {name: units[chunk] for name, units in made.picks.items()}
        cuts = {call: CutWeight(cut.weight[chunk], cut.bias[chunk]) for call, cut in made.cuts.items()}
        return Batch(masks, picks, cuts)

    def forget(self) -> None:
        """Give the memory of the cut weights back; they are made again if they are asked for."""
        with self._lock:
            self._made = None

    def _kept(self) -> Batch:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> Batch:
        shortcuts = self._layout.shortcuts
        kept = {
            name: kept_units(
                self._masks.factors(self._seed, self._layout.sites[name], range(self._samples), 0)
            )
            for name in shortcuts.thinned
        }
        dtype = next(self._model.dropping.parameters()).dtype
        cuts = {call: cut_weight(cut, kept, self._samples, dtype) for call, cut in shortcuts.cuts.items()}
        return Batch({}, {name: kept[name].units for name in shortcuts.gathered}, cuts)


def _cut_bytes(cut: Cut, layout: Layout) -> int:
    """Memory of one sample's part of a layer."""
    kept = [1 - layout.sites[name].rate for name in (cut.inputs, cut.outputs) if name]
    return int(cut.weight.nbytes * prod(kept))
