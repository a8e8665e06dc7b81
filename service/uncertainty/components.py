"""Components of a score: the numbers, one for each class or target, that it is the greatest or the least of.

The greatest of several noisy numbers that are nearly equal is biased up, and the jackknife sees neither that
bias nor the error: at a tie a maximum is not smooth (Efron 1979; Shao & Wu 1989). Each component alone is
smooth, so a threshold is held against components, and never against the score that they make.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.uncertainty.classification import ClassificationMoments
from service.uncertainty.jackknife import Resamples
from service.uncertainty.regression import RegressionMoments
from service.uncertainty.scores import SHARES, score, target_scores

Array = NDArray[np.float64]
ScoredMoments = ClassificationMoments | RegressionMoments
Margins = Callable[[Array, Array | float], Array]


@dataclass(frozen=True)
class Components:
    """The components of a score, with the threshold that they are held against.

    Args:
        drawn: what they are made of, [groups, rows, components, width].
        lowest: two imagined samples that would lower each, [2, rows, components, width].
        highest: two that would raise each.
        margins: turns means, [..., rows, components, width], over so many samples, [...], into what is above
            0 where a component is above the threshold, [..., rows, components].
        deciding: the side to which one component takes the score: 1, above, where the score is the
            greatest of them, and -1 where it is the least.
        contenders: how many may be at the threshold while none is on that side, [1] or [rows].
    """

    drawn: Resamples
    lowest: Array
    highest: Array
    margins: Margins
    deciding: float
    contenders: Array


def components_of(moments: ScoredMoments, name: str, threshold: Array | float) -> Components:
    """Take a score apart.

    Args:
        moments: of the samples so far.
        name: of the score.
        threshold: one for all rows, or [rows].
    """
    thresholds = np.asarray(threshold)[..., None]
    if isinstance(moments, RegressionMoments):
        return _of_targets(moments, name, thresholds)
    return (_of_classes if name in SHARES else _of_entropy)(moments, name, thresholds)


def _of_entropy(moments: ClassificationMoments, name: str, thresholds: Array) -> Components:
    """One component: the score itself."""

    def margins(means: Array, samples: Array | float) -> Array:
        return score(moments.statistics(means, samples), name) - thresholds

    groups = moments.groups.resamples()
    drawn = Resamples(groups.sums[:, :, None], groups.sizes)
    lowest, highest = (samples[:, :, None] for samples in moments.extremes(name))
    return Components(drawn, lowest, highest, margins, deciding=1.0, contenders=np.ones(1))


def _of_classes(moments: ClassificationMoments, name: str, thresholds: Array) -> Components:
    """One less the share of each class, of the votes or of the probability: the score is the least.

    Shares add up to 1, so no more than 1 / (1 - threshold) of them are as great as 1 - threshold. The
    chance that a lesser share is taken for a greater is convex in the share, so that all of them together
    err no more often than these.
    """

    def margins(means: Array, _samples: Array | float) -> Array:
        return 1 - means[..., 0] - thresholds

    groups = moments.groups.resamples()
    classes = groups.sums.shape[-1] // 2
    first = classes if name == "variation_ratio" else 0
    drawn = Resamples(groups.sums[..., first : first + classes, None], groups.sizes)
    sure = np.ones((2, *drawn.sums.shape[1:]))
    contenders = 1 / np.clip(1 - thresholds.ravel(), 1 / classes, 1)
    return Components(drawn, sure, 0 * sure, margins, deciding=-1.0, contenders=contenders)


def _of_targets(moments: RegressionMoments, name: str, thresholds: Array) -> Components:
    """The score of each target, of which a row's is the greatest.

    A relative deviation has no bound near a mean of 0. It is above the threshold where the deviation is above
    threshold · |mean|, and the difference of these two has an error everywhere (Fieller 1954).
    """
    drawn = moments.groups.resamples()
    sign = np.where(moments.statistics(drawn.whole, drawn.count).mean < 0, -1.0, 1.0)

    def margins(means: Array, samples: Array | float) -> Array:
        statistics = moments.statistics(means, samples)
        if name != "relative_standard_deviation":
            return target_scores(statistics, name) - thresholds
        deviation = target_scores(statistics, "standard_deviation")
        return np.asarray(deviation - thresholds * sign * statistics.mean)

    targets = np.full(1, sign.shape[-1])
    return Components(drawn, *moments.extremes(), margins, deciding=1.0, contenders=targets)
