"""What a model's outputs mean: classes of rows, classes of tokens, or values."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.errors import ModelError
from service.predictor.answers import ClassPrediction, Prediction, TokenPrediction, ValuePrediction
from service.predictor.rows import Inputs
from service.repository.manifest import Manifest
from service.uncertainty.classification import ClassificationMoments, probabilities
from service.uncertainty.regression import RegressionMoments, values_and_noise
from service.uncertainty.tokens import TokenMoments, objects

_PROBABILITY_ROUNDING = 1e-3

Array = NDArray[Any]
AnyMoments = ClassificationMoments | TokenMoments | RegressionMoments


class Outputs(Protocol):
    """Reads what a network gives, [..., rows, width]."""

    def network(self, inputs: Inputs) -> Inputs:
        """Give what the network takes of rows that were read."""

    def as_read(self, inputs: Inputs) -> Inputs:
        """Give what the network takes as if it had been read; the other way round."""

    def prediction(self, outputs: Tensor, inputs: Inputs) -> Prediction:
        """Read what the whole network gave for rows; raises a ModelError where that is not finite."""

    def moments(self, inputs: Inputs, temperature: float) -> AnyMoments:
        """Give what accumulates samples of these rows."""

    def shown(self, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        """Give what an answer shows of outputs."""

    def check(self, outputs: Tensor) -> None:
        """Refuse what is no output of this kind.

        Raises:
            ModelError: the text names the row.
        """

    def are_probabilities(self, outputs: Tensor) -> bool:
        """Tell whether outputs that should be something else could be probabilities of classes."""


class _OfRows:
    """What is of rows takes all that was read."""

    def network(self, inputs: Inputs) -> Inputs:
        """Give all."""
        return inputs

    def as_read(self, inputs: Inputs) -> Inputs:
        """Give all."""
        return inputs


class ValueOutputs(_OfRows):
    """Values, or means and variances of their noise.

    Args:
        variance_head: whether there are variances.
    """

    def __init__(self, *, variance_head: bool) -> None:
        self._variance_head = variance_head

    def prediction(self, outputs: Tensor, _inputs: Inputs) -> Prediction:
        """Read values."""
        value, noise = values_and_noise(outputs, variance_head=self._variance_head)
        return ValuePrediction(
            finite(value.cpu().numpy()), None if noise is None else finite(noise.cpu().numpy())
        )

    def moments(self, _inputs: Inputs, _temperature: float) -> AnyMoments:
        """Give moments of values."""
        return RegressionMoments(variance_head=self._variance_head)

    def shown(self, outputs: Tensor, _temperature: float = 1.0) -> Tensor:
        """Give values without their noise."""
        return values_and_noise(outputs, variance_head=self._variance_head)[0]

    def check(self, outputs: Tensor) -> None:
        """Take everything."""

    def are_probabilities(self, _outputs: Tensor) -> bool:
        """Values may be anything."""
        return False


class ClassOutputs(_OfRows):
    """Logits or probabilities of classes.

    Args:
        logits: whether they are the former.
    """

    def __init__(self, *, logits: bool) -> None:
        self._logits = logits

    def prediction(self, outputs: Tensor, _inputs: Inputs) -> Prediction:
        """Read probabilities."""
        return ClassPrediction(finite(self.shown(outputs).cpu().numpy()))

    def moments(self, _inputs: Inputs, temperature: float) -> AnyMoments:
        """Give moments of classes."""
        return ClassificationMoments(logits=self._logits, temperature=temperature)

    def shown(self, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        """Give probabilities, [..., rows, classes], or [..., rows, tokens, classes]."""
        return probabilities(self._apart(outputs), logits=self._logits, temperature=temperature)

    def check(self, outputs: Tensor) -> None:
        """Refuse what stands in the place of probabilities."""
        if self._logits:
            return
        wrong = (self._apart(outputs) < -_PROBABILITY_ROUNDING).any(-1) | ~_add_up(self.shown(outputs))
        if wrong.any():
            rows = self._of_rows(wrong)
            row = int(rows.reshape(-1, rows.shape[-1]).any(0).nonzero()[0])
            raise ModelError("the model gave no probabilities", row=row)

    def are_probabilities(self, outputs: Tensor) -> bool:
        """Tell whether logits could be."""
        each = self._apart(outputs)
        return self._logits and each.shape[-1] > 1 and bool((each >= 0).all() and _add_up(each).all())

    def _apart(self, outputs: Tensor) -> Tensor:
        """Give outputs with the classes last."""
        return outputs

    def _of_rows(self, wrong: Tensor) -> Tensor:
        """Tell of rows what is known of whatever has classes, [..., rows]."""
        return wrong


class TokenOutputs(ClassOutputs):
    """Classes of each token; the last tensor of rows that were read says which tokens have an answer.

    Args:
        logits: as above.
        classes: how many.
    """

    def __init__(self, *, logits: bool, classes: int) -> None:
        super().__init__(logits=logits)
        self._classes = classes

    def network(self, inputs: Inputs) -> Inputs:
        """Give all but which tokens have an answer."""
        return inputs[:-1]

    def as_read(self, inputs: Inputs) -> Inputs:
        """Let all tokens have an answer."""
        # In memory, as of rows that were read: made-up ones may lie on the device.
        return *inputs, torch.ones(inputs[0].shape, dtype=torch.bool)

    def prediction(self, outputs: Tensor, inputs: Inputs) -> Prediction:
        """Read probabilities of the tokens that have an answer."""
        rows = zip(finite(self.shown(outputs).cpu().numpy()), inputs[-1].numpy(), strict=True)
        return TokenPrediction(objects([tokens[counted] for tokens, counted in rows]))

    def moments(self, inputs: Inputs, temperature: float) -> AnyMoments:
        """Give moments of the tokens that have an answer."""
        return TokenMoments(inputs[-1], logits=self._logits, temperature=temperature)

    def _apart(self, outputs: Tensor) -> Tensor:
        return outputs.reshape(*outputs.shape[:-1], -1, self._classes)

    def _of_rows(self, wrong: Tensor) -> Tensor:
        return wrong.any(-1)


def outputs_of(manifest: Manifest) -> Outputs:
    """Give what reads the outputs of a model."""
    if manifest.per_token:
        return TokenOutputs(logits=manifest.logits, classes=len(manifest.output.labels))
    if manifest.classifies:
        return ClassOutputs(logits=manifest.logits)
    return ValueOutputs(variance_head=manifest.output.variance_head)


def finite(values: Array) -> Array:
    """Give values, [rows, ...], that are.

    Raises:
        ModelError: the text names the row.
    """
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ModelError("the model gave NaN or infinity", row=int(np.argwhere(wrong)[0][0]))
    return values


def _add_up(classes: Tensor) -> Tensor:
    """Tell whether classes, [..., classes], add up to 1."""
    return (classes.sum(-1) - 1).abs() <= _PROBABILITY_ROUNDING
