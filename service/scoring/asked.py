"""What is to be scored, how, and where to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.data.images import AS_THEY_ARE, Images
from service.predictor.answers import EXACT, Exact, UncertaintyQuestion
from service.predictor.drawing import Decision, decide
from service.predictor.served_model import ServedModel
from service.uncertainty.sequential import Rounds


@dataclass(frozen=True)
class Asked:
    """What is asked of `unsure score`.

    Args:
        model: its name.
        version: the highest if None.
        input: a file of rows, or a folder of such.
        output: a Parquet file that is not there yet.
        keep: columns that are carried through, and are no inputs; none for all that are no inputs.
        samples: as of a request; None for the model's own.
        seed: as of a request.
        threshold: as of a request.
        skip_bad: whether a row that cannot be scored has its error in place of an answer.
        restart: whether to throw away what an earlier run has done.
        images: how files of images become rows.
    """

    model: str
    version: int | None
    input: Path
    output: Path
    keep: Sequence[str] = ()
    samples: int | Rounds | Exact | None = None
    seed: int | None = None
    threshold: float | None = None
    skip_bad: bool = False
    restart: bool = False
    images: Images = AS_THEY_ARE


def decision(asked: Asked, model: ServedModel) -> Decision:
    """Decide as the server does of a request that asks the same.

    Raises:
        RequestError: the model cannot be sampled, or not like this.
    """
    question = UncertaintyQuestion(
        asked.model,
        asked.version,
        b"",
        samples=asked.samples,
        seed=asked.seed,
        threshold=asked.threshold,
    )
    return decide(question, model)


def samples_in_words(rounds: Rounds | Exact) -> str:
    """Say how many samples a row takes."""
    if rounds == EXACT:
        return "exact, no samples"
    if rounds.minimum == rounds.maximum:
        return f"{rounds.maximum} samples"
    return f"{rounds.minimum} to {rounds.maximum} samples"
