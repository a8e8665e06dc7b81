"""Inference on rows, in as many requests as it takes, and one result."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from unsure_client.columns import Json
from unsure_client.errors import RequestFailed, TooLarge, UnexpectedAnswer
from unsure_client.exchange import Patience, exchanged
from unsure_client.parts import Batching, Part, divided
from unsure_client.rows import Rows
from unsure_client.steps import Exchange, Request, Result

OfRows = TypeVar("OfRows", bound=Sized)


@dataclass(frozen=True)
class Question:
    """What is asked about rows.

    Args:
        path: of the operation.
        beside: what a body holds besides rows.
        request_id: of the call.
    """

    path: str
    beside: Mapping[str, Any]
    request_id: str

    def about(self, part: Part) -> Request:
        """Make the request that asks about a part of the rows."""
        return Request(
            "POST", self.path, body=part.body(self.beside), request_id=f"{self.request_id}{part.suffix}"
        )


@dataclass(frozen=True)
class Inference(Generic[Result]):
    """One call.

    Args:
        exchanges: one a part, in order; made as they are asked for.
        in_flight: most of them at a time, of a shell that can do several.
        joined: makes the result of the answers of all parts, in order.
    """

    exchanges: Iterator[Exchange[list[Json]]]
    in_flight: int
    joined: Callable[[Sequence[list[Json]]], Result]


def inferred(
    question: Question,
    rows: Rows,
    batching: Batching,
    patience: Patience,
    read: Callable[[Sequence[Json], Any], OfRows],
) -> Inference[OfRows]:
    """Ask a question about rows.

    Args:
        question: that is asked.
        rows: that it is about.
        batching: divides them.
        patience: of the call.
        read: makes the result of answers, and the index of the rows.

    Raises:
        InvalidInput: a row cannot be sent.
    """

    def joined(answers: Sequence[list[Json]]) -> OfRows:
        try:
            result = read([answer for of_part in answers for answer in of_part], rows.index)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as cause:
            raise UnexpectedAnswer(f"{question.path}: {cause!r}; check the server's version") from cause
        if len(result) != rows.count:
            raise UnexpectedAnswer(f"{question.path}: rows sent: {rows.count}, rows answered: {len(result)}")
        return result

    rows.check()
    exchanges = (_answered(question, part, patience) for part in divided(rows, batching))
    return Inference(exchanges, batching.in_flight, joined)


def _answered(question: Question, part: Part, patience: Patience) -> Exchange[list[Json]]:
    """Ask about a part; or about its halves, where it is too large."""
    try:
        return [(yield from exchanged(question.about(part), patience))]
    except RequestFailed as failure:
        if not isinstance(failure, TooLarge) or len(part.rows) == 1:
            if part.suffix:
                failure.rows = part.numbers
            raise
    first, second = part.halves()
    answers = yield from _answered(question, first, patience)
    return answers + (yield from _answered(question, second, patience))
