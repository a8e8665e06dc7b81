"""What the API can be asked, as a table: routes and the OpenAPI document are both made from it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.access.keys import Scope
from service.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelError,
    NotFound,
    Overloaded,
    RequestError,
    TooLarge,
    Unavailable,
)

Handler = Callable[[Request], Awaitable[Response]]

MODEL_ERRORS: tuple[type[RequestError], ...] = (NotFound, Unavailable)
"""What any question about a model may be answered with."""

INFERENCE_ERRORS = (*MODEL_ERRORS, InvalidInput, TooLarge, Overloaded, ModelError, DeadlineExceeded)
"""What any inference request may be answered with."""


@dataclass(frozen=True)
class Operation:
    """One method on one path.

    Args:
        method: in capitals.
        path: with parameters in braces.
        summary: one line.
        handler: answers it.
        body: what it takes; None for nothing.
        body_required: whether there must be one.
        replies: what it may answer with status 200; empty where that is no JSON.
        many: whether it answers with an array of them.
        scope: that a key must have, where the server asks for keys; None for what needs none.
        binary: whether tensors may stand in binary behind the JSON, of what it takes and of what it answers.
        errors: what else it may answer.
        media_type: of what it answers.
        query: its parameters behind the path; None for any, which are passed over.
        streams_array: whether it may answer with an array of JSON as well.
    """

    method: str
    path: str
    summary: str
    handler: Handler
    body: type[msgspec.Struct] | None = None
    replies: tuple[type[msgspec.Struct], ...] = ()
    errors: tuple[type[RequestError], ...] = ()
    media_type: str = "application/json"
    body_required: bool = True
    many: bool = False
    # Without a default: nobody opens an operation by forgetting it.
    scope: Scope | None = field(kw_only=True)
    binary: bool = False
    query: type[msgspec.Struct] | None = None
    streams_array: bool = False


def model_paths(face: str) -> tuple[str, str]:
    """Give the paths of a model and of one of its versions, on a face such as "/v1"."""
    model = f"{face}/models/{{model}}"
    return model, f"{model}/versions/{{version}}"
