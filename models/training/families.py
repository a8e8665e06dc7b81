"""Architectures besides a demo's own: what each needs to learn the demo's rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.training.augmentation import shift_images
from models.training.data import Rows
from models.training.demos import DEMOS
from models.training.fit import Schedule, TrainingError
from models.training.recipe import Recipe
from models.zoo import concrete, drop_connect, mlp, recurrent, resnet, transformer

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """How an architecture learns images.

    Args:
        factory: builds the classifier; `arguments`, and of how many classes, are its arguments.
        arguments: of the factory.
        row_shape: as which the network takes an image.
        schedule: how to fit.
    """

    factory: Callable[..., Any]
    arguments: Arguments
    row_shape: Sequence[int]
    schedule: Schedule


SHIFTED = Schedule(
    epochs=40, patience=12, batch_rows=64, learning_rate=2e-3, weight_decay=1e-2, augment=shift_images
)
AS_THEY_ARE = Schedule(epochs=60, patience=15, batch_rows=64, learning_rate=2e-3, weight_decay=1e-2)
_WITHOUT_DECAY = replace(AS_THEY_ARE, weight_decay=0.0)  # the rates' regulariser has the weights' in it

_IMAGE: Arguments = {"image": [1, 8, 8], "largest_value": 16.0}
_PIXELS: Arguments = {"features": 64, "hidden": [128, 64]}
_LINES: Arguments = {"features": 8, "units": [64], "input_dropout": 0.1, "state_dropout": 0.2}

_OF_IMAGES: Mapping[str, Family] = {
    "mlp": Family(mlp.classifier, {**_PIXELS, "dropout": 0.3}, [64], AS_THEY_ARE),
    "resnet": Family(resnet.classifier, {**_IMAGE, "channels": [16, 32], "dropout": 0.1}, [1, 8, 8], SHIFTED),
    "vision_transformer": Family(
        transformer.image_classifier,
        {**_IMAGE, "patch": 2, "width": 64, "layers": 2},
        [1, 8, 8],
        replace(AS_THEY_ARE, epochs=40),
    ),
    "lstm": Family(recurrent.classifier, {**_LINES, "cell": "lstm"}, [8, 8], AS_THEY_ARE),
    "gru": Family(recurrent.classifier, {**_LINES, "cell": "gru"}, [8, 8], AS_THEY_ARE),
    "drop_connect": Family(drop_connect.classifier, {**_PIXELS, "dropout": 0.3}, [64], AS_THEY_ARE),
    "concrete": Family(concrete.classifier, {**_PIXELS, "dropout": 0.1}, [64], _WITHOUT_DECAY),
}

_OF_FEATURES: Mapping[str, Any] = {"drop_connect": drop_connect, "concrete": concrete}
_OWN = {"digits": "cnn", "breast-cancer": "mlp", "diabetes": "mlp"}


def entry_name(name: str, family: str | None) -> str:
    """Name the entry of a demo learned by a family: the demo's own is named after the data alone."""
    return name if family in (None, _OWN[name]) else f"{name}-{family.replace('_', '-')}"


def families_of(name: str) -> list[str]:
    """List the families that can learn a demo's rows."""
    return sorted({_OWN[name], *(_OF_IMAGES if name == "digits" else _OF_FEATURES)})


def demo_of(name: str, family: str | None) -> Recipe:
    """Give a demo as a family learns it.

    Args:
        name: one of `DEMOS`.
        family: one of `families_of(name)`; None for the demo's own.

    Raises:
        TrainingError: the family does not take such rows.
    """
    demo = DEMOS[name]
    if family in (None, _OWN[name]):
        return demo
    if family not in families_of(name):
        raise TrainingError(f"{family} does not learn {name}; choose one of {', '.join(families_of(name))}")
    return _of_images(demo, _OF_IMAGES[family]) if name == "digits" else _of_features(demo, family)


def _of_images(demo: Recipe, family: Family) -> Recipe:
    def load() -> Rows:
        rows = demo.load()
        return Rows(rows.inputs.reshape(-1, *family.row_shape), rows.targets)

    arguments = {**family.arguments, "classes": len(demo.labels)}
    return replace(demo, load=load, factory=family.factory, arguments=arguments, schedule=family.schedule)


def _of_features(demo: Recipe, family: str) -> Recipe:
    """Build what the demo's own is built of, with the family's layers; where rates are learned, no decay."""
    module = _OF_FEATURES[family]
    factory = module.classifier if demo.task == "classification" else module.regressor
    arguments = {**demo.arguments, "dropout": 0.1}
    schedule = replace(demo.schedule, weight_decay=0.0) if module is concrete else demo.schedule
    return replace(demo, factory=factory, arguments=arguments, schedule=schedule)
