"""Images as the numbers that a model takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np

from service.data.columns import Array
from service.errors import DataError, InvalidInput
from service.repository.manifest import InputSpec

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")

# A name says little: without these, a file might be handed to a program that draws PostScript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # of Pillow, by channels
_DEEP = ("I", "F")  # what its modes begin with whose pixels it would clip to eight bits
_OF_CAMERAS = "MPO"  # JPEG with a second picture behind the one that is meant
_LARGEST = 255


@dataclass(frozen=True)
class Images:
    """How files of images become rows.

    Args:
        resize: whether to stretch them to the model's height and width; else these are what they must have.
        span: what 0 and 255 of a pixel are to the model; None for the `range` of its input in model.toml.
    """

    resize: bool = False
    span: tuple[float, float] | None = None

    def read(self, spec: InputSpec, files: Sequence[Path]) -> Array:
        """Give rows of `spec.shape`.

        Raises:
            DataError: the model takes no images, or does not say what a pixel is.
            InvalidInput: a file is no image, or of another size.
        """
        if files[0].suffix.lower() not in ENDINGS:
            raise DataError(f"{files[0]} is a text, and the model takes numbers")
        mode, height, width = _form(spec)
        values = _values(spec, self._span(spec))
        pixels = np.empty((len(files), *spec.shape), np.uint8)
        for row, file in enumerate(files):
            decoded = _decoded(file, mode, (width, height), f"input {spec.name}: row {row}", self.resize)
            pixels[row] = decoded.reshape(height, width, -1).transpose(2, 0, 1).reshape(spec.shape)
        return pixels if values is None else values[pixels]

    def _span(self, spec: InputSpec) -> tuple[float, float]:
        if self.span is not None:
            return self.span
        if spec.range is None or spec.range[0] != 0:
            raise DataError(
                f"input {spec.name} does not say what a pixel is to the model: model.toml gives it no range "
                f"from 0, as [0, {_LARGEST}]; say --pixels 0..{_LARGEST}, 0..1, or what it was trained on"
            )
        return spec.range


AS_THEY_ARE = Images()
"""Of the model's own size, and of the range that model.toml gives."""


def check_pillow() -> None:
    """Refuse to go on without the library.

    Raises:
        ValueError: it is not installed.
    """
    if find_spec("PIL") is None:
        raise ValueError("reading images needs Pillow: pip install 'unsure[images]'")


def _form(spec: InputSpec) -> tuple[str, int, int]:
    """Give Pillow's mode, the height and the width."""
    shape = spec.shape if len(spec.shape) != 2 else (1, *spec.shape)
    if len(shape) != 3 or shape[0] not in _MODES or min(shape) < 1:
        raise DataError(
            f"input {spec.name} has shape {list(spec.shape)}, and images are read for [channels, height, "
            "width], with 1, 3 or 4 channels, or [height, width]"
        )
    return _MODES[shape[0]], shape[1], shape[2]


def _values(spec: InputSpec, span: tuple[float, float]) -> Array | None:
    """Give what each pixel is to the model; None where it is the pixel itself."""
    if span == (0, _LARGEST):
        return None
    whole = spec.dtype.startswith("int")  # a fraction is refused then, and not cut
    return np.linspace(*span, _LARGEST + 1).astype(np.float64 if whole else spec.dtype)


def _decoded(path: Path, mode: str, size: tuple[int, int], named: str, resize: bool) -> Array:
    """Decode an image as people see it: turned as its camera was held. Transparency is left out."""
    from PIL import Image, ImageOps

    try:
        with catch_warnings():
            simplefilter("ignore")
            simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _check_plain(image.mode, 1 if image.format == _OF_CAMERAS else getattr(image, "n_frames", 1))
                plain = ImageOps.exif_transpose(image).convert(mode)
    except Exception as cause:  # decoders raise whatever comes
        raise InvalidInput(f"{named} cannot be read: {_why(cause)}") from cause
    if plain.size != size and not resize:
        raise InvalidInput(
            f"{named} is an image of {_sides(plain.size)} pixels, width by height, and the model takes "
            f"{_sides(size)}; crop or resize it, or have all stretched by --resize"
        )
    return np.asarray(plain if plain.size == size else plain.resize(size, Image.Resampling.BILINEAR))


def _check_plain(mode: str, frames: int) -> None:
    if mode.startswith(_DEEP):
        raise ValueError("its pixels have more than eight bits; save it with eight")
    if frames > 1:
        raise ValueError(f"it has {frames} pictures; save them one by one")


def _why(cause: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(cause, UnidentifiedImageError):
        return f"it is no image of {', '.join(_FORMATS)}"
    words = cause.strerror if isinstance(cause, OSError) else None
    return words or str(cause) or type(cause).__name__


def _sides(size: tuple[int, int]) -> str:
    return " × ".join(map(str, size))
