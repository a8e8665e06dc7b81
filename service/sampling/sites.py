"""A site: one place where a model drops something, as the example passes at load have shown it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import prod
from typing import Literal

from torch import Tensor

Selection = Literal["all", "head"] | Sequence[str]

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class RowDimension:
    """Which dimension of a site's input holds the rows, and how.

    Args:
        index: of the dimension.
        parts: how many of its entries belong to each row; more than 1 where a model folds rows and something
            else into one dimension, as attention does with its heads.
        outer: in how many places a row's entries lie: 1 where all are side by side, `parts` where each is
            apart from the next by the number of rows, and between where both is so. It divides `parts`.
    """

    index: int
    parts: int = 1
    outer: int = 1

    @property
    def inner(self) -> int:
        """How many of a row's entries lie side by side."""
        return self.parts // self.outer

    def entries(self, row: int, rows: int) -> set[int]:
        """Give the entries of a row, of so many."""
        starts = (row * self.inner + place * rows * self.inner for place in range(self.outer))
        return {start + entry for start in starts for entry in range(self.inner)}

    def unfolded(self, values: Tensor) -> Tensor:
        """Give a dimension each to the places, the rows, and what lies side by side."""
        return values.unflatten(self.index, (self.outer, -1, self.inner))

    def for_rows(self, mask: Tensor) -> Tensor:
        """Give a mask the dimensions of unfolded values, with 1 where those have their rows."""
        return self.apart(mask, self.index).unsqueeze(self.index + 1)

    def apart(self, mask: Tensor, index: int) -> Tensor:
        """Give a mask, whose dimension `index` holds the parts of a row or 1, two in its place."""
        return mask.unflatten(index, (1, 1) if mask.shape[index] == 1 else (self.outer, self.inner))

    def folded(self, values: Tensor) -> Tensor:
        """Undo `unfolded`."""
        return values.flatten(self.index, self.index + 2)


@dataclass(frozen=True)
class Site:
    """One call of a dropout function within one forward pass.

    Args:
        name: the module's path; ":1", ":2", … is appended for further calls of it in one pass.
        path: the path of the module in whose forward the call stands; "(model)" for the outermost.
        kind: torch's name of the function.
        rate: the probability that a unit is dropped, 0 to 1.
        mask_shape: of one sample's mask, with the parts of one row where its input has the rows.
        kept_scale: the factor of a unit that is kept.
        share_of_cost: the share of a pass's floating-point operations that run after it, 0 to 1.
        rows: where its input holds the rows; None where it has none, as where weights are dropped.
        sampled: whether samples drop here; where not, the site does nothing, as in eval mode.
        drawn_rate: of the zeros that the model draws, where it drops by ones; None where it is the rate.
        decides: whether the model decides by it what runs, as where layers are left out.
    """

    name: str
    path: str
    kind: str
    rate: float
    mask_shape: tuple[int, ...]
    kept_scale: float
    share_of_cost: float
    rows: RowDimension | None
    sampled: bool = True
    decides: bool = False
    drawn_rate: float | None = None

    @property
    def zeros(self) -> float:
        """The probability of a zero among its factors."""
        return self.rate if self.drawn_rate is None else self.drawn_rate

    @property
    def mask_bytes(self) -> int:
        """Memory of one sample's factors."""
        return prod(self.mask_shape) * _FLOAT32_BYTES

    def takes(self, needed: tuple[int, ...], rows: int) -> bool:
        """Tell whether its mask is made for an input of so many rows whose own mask would have a shape."""
        held = self.rows
        return len(needed) == len(self.mask_shape) and all(
            size in (1, held.parts * rows) if held and index == held.index else size == mine
            for index, (size, mine) in enumerate(zip(needed, self.mask_shape, strict=True))
        )


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
