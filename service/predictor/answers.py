"""What goes into the predictor and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.flagging.policy import Flag, Policy
from service.predictor.given_tensors import GivenTensor
from service.predictor.tokenized import TokenizedText
from service.repository.calibration import Conformal
from service.uncertainty.classification import ClassificationMeasures
from service.uncertainty.regression import RegressionMeasures
from service.uncertainty.sequential import Rounds
from service.uncertainty.tokens import TokenMeasures

Array = NDArray[np.float64]
Measures = ClassificationMeasures | TokenMeasures | RegressionMeasures

DETERMINISTIC = "deterministic"
MC_DROPOUT = "mc_dropout"

Exact = Literal["exact"]
EXACT: Exact = "exact"
"""In place of a number of samples: mean and variance over all thinned networks, in closed form."""

QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Question:
    """What every inference request has.

    Args:
        model: its name.
        version: None for the one that serves by default.
        inputs: the rows: as JSON, or as tensors.
        timeout_seconds: how long the client waits, if that is less than the server's limit.
        request_id: of the request; the same when it is sent again.
        alike: whether all texts must have as many tokens, where these are labelled.
    """

    model: str
    version: int | None
    inputs: bytes | Sequence[GivenTensor]
    timeout_seconds: float | None = None
    request_id: str = ""
    alike: bool = False


@dataclass(frozen=True)
class UncertaintyQuestion(Question):
    """A request for samples; None takes the model's default.

    Args:
        samples: how many, from how many to how many, or none.
        seed: which thinned networks; "fresh" for new ones.
        threshold: of this request's own.
        include_samples: whether to give every sample's output.
        include_quantiles: whether to give quantiles over the samples.
        whole: whether to give the whole network's prediction too.
        review: whether flagged rows enter the review queue.
    """

    samples: int | Rounds | Exact | None = None
    seed: int | Literal["fresh"] | None = None
    threshold: float | None = None
    include_samples: bool = False
    include_quantiles: bool = False
    whole: bool = False
    review: bool | None = None


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

    @property
    def together(self) -> Array:
        """As one array, [rows, classes]."""
        return self.probabilities


@dataclass(frozen=True)
class ValuePrediction:
    """Deterministic values, [rows, targets], and the model's own variance of the noise, if it gives one."""

    value: Array
    aleatoric_variance: Array | None


@dataclass(frozen=True)
class TokenPrediction:
    """Deterministic probabilities of the tokens of texts, [rows] of [tokens, classes]."""

    probabilities: NDArray[np.object_]

    @property
    def together(self) -> Array:
        """As one array, [rows, tokens, classes], of texts that have as many tokens."""
        return np.stack(list(self.probabilities))


Prediction = ClassPrediction | TokenPrediction | ValuePrediction


@dataclass(frozen=True)
class PredictionAnswer:
    """The answer of a whole network.

    Args:
        identity: which model.
        prediction: of all rows.
        texts: the rows, where their tokens are labelled.
    """

    identity: Identity
    prediction: Prediction
    texts: Sequence[TokenizedText] = ()


@dataclass(frozen=True)
class Sampled:
    """What samples gave, or the closed form that stands for all of them.

    Args:
        measures: of all rows.
        scores: what the policy compares, [rows].
        standard_errors: of the scores, [rows].
        settled: whether more samples would leave the flag as it is, [rows].
        outputs: probabilities or values of each row, [samples of the row, width], where kept.
        quantiles: over the samples, by probability, [rows, width], where asked for.
    """

    measures: Measures
    scores: Array
    standard_errors: Array
    settled: NDArray[np.bool_]
    outputs: list[Array] | None
    quantiles: Mapping[float, Array] | None


@dataclass(frozen=True)
class Reviewed:
    """What became of rows that were to enter the review queue.

    Args:
        ids: of those that did, by the number of the row.
        error: why others did not; None where all did.
    """

    ids: Mapping[int, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class UncertaintyAnswer:
    """The answer of many thinned networks.

    Args:
        identity: which model.
        seed: which thinned networks.
        rounds: how many samples a row could take; exact where none were drawn.
        policy: what decided.
        flags: one a row.
        sampled: what the samples gave.
        whole: what the whole network predicts, where that was asked.
        texts: the rows, where their tokens are labelled.
        conformal: of what sets or intervals are made, where rows like these were calibrated.
        reviewed: which rows are in the review queue.
    """

    identity: Identity
    seed: int
    rounds: Rounds | Exact
    policy: Policy
    flags: list[Flag]
    sampled: Sampled
    whole: Prediction | None = None
    texts: Sequence[TokenizedText] = ()
    conformal: Conformal | None = None
    reviewed: Reviewed = field(default_factory=Reviewed)

    @property
    def low_confidence(self) -> NDArray[np.bool_]:
        """Whether each row is flagged, [rows]."""
        return np.array([flag.low_confidence for flag in self.flags])
