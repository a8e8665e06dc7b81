"""What goes into the predictor and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.flagging.policy import Flag, Policy
from service.uncertainty.classification import ClassificationMeasures
from service.uncertainty.regression import RegressionMeasures

Array = NDArray[np.float64]

DETERMINISTIC = "deterministic"
MC_DROPOUT = "mc_dropout"

QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Question:
    """What every inference request has.

    Args:
        model: its name.
        version: None for the one that serves by default.
        inputs: the JSON of the rows.
    """

    model: str
    version: int | None
    inputs: bytes


@dataclass(frozen=True)
class UncertaintyQuestion(Question):
    """A request for samples; None takes the model's default.

    Args:
        samples: how many.
        seed: which thinned networks; "fresh" for new ones.
        threshold: of this request's own.
        include_samples: whether to give every sample's output.
        include_quantiles: whether to give quantiles over the samples.
    """

    samples: int | None = None
    seed: int | Literal["fresh"] | None = None
    threshold: float | None = None
    include_samples: bool = False
    include_quantiles: bool = False


@dataclass(frozen=True)
class Identity:
    """Which model answered."""

    model: str
    version: str
    labels: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """Model and version."""
        return self.model, self.version


@dataclass(frozen=True)
class ClassPrediction:
    """Deterministic probabilities, [rows, classes]."""

    probabilities: Array

    @property
    def class_index(self) -> NDArray[np.int64]:
        """The most probable class, [rows]."""
        return np.asarray(self.probabilities.argmax(-1))


@dataclass(frozen=True)
class ValuePrediction:
    """Deterministic values, [rows, targets], and the model's own variance of the noise, if it gives one."""

    value: Array
    aleatoric_variance: Array | None


@dataclass(frozen=True)
class PredictionAnswer:
    """The answer of a whole network."""

    identity: Identity
    prediction: ClassPrediction | ValuePrediction


@dataclass(frozen=True)
class UncertaintyAnswer:
    """The answer of many thinned networks.

    Args:
        identity: which model.
        seed: which thinned networks.
        policy: what decided.
        measures: of all rows.
        flags: one a row.
        sample_outputs: probabilities or values, [samples, rows, width], where asked for.
        quantiles: by probability, [rows, width], where asked for.
    """

    identity: Identity
    seed: int
    policy: Policy
    measures: ClassificationMeasures | RegressionMeasures
    flags: list[Flag]
    sample_outputs: NDArray[Any] | None
    quantiles: Mapping[float, Array] | None
