"""A site: one place where a model drops something, as the example passes at load have shown it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import prod
from typing import Literal

Selection = Literal["all", "head"] | Sequence[str]

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Site:
    """One call of a dropout function within one forward pass.

    Args:
        name: the module's path; ":1", ":2", … is appended for further calls of it in one pass.
        path: the path of the module in whose forward the call stands; "(model)" for the outermost.
        kind: torch's name of the function.
        rate: the probability that a unit is dropped, 0 to 1.
        mask_shape: of one sample's mask, with 1 in the place of the rows: all rows share it.
        kept_scale: the factor of a unit that is kept.
        share_of_cost: the share of a pass's floating-point operations that run after it, 0 to 1.
        sampled: whether samples drop here; where not, the site does nothing, as in eval mode.
    """

    name: str
    path: str
    kind: str
    rate: float
    mask_shape: tuple[int, ...]
    kept_scale: float
    share_of_cost: float
    sampled: bool = True

    @property
    def mask_bytes(self) -> int:
        """Memory of one sample's factors."""
        return prod(self.mask_shape) * _FLOAT32_BYTES


def select(sites: Sequence[Site], selection: Selection) -> tuple[Site, ...]:
    """Mark which sites are sampled: of those that can drop, all, the last, or those a pattern names.

    Args:
        sites: in the order of the forward pass.
        selection: "all", "head" (the last site), or shell patterns over module paths, such as "encoder.*".
    """
    able = [site for site in sites if site.rate > 0]
    chosen = {site.name for site in able if _is_chosen(site, able, selection)}
    return tuple(replace(site, sampled=site.name in chosen) for site in sites)


def _is_chosen(site: Site, able: Sequence[Site], selection: Selection) -> bool:
    if selection == "all":
        return True
    if selection == "head":
        return site is able[-1]
    return any(fnmatchcase(site.path, pattern) for pattern in selection)
