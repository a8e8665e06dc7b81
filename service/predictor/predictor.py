"""The spine: how a request becomes an answer, top to bottom."""

import secrets
from collections.abc import Callable, Sequence
from typing import TypeVar

from service.errors import (
    DeadlineExceeded,
    InvalidInput,
    NoDropout,
    Overloaded,
    TooLarge,
    Unavailable,
)
from service.flagging.policy import Flag
from service.predictor.answers import (
    DETERMINISTIC,
    MC_DROPOUT,
    PredictionAnswer,
    Question,
    UncertaintyAnswer,
    UncertaintyQuestion,
)
from service.predictor.catalogue import Catalogue
from service.predictor.served_model import Draw, ServedModel
from service.scheduling.scheduler import Caller, Scheduler
from service.telemetry.metrics import Telemetry

Result = TypeVar("Result")

MIN_SAMPLES = 2  # a variance takes two


class Predictor:
    """Answers questions to the models of a catalogue.

    Args:
        catalogue: the models.
        scheduler: decides when work runs.
        telemetry: counts.
        max_sample_values: the most numbers that raw samples, or quantiles over them, may be made of.
    """

    def __init__(
        self, catalogue: Catalogue, scheduler: Scheduler, telemetry: Telemetry, max_sample_values: int
    ) -> None:
        self._catalogue = catalogue
        self._scheduler = scheduler
        self._telemetry = telemetry
        self._max_sample_values = max_sample_values

    async def predict(self, question: Question) -> PredictionAnswer:
        """Answer with the whole network, nothing dropped."""
        model = self._catalogue.find(question.model, question.version)
        rows = model.inputs.read(question.inputs)
        done = await self._run(model, DETERMINISTIC, len(rows), lambda _: model.predict(rows))
        return PredictionAnswer(model.identity, done)

    async def uncertainty(self, question: UncertaintyQuestion) -> UncertaintyAnswer:
        """Answer with many thinned networks."""
        model = self._catalogue.find(question.model, question.version)
        rows = model.inputs.read(question.inputs)
        draw = self._draw(question, model, len(rows))
        policy = model.policy if question.threshold is None else model.policy.overridden(question.threshold)
        sampled = await self._run(
            model, MC_DROPOUT, len(rows), lambda caller: model.sample(rows, draw, caller.check)
        )
        flags = policy.decide(sampled.scores.tolist())
        self._count(model, draw, flags)
        return UncertaintyAnswer(
            identity=model.identity,
            seed=draw.seed,
            policy=policy,
            measures=sampled.measures,
            flags=flags,
            sample_outputs=sampled.outputs,
            quantiles=sampled.quantiles,
        )

    def _draw(self, question: UncertaintyQuestion, model: ServedModel, rows: int) -> Draw:
        """Decide which samples to run, or refuse."""
        sampling = model.manifest.sampling
        if not model.engine.report.can_sample:
            raise NoDropout(f"model {question.model} has no dropout to sample; ask it to predict instead")
        samples = sampling.samples if question.samples is None else question.samples
        if not MIN_SAMPLES <= samples <= sampling.max_samples:
            raise InvalidInput(
                f"samples must be from {MIN_SAMPLES} to {sampling.max_samples}, and is {samples}"
            )
        values = rows * samples * model.shown_width
        if (question.include_samples or question.include_quantiles) and values > self._max_sample_values:
            raise InvalidInput(
                f"include: {rows} rows of {samples} samples make {values} numbers, more than the "
                f"{self._max_sample_values} allowed; ask for fewer rows or samples"
            )
        seed = _seed(question, sampling.seed)
        return Draw(seed, samples, outputs=question.include_samples, quantiles=question.include_quantiles)

    async def _run(
        self, model: ServedModel, mode: str, rows: int, work: Callable[[Caller], Result]
    ) -> Result:
        try:
            done = await self._scheduler.run(work, rows)
        except (TooLarge, Overloaded, DeadlineExceeded, Unavailable) as refusal:
            self._telemetry.rejected(refusal.code)
            raise
        self._telemetry.ran(
            *model.identity.key,
            mode,
            rows=rows,
            queue_seconds=done.queue_seconds,
            compute_seconds=done.compute_seconds,
        )
        return done.result

    def _count(self, model: ServedModel, draw: Draw, flags: Sequence[Flag]) -> None:
        self._telemetry.sampled(*model.identity.key, len(flags) * draw.samples)
        for flag in flags:
            self._telemetry.decided(*model.identity.key, flag.score, [reason.code for reason in flag.reasons])


def _seed(question: UncertaintyQuestion, default: int) -> int:
    if question.seed == "fresh":
        return secrets.randbits(64)
    return default if question.seed is None else question.seed
