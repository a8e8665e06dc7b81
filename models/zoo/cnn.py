"""Convolutional networks: spatial dropout in later blocks (Tompson et al. 2015), dropout in the head."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.layers.arguments import checked_divisible, checked_rate, checked_size, checked_sizes
from models.layers.scaling import StandardizedImages


class Cnn(nn.Module):
    """Blocks of two convolutions with batch norm, halving the image, then a head with one hidden layer.

    Whole feature maps are dropped, since neighbouring pixels of a map say the same: dropping single ones
    would change little. The first block keeps all: its few maps feed everything.

    Args:
        image: (channels, height, width) of the input, [rows, *image]; height and width divisible by
            2**len(channels).
        classes: of the output.
        channels: feature maps of each block.
        hidden: units of the head's hidden layer.
        spatial_dropout: the rate of whole feature maps after each block but the first, 0 to less than 1.
        head_dropout: the rate after the head's hidden layer, 0 to less than 1.
        largest_value: of a pixel; the image is divided by it.
    """

    def __init__(
        self,
        image: Sequence[int],
        classes: int,
        channels: Sequence[int],
        hidden: int,
        spatial_dropout: float,
        head_dropout: float,
        largest_value: float,
    ) -> None:
        super().__init__()
        self.largest_value = largest_value
        depths = [image[0], *channels]
        self.blocks = nn.Sequential(
            *(
                _block(before, after, spatial_dropout if index else 0.0)
                for index, (before, after) in enumerate(pairwise(depths))
            )
        )
        pixels = (image[1] >> len(channels)) * (image[2] >> len(channels))
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels[-1] * pixels, hidden),
            nn.ReLU(),
            nn.Dropout(head_dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Give logits, [rows, classes], for [rows, *image]."""
        logits: Tensor = self.head(self.blocks(image / self.largest_value))
        return logits


def classifier(
    *,
    image: Sequence[int],
    classes: int,
    channels: Sequence[int] = (32, 64),
    hidden: int = 128,
    spatial_dropout: float = 0.1,
    head_dropout: float = 0.4,
    largest_value: float = 1.0,
    standardize: bool = False,
) -> nn.Module:
    """Build a classifier: logits, [rows, classes].

    Args:
        standardize: whether it learns the units of each channel, and takes images in their own.
        image: the other arguments are those of `Cnn`.
    """
    blocks = len(checked_sizes("channels", channels))
    for side in checked_sizes("image", image, 3)[1:]:
        checked_divisible("a side of the image", side, f"2 to the {blocks} blocks", 2**blocks)
    checked_rate("spatial_dropout", spatial_dropout)
    checked_rate("head_dropout", head_dropout)
    checked_size("hidden", hidden)
    network = Cnn(image, classes, channels, hidden, spatial_dropout, head_dropout, largest_value)
    return StandardizedImages(image[0], network) if standardize else network


def _block(before: int, after: int, spatial_dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = [*_convolution(before, after), *_convolution(after, after), nn.MaxPool2d(2)]
    if spatial_dropout > 0:
        layers.append(nn.Dropout2d(spatial_dropout))
    return nn.Sequential(*layers)


def _convolution(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
