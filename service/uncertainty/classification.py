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
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.uncertainty.jackknife import Groups
from service.uncertainty.moments import Moments

Array = NDArray[np.float64]


class ClassStatistics:
    """What scores of a classifier are made of, each computed when it is first asked for.

    A settled flag takes the score of dozens of means, and one score takes only one of these.

    Args:
        means: of (probabilities, votes, entropy), one after another, [..., 2·classes + 1].
    """

    def __init__(self, means: Array) -> None:
        self._means = means
        self._classes = means.shape[-1] // 2

    @cached_property
    def mean(self) -> Array:
        """p̄, [..., classes]."""
        # A mean that a test has moved may have left the range of probabilities.
        return np.maximum(self._means[..., : self._classes], 0)

    @cached_property
    def predictive_entropy(self) -> Array:
        """H[p̄], [...], 0 to ln(classes)."""
        return entropy(torch.from_numpy(self.mean)).numpy()

    @property
    def expected_entropy(self) -> Array:
        """Mean of the samples' entropies, [...], 0 to `predictive_entropy`."""
        return self._means[..., -1]

    @property
    def mutual_information(self) -> Array:
        """[...], 0 to `predictive_entropy`."""
        # Entropy is concave, so the difference is never negative but for rounding.
        return np.maximum(self.predictive_entropy - self.expected_entropy, 0)

    @property
    def variation_ratio(self) -> Array:
        """[...], 0 to 1 - 1 / classes."""
        return np.asarray(1 - self._means[..., self._classes : -1].max(-1))

    @property
    def confidence(self) -> Array:
        """The probability of the most probable class, [...]."""
        return np.asarray(self.mean.max(-1))


@dataclass(frozen=True)
class ClassificationMeasures:
    """Measures of a batch. `classes` is the number of classes.

    Args:
        mean: p̄, [rows, classes].
        predictive_entropy: [rows], 0 to ln(classes).
        expected_entropy: [rows], 0 to `predictive_entropy`.
        mutual_information: [rows], 0 to `predictive_entropy`.
        variation_ratio: [rows], 0 to 1 - 1 / classes.
        variance: unbiased, of the probabilities, [rows, classes].
        standard_error: of `mean`, [rows, classes].
        samples: T of each row, [rows].
    """

    mean: Array
    predictive_entropy: Array
    expected_entropy: Array
    mutual_information: Array
    variation_ratio: Array
    variance: Array
    standard_error: Array
    samples: NDArray[np.int64]

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
        temperature: that the logits are divided by.

    Attributes:
        kind: of the measures.
        groups: of (probabilities, votes, entropy), one after another.
    """

    kind = ClassificationMeasures

    def __init__(self, *, logits: bool, temperature: float = 1.0) -> None:
        self.groups = Groups()
        self._logits = logits
        self._temperature = temperature
        self._probabilities = Moments()

    def update(self, outputs: Tensor) -> None:
        """Take in a chunk of samples, [samples, rows, classes]."""
        p = probabilities(outputs, logits=self._logits, temperature=self._temperature)
        self._probabilities.update(p)
        self.groups.update(_statistic(p))

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but those of these indices."""
        self._probabilities.keep(rows)
        self.groups.keep(rows)

    def measures(self) -> ClassificationMeasures:
        """Give the measures of all samples taken in, of which there are at least 2."""
        statistics = self.statistics(self.groups.resamples().whole)
        return ClassificationMeasures(
            mean=statistics.mean,
            predictive_entropy=statistics.predictive_entropy,
            expected_entropy=statistics.expected_entropy,
            mutual_information=statistics.mutual_information,
            variation_ratio=statistics.variation_ratio,
            variance=_array(self._probabilities.variance),
            standard_error=_array(self._probabilities.standard_error),
            samples=np.full(len(statistics.mean), self.groups.count),
        )

    @staticmethod
    def statistics(means: Array, _samples: Array | float = 0) -> ClassStatistics:
        """Turn means of what `groups` holds, [..., 2·classes + 1], into statistics, [...]."""
        return ClassStatistics(means)

    def extremes(self, score: str) -> tuple[Array, Array]:
        """Imagine the two samples that would lower an entropy the most, and two that would raise it the most.

        A bounded score has such samples. An entropy is lowest where a sample is sure of the predicted class,
        and highest where it spreads over the others; the mutual information changes with a sample w by
        KL(w ‖ p̄), to first order, which is 0 at w = p̄.

        Args:
            score: its name; `SHARES` are not among them.

        Returns:
            What `groups` would be given, each [2, rows, 2·classes + 1].
        """
        whole = torch.from_numpy(self.groups.resamples().whole)
        classes = whole.shape[-1] // 2
        p = whole[:, :classes]
        likely, unlikely = _one_hot(p.argmax(-1), classes), _one_hot(p.argmin(-1), classes)
        lowest = p if score == "mutual_information" else likely
        highest = {
            "predictive_entropy": (1 - likely) / (classes - 1),
            "expected_entropy": torch.full_like(p, 1 / classes),
        }.get(score, unlikely)
        return _twice(lowest), _twice(highest)


def _statistic(p: Tensor) -> Tensor:
    """Join what is averaged: [..., classes] → [..., 2·classes + 1]."""
    return torch.cat([p, _one_hot(p.argmax(-1), p.shape[-1]), entropy(p)[..., None]], -1)


def _twice(p: Tensor) -> Array:
    return np.stack([_statistic(p).numpy()] * 2)


def _one_hot(index: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(index, classes).double()


def probabilities(outputs: Tensor, *, logits: bool, temperature: float = 1.0) -> Tensor:
    """Turn a classifier's outputs, [..., classes], into probabilities in double precision.

    Args:
        outputs: logits, or probabilities.
        logits: whether they are the former.
        temperature: that the logits are divided by, also those behind probabilities (Guo et al. 2017).
    """
    values = outputs.double()
    if logits:
        return (values / temperature).softmax(-1)
    # What rounding has put a hair below 0 must not become the logarithm of a negative number.
    values = values.clamp_min(0)
    return values if temperature == 1 else (values.log() / temperature).softmax(-1)


def entropy(p: Tensor) -> Tensor:
    """Compute H[p] in nats, [..., classes] → [...], with 0 ln 0 = 0."""
    terms: Tensor = torch.special.entr(p)
    return terms.sum(-1)


def _array(tensor: Tensor) -> Array:
    return tensor.double().cpu().numpy()
