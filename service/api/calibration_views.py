"""A model's calibration as the JSON that clients see."""

from msgspec import Struct

from service.predictor.answers import Exact
from service.repository.calibration import Calibration, Curves, Population, ScoreFigures, ScoreHistogram


class CalibrationView(Struct):
    """The calibration that holds, in short; `threshold` is null where nothing could be certified.

    `flagged_share` is that of the rows that certify, `error_bound` an upper bound on the share of errors
    among those that are not flagged, `interval_level` the level of conformal sets or intervals; `scores` tell
    how well each measure finds wrong rows, the best first. Of `rows`, `accepted` were not flagged, and
    `errors` of these wrong; `rows_of` is what they are a sample of: all rows, or those that an earlier
    threshold left unflagged. `curves` are what its pictures are drawn of; null where an earlier version of
    unsure made it. `tolerance` is null, and `tolerances` has one for each value, where it is not one for all.
    """

    measure: str
    threshold: float | None
    contract: str
    target_error: float
    confidence: float | None
    tolerance: float | None
    rows: int
    flagged_share: float
    error_bound: float
    rows_needed: int | None
    samples: int | Exact
    seed: int
    temperature: float
    interval_level: float | None
    scores: list[ScoreFigures]
    histogram: ScoreHistogram
    accepted: int
    errors: int
    rows_of: Population
    curves: Curves | None
    tolerances: list[float] | None


def calibration_view(calibration: Calibration | None) -> CalibrationView | None:
    """Show a calibration, where there is one."""
    if calibration is None:
        return None
    promise, found, conformal = calibration.promise, calibration.found, calibration.conformal
    return CalibrationView(
        measure=calibration.measure,
        threshold=found.threshold,
        contract=promise.contract,
        target_error=promise.target_error,
        confidence=promise.confidence,
        tolerance=promise.tolerance,
        rows=found.rows,
        flagged_share=1 - found.accepted / found.rows,
        error_bound=found.error_bound,
        rows_needed=found.rows_needed,
        samples=calibration.draws.samples,
        seed=calibration.draws.seed,
        temperature=calibration.temperature,
        interval_level=None if conformal is None else conformal.level,
        scores=list(calibration.scores),
        histogram=calibration.histogram,
        accepted=found.accepted,
        errors=found.errors,
        rows_of=calibration.rows_of,
        curves=calibration.curves,
        tolerances=None if promise.tolerances is None else list(promise.tolerances),
    )
