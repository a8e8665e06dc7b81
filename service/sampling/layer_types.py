"""What kind of layer a site drops from, and the rates that are usual there.

Only a rate clearly above the range is told. One below it is no mistake: the less is dropped, the less the
samples differ, and how much they must is for the data to say (Gal et al. 2017 learn rates near zero).
"""

from collections.abc import Callable
from dataclasses import dataclass

from service.sampling.catalogue import DEVLIN, PARK, RECURRENT, SRIVASTAVA, VASWANI
from service.sampling.sites import Site
from service.sampling.surroundings import Surroundings

TOLERANCE = 0.1
"""How far above its range a rate is still a matter of taste."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class LayerType:
    """One kind of layer.

    Args:
        name: for people.
        least: of the rates that are usual, 0 to 1.
        most: of them.
        source: whose rates they are after.
        matches: whether a site drops from such a layer.
    """

    name: str
    least: float
    most: float
    source: str
    matches: Callable[[Site, Surroundings], bool]

    @property
    def usual(self) -> str:
        """The range in words."""
        return f"{self.least:g} to {self.most:g}" if self.least < self.most else f"{self.most:g}"

    def exceeded(self, rate: float) -> bool:
        """Tell whether a rate is so far above the range that it is no matter of taste."""
        return rate > self.most + TOLERANCE + _ROUNDING


def layer_type(site: Site, around: Surroundings) -> LayerType | None:
    """Tell what kind of layer a site drops from; None where the computation is of none of them."""
    return next((kind for kind in LAYER_TYPES if kind.matches(site, around)), None)


def steps(site: Site) -> int:
    """Count the places, such as steps of time, that have units of their own in a mask; 1 if none."""
    rows = site.rows.index if site.rows else None
    sizes = [size for index, size in enumerate(site.mask_shape[:-1]) if index != rows]
    return max(sizes, default=1)


def _is_attention(_site: Site, around: Surroundings) -> bool:
    return "softmax" in around.made_by and "product" in around.taken_by


def _is_embedding(_site: Site, around: Surroundings) -> bool:
    return around.made_by == {"embedding"}


def _is_recurrent(site: Site, around: Surroundings) -> bool:
    beside = "recurrent" in around.taken_by or ("recurrent" in around.made_by and steps(site) > 1)
    return beside and site.rows is not None


def _is_transformer(site: Site, around: Surroundings) -> bool:
    return around.attends and site.rows is not None and steps(site) > 1


def _is_early_convolution(site: Site, around: Surroundings) -> bool:
    return _is_convolution(site, around) and around.depth <= 0.5  # half of them


def _is_convolution(site: Site, around: Surroundings) -> bool:
    return around.on_maps and "convolution" in around.made_by and len(site.mask_shape) > 2


def _is_head(_site: Site, around: Surroundings) -> bool:
    return around.taken_by == {"linear"} and around.last


def _is_hidden(_site: Site, around: Surroundings) -> bool:
    return "linear" in around.taken_by or around.made_by == {"linear"}


LAYER_TYPES = (
    LayerType("attention weights", 0.1, 0.1, DEVLIN, _is_attention),
    LayerType("an embedding", 0.05, 0.1, VASWANI, _is_embedding),
    LayerType("a recurrent layer", 0.1, 0.25, RECURRENT, _is_recurrent),
    LayerType("a transformer block", 0.1, 0.1, VASWANI, _is_transformer),
    LayerType("an early convolution", 0.0, 0.1, PARK, _is_early_convolution),
    LayerType("a later convolution", 0.1, 0.2, PARK, _is_convolution),
    LayerType("the dense head", 0.3, 0.5, SRIVASTAVA, _is_head),
    LayerType("a hidden dense layer", 0.2, 0.4, SRIVASTAVA, _is_hidden),
)
"""The first that matches is a site's."""
