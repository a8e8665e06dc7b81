"""The demo models: scikit-learn's bundled data sets, and how to learn each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from sklearn import datasets
from torch import nn

from models.training.augmentation import shift_images
from models.training.data import Rows, Task
from models.training.fit import Schedule
from models.zoo import cnn, mlp


@dataclass(frozen=True)
class Demo:
    """One data set and the model that learns it.

    Args:
        task: of the model.
        load: gives all its rows.
        factory: builds the network; its arguments are `arguments`.
        arguments: of the factory.
        input_name: of the model's one input.
        labels: of the classes.
        schedule: how to fit.
        policy: of model.toml.
    """

    task: Task
    load: Callable[[], Rows]
    factory: Callable[..., nn.Module]
    arguments: Mapping[str, Any]
    input_name: str
    labels: tuple[str, ...]
    schedule: Schedule
    policy: Mapping[str, Any]

    @property
    def factory_name(self) -> str:
        """The factory as model.toml names it."""
        return f"{self.factory.__module__}:{self.factory.__name__}"


def _digits() -> Rows:
    """1797 images of handwritten digits, 8 × 8 pixels from 0 to 16 (Alpaydin & Kaynak 1998)."""
    found = datasets.load_digits()
    return Rows(torch.tensor(found.images).float()[:, None], torch.tensor(found.target))


def _breast_cancer() -> Rows:
    """569 tumours, 30 features of their cells' nuclei (Wolberg et al. 1993)."""
    found = datasets.load_breast_cancer()
    return Rows(torch.tensor(found.data).float(), torch.tensor(found.target))


def _diabetes() -> Rows:
    """442 patients, 10 features in their own units; how far the disease went in a year (Efron 2004)."""
    found = datasets.load_diabetes(scaled=False)
    return Rows(torch.tensor(found.data).float(), torch.tensor(found.target).float()[:, None])


DEMOS: Mapping[str, Demo] = {
    "digits": Demo(
        task="classification",
        load=_digits,
        factory=cnn.classifier,
        arguments={
            "image": [1, 8, 8],
            "classes": 10,
            "channels": [16, 32],
            "hidden": 128,
            "spatial_dropout": 0.1,
            "head_dropout": 0.4,
            "largest_value": 16.0,
        },
        input_name="image",
        labels=tuple("0123456789"),
        schedule=Schedule(
            epochs=40, patience=12, batch_rows=64, learning_rate=2e-3, weight_decay=1e-2, augment=shift_images
        ),
        policy={"measure": "predictive_entropy", "threshold": 0.5, "review": True},
    ),
    "breast-cancer": Demo(
        task="classification",
        load=_breast_cancer,
        factory=mlp.classifier,
        arguments={"features": 30, "classes": 2, "hidden": [64, 64], "dropout": 0.3},
        input_name="features",
        labels=("malignant", "benign"),
        schedule=Schedule(epochs=200, patience=30, batch_rows=32, learning_rate=1e-3, weight_decay=1e-2),
        policy={"measure": "predictive_entropy", "threshold": 0.3, "review": True},
    ),
    "diabetes": Demo(
        task="regression",
        load=_diabetes,
        factory=mlp.regressor,
        arguments={"features": 10, "targets": 1, "hidden": [64, 64], "dropout": 0.2},
        input_name="features",
        labels=(),
        schedule=Schedule(epochs=300, patience=40, batch_rows=32, learning_rate=1e-3, weight_decay=1e-1),
        policy={"measure": "standard_deviation", "threshold": 65.0, "review": True},
    ),
}
