"""From what was observed to a calibration: choose a score on some rows, certify a threshold on the others."""

from dataclasses import dataclass
from math import ceil, isnan

import numpy as np
from numpy.typing import NDArray

from service.calibration.curves import curves
from service.calibration.observing import Observed
from service.certification import conformal
from service.certification.ranking import auroc
from service.certification.rows_wanted import rows_wanted
from service.certification.selective import augrc, aurc, risk_coverage
from service.certification.thresholds import Threshold, joint_risk, selective_risk, starting_threshold
from service.repository.calibration import Conformal, Contract, Curves, Found, ScoreFigures, ScoreHistogram
from service.uncertainty.classification import ClassificationMeasures
from service.uncertainty.tokens import TokenMeasures

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

CHOOSING_SHARE = 0.15
"""Of the rows, how many choose: the others are worth more where they certify."""

PLAIN = "deterministic max_probability"
"""What the whole network says, nothing dropped: to compare, and not to choose."""

_SPLIT_SEED = 0
_HISTOGRAM_BINS = 10


@dataclass(frozen=True)
class Asked:
    """What a calibration shall promise.

    Args:
        contract: what kind of promise.
        target_error: the share of rows that may be wrong.
        confidence: of a selective risk.
        measure: the score; None for the best.
        level: of sets or intervals.
        temperature: whether probabilities are to be scaled.
    """

    contract: Contract
    target_error: float
    confidence: float
    measure: str | None = None
    level: float = 0.95
    temperature: bool = False


@dataclass(frozen=True)
class Split:
    """Rows that choose, and rows that certify, by their numbers."""

    choosing: Indices
    certifying: Indices


@dataclass(frozen=True)
class Outcome:
    """What a calibration has come to.

    Args:
        measure: the score.
        figures: of all scores, the best first.
        over_all: AUGRC of each score over all rows, which chooses nothing.
        split: of the rows.
        found: on those that certify.
        conformal: sets or intervals.
        histogram: of the score.
        curves: to draw.
    """

    measure: str
    figures: tuple[ScoreFigures, ...]
    over_all: dict[str, float]
    split: Split
    found: Found
    conformal: Conformal | None
    histogram: ScoreHistogram
    curves: Curves


def split_rows(rows: int) -> Split:
    """Split at random, and the same rows alike each time."""
    order = np.random.default_rng(_SPLIT_SEED).permutation(rows)
    choosing = ceil(CHOOSING_SHARE * rows)
    return Split(np.sort(order[:choosing]), np.sort(order[choosing:]))


def calibrated(observed: Observed, asked: Asked, usual_measure: str) -> Outcome:
    """Choose and certify.

    Args:
        observed: labelled rows.
        asked: the promise.
        usual_measure: the score that stays where no other is better.
    """
    split = split_rows(len(observed.wrong))
    figures = compared(observed, split.choosing)
    measure = asked.measure or _best(figures, usual_measure)
    scores = observed.scores[measure]
    found = _certified(scores, observed.wrong, split, asked)
    sets = _conformal(observed, split.certifying, asked.level)
    over_all = {one.measure: one.augrc for one in compared(observed, np.arange(len(observed.wrong)))}
    drawn = curves(observed, scores, split.certifying, asked.contract)
    return Outcome(measure, figures, over_all, split, found, sets, histogram(scores[split.certifying]), drawn)


def compared(observed: Observed, rows: Indices) -> tuple[ScoreFigures, ...]:
    """Say how well each score finds the wrong rows among these, the best first."""
    every = observed.scores if observed.plain is None else observed.scores | {PLAIN: observed.plain}
    wrong = observed.wrong[rows]
    figures = [_figures(name, scores[rows], wrong) for name, scores in every.items()]
    return tuple(sorted(figures, key=lambda one: one.augrc))


def histogram(scores: Array) -> ScoreHistogram:
    """Count scores between their own quantiles; equal quantiles make one edge."""
    places = np.arange(1, _HISTOGRAM_BINS) / _HISTOGRAM_BINS
    edges = np.unique(np.quantile(scores, places))
    counts = np.bincount(np.searchsorted(edges, scores, side="left"), minlength=len(edges) + 1)
    return ScoreHistogram(tuple(edges.tolist()), tuple(counts.tolist()))


def _figures(name: str, scores: Array, wrong: Array) -> ScoreFigures:
    found = auroc(scores, wrong)
    return ScoreFigures(name, augrc(scores, wrong), aurc(scores, wrong), None if isnan(found) else found)


def _best(figures: tuple[ScoreFigures, ...], usual: str) -> str:
    able = [one for one in figures if one.measure != PLAIN]
    return min(able, key=lambda one: (one.augrc, one.measure != usual)).measure


def _certified(scores: Array, wrong: Array, split: Split, asked: Asked) -> Found:
    curve = risk_coverage(scores[split.certifying], wrong[split.certifying])
    target, confidence = asked.target_error, asked.confidence
    if asked.contract == "joint_risk":
        found = joint_risk(curve, target, confidence)
        needed = ceil((1 + curve.losses[0]) / target)
    else:
        start = starting_threshold(
            scores[split.choosing], wrong[split.choosing], curve.rows, target, confidence
        )
        found = selective_risk(curve, start, target, confidence)
        needed = rows_wanted(curve, target, confidence) if found.value is None else None
    return _found(found, needed)


def _found(found: Threshold, certifying: int | None) -> Found:
    wanted = None if certifying is None else ceil(certifying / (1 - CHOOSING_SHARE))
    return Found(
        threshold=found.value,
        rows=found.rows,
        accepted=found.accepted,
        errors=found.errors,
        error_bound=found.bound,
        rows_needed=wanted if found.value is None else None,
    )


def _conformal(observed: Observed, rows: Indices, level: float) -> Conformal | None:
    measures = observed.measures
    if isinstance(measures, TokenMeasures):
        return None  # a set for each token says nothing of the text
    if isinstance(measures, ClassificationMeasures):
        strange = conformal.strangeness_of_classes(measures.mean[rows], observed.truth[rows])[:, None]
    else:
        strange = conformal.strangeness_of_values(
            observed.truth[rows], measures.mean[rows], measures.deviation[rows]
        )
    quantiles = [conformal.conformal_quantile(column, level) for column in strange.T]
    known = [quantile for quantile in quantiles if quantile is not None]
    return Conformal(level, tuple(known)) if len(known) == len(quantiles) else None
