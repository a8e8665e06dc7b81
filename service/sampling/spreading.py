"""A convolution of an input from which whole channels are dropped, as a sum over its channels.

    conv(s ⊙ x) = Σ_c s_c · conv_c(x_c) + b

The maps conv_c(x_c) are the same in all samples. Making them costs one convolution; a sample then is a
product of its factors s with them, k² times cheaper than a convolution with kernels of k·k.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_LARGEST_MAPS = 16 << 20  # bytes for one row; larger ones cost more in memory traffic than they save


@dataclass(frozen=True)
class Convolution:
    """A call of F.conv2d.

    Args:
        values: [rows, channels, height, width].
        weight: [outputs, channels, kernel height, kernel width].
        bias: [outputs], or None.
        stride: as torch takes it, like all that follow.
        padding: of both sides.
        dilation: of the kernel.
        groups: of channels.
    """

    values: Tensor
    weight: Tensor
    bias: Tensor | None
    stride: Any
    padding: Any
    dilation: Any
    groups: int

    @classmethod
    def of(
        cls,
        input: Tensor,  # noqa: A002  # torch's name
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> "Convolution":
        """Read a call, however it was written."""
        return cls(input, weight, bias, stride, padding, dilation, groups)

    def maps_bytes(self, made: Tensor) -> int:
        """Memory of all channels' maps for one row, by the whole convolution's output [rows, …]."""
        return self.weight.shape[1] * made[0].numel() * made.element_size()

    def can_spread(self, made: Tensor) -> bool:
        """Tell whether a sum over channels is possible, and cheaper."""
        kernel = self.weight.shape[2:].numel()
        plain = self.groups == 1 and not isinstance(self.padding, str) and self.values.dim() == 4
        return plain and kernel > 1 and self.maps_bytes(made) <= _LARGEST_MAPS

    def weighted(self, factors: Tensor) -> Tensor:
        """Give the convolution of the input with each channel times its factor, [channels]."""
        rows, (outputs, _) = len(self.values), self.weight.shape[:2]
        summed = factors.to(self.values.dtype) @ self._maps().flatten(1)
        # Features last, as the product leaves them: what follows is faster on it, and nothing is copied.
        placed = summed.view(rows, *self._size(), outputs).permute(0, 3, 1, 2)
        return placed if self.bias is None else placed + self.bias[:, None, None]

    def _maps(self) -> Tensor:
        """Convolve each channel by itself, [channels, rows · positions, outputs]."""
        channels = self.weight.shape[1]
        patches = F.unfold(
            self.values, self.weight.shape[2:], self.dilation, self.padding, self.stride
        ).unflatten(1, (channels, -1))
        kernels = self.weight.flatten(2).permute(1, 2, 0)
        return patches.permute(1, 0, 3, 2).flatten(1, 2) @ kernels

    def _size(self) -> list[int]:
        """Give the height and width of the outcome."""
        each = zip(
            self.values.shape[2:],
            self.weight.shape[2:],
            *(_pair(given) for given in (self.stride, self.padding, self.dilation)),
            strict=True,
        )
        return [
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, padding, dilation in each
        ]


def normalised(
    input: Tensor,  # noqa: A002  # torch's name
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Run F.batch_norm; by running statistics, as one product and sum for each channel.

    Torch's rule for vmap makes channels of the samples, and so copies an input whose features are last.
    """
    if training or running_mean is None or running_var is None:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    scale = (running_var + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -running_mean * scale if bias is None else bias - running_mean * scale
    of_channels = (-1, *[1] * (input.dim() - 2))
    return torch.addcmul(shift.view(of_channels), input, scale.view(of_channels))


def _pair(given: Any) -> tuple[int, int]:
    return (given, given) if isinstance(given, int) else (given[0], given[-1])
