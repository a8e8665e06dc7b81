"""The demo models: scikit-learn's bundled data sets, and how to learn each."""

from collections.abc import Mapping

import torch
from sklearn import datasets

from models.training.augmentation import shift_images
from models.training.data import Rows
from models.training.fit import Schedule
from models.training.recipe import Recipe
from models.zoo import cnn, mlp


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


# The data sets' own names, which whoever loads them as a table has.
_NUCLEI = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
_TUMOUR = [figure.format(name) for figure in ("mean {}", "{} error", "worst {}") for name in _NUCLEI]
_PATIENT = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]


DEMOS: Mapping[str, Recipe] = {
    "digits": Recipe(
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
    "breast-cancer": Recipe(
        task="classification",
        load=_breast_cancer,
        factory=mlp.classifier,
        arguments={"features": 30, "classes": 2, "hidden": [64, 64], "dropout": 0.3},
        input_name="features",
        labels=("malignant", "benign"),
        schedule=Schedule(epochs=200, patience=30, batch_rows=32, learning_rate=1e-3, weight_decay=1e-2),
        policy={"measure": "predictive_entropy", "threshold": 0.3, "review": True},
        told={"columns": _TUMOUR},
    ),
    "diabetes": Recipe(
        task="regression",
        load=_diabetes,
        factory=mlp.regressor,
        arguments={"features": 10, "targets": 1, "hidden": [64, 64], "dropout": 0.2},
        input_name="features",
        labels=(),
        schedule=Schedule(epochs=300, patience=40, batch_rows=32, learning_rate=1e-3, weight_decay=1e-1),
        policy={"measure": "standard_deviation", "threshold": 65.0, "review": True},
        told={"columns": _PATIENT},
    ),
}
