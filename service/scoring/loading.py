"""A model that is ready to score the rows of one file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service import inspection
from service.data.inputs import input_columns
from service.errors import DataError, ScoringError
from service.predictor.drawing import Decision
from service.predictor.served_model import ServedModel
from service.scoring.asked import Asked, decision
from service.scoring.scorer import Scorer
from service.settings import Settings


@dataclass(frozen=True)
class Ready:
    """What scores.

    Args:
        model: as it is served.
        decision: which samples, and with which policy.
        scorer: of the file's rows.
    """

    model: ServedModel
    decision: Decision
    scorer: Scorer


def ready(settings: Settings, asked: Asked, names: Sequence[str]) -> Ready:
    """Load a model, and find its inputs among the columns of a file.

    Raises:
        UnsureError: it cannot be loaded, or not be asked this of these columns.
    """
    missing = [name for name in asked.keep if name not in names]
    if missing:
        raise ScoringError(f"--keep {missing[0]}: {asked.input} has no such column")
    # Code compiled on the way would change a last digit at another row in each run.
    steady = replace(settings, compile_after_seconds=0.0)
    model = inspection.load(steady, asked.model, asked.version, keep_findings=True)
    decided = decision(asked, model)
    try:
        inputs = input_columns(model.manifest, names, asked.keep, asked.images)
    except DataError as cause:
        hint = "" if model.manifest.columns else "; say with --keep which columns are no inputs"
        raise DataError(f"{asked.input}: {cause}{hint}") from cause
    others = [name for name in names if name not in inputs.names]
    scorer = Scorer(model, inputs, asked.keep or others, decided, skip_bad=asked.skip_bad)
    return Ready(model, decided, scorer)
