"""Rows made up for the passes at load."""

from collections.abc import Sequence

import torch
from torch import Tensor

from service.sampling.stochastic import Inputs

Shapes = tuple[tuple[int, ...], ...]  # of one row, per input
Range = tuple[float, float]

_ANY_LENGTH = 8
_INTEGERS: Range = (0, 1)  # small enough for any vocabulary


class ExampleRows:
    """Made-up rows: standard normal floats, zeros and ones for integers, or numbers from a range.

    Args:
        shapes: of one row, per input; a dimension of -1 becomes 8.
        dtypes: per input.
        device: where to put them.
        ranges: lowest and highest value, per input; None for the usual.
    """

    def __init__(
        self,
        shapes: Sequence[Sequence[int]],
        dtypes: Sequence[torch.dtype],
        device: torch.device,
        ranges: Sequence[Range | None] | None = None,
    ) -> None:
        self.shapes: Shapes = tuple(
            tuple(_ANY_LENGTH if size < 0 else size for size in shape) for shape in shapes
        )
        self._dtypes = tuple(dtypes)
        self._device = device
        self._ranges = tuple(ranges) if ranges else (None,) * len(self.shapes)

    def __call__(self, rows: int, shapes: Shapes | None = None) -> Inputs:
        """Make the same rows each time; the first rows of a longer example are not those of a shorter one."""
        generator = torch.Generator().manual_seed(rows)
        inputs = zip(shapes or self.shapes, self._dtypes, self._ranges, strict=True)
        return tuple(
            _tensor((rows, *shape), dtype, limits, generator).to(self._device)
            for shape, dtype, limits in inputs
        )


def _tensor(
    shape: tuple[int, ...], dtype: torch.dtype, limits: Range | None, generator: torch.Generator
) -> Tensor:
    if not dtype.is_floating_point:
        least, most = (int(limit) for limit in limits or _INTEGERS)
        return torch.randint(least, most + 1, shape, generator=generator).to(dtype)
    if limits is None:
        return torch.randn(shape, generator=generator, dtype=dtype)
    low, high = limits
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=dtype)
