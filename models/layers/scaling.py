"""Units: a network learns from standardised numbers, and its users speak in their own."""

import torch
from torch import Tensor, nn


class Standardize(nn.Module):
    """Subtract a mean and divide by a scale, feature by feature: [..., features] → [..., features].

    Both are buffers: they travel with the weights, so that a served model takes raw features.

    Args:
        features: how many.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def fit(self, values: Tensor) -> None:
        """Take mean and scale from training data, [rows, features]; a constant feature is left unscaled."""
        deviation = values.std(0)
        self.mean.copy_(values.mean(0))
        self.scale.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def forward(self, values: Tensor) -> Tensor:
        """Standardise."""
        return (values - self.mean) / self.scale


class StandardizedImages(nn.Module):
    """A network of images that sees them standardised channel by channel: [rows, channels, height, width].

    Args:
        channels: of an image.
        network: takes the images.
    """

    def __init__(self, channels: int, network: nn.Module) -> None:
        super().__init__()
        self.standardize = Standardize(channels)
        self.network = network

    def fit_units(self, images: Tensor, _targets: Tensor) -> None:
        """Take each channel's mean and scale from training data, [rows, channels, height, width]."""
        self.standardize.fit(images.movedim(1, -1).flatten(0, -2))

    def forward(self, image: Tensor) -> Tensor:
        """Give the network's output."""
        output: Tensor = self.network(self.standardize(image.movedim(1, -1)).movedim(-1, 1))
        return output


class NormalHead(nn.Module):
    """The mean and the log variance of a normal distribution: [..., features] → [..., 2·targets].

    Inside, it speaks of standardised targets; it gives the targets' own units: with target mean m and scale
    s, mean·s + m and log variance + 2·ln s.

    Args:
        features: that it takes.
        targets: how many values it predicts.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int, targets: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 2 * targets)
        self.register_buffer("mean", torch.zeros(targets))
        self.register_buffer("scale", torch.ones(targets))

    def fit(self, targets: Tensor) -> None:
        """Take the targets' units from training data, [rows, targets]."""
        self.mean.copy_(targets.mean(0))
        self.scale.copy_(targets.std(0))

    def forward(self, values: Tensor) -> Tensor:
        """Give (mean, log variance) side by side."""
        mean, log_variance = self.linear(values).chunk(2, -1)
        return torch.cat([mean * self.scale + self.mean, log_variance + 2 * self.scale.log()], -1)
