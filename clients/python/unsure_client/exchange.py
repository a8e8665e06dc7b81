"""One request and its answer, however many tries that takes; without I/O."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unsure_client.deadlines import Deadline
from unsure_client.errors import (
    BY_CODE,
    BY_STATUS,
    ConnectionFailed,
    DeadlineExceeded,
    RequestFailed,
    UnexpectedAnswer,
    UnsureError,
)
from unsure_client.retries import Retries, is_worth_another
from unsure_client.steps import Answer, Exchange, Lost, Request, Send, Wait

_SHOWN = 200
_NO_JSON = (ValueError, RecursionError)  # the latter of brackets within brackets without an end


@dataclass(frozen=True)
class Patience:
    """How long, and how often, a call tries.

    Args:
        deadline: of the call.
        retries: of each of its requests.
        draw: gives random numbers from 0 to 1.
    """

    deadline: Deadline
    retries: Retries
    draw: Callable[[], float]


def exchanged(request: Request, patience: Patience) -> Exchange[Any]:
    """Ask, and try again where that is worth it.

    Returns:
        The JSON of the answer.

    Raises:
        UnsureError: the last try's, or that time is over.
    """
    tried = 0
    while True:
        outcome = yield from _asked(request, patience.deadline)
        if isinstance(outcome, Answer) and outcome.status == 200:
            return _json(outcome)
        failure = _failure(request, outcome, patience.deadline)
        pause = patience.retries.pause(tried, outcome, patience.draw)
        in_time = tried < patience.retries.limit and pause < patience.deadline.left
        if not in_time or not is_worth_another(request, outcome):
            raise failure
        yield Wait(pause)
        tried += 1


def _asked(request: Request, deadline: Deadline) -> Exchange[Answer | Lost]:
    if not deadline.left:
        return Lost("time was over before the request was sent", sent=False, late=True)
    outcome = yield Send(request, deadline.left)
    assert outcome is not None  # noqa: S101  # a shell answers Send with one of both
    return outcome


def _failure(request: Request, outcome: Answer | Lost, deadline: Deadline) -> UnsureError:
    if isinstance(outcome, Answer):
        return _refusal(outcome)
    if outcome.late:
        text = f"no answer within {deadline.seconds:g} s; give the call more time, or send fewer rows"
        return DeadlineExceeded(text, request_id=request.request_id)
    if outcome.sent and not request.repeatable:
        text = (
            f"the connection was lost ({outcome.reason}); the server may have done it: look before you repeat"
        )
        return ConnectionFailed(text)
    return ConnectionFailed(f"no answer ({outcome.reason}); is the server running, and is this its address?")


def _refusal(answer: Answer) -> UnsureError:
    body = _error_body(answer)
    kind = BY_CODE.get(body.get("code", "")) or BY_STATUS.get(answer.status, RequestFailed)
    identifier = body.get("request_id") or answer.headers.get("x-request-id", "")
    if not body and kind is RequestFailed:
        return _unexpected(answer)
    message = body.get("error") or f"status {answer.status}, without a word of why"
    return kind(message, status=answer.status, code=body.get("code"), request_id=identifier)


def _error_body(answer: Answer) -> dict[str, str]:
    try:
        body = json.loads(answer.body)
    except _NO_JSON:
        return {}
    is_ours = (
        isinstance(body, dict) and isinstance(body.get("error"), str) and isinstance(body.get("code"), str)
    )
    return body if is_ours else {}


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except _NO_JSON as cause:
        raise _unexpected(answer) from cause


def _unexpected(answer: Answer) -> UnexpectedAnswer:
    if "location" in answer.headers:
        return UnexpectedAnswer(
            f"status {answer.status} sends the request on to {answer.headers['location'][:_SHOWN]!r}; no key "
            "follows it there: give the client the address that answers"
        )
    shown = answer.body[:_SHOWN].decode("utf-8", "replace")
    return UnexpectedAnswer(
        f"no unsure server answers so: status {answer.status}, {shown!r}; check the address"
    )
