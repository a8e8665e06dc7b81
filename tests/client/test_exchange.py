"""One request, however many tries it takes: without I/O, without waiting, by a clock of the test's own."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from unsure_client.deadlines import Deadline
from unsure_client.errors import (
    BY_CODE,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    Overloaded,
    RequestFailed,
    Unavailable,
    UnexpectedAnswer,
    UnsureError,
)
from unsure_client.exchange import Patience, exchanged
from unsure_client.retries import Retries, retry_after
from unsure_client.steps import Answer, Lost, Request, Send, Wait

from service.api.failures import FAILURES

ASK = Request("POST", "/v1/models/small/predict", body=b"{}", request_id="mine")
STEP = replace(ASK, repeatable=False)
FINE = Answer(200, {}, b'{"fine": true}')
REFUSED = Lost("ConnectError: refused", sent=False)
BAD_GATEWAY = Answer(502, {}, b"<html>no</html>")
RESET = Lost("ReadError: reset")
LATE = Lost("ReadTimeout", late=True)


def failed(status: int, code: str, **headers: str) -> Answer:
    body = {"error": "what happened", "code": code, "request_id": "theirs"}
    return Answer(status, headers, json.dumps(body).encode())


class Told:
    """Does what an exchange wants, from a list of outcomes; each request takes a second.

    Args:
        outcomes: of its requests, in order.
        seconds: of the deadline.
        retries: when it is tried again.
        drawn: the random number that is always drawn.
    """

    def __init__(
        self,
        *outcomes: Answer | Lost,
        seconds: float = 60.0,
        retries: Retries | None = None,
        drawn: float = 0.5,
    ) -> None:
        self.now = 0.0
        self.sent: list[Send] = []
        self.waits: list[float] = []
        self._outcomes = list(outcomes)
        deadline = Deadline(seconds, lambda: self.now)
        self._patience = Patience(deadline, retries or Retries(), lambda: drawn)

    def result(self, request: Request = ASK) -> Any:
        exchange = exchanged(request, self._patience)
        outcome: Answer | Lost | None = None
        while True:
            try:
                step = exchange.send(outcome)
            except StopIteration as end:
                return end.value
            outcome = self._done(step)

    def _done(self, step: Send | Wait) -> Answer | Lost | None:
        if isinstance(step, Wait):
            self.waits.append(step.seconds)
            self.now += step.seconds
            return None
        self.sent.append(step)
        self.now += 1.0
        return self._outcomes.pop(0)


@pytest.mark.parametrize(
    "outcome", [failed(429, "overloaded"), failed(503, "unavailable"), REFUSED, RESET, BAD_GATEWAY]
)
def test_what_is_safe_is_tried_again_as_the_same_request(outcome: Answer | Lost) -> None:
    told = Told(outcome, outcome, FINE)
    assert told.result() == {"fine": True}
    assert [step.request for step in told.sent] == [ASK, ASK, ASK]
    assert told.waits == [0.1, 0.2]


@pytest.mark.parametrize(
    "outcome",
    [failed(400, "invalid_input"), failed(500, "model_error"), failed(504, "deadline_exceeded"), LATE],
)
def test_what_would_fail_again_is_not(outcome: Answer | Lost) -> None:
    told = Told(outcome, FINE)
    with pytest.raises(RequestFailed):
        told.result()
    assert len(told.sent) == 1


def test_a_step_that_may_have_been_done_is_not_repeated() -> None:
    told = Told(RESET, FINE)
    with pytest.raises(ConnectionFailed, match="the server may have done it"):
        told.result(STEP)
    told = Told(BAD_GATEWAY, FINE)
    with pytest.raises(Unavailable):
        told.result(STEP)
    assert len(told.sent) == 1
    assert Told(REFUSED, FINE).result(STEP) == {"fine": True}
    assert Told(failed(429, "overloaded"), FINE).result(STEP) == {"fine": True}


def test_the_most_to_wait_doubles_up_to_a_limit_and_any_part_of_it_is_waited() -> None:
    outcomes = [REFUSED] * 5
    longest = Told(*outcomes, FINE, drawn=1.0, retries=Retries(first_seconds=1.0, most_seconds=5.0))
    longest.result()
    assert longest.waits == [1.0, 2.0, 4.0, 5.0, 5.0]
    shortest = Told(*outcomes, FINE, drawn=0.0)
    shortest.result()
    assert shortest.waits == [0.0] * 5


def test_retry_after_is_waited_for_and_some_more() -> None:
    told = Told(failed(429, "overloaded", **{"retry-after": "7"}), FINE)
    told.result()
    assert told.waits == [7.1]


def test_retry_after_beyond_the_deadline_is_told_at_once() -> None:
    told = Told(failed(429, "overloaded", **{"retry-after": "60"}), FINE)
    with pytest.raises(Overloaded):
        told.result()
    assert told.waits == []


def test_tries_are_counted() -> None:
    told = Told(REFUSED, REFUSED, REFUSED, FINE, retries=Retries(limit=2))
    with pytest.raises(ConnectionFailed, match=r"refused.*is the server running"):
        told.result()
    assert len(told.sent) == 3


def test_each_try_has_what_is_left_of_the_time() -> None:
    told = Told(REFUSED, RESET, FINE, seconds=10.0, drawn=1.0)
    told.result()
    assert [step.seconds for step in told.sent] == pytest.approx([10.0, 8.8, 7.4])


def test_time_that_is_over_sends_nothing() -> None:
    told = Told(FINE, seconds=0.0)
    with pytest.raises(DeadlineExceeded, match="no answer within 0 s") as caught:
        told.result()
    assert told.sent == []
    assert caught.value.status is None
    assert caught.value.request_id == "mine"
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.code)
def test_every_error_of_the_server_has_a_class(failure: Any) -> None:
    if failure.code in ("method_not_allowed", "internal_error"):
        kind = RequestFailed
    else:
        kind = BY_CODE[failure.code]
    with pytest.raises(RequestFailed) as caught:
        Told(failed(failure.status, failure.code), retries=Retries(0)).result()
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.request_id) == (failure.status, failure.code, "theirs")
    assert str(error) == "what happened"


def test_no_class_is_without_a_code_of_the_server() -> None:
    assert set(BY_CODE) <= {failure.code for failure in FAILURES} | {"conflict"}


@pytest.mark.parametrize(
    ("status", "kind"), [(403, Forbidden), (503, Unavailable), (502, Unavailable), (400, InvalidInput)]
)
def test_a_proxys_error_is_one_of_its_status(status: int, kind: type[UnsureError]) -> None:
    with pytest.raises(kind, match=f"status {status}"):
        Told(Answer(status, {}, b"<html>no</html>"), retries=Retries(0)).result()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {}, b"<html>"),
        Answer(200, {}, b"[" * 100_000),
        Answer(302, {}, b""),
        Answer(500, {}, b"[" * 100_000),
        Answer(418, {}, b"{}"),
    ],
)
def test_what_is_no_unsure_server_is_told(answer: Answer) -> None:
    with pytest.raises(UnexpectedAnswer, match=f"status {answer.status}"):
        Told(answer).result()


def test_a_server_that_has_moved_is_told_with_its_new_address() -> None:
    moved = Answer(308, {"location": "https://elsewhere/v1/models"}, b"<html>")
    with pytest.raises(UnexpectedAnswer, match=r"on to 'https://elsewhere/v1/models'.*address that answers"):
        Told(moved).result()


def test_tries_without_end_are_possible() -> None:
    """As many as `wait_until_ready` makes of a server that takes half an hour to load."""
    told = Told(*[REFUSED] * 2000, FINE, seconds=1e6, retries=Retries(limit=10_000, most_seconds=1.0))
    assert told.result() == {"fine": True}
    assert max(told.waits) == 0.5


@pytest.mark.parametrize("seconds", [None, "30", -1.0, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(seconds: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be a number of seconds"):
        Deadline(seconds, lambda: 0.0)


def test_retry_after_is_seconds_or_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < retry_after(date) <= 100
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=100), usegmt=True)
    assert [retry_after(text) for text in (past, "12", " 3 ", "", "soon", "-5")] == [0, 12, 3, 0, 0, 0]
    odd = f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"
    assert [retry_after(text) for text in (odd, "1.5", "nan", "9" * 400)] == [0, 0, 0, float("inf")]
