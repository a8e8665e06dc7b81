"""The spine: how a request becomes an answer, top to bottom."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.errors import (
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
    TooLarge,
    Unavailable,
)
from service.flagging.policy import Flag, Policy
from service.predictor.answers import (
    DETERMINISTIC,
    EXACT,
    MC_DROPOUT,
    Exact,
    PredictionAnswer,
    Question,
    Sampled,
    UncertaintyAnswer,
    UncertaintyQuestion,
)
from service.predictor.catalogue import Catalogue
from service.predictor.drawing import decide
from service.predictor.lanes import exact_lots, prediction_lots, sampling_lots
from service.predictor.reviewing import Reviewing
from service.predictor.rows import Rows
from service.predictor.served_model import ServedModel
from service.predictor.tokenized import check_alike, worst_tokens
from service.scheduling.lots import Lot
from service.scheduling.scheduler import Scheduler
from service.telemetry.metrics import Telemetry
from service.tracing.trace import note, span
from service.tracing.turns import scheduled
from service.uncertainty.sequential import Rounds


class Predictor:
    """Answers questions to the models of a catalogue.

    Args:
        catalogue: the models.
        scheduler: decides when work runs.
        telemetry: counts.
        max_sample_values: the most numbers that raw samples, or quantiles over them, may be made of.
        reviewing: lets rows into the review queue.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        scheduler: Scheduler,
        telemetry: Telemetry,
        max_sample_values: int,
        reviewing: Reviewing,
    ) -> None:
        self._catalogue = catalogue
        self._scheduler = scheduler
        self._telemetry = telemetry
        self._max_sample_values = max_sample_values
        self._reviewing = reviewing
        # One thread: however many texts wait to be read, the models keep the other cores.
        self._reading = ThreadPoolExecutor(1, "reading")

    @property
    def trouble(self) -> str | None:
        """Why nothing is computed; None where all is well."""
        return self._scheduler.trouble

    async def predict(self, question: Question, model: ServedModel | None = None) -> PredictionAnswer:
        """Answer with the whole network, nothing dropped.

        Args:
            question: what is asked.
            model: that answers, where it has been found already; a reload must not come between.
        """
        model = model or self._catalogue.find(question.model, question.version)
        rows = await self._rows(model, DETERMINISTIC, question)
        lots = prediction_lots(model, rows)
        results = await self._run(model, DETERMINISTIC, rows, lots, question.timeout_seconds)
        return PredictionAnswer(model.identity, rows.in_order(results), rows.texts)

    async def uncertainty(
        self, question: UncertaintyQuestion, model: ServedModel | None = None
    ) -> UncertaintyAnswer:
        """Answer with many thinned networks; `model` as of `predict`."""
        model = model or self._catalogue.find(question.model, question.version)
        rows = await self._rows(model, MC_DROPOUT, question)
        decision = decide(question, model)
        policy, seed, draw = decision.policy, decision.seed, decision.draw
        self._check_kept(question, model, len(rows), decision.rounds)
        lots = exact_lots(model, rows) if draw == EXACT else sampling_lots(model, rows, seed, draw)
        if question.whole:  # in one job: admitted or refused together, by one deadline
            lots += prediction_lots(model, rows)
        results = await self._run(model, MC_DROPOUT, rows, lots, question.timeout_seconds)
        sampled = rows.in_order([one for one in results if isinstance(one, Sampled)])
        whole = [one for one in results if not isinstance(one, Sampled)]
        with span("flag", measure=policy.measure):
            worst = worst_tokens(rows.texts, sampled.measures, policy.measure)
            flags = policy.decide(sampled.scores.tolist(), worst)
            self._count(model, policy, sampled, flags)
        answer = UncertaintyAnswer(
            identity=model.identity,
            seed=seed,
            rounds=decision.rounds,
            policy=policy,
            flags=flags,
            sampled=sampled,
            whole=rows.in_order(whole) if whole else None,
            texts=rows.texts,
            conformal=decision.conformal,
        )
        return await self._reviewing.entered(question, model, rows, answer)

    async def _rows(self, model: ServedModel, mode: str, question: Question) -> Rows:
        """Read rows against what the model takes; meanwhile the loop is free where that takes long."""
        inputs = question.inputs
        name, version = model.identity.key
        note(model=name, version=version, mode=mode)
        if model.inputs.takes_long(inputs):
            loop = asyncio.get_running_loop()
            rows = await loop.run_in_executor(self._reading, model.inputs.read, inputs)
        else:
            rows = model.inputs.read(inputs)
        note(rows=len(rows))
        if question.alike:
            check_alike(rows.texts)
        return rows

    def _check_kept(
        self, question: UncertaintyQuestion, model: ServedModel, rows: int, rounds: Rounds | Exact
    ) -> None:
        """Refuse more raw samples than are kept."""
        if rounds == EXACT or not (question.include_samples or question.include_quantiles):
            return
        values = rows * rounds.maximum * model.shown_width
        if values > self._max_sample_values:
            raise InvalidInput(
                f"include: {rows} rows of {rounds.maximum} samples make {values} numbers, more than the "
                f"{self._max_sample_values} allowed; ask for fewer rows or samples"
            )

    async def _run(
        self, model: ServedModel, mode: str, rows: Rows, lots: Sequence[Lot], timeout_seconds: float | None
    ) -> Sequence[Any]:
        try:
            with scheduled():
                done = await self._scheduler.run(lots, timeout_seconds)
        except (TooLarge, Overloaded, DeadlineExceeded, Unavailable) as refusal:
            self._telemetry.rejected(refusal.code)
            raise
        self._telemetry.ran(*model.identity.key, mode, rows=len(rows), queue_seconds=done.queue_seconds)
        return done.results

    def _count(self, model: ServedModel, policy: Policy, sampled: Sampled, flags: Sequence[Flag]) -> None:
        drawn = int(sampled.measures.samples.sum())
        self._telemetry.sampled(*model.identity.key, drawn)
        note(samples=drawn, flagged=sum(flag.low_confidence for flag in flags))
        for flag in flags:
            self._telemetry.decided(*model.identity.key, flag.score, [reason.code for reason in flag.reasons])
        if model.drift is not None and policy.certified:
            drift = model.drift.add(sampled.scores)
            if drift is not None:
                self._telemetry.reviews.drifted(*model.identity.key, drift)
