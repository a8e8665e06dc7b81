"""Transformer encoders for tokens (Vaswani et al. 2017) and for image patches (Dosovitskiy et al. 2021)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.arguments import checked_divisible, checked_rate, checked_size, checked_sizes
from models.layers.attention import EncoderLayer
from models.layers.scaling import StandardizedImages

PADDING = 0

# Of places before training. With the usual 0.02, small images are learned as bags of patches for many epochs:
# after 6 epochs a third of the digits was right, with this nine tenths after 7 (measured 2026-11).
_PLACE_SCALE = 0.5


class Encoder(nn.Module):
    """Positions and a learned first one, embedding dropout, encoder layers; what the first one has gathered.

    Everyone may attend to the first position, so a row of nothing but padding has an answer too.

    Args:
        positions: at most, without the first.
        width: of each, [rows, positions, width].
        layers: how many.
        heads: of each layer.
        embedding_dropout: the rate of what enters the first layer.
        attention_dropout: the rate of attention weights.
        residual_dropout: the rate of what each branch adds.
    """

    def __init__(
        self,
        positions: int,
        width: int,
        layers: int,
        heads: int,
        embedding_dropout: float,
        attention_dropout: float,
        residual_dropout: float,
    ) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(width))
        places = torch.randn(checked_size("positions", positions) + 1, width)
        self.places = nn.Parameter(places * _PLACE_SCALE)
        self.drop = nn.Dropout(checked_rate("embedding_dropout", embedding_dropout))
        checked_divisible("width", checked_size("width", width), "heads", checked_size("heads", heads))
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads, 4 * width, attention_dropout, residual_dropout)
            for _ in range(checked_size("layers", layers))
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            values: [rows, positions, width].
            present: [rows, positions], boolean; nobody attends to where it is false.

        Returns:
            [rows, width].

        Raises:
            ValueError: there are more positions than the encoder has places for.
        """
        count, most = values.shape[1], len(self.places) - 1
        if count > most:
            raise ValueError(f"a row has {count} positions; the model takes {most} at most")
        first = self.first.expand(len(values), 1, -1)
        values = self.drop(torch.cat([first, values], 1) + self.places[: count + 1])
        present = None if present is None else F.pad(present, (1, 0), value=True)
        for layer in self.layers:
            values = layer(values, present)
        gathered: Tensor = self.norm(values[:, 0])
        return gathered


class TokenClassifier(nn.Module):
    """Embedded tokens, an encoder, a linear head. Nobody attends to a padding token, 0.

    Args:
        vocabulary: how many tokens there are; the input, [rows, positions], has 0 to vocabulary - 1.
        width: of an embedded token.
        encoder: [rows, positions, width] → [rows, width].
        classes: of the output.
    """

    def __init__(self, vocabulary: int, width: int, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.encoder = encoder
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give logits, [rows, classes], for [rows, positions]."""
        logits: Tensor = self.head(self.encoder(self.embedding(tokens), tokens != PADDING))
        return logits


class ImageClassifier(nn.Module):
    """Embedded patches, an encoder, a linear head.

    Args:
        channels: of the input, [rows, channels, height, width].
        patch: height and width of a patch, in pixels.
        width: of an embedded patch.
        encoder: [rows, patches, width] → [rows, width].
        classes: of the output.
        largest_value: of a pixel; the image is divided by it.
    """

    def __init__(
        self, channels: int, patch: int, width: int, encoder: Encoder, classes: int, largest_value: float
    ) -> None:
        super().__init__()
        self.largest_value = largest_value
        self.embedding = nn.Conv2d(channels, width, patch, stride=patch)
        self.encoder = encoder
        self.head = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Give logits, [rows, classes], for [rows, channels, height, width]."""
        patches = self.embedding(image / self.largest_value).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.encoder(patches))
        return logits


def token_classifier(
    *,
    vocabulary: int,
    classes: int,
    positions: int = 128,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    embedding_dropout: float = 0.1,
    attention_dropout: float = 0.1,
    residual_dropout: float = 0.1,
) -> nn.Module:
    """Build a classifier of tokens, [rows, positions], up to so many: logits, [rows, classes]."""
    encoder = Encoder(positions, width, layers, heads, embedding_dropout, attention_dropout, residual_dropout)
    return TokenClassifier(
        checked_size("vocabulary", vocabulary), width, encoder, checked_size("classes", classes)
    )


def image_classifier(
    *,
    image: Sequence[int],
    classes: int,
    patch: int,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    embedding_dropout: float = 0.1,
    attention_dropout: float = 0.1,
    residual_dropout: float = 0.1,
    largest_value: float = 1.0,
    standardize: bool = False,
) -> nn.Module:
    """Build a classifier of images, [rows, channels, height, width], in patches: logits, [rows, classes].

    Args:
        patch: height and width of a patch; those of the image are multiples of it.
        standardize: whether it learns the units of each channel, and takes images in their own.
        image: the other arguments are those of `ImageClassifier` and `Encoder`.
    """
    channels, *sides = checked_sizes("image", image, 3)
    for side in sides:
        checked_divisible("a side of the image", side, "patch", checked_size("patch", patch))
    patches = (sides[0] // patch) * (sides[1] // patch)
    encoder = Encoder(patches, width, layers, heads, embedding_dropout, attention_dropout, residual_dropout)
    checked_size("classes", classes)
    network = ImageClassifier(channels, patch, width, encoder, classes, largest_value)
    return StandardizedImages(channels, network) if standardize else network
