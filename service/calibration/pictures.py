"""What a calibration saw, in pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.calibration.curves import sure_and_right
from service.calibration.run import Made
from service.certification.probabilities import reliability
from service.charts import Axis, Chart
from service.uncertainty.classification import ClassificationMeasures
from service.uncertainty.regression import RegressionMeasures
from service.uncertainty.tokens import TokenMeasures

Array = NDArray[np.float64]

_BINS = 24


@dataclass(frozen=True)
class Picture:
    """One picture with what it says."""

    title: str
    text: str
    svg: str


def pictures(made: Made) -> list[Picture]:
    """Draw all."""
    return [_risk_coverage(made), _histograms(made), _reliability(made)]


def _risk_coverage(made: Made) -> Picture:
    curve, found = made.outcome.curves.risk_coverage, made.calibration.found
    target = made.calibration.promise.target_error
    joint = made.calibration.promise.contract == "joint_risk"
    top = max(*curve.up, target, found.error_bound if found.threshold is not None else 0) * 1.08
    name = "wrong and not flagged, of all rows" if joint else "wrong, of the rows not flagged"
    chart = Chart(
        Axis("rows not flagged", 0, 1, percent=True), Axis(name, 0, top, percent=True), "Risk and coverage"
    )
    chart.line([0, 1], [target, target], "target")
    chart.line(curve.across, curve.up, "curve")
    if found.threshold is not None:
        coverage = found.accepted / found.rows
        errors = found.errors / (found.rows if joint else found.accepted)
        if not joint:
            chart.line([coverage, coverage], [errors, found.error_bound], "bound")
        chart.dots(np.array([coverage]), np.array([errors]), [6], [f"{coverage:.1%} not flagged"], "chosen")
    text = "Errors on the rows that certify, from the strictest threshold to none; dashed, what is promised."
    if found.threshold is not None:
        text += " The dot is the chosen threshold" + (
            "." if joint else ", the bar above it reaches its exact bound."
        )
    return Picture("Risk and coverage", text, chart.svg())


def _histograms(made: Made) -> Picture:
    scores, wrong = made.observed.scores[made.outcome.measure], made.observed.wrong > 0
    high = float(scores.max()) or 1.0
    edges = np.linspace(0, high, _BINS + 1)
    right_share, wrong_share = (_shares(scores[which], edges) for which in (~wrong, wrong))
    top = max(right_share.max(), wrong_share.max()) * 1.08
    measure = made.outcome.measure
    chart = Chart(Axis(measure, 0, high), Axis("share of the rows", 0, top, percent=True), "Scores")
    chart.bars(edges, right_share, "right", part=(0.08, 0.5))
    chart.bars(edges, wrong_share, "wrong", part=(0.5, 0.92))
    threshold = made.calibration.found.threshold
    if threshold is not None and threshold <= high:
        chart.line([threshold, threshold], [0, top], "target")
    text = (
        f"The score of the {int((~wrong).sum())} rows that are right (left bars) and of the "
        f"{int(wrong.sum())} that are wrong (right bars), each as shares of their own; dashed, the threshold."
    )
    return Picture("Scores of right and wrong rows", text, chart.svg())


def _reliability(made: Made) -> Picture:
    if isinstance(made.observed.measures, RegressionMeasures):
        return _reliability_of_values(made)
    return _reliability_of_classes(made, made.observed.measures)


def _reliability_of_classes(made: Made, measures: ClassificationMeasures | TokenMeasures) -> Picture:
    found = reliability(*sure_and_right(made.observed, measures))
    what = "tokens" if isinstance(measures, TokenMeasures) else "rows"
    chart = Chart(
        Axis("confidence", 0, 1, percent=True), Axis("right", 0, 1, percent=True), "Confidence and accuracy"
    )
    chart.line([0, 1], [0, 1], "target")
    labels = [
        f"{int(rows)} {what}, confidence {sure:.1%}, right {hits:.1%}"
        for sure, hits, rows in zip(found.confidence, found.accuracy, found.rows, strict=True)
    ]
    radii = 3 + 9 * np.sqrt(found.rows / found.rows.max())
    chart.dots(found.confidence, found.accuracy, radii.tolist(), labels, "bin")
    text = (
        f"How often {what} of a confidence are right; on the dashed line, as often as it says. Larger dots "
        f"are more {what}. Expected calibration error: {100 * found.expected_error:.2g} %."
    )
    return Picture("Reliability", text, chart.svg())


def _reliability_of_values(made: Made) -> Picture:
    chart = Chart(
        Axis("level of the normal interval", 0, 1, percent=True),
        Axis("true values inside", 0, 1, percent=True),
        "Levels and coverage of intervals",
    )
    chart.line([0, 1], [0, 1], "target")
    found = made.outcome.curves.reliability
    chart.line(found.across, found.up, "curve")
    text = "How many true values lie inside of mean ± z · deviation; on the dashed line, as many as it says."
    return Picture("Reliability", text, chart.svg())


def _shares(scores: Array, edges: Array) -> Array:
    counts = np.histogram(scores, edges)[0]
    return np.asarray(counts / max(counts.sum(), 1), float)
