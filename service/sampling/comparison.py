"""Outputs of a model, as one tensor, and whether two of them are the same but for rounding."""

from collections.abc import Callable

import torch
from torch import Tensor

from service.errors import ModelRefused
from service.sampling.signature import several_words

_HALF_THE_DIGITS = 2.0**-12
"""The most that rounding may be of the largest value: what rounds by more is of no use in float32."""

_VANISHED = 2.0**-20
"""What is left of rounding in float64, at most, whose last place is 2**-29 of float32's."""


def one_output(output: object, rows: int) -> Tensor:
    """Check that a model gave one floating-point tensor with a row for each row; gives it as [rows, width].

    Raises:
        ModelRefused: it gave something else.
    """
    if not isinstance(output, Tensor):
        raise ModelRefused(f"the model's forward must return one tensor, and {several_words(output)}")
    if not output.is_floating_point():
        raise ModelRefused(f"the model's output must be floating point, and is {output.dtype}")
    if output.dim() == 0 or len(output) != rows or output.dim() > 2:
        raise ModelRefused(
            "the model's output must have shape [rows, width] or [rows], or of task token_classification "
            f"[rows, tokens, classes]; {rows} rows gave {list(output.shape)}"
        )
    return output.reshape(rows, -1)


def same_samples(expected: Tensor, given: Tensor) -> bool:
    """Tell whether two ways gave the same samples of the same networks, each [samples, rows, …]."""
    if expected.numel() != given.numel() or expected.shape[:2] != given.shape[:2]:
        return False
    flat = expected.reshape(*expected.shape[:2], -1)
    return agree(flat, given.reshape(flat.shape), spread=flat.std(0).mean(0))


def agree(expected: Tensor, given: Tensor, spread: Tensor) -> bool:
    """Tell whether two outputs are the same but for rounding.

    Different batch sizes and plans take different matrix kernels. Whether they differ by rounding or by
    something else is judged column by column, against what is being measured there: 1 % of its spread, and
    8 units in the last place of its largest value, since rounding is all that large a constant leaves room
    for. Columns are sums of the same terms: one that happens to be small is rounded as its neighbours are,
    so it has at least the room of the middle one.

    Args:
        expected: [..., width].
        given: of the same shape.
        spread: of each column over rows or samples, [width].
    """
    if expected.shape != given.shape:
        return False
    largest = expected.abs().flatten(0, -2).amax(0)
    rounding = 8 * torch.finfo(expected.dtype).eps * largest.clamp_min(largest.median())
    return bool(((expected - given).abs() <= 0.01 * spread + rounding).all())


def is_rounding(expected: Tensor, given: Tensor, again: Callable[[], tuple[Tensor, Tensor]]) -> bool:
    """Tell whether what two outputs in float32 differ by is rounding: then it vanishes in float64.

    Deep networks round by more than a constant foresees. But what a row takes from another is the same in
    every precision.

    Args:
        expected: [rows, width].
        given: of the same shape.
        again: gives both anew, in float64.
    """
    gap, largest = (expected - given).abs().max(), expected.abs().max()
    if expected.dtype != torch.float32 or not gap <= _HALF_THE_DIGITS * largest:
        return False
    exact, other = again()
    return exact.dtype == torch.float64 and bool((exact - other).abs().max() <= _VANISHED * gap)
