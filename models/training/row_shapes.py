"""Which family learns rows of a shape, and as rows of which shape its network takes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd, prod
from typing import Any

from models.training.families import AS_THEY_ARE, SHIFTED
from models.training.fit import Schedule, TrainingError
from models.zoo import cnn, concrete, drop_connect, mlp, recurrent, resnet, transformer

Shape = Sequence[int]
Arguments = Mapping[str, Any]

_BLOCKS = (16, 32, 64)  # feature maps
_MOST_PATCHES = 64
_WIDE = 64  # features from which the first hidden layer has more units


class Unsuited(Exception):
    """A family does not take such rows; the text says what it does take."""


@dataclass(frozen=True)
class Architecture:
    """How a family learns rows of any shape that suits it.

    Args:
        classifier: builds one; it takes `classes` besides what `fitted` gives.
        regressor: builds one; it takes `targets` besides. None where the family has none.
        fitted: the shape of a row → the shape as which the network takes it, and the factory's arguments.
        input_name: of the model's one input.
        schedule: how to fit.
        rates: of the classifier's dropout.
    """

    classifier: Callable[..., Any]
    regressor: Callable[..., Any] | None
    fitted: Callable[[Shape], tuple[Shape, dict[str, Any]]]
    input_name: str
    schedule: Schedule
    rates: Arguments


def _flat(shape: Shape) -> tuple[Shape, dict[str, Any]]:
    features = prod(shape)
    return [features], {"features": features, "hidden": [128 if features >= _WIDE else 64, 64]}


def _image(shape: Shape) -> list[int]:
    if len(shape) not in (2, 3):
        raise Unsuited("rows of [channels, height, width], or [height, width]")
    return [*([1] if len(shape) == 2 else []), *shape]


def _halved(shape: Shape) -> tuple[Shape, dict[str, Any]]:
    """Take as many blocks as the sides can be halved."""
    image = _image(shape)
    side = gcd(*image[1:])
    channels = [maps for index, maps in enumerate(_BLOCKS) if side % 2 ** (index + 1) == 0]
    if not channels:
        raise Unsuited("images with sides of an even number of pixels")
    return image, {"image": image, "channels": channels, "standardize": True}


def _any_image(shape: Shape) -> tuple[Shape, dict[str, Any]]:
    image = _image(shape)
    blocks = 2 if min(image[1:]) <= 8 else 3
    return image, {"image": image, "channels": list(_BLOCKS[:blocks]), "standardize": True}


def _patched(shape: Shape) -> tuple[Shape, dict[str, Any]]:
    """Take the smallest patches of which an image has no more than 64."""
    image = _image(shape)
    side = gcd(*image[1:])
    for patch in range(1, side + 1):
        if side % patch == 0 and prod(image[1:]) // patch**2 <= _MOST_PATCHES:
            return image, {"image": image, "patch": patch, "width": 64, "layers": 2, "standardize": True}
    raise Unsuited(f"images that divide into at most {_MOST_PATCHES} square patches")


def _steps(shape: Shape) -> tuple[Shape, dict[str, Any]]:
    lines = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    if len(lines) != 2:
        raise Unsuited("rows of [steps, features], or images of one channel, line by line")
    return list(lines), {"features": lines[1], "units": [64]}


_TABULAR = Schedule(epochs=200, patience=30, batch_rows=32, learning_rate=1e-3, weight_decay=1e-2)
_UNDECAYED = replace(_TABULAR, weight_decay=0.0)  # the rates' regulariser has the weights' in it
_RECURRENT = {"input_dropout": 0.1, "state_dropout": 0.2}
_ATTENTION = {"embedding_dropout": 0.1, "attention_dropout": 0.1, "residual_dropout": 0.1}

ARCHITECTURES: Mapping[str, Architecture] = {
    "mlp": Architecture(mlp.classifier, mlp.regressor, _flat, "features", _TABULAR, {"dropout": 0.2}),
    "drop_connect": Architecture(
        drop_connect.classifier, drop_connect.regressor, _flat, "features", _TABULAR, {"dropout": 0.3}
    ),
    "concrete": Architecture(
        concrete.classifier, concrete.regressor, _flat, "features", _UNDECAYED, {"dropout": 0.1}
    ),
    "cnn": Architecture(
        cnn.classifier, None, _halved, "image", SHIFTED, {"spatial_dropout": 0.1, "head_dropout": 0.4}
    ),
    "resnet": Architecture(resnet.classifier, None, _any_image, "image", SHIFTED, {"dropout": 0.1}),
    "vision_transformer": Architecture(
        transformer.image_classifier, None, _patched, "image", AS_THEY_ARE, _ATTENTION
    ),
    "lstm": Architecture(
        recurrent.classifier, None, _steps, "sequence", AS_THEY_ARE, {"cell": "lstm", **_RECURRENT}
    ),
    "gru": Architecture(
        recurrent.classifier, None, _steps, "sequence", AS_THEY_ARE, {"cell": "gru", **_RECURRENT}
    ),
}

_USUAL = {2: "lstm", 3: "cnn"}
"""The family by the number of dimensions of a row, where nobody names one."""


def usual_family(shape: Shape, task: str) -> str:
    """Name the family for rows that nobody named one for: mlp where the obvious one does not take them."""
    family = _USUAL.get(len(shape), "mlp") if task == "classification" else "mlp"
    try:
        ARCHITECTURES[family].fitted(shape)
    except Unsuited:
        return "mlp"
    return family


def fitted(family: str, shape: Shape) -> tuple[Shape, dict[str, Any]]:
    """Give the shape as which a family's network takes rows, and the arguments of its factory.

    Raises:
        TrainingError: it does not take such rows.
    """
    try:
        return ARCHITECTURES[family].fitted(shape)
    except Unsuited as cause:
        raise TrainingError(
            f"{family} does not learn rows of {list(shape)}: it takes {cause}; name another family "
            "with --model"
        ) from cause
