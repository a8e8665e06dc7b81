"""Rows made up for the passes at load."""

from collections.abc import Sequence

import torch
from torch import Tensor

from service.sampling.stochastic import Inputs

Shapes = tuple[tuple[int, ...], ...]  # of one row, per input

_ANY_LENGTH = 8


class ExampleRows:
    """Made-up rows for the passes at load: standard normal floats, and zeros and ones for integers.

    Args:
        shapes: of one row, per input; a dimension of -1 becomes 8.
        dtypes: per input.
        device: where to put them.
    """

    def __init__(
        self, shapes: Sequence[Sequence[int]], dtypes: Sequence[torch.dtype], device: torch.device
    ) -> None:
        self.shapes: Shapes = tuple(
            tuple(_ANY_LENGTH if size < 0 else size for size in shape) for shape in shapes
        )
        self._dtypes = tuple(dtypes)
        self._device = device

    def __call__(self, rows: int, shapes: Shapes | None = None) -> Inputs:
        """Make the same rows each time; the first rows of a longer example are not those of a shorter one."""
        generator = torch.Generator().manual_seed(rows)
        pairs = zip(shapes or self.shapes, self._dtypes, strict=True)
        return tuple(
            self._tensor((rows, *shape), dtype, generator).to(self._device) for shape, dtype in pairs
        )

    def _tensor(self, shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        if dtype.is_floating_point:
            return torch.randn(shape, generator=generator, dtype=dtype)
        return torch.randint(0, 2, shape, generator=generator).to(dtype)
