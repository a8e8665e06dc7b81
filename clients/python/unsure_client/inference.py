"""Inference on rows, in as many requests as it takes, and one result."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from unsure_client.columns import Json
from unsure_client.errors import ModelChanged, RequestFailed, TooLarge, UnexpectedAnswer
from unsure_client.exchange import Patience, exchanged
from unsure_client.models import Model
from unsure_client.parts import Batching, Part, divided
from unsure_client.reading import read as read_as
from unsure_client.rows import Rows
from unsure_client.steps import Exchange, Request, Result

OfRows = TypeVar("OfRows", bound=Sized)


@dataclass(frozen=True)
class Question:
    """What is asked about rows.

    Args:
        path: of the operation.
        version: of the model; None for the highest.
        beside: what a body holds besides rows.
        request_id: of the call.
    """

    path: str
    version: str | int | None
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
        begun: gives an exchange for each part, in order; they are made as they are asked for.
        in_flight: most of them at a time, of a shell that can do several.
        joined: makes the result of the answers of all parts, in order.
    """

    begun: Exchange[Iterator[Exchange[list[Json]]]]
    in_flight: int
    joined: Callable[[Sequence[list[Json]]], Result]


def inferred(
    question: Question,
    describe: Request,
    rows: Rows,
    batching: Batching,
    patience: Patience,
    read: Callable[[Sequence[Json], Any], OfRows],
) -> Inference[OfRows]:
    """Ask a question about rows.

    Args:
        question: that is asked.
        describe: asks what the model is: sent where the rows have names.
        rows: that it is about.
        batching: divides them.
        patience: of the call.
        read: makes the result of answers, and the index of the rows.

    Raises:
        InvalidInput: a row cannot be sent, or its names are not the model's.
    """
    described: list[Model] = []

    def begun() -> Exchange[Iterator[Exchange[list[Json]]]]:
        if rows.have_names:
            described.append(read_as(Model, (yield from exchanged(describe, patience))))
            rows.arrange({tensor.name: tensor.columns for tensor in described[0].inputs})
        rows.check()
        return (_answered(question, part, patience) for part in divided(rows, batching))

    def joined(answers: Sequence[list[Json]]) -> OfRows:
        flat = [answer for of_part in answers for answer in of_part]
        try:
            _check_same(question, described, flat[0])
            result = read(flat, rows.index)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as cause:
            raise UnexpectedAnswer(f"{question.path}: {cause!r}; check the server's version") from cause
        if len(result) != rows.count:
            raise UnexpectedAnswer(f"{question.path}: rows sent: {rows.count}, rows answered: {len(result)}")
        return result

    return Inference(begun(), batching.in_flight, joined)


def _check_same(question: Question, described: Sequence[Model], answer: Json) -> None:
    """Hold an answer to the model whose columns rows were put in the order of."""
    version = next((model.version for model in described), None)
    if question.version is None and version not in (None, answer["version"]):
        raise ModelChanged(
            f"the model's version was {version!r} when its columns were looked at, and then "
            f"{answer['version']!r}: it was loaded anew; call again, or name a version"
        )


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
