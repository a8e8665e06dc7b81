"""The step between an image's pixels and what its network was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.errors import PretrainedError
from service.repository.pretrained import PretrainedConfig, read_json

PREPROCESSOR_FILE = "preprocessor_config.json"
_LARGEST = 255.0  # of a pixel
_OF_THE_CLIENT = {"do_resize", "do_center_crop", "do_convert_rgb"}
_DONE = {"do_rescale", "do_normalize"}


class Normalised(nn.Module):
    """A network on pixels of 0 to 255: (pixel · factor − mean) / deviation, by channel, comes before it.

    Args:
        network: of Hugging Face, for images.
        factor: of every pixel.
        mean: by channel.
        deviation: by channel.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, network: nn.Module, factor: float, mean: Sequence[float], deviation: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network
        scale = factor / torch.tensor(deviation, dtype=torch.float32)
        shift = torch.tensor(mean, dtype=torch.float32) / torch.tensor(deviation, dtype=torch.float32)
        self.register_buffer("scale", scale.reshape(-1, 1, 1))
        self.register_buffer("shift", shift.reshape(-1, 1, 1))

    def forward(self, pixel_values: Tensor) -> Any:
        """Give what the network does for [rows, channels, height, width]."""
        return self.network(pixel_values=pixel_values * self.scale - self.shift)


@dataclass(frozen=True)
class Preprocessor:
    """preprocessor_config.json, as far as a server does it; resizing is the client's.

    Args:
        path: of the file.
        values: all that it says; None where there is no such file.
        digest: SHA-256 of the file.
    """

    path: Path
    values: Mapping[str, Any] | None
    digest: str | None

    @property
    def range(self) -> tuple[float, float] | None:
        """Of the pixels that clients send; None where they send what the network takes."""
        return (0.0, _LARGEST) if self.values is not None and self._does("do_rescale") else None

    def before(self, network: nn.Module, channels: int) -> nn.Module:
        """Put its arithmetic before a network."""
        if self.values is None:
            return network
        factor = float(self.values.get("rescale_factor", 1 / _LARGEST)) if self._does("do_rescale") else 1.0
        if not self._does("do_normalize"):
            return Normalised(network, factor, [0.0] * channels, [1.0] * channels)
        mean, deviation = (self._by_channel(key, channels) for key in ("image_mean", "image_std"))
        if 0.0 in deviation:
            raise PretrainedError(f"{self.path}: image_std is {deviation}, and divides")
        return Normalised(network, factor, mean, deviation)

    def side(self) -> Sequence[int] | None:
        """Give height and width of what it makes of an image, where it says so."""
        values = self.values or {}
        keys = ("crop_size", "size") if values.get("do_center_crop") else ("size",)
        return next((found for key in keys if (found := _side(values.get(key)))), None)

    def _does(self, key: str) -> bool:
        return bool((self.values or {}).get(key, True))

    def _by_channel(self, key: str, channels: int) -> list[float]:
        value = (self.values or {}).get(key)
        given = [value] * channels if isinstance(value, (int, float)) else value
        if not isinstance(given, list) or len(given) != channels:
            raise PretrainedError(f"{self.path}: {key} must have {channels} numbers, and is {value}")
        return [float(number) for number in given]


def read_preprocessor(folder: Path) -> Preprocessor:
    """Read preprocessor_config.json, if there is one.

    Raises:
        PretrainedError: it cannot be read, or has a step that the server does not do.
    """
    path = folder / PREPROCESSOR_FILE
    if not (path.exists() or path.is_symlink()):
        return Preprocessor(path, None, None)
    values, digest = read_json(path)
    steps = {key for key, value in values.items() if key.startswith("do_") and value}
    unknown = sorted(steps - _DONE - _OF_THE_CLIENT) + [
        key for key in ("rescale_offset", "include_top") if values.get(key)
    ]
    if unknown:
        raise PretrainedError(f"{path}: {unknown[0]} is a step that the server does not do")
    return Preprocessor(path, values, digest)


def image_shape(config: PretrainedConfig, preprocessor: Preprocessor) -> tuple[int, int, int]:
    """Give [channels, height, width] of a row.

    Raises:
        PretrainedError: nothing says so.
    """
    side = _side(config.values.get("image_size")) or preprocessor.side()
    if side is None:
        raise PretrainedError(
            f"{config.path} has no image_size, and {preprocessor.path.name} no size with height and width; "
            "add one of them"
        )
    height, width = side
    return int(config.values.get("num_channels", 3)), height, width


def _side(value: Any) -> Sequence[int] | None:
    match value:
        case int(side) | [int(side)]:
            return side, side
        case [int(height), int(width)] | {"height": int(height), "width": int(width)}:
            return height, width
    return None
