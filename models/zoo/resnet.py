"""Residual networks for small images (He et al. 2016), with dropout in the residual branches."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.layers.arguments import checked_rates, checked_size, checked_sizes
from models.layers.residual import Residual
from models.layers.scaling import StandardizedImages


class ResNet(nn.Module):
    """A convolution, stages of two residual blocks, each stage but the first halving the image, and a head.

    A block is x + dropout(convolution(ReLU(norm(convolution(ReLU(norm(x))))))): with the norms first
    ("Identity mappings in deep residual networks") nothing but the stages' projections lies on the skip path.

    Args:
        image: (channels, height, width) of the input, [rows, *image].
        classes: of the output.
        channels: feature maps of each stage.
        dropout: the rate of the branches of each stage, 0 to less than 1.
        largest_value: of a pixel; the image is divided by it.
    """

    def __init__(
        self,
        image: Sequence[int],
        classes: int,
        channels: Sequence[int],
        dropout: Sequence[float],
        largest_value: float,
    ) -> None:
        super().__init__()
        self.largest_value = largest_value
        self.first = _convolution(image[0], channels[0])
        stages = zip(pairwise([channels[0], *channels]), dropout, strict=True)
        self.stages = nn.Sequential(
            *(
                _stage(before, after, 2 if index else 1, rate)
                for index, ((before, after), rate) in enumerate(stages)
            )
        )
        self.head = nn.Sequential(
            nn.BatchNorm2d(channels[-1]),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels[-1], classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Give logits, [rows, classes], for [rows, *image]."""
        logits: Tensor = self.head(self.stages(self.first(image / self.largest_value)))
        return logits


def classifier(
    *,
    image: Sequence[int],
    classes: int,
    channels: Sequence[int] = (16, 32, 64),
    dropout: float | Sequence[float] = 0.1,
    largest_value: float = 1.0,
    standardize: bool = False,
) -> nn.Module:
    """Build a classifier: logits, [rows, classes].

    Args:
        dropout: one rate for all stages, or one for each.
        standardize: whether it learns the units of each channel, and takes images in their own.
        image: the other arguments are those of `ResNet`.
    """
    checked_sizes("image", image, 3)
    rates = checked_rates("dropout", dropout, len(checked_sizes("channels", channels)))
    network = ResNet(image, checked_size("classes", classes), channels, rates, largest_value)
    return StandardizedImages(image[0], network) if standardize else network


def _stage(before: int, after: int, stride: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(_block(before, after, stride, dropout), _block(after, after, 1, dropout))


def _block(before: int, after: int, stride: int, dropout: float) -> Residual:
    branch = nn.Sequential(
        nn.BatchNorm2d(before),
        nn.ReLU(),
        _convolution(before, after, stride),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        _convolution(after, after),
    )
    changes = before != after or stride > 1
    skip = nn.Conv2d(before, after, 1, stride=stride, bias=False) if changes else None
    return Residual(branch, dropout, skip)


def _convolution(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
