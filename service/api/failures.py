"""Errors on the wire: one shape on every path, and the only place that knows status codes."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from service.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    ModelError,
    NoDropout,
    NotFound,
    Overloaded,
    RequestError,
    TooLarge,
    Unauthorized,
    Unavailable,
)


@dataclass(frozen=True)
class Failure:
    """One line of the table of errors.

    Args:
        status: of the answer.
        code: of the body.
        meaning: when it happens.
    """

    status: int
    code: str
    meaning: str


METHOD_NOT_ALLOWED = Failure(405, "method_not_allowed", "The path does not take this method.")
INTERNAL_ERROR = Failure(500, "internal_error", "A fault of the server itself; its log has the details.")

_STATUSES: dict[type[RequestError], int] = {
    InvalidInput: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    NoDropout: 422,
    Overloaded: 429,
    ModelError: 500,
    Unavailable: 503,
    DeadlineExceeded: 504,
}

_MEANINGS = {kind: (kind.__doc__ or "").splitlines()[0] for kind in _STATUSES}

FAILURES = tuple(
    sorted(
        [Failure(status, kind.code, _MEANINGS[kind]) for kind, status in _STATUSES.items()]
        + [METHOD_NOT_ALLOWED, INTERNAL_ERROR],
        key=lambda failure: (failure.status, failure.code),
    )
)
"""Every error that an answer can be."""


class ErrorBody(msgspec.Struct):
    """The body of every error."""

    error: Annotated[str, Meta(description="What happened, the value, and the way out.")]
    code: Annotated[str, Meta(description="Which case, for programs.")]
    request_id: Annotated[str, Meta(description="Stands beside it in the server's log.")]


_LONGEST_TEXT = 1000

CLIENT_LEFT = 499
"""Counted, and sent to nobody: the client had left before its answer was there."""

CLIENT_GONE = "the client left"
"""With this a request is cancelled whose client has left; any other is cut off by the server's stop."""


def cut_off() -> Unavailable:
    """What a client hears whose request the server's stop has cut off."""
    return Unavailable("the server stopped before the answer was ready; ask another, or again")


def status_of(error: Exception) -> int:
    """Give the status code of an error; one that nobody raised on purpose is a fault of the server."""
    kinds = (status for kind, status in _STATUSES.items() if isinstance(error, kind))
    return next(kinds, INTERNAL_ERROR.status)


def failed(error: RequestError, request_id: str) -> Response:
    """Answer with an error."""
    response = failure_response(status_of(error), error.code, str(error), request_id)
    if isinstance(error, Overloaded):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def failure_response(status: int, code: str, message: str, request_id: str) -> Response:
    """Answer with an error of any kind."""
    # Texts repeat parts of a request: they must not be as long as one.
    text = message if len(message) <= _LONGEST_TEXT else f"{message[:_LONGEST_TEXT]}…"
    body = msgspec.json.encode(ErrorBody(text, code, request_id))
    return Response(body, status, media_type="application/json")
