"""Images that are no longer what a network has learned: [rows, channels, height, width] → the same."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

_BLUR_PIXELS = 3


def rotated(images: Tensor) -> Tensor:
    """Turn each by a quarter, to the left."""
    return images.rot90(1, (-2, -1))


def blurred(images: Tensor) -> Tensor:
    """Average each pixel with its eight neighbours; beyond the edge is 0."""
    return F.avg_pool2d(images, _BLUR_PIXELS, stride=1, padding=_BLUR_PIXELS // 2)


def shuffled(images: Tensor) -> Tensor:
    """Put each image's pixels in an order of its own."""
    flat = images.flatten(1)
    chance = torch.rand(flat.shape, generator=torch.Generator().manual_seed(0))
    return flat.gather(1, chance.argsort(1)).reshape(images.shape)


SHIFTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "rotated": rotated,
    "blurred": blurred,
    "shuffled": shuffled,
}
