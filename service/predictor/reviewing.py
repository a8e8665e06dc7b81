"""Which rows of an answer enter the review queue, and as what."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from service.errors import Unavailable
from service.predictor.answers import EXACT, Exact, Measures, Reviewed, UncertaintyAnswer, UncertaintyQuestion
from service.predictor.intervals import intervals
from service.predictor.row_inputs import RowInputs
from service.predictor.rows import Rows
from service.predictor.served_model import ServedModel
from service.review.items import Reason, Row
from service.review.queue import ReviewQueue
from service.telemetry.reviews import ReviewTelemetry
from service.tracing.trace import span
from service.uncertainty.classification import ClassificationMeasures
from service.uncertainty.scores import score
from service.uncertainty.sequential import Rounds
from service.uncertainty.tokens import TokenMeasures

log = logging.getLogger("unsure")

TOKEN_STATISTICS = ("predictive_entropy", "expected_entropy", "mutual_information", "variation_ratio")
"""What enters of each token of a text."""


class Reviewing:
    """Lets rows into the review queue before their answer leaves.

    Args:
        queue: None where there is none.
        telemetry: counts what could not enter.
        stores_inputs: whether a row's input enters too, or its hash alone.
        refuses: whether an answer is kept back whose rows could not enter.
        audit_share: of the rows that are not flagged, that enters all the same.
    """

    def __init__(
        self,
        queue: ReviewQueue | None,
        telemetry: ReviewTelemetry,
        *,
        stores_inputs: bool,
        refuses: bool,
        audit_share: float = 0.0,
    ) -> None:
        self._queue = queue
        self._telemetry = telemetry
        self._missed = 0  # rows, since the last that entered
        self._stores_inputs = stores_inputs
        self._refuses = refuses
        self._audit_share = audit_share

    async def entered(
        self, question: UncertaintyQuestion, model: ServedModel, rows: Rows, answer: UncertaintyAnswer
    ) -> UncertaintyAnswer:
        """Let in the rows that are to be reviewed, and give the answer with what became of that.

        Raises:
            Unavailable: they could not enter, and no answer is wanted without it.
        """
        flagged = _to_review(question, model, answer)
        if not flagged and not self._audit_share:
            return answer
        if self._queue is None:
            missed = "this server keeps no review queue" if flagged and question.review else None
            return replace(answer, reviewed=Reviewed({}, missed))
        inputs = RowInputs(question.inputs, model.inputs, rows)
        numbers = sorted([*flagged, *self._audited(question, model, answer, inputs)])
        if not numbers:
            return answer
        entering = self._rows(question, model, answer, inputs, numbers)
        return replace(answer, reviewed=await self._enter(self._queue, entering))

    def _audited(
        self, question: UncertaintyQuestion, model: ServedModel, answer: UncertaintyAnswer, inputs: RowInputs
    ) -> list[int]:
        """Choose rows that the model's own policy does not flag, by a hash: the same row is chosen always."""
        if not self._audit_share or question.threshold is not None or not _wanted(question, model):
            return []
        unflagged = [number for number, flag in enumerate(answer.flags) if not flag.low_confidence]
        return [number for number in unflagged if _place(inputs.digest(number)) < self._audit_share]

    async def _enter(self, queue: ReviewQueue, rows: Sequence[Row]) -> Reviewed:
        try:
            with span("review", rows=len(rows)):
                identifiers = await queue.enter(rows)
        except Unavailable as error:
            self._miss(rows, error)
            if all(row.audit for row in rows):  # nobody waits for these
                return Reviewed()
            if self._refuses:
                raise Unavailable(f"{error}; no answer is given without the review it needs") from error
            return Reviewed({}, str(error))
        if self._missed:
            log.warning("rows enter the review queue again; %d did not, or not in time", self._missed)
            self._missed = 0
        entered = zip(rows, identifiers, strict=True)
        return Reviewed({row.number: one for row, one in entered if not row.audit})

    def _miss(self, rows: Sequence[Row], error: Unavailable) -> None:
        """Count rows that did not enter; the log tells of the first, and when others do again."""
        if not self._missed:
            log.warning(
                "rows do not enter the review queue, from request %s on: %s", rows[0].request_id, error
            )
        self._missed += len(rows)
        late = isinstance(error.__cause__, TimeoutError)
        self._telemetry.missed("late" if late else "database", len(rows))

    def _rows(
        self,
        question: UncertaintyQuestion,
        model: ServedModel,
        answer: UncertaintyAnswer,
        inputs: RowInputs,
        numbers: Sequence[int],
    ) -> list[Row]:
        stored = inputs.json(numbers) if self._stores_inputs else [None] * len(numbers)
        return [
            _row(question, model, answer, number, given, inputs.digest(number))
            for number, given in zip(numbers, stored, strict=True)
        ]


def _wanted(question: UncertaintyQuestion, model: ServedModel) -> bool:
    return model.manifest.policy.review if question.review is None else question.review


def _to_review(question: UncertaintyQuestion, model: ServedModel, answer: UncertaintyAnswer) -> list[int]:
    wanted = _wanted(question, model)
    return [number for number, flag in enumerate(answer.flags) if wanted and flag.low_confidence]


def _place(digest: str) -> float:
    """Give a row's place from 0 to 1, by its hash."""
    return int(digest[:13], 16) / 16**13


def _row(
    question: UncertaintyQuestion,
    model: ServedModel,
    answer: UncertaintyAnswer,
    number: int,
    given: bytes | None,
    digest: str,
) -> Row:
    flag, policy = answer.flags[number], answer.policy
    return Row(
        request_id=question.request_id,
        number=number,
        model=answer.identity.model,
        version=answer.identity.version,
        task=model.manifest.task,
        policy_id=policy.id,
        measure=policy.measure,
        threshold=policy.threshold,
        score=flag.score,
        reasons=_reasons(answer, number, stored=given is not None),
        prediction=_prediction(answer, number, model.certificate.tolerance, stored=given is not None),
        statistics=_statistics(answer.sampled.measures, number)
        | {"seed": answer.seed}
        | _taken(answer.rounds),
        input=given,
        input_sha256=digest,
        audit=not flag.low_confidence,
    )


def _reasons(answer: UncertaintyAnswer, number: int, *, stored: bool) -> tuple[Reason, ...]:
    """Give reasons; where the input is not to be stored, none repeats a part of it."""
    flag, measures = answer.flags[number], answer.sampled.measures
    if isinstance(measures, TokenMeasures) and not stored:
        bare = answer.texts[number].without_text()
        place = bare.worst(score(measures.tokens[number], answer.policy.measure).tolist())
        (flag,) = answer.policy.decide([flag.score], [place])
    return tuple(Reason(one.code, one.message) for one in flag.reasons)


def _prediction(
    answer: UncertaintyAnswer, number: int, tolerance: float | tuple[float, ...] | None, *, stored: bool
) -> Mapping[str, Any]:
    measures = answer.sampled.measures
    if isinstance(measures, TokenMeasures):
        return {"tokens": _tokens(answer, number, measures, stored=stored)}
    if isinstance(measures, ClassificationMeasures):
        index = int(measures.class_index[number])
        confidence = float(measures.confidence[number])
        return {"label": answer.identity.labels[index], "class_index": index, "confidence": confidence}
    found = intervals(measures, answer.conformal)
    interval = {
        "level": found.level,
        "lower": found.lower[number].tolist(),
        "upper": found.upper[number].tolist(),
        "method": found.method,
    }
    name = "tolerances" if isinstance(tolerance, tuple) else "tolerance"
    wrong_beyond = {} if tolerance is None else {name: tolerance}
    return {"value": measures.mean[number].tolist(), "interval": interval} | wrong_beyond


def _tokens(
    answer: UncertaintyAnswer, number: int, measures: TokenMeasures, *, stored: bool
) -> list[dict[str, Any]]:
    labels, text, tokens = answer.identity.labels, answer.texts[number], measures.tokens[number]
    found = zip(text.spans, tokens.class_index.tolist(), tokens.confidence.tolist(), strict=True)
    return [
        ({"text": text.token(place)} if stored else {})
        | {"start": start, "end": end, "label": labels[index], "class_index": index, "confidence": confidence}
        for place, ((start, end), index, confidence) in enumerate(found)
    ]


def _taken(rounds: Rounds | Exact) -> dict[str, Any]:
    """Say of adaptive sampling that the number of samples is what this row took."""
    return {"adaptive": True} if rounds != EXACT and rounds.minimum != rounds.maximum else {}


def _statistics(measures: Measures, number: int) -> dict[str, Any]:
    """Give one row of every array of measures; of tokens those that are one number each."""
    if isinstance(measures, TokenMeasures):
        each = {name: getattr(measures.tokens[number], name).tolist() for name in TOKEN_STATISTICS}
        return each | {"samples": int(measures.samples[number])}
    arrays = {field.name: getattr(measures, field.name) for field in fields(measures)}
    return {name: array[number].tolist() for name, array in arrays.items() if array is not None}
