"""What a call wants done, and what came of it: between an exchange, which does no I/O, and its shell."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        method: in capitals.
        path: below the server's address, quoted.
        query: behind the question mark.
        body: JSON; None for none.
        request_id: the same on every try, so that the server takes them for one.
        repeatable: whether it may be sent again though it may have been done.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    request_id: str = ""
    repeatable: bool = True


@dataclass(frozen=True)
class Send:
    """A request is to be sent, and its answer read, within some seconds."""

    request: Request
    seconds: float


@dataclass(frozen=True)
class Wait:
    """Some seconds are to pass."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """The answer to a request. Names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Lost:
    """There was no answer.

    Args:
        reason: in the words of who saw it.
        sent: whether the server may have had the request.
        late: whether time was over.
    """

    reason: str
    sent: bool = True
    late: bool = False


Step = Send | Wait
Outcome = Answer | Lost | None
Exchange = Generator[Step, Outcome, Result]
