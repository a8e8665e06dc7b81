"""What samples of class probabilities say about a row.

With p_t the probabilities of sample t, p̄ their mean, H[p] = -Σ_c p_c ln p_c in nats, and T samples:

    predictive entropy   H[p̄]                       all uncertainty about the class
    expected entropy     (1/T) Σ_t H[p_t]            what remains when the network is known: the data's
    mutual information   their difference, ≥ 0       what the networks disagree about: the model's
    variation ratio      1 - f_mode / T              the share of samples that vote against the mode

(Gal 2016, "Uncertainty in deep learning", section 3.3.1; Houlsby et al. 2011 for the mutual information.)
Probabilities are averaged, never logits.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.uncertainty.moments import Moments

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClassificationMeasures:
    """Measures of a batch. `classes` is the number of classes.

    Args:
        mean: p̄, [rows, classes].
        variance: unbiased, of the probabilities, [rows, classes].
        standard_error: of `mean`, [rows, classes].
        predictive_entropy: [rows], 0 to ln(classes).
        expected_entropy: [rows], 0 to `predictive_entropy`.
        mutual_information: [rows], 0 to `predictive_entropy`.
        variation_ratio: [rows], 0 to 1 - 1 / classes.
        samples: T.
    """

    mean: Array
    variance: Array
    standard_error: Array
    predictive_entropy: Array
    expected_entropy: Array
    mutual_information: Array
    variation_ratio: Array
    samples: int

    @property
    def class_index(self) -> NDArray[np.int64]:
        """The most probable class, [rows]."""
        return np.asarray(self.mean.argmax(-1))

    @property
    def confidence(self) -> Array:
        """Its probability, [rows]."""
        return np.asarray(self.mean.max(-1))


class ClassificationMoments:
    """Accumulates samples of a classifier.

    Args:
        logits: whether the model gives logits, to be put through a softmax, or probabilities.
    """

    def __init__(self, *, logits: bool) -> None:
        self._logits = logits
        self._probabilities = Moments()
        self._entropy = Moments()
        self._votes: Tensor | int = 0

    def update(self, outputs: Tensor) -> None:
        """Take in a chunk of samples, [samples, rows, classes]."""
        p = probabilities(outputs, logits=self._logits)
        self._probabilities.update(p)
        self._entropy.update(entropy(p))
        self._votes = self._votes + torch.nn.functional.one_hot(p.argmax(-1), p.shape[-1]).sum(0)

    def measures(self) -> ClassificationMeasures:
        """Give the measures of all samples taken in, of which there are at least 2."""
        mean, expected = self._probabilities.mean, self._entropy.mean
        predictive = entropy(mean)
        count = self._probabilities.count
        votes = torch.as_tensor(self._votes).max(-1).values
        return ClassificationMeasures(
            mean=_array(mean),
            variance=_array(self._probabilities.variance),
            standard_error=_array(self._probabilities.standard_error),
            predictive_entropy=_array(predictive),
            expected_entropy=_array(expected),
            # Entropy is concave, so the difference is never negative but for rounding.
            mutual_information=_array((predictive - expected).clamp_min(0)),
            variation_ratio=_array(1 - votes.double() / count),
            samples=count,
        )


def probabilities(outputs: Tensor, *, logits: bool) -> Tensor:
    """Turn a classifier's outputs, [..., classes], into probabilities in double precision."""
    values = outputs.double()
    # What rounding has put a hair below 0 must not become the logarithm of a negative number.
    return values.softmax(-1) if logits else values.clamp_min(0)


def entropy(p: Tensor) -> Tensor:
    """Compute H[p] in nats, [..., classes] → [...], with 0 ln 0 = 0."""
    terms: Tensor = torch.special.entr(p)
    return terms.sum(-1)


def _array(tensor: Tensor) -> Array:
    return tensor.double().cpu().numpy()
