"""What is known of a model's inputs of one shape, and one piece of work on them."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from service.sampling.closed_form import LastLayer
from service.sampling.masks import MaskStore
from service.sampling.shortcuts import Shortcuts
from service.sampling.sites import Site
from service.sampling.stochastic import Inputs


@dataclass(frozen=True)
class Layout:
    """What the engine knows of inputs of one shape.

    Args:
        sites: by name, in the order of the forward pass.
        row_bytes: what one row adds to the largest tensor of a pass.
        sample_row_bytes: the same of what differs between samples: all after the first sampled site.
        shortcuts: arithmetic that masks make needless.
        refused: plans that differ from the loop for such inputs.
        last_layer: where it alone drops, as example rows show it: mean and variance have a closed form.
    """

    sites: Mapping[str, Site]
    row_bytes: int
    sample_row_bytes: int
    shortcuts: Shortcuts
    refused: frozenset[str] = frozenset()
    last_layer: LastLayer | None = None

    @property
    def sampled(self) -> list[Site]:
        """The sites that samples drop at."""
        return [site for site in self.sites.values() if site.sampled]


@dataclass(frozen=True)
class Networks:
    """A chunk of thinned networks.

    Args:
        seed: which, with `samples`.
        samples: a range of step 1.
        masks: the factors of the units of every sampled site, [samples, …], by the site's name.
    """

    seed: int
    samples: range
    masks: Mapping[str, Tensor]


def drawn(store: MaskStore, layout: Layout, seed: int, samples: range, kept_samples: int) -> Networks:
    """Draw the masks of a chunk of networks, of which the store keeps so many from the first."""
    masks = {site.name: store.factors(seed, site, samples, kept_samples) for site in layout.sampled}
    return Networks(seed, samples, masks)


@dataclass(frozen=True)
class Work:
    """Rows to run through a chunk of networks.

    Args:
        inputs: one tensor per argument of forward, [rows, …].
        layout: of inputs of this shape.
        networks: which.
    """

    inputs: Inputs
    layout: Layout
    networks: Networks

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.inputs[0])
