"""Changes that leave a row's label as it is."""

import torch
import torch.nn.functional as F
from torch import Tensor


def shift_images(images: Tensor) -> Tensor:
    """Move each image, [rows, channels, height, width], by up to one pixel each way; what is new is 0."""
    height, width = images.shape[-2:]
    padded = F.pad(images, (1, 1, 1, 1))
    down, right = torch.randint(0, 3, (2, len(images), 1, 1))
    rows = (torch.arange(height) + down.reshape(-1, 1))[:, None, :, None]
    columns = (torch.arange(width) + right.reshape(-1, 1))[:, None, None, :]
    batch = torch.arange(len(images))[:, None, None, None]
    channels = torch.arange(images.shape[1])[None, :, None, None]
    return padded[batch, channels, rows, columns]


def trim_padding(tokens: Tensor) -> Tensor:
    """Leave out the places, of [rows, places], where every row has nothing but padding, 0, from there on."""
    longest = int((tokens != 0).any(0).nonzero().max()) + 1
    return tokens[:, :longest]
