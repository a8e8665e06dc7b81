"""Both clients before a server that a test plays: reviews, lost connections, models that change."""

import asyncio
import inspect
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from unsure_client import (
    AsyncClient,
    Batching,
    Client,
    Conflict,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidInput,
    ModelChanged,
    Overloaded,
    Retries,
    UnexpectedAnswer,
)
from waited import KINDS, client_before

AT_ONCE = Retries(first_seconds=0.0)
HEAD = {"model": "small", "version": "1", "mode": "deterministic"}
REVIEW = {"id": "r/1", "status": "pending", "model": "small", "version": "1", "score": 0.5, "new": [1]}


def prediction(request: httpx.Request, **head: Any) -> httpx.Response:
    """Answer as a model that gives each row's first number."""
    return answering(request, json.loads(request.content)["inputs"], **head)


def answering(request: httpx.Request, rows: list[list[float]], **head: Any) -> httpx.Response:
    """Answer about rows, whatever was asked."""
    told = HEAD | head
    told |= {
        "request_id": request.headers["x-request-id"],
        "predictions": [{"value": row[:1]} for row in rows],
    }
    return httpx.Response(200, json=told)


def failure(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": "no", "code": code, "request_id": "1"}, headers=headers)


class Server:
    """Answers with the next of several functions, then with the last of them.

    Args:
        answers: to requests in order.
    """

    def __init__(self, *answers: Callable[[httpx.Request], httpx.Response]) -> None:
        self.asked: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return (self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])(request)


def raising(kind: type[httpx.RequestError]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        raise kind("seen by httpx", request=request)

    return answer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "first",
    [
        raising(httpx.ConnectError),
        raising(httpx.ReadError),
        raising(httpx.RemoteProtocolError),
        lambda _: failure(429, "overloaded", **{"Retry-After": "0"}),
        lambda _: failure(503, "unavailable"),
    ],
    ids=["refused", "reset", "closed", "overloaded", "unavailable"],
)
def test_one_bad_moment_is_not_noticed(kind: str, first: Any) -> None:
    server = Server(first, prediction)
    with client_before(kind, server, retries=AT_ONCE) as client:
        assert client.predict("small", [[4.0]]).value.tolist() == [[4.0]]
    identifiers = {request.headers["x-request-id"] for request in server.asked}
    assert len(server.asked) == 2
    assert len(identifiers) == 1
    assert server.asked[0].content == server.asked[1].content


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (raising(httpx.ConnectError), ConnectionFailed),
        (raising(httpx.ReadTimeout), DeadlineExceeded),
        (lambda _: failure(429, "overloaded"), Overloaded),
        (lambda _: httpx.Response(200, json=["no object"]), UnexpectedAnswer),
        (lambda _: httpx.Response(200, json={"predictions": [{}], "request_id": "1"}), UnexpectedAnswer),
        (
            lambda _: httpx.Response(200, json=HEAD | {"predictions": [7], "request_id": "1"}),
            UnexpectedAnswer,
        ),
        (lambda request: answering(request, rows=[]), UnexpectedAnswer),
        (lambda request: answering(request, rows=[[1.0], [2.0]]), UnexpectedAnswer),
    ],
)
def test_a_bad_server_is_told(kind: str, answer: Any, expected: type[Exception]) -> None:
    with client_before(kind, Server(answer), retries=AT_ONCE) as client, pytest.raises(expected):
        client.predict("small", [[4.0]])


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_two_versions_are_no_answer(kind: str) -> None:
    server = Server(prediction, lambda request: prediction(request, version="2"))
    with (
        client_before(kind, server, batching=Batching(rows=1)) as client,
        pytest.raises(ModelChanged, match="version was '1' and then '2'"),
    ):
        client.predict("small", [[1.0], [2.0]])


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_more_requests_are_in_flight_than_are_wanted(in_flight: int) -> None:
    """Each answers when as many are there as may be, or all that are left are."""

    async def ask() -> tuple[int, list[list[float]]]:
        there, most, left = 0, 0, 9
        full = asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            nonlocal there, most, left
            there, most = there + 1, max(most, there + 1)
            if there == min(in_flight, left):
                full.set()
            await full.wait()
            there, left = there - 1, left - 1
            if not there:
                full.clear()
            return prediction(request)

        batching = Batching(rows=1, in_flight=in_flight)
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            client = AsyncClient("http://server", http=http, batching=batching)
            result = await client.predict("small", [[float(number)] for number in range(9)])
        return most, result.value.tolist()

    most, values = asyncio.run(ask())
    assert most == in_flight
    assert values == [[float(number)] for number in range(9)]


class Drops(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in drops that are all there at once, for longer than a test has time."""

    def __iter__(self) -> Iterator[bytes]:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            yield b" "

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for drop in self:
            yield drop


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_comes_in_drops_ends_with_the_time(kind: str) -> None:
    """Each drop comes within httpx's time, which is for one of them, and the whole does not."""
    with client_before(kind, Server(lambda _: httpx.Response(200, stream=Drops())), timeout=0.05) as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.05 s"):
            client.predict("small", [[1.0]])
        assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_reviews_are_gone_through_page_by_page(kind: str) -> None:
    pages = [
        {"reviews": [REVIEW, REVIEW | {"id": "2"}], "next_cursor": "a b"},
        {"reviews": [REVIEW], "next_cursor": None},
    ]
    server = Server(*(lambda _, page=page: httpx.Response(200, json=page) for page in pages))
    with client_before(kind, server) as client:
        reviews = list(client.reviews(status="pending", model="small", order="oldest", page_rows=2))
    assert [review.id for review in reviews] == ["r/1", "2", "r/1"]
    assert (reviews[0].status, reviews[0].model, reviews[0].score) == ("pending", "small", 0.5)
    assert reviews[0].fields == REVIEW
    asked = {"status": "pending", "model": "small", "order": "oldest", "limit": "2"}
    assert [dict(request.url.params) for request in server.asked] == [asked, asked | {"cursor": "a b"}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "given", "path", "body"),
    [
        ("claim", {"reviewer": "ann"}, "/claim", {"reviewer": "ann"}),
        ("release", {}, "/release", {}),
        ("release", {"reviewer": "ann"}, "/release", {"reviewer": "ann"}),
        ("resolve", {"reviewer": "ann", "label": "b"}, "/resolve", {"reviewer": "ann", "label": "b"}),
        ("resolve", {"reviewer": "ann", "label": 3}, "/resolve", {"reviewer": "ann", "label": "3"}),
        ("resolve", {"reviewer": "a", "label": np.int64(3)}, "/resolve", {"reviewer": "a", "label": "3"}),
        (
            "resolve",
            {"reviewer": "a", "label": np.bool_(True)},
            "/resolve",
            {"reviewer": "a", "label": "true"},
        ),
        ("resolve", {"reviewer": "ann", "value": [2.5], "note": "x"}, "/resolve", None),
    ],
)
def test_steps_of_a_review(kind: str, name: str, given: dict[str, Any], path: str, body: Any) -> None:
    server = Server(lambda _: httpx.Response(200, json=REVIEW))
    with client_before(kind, server) as client:
        assert getattr(client, name)("r/1", **given).id == "r/1"
    (request,) = server.asked
    assert request.method == "POST"
    assert request.url.raw_path.decode() == f"/v1/reviews/r%2F1{path}"
    assert json.loads(request.content) == (given if body is None else body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_the_state_does_not_allow_is_a_conflict(kind: str) -> None:
    with client_before(kind, Server(lambda _: failure(409, "conflict"))) as client, pytest.raises(Conflict):
        client.claim("1", "ann")
    server = Server(raising(httpx.ReadError))
    with client_before(kind, server, retries=AT_ONCE) as client, pytest.raises(ConnectionFailed):
        client.claim("1", "ann")
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_review_and_the_figures_of_the_queue(kind: str) -> None:
    server = Server(
        lambda _: httpx.Response(200, json=REVIEW), lambda _: httpx.Response(200, json={"pending": 3})
    )
    with client_before(kind, server) as client:
        assert client.review("r/1").version == "1"
        assert client.review_stats() == {"pending": 3}
    paths = [request.url.raw_path.decode() for request in server.asked]
    assert paths == ["/v1/reviews/r%2F1", "/v1/reviews/stats"]


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(kind: type[Any]) -> dict[str, str]:
        named = {name: getattr(kind, name) for name in vars(kind) if not name.startswith("_")}
        return {
            name.removeprefix("a") if name == "aclose" else name: _shown(one) for name, one in named.items()
        }

    assert methods(Client) == methods(AsyncClient)


def _shown(function: Any) -> str:
    return str(inspect.signature(function)).replace("AsyncIterator", "Iterator")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:8000", r"'127\.0\.0\.1:8000' is none|must begin with http"),
        ("ftp://server", "must begin with http"),
        ("http://", "name a host"),
        ("http://server:80:80", "is none"),
        ("http://server/?a=1", "must end before its"),
    ],
)
def test_what_cannot_be_an_address_is_refused(kind: Any, address: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(address)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("key", ["", "a-secret\n", "a secret", "sécret"])
def test_a_key_that_no_header_holds_is_refused_and_not_repeated(kind: Any, key: str) -> None:
    with pytest.raises(ValueError, match="the api_key is empty, or holds") as caught:
        kind("http://server", api_key=key)
    assert not key or key.strip() not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": float("nan")}, "threshold cannot be sent: it is nan"),
        ({"samples": {2}}, r"samples cannot be sent: it is \{2\}"),
        ({"rows": torch.ones(1, 2, requires_grad=True)}, "a Tensor that numpy cannot take: .*requires grad"),
    ],
)
def test_what_cannot_be_sent_is_told_by_its_name(given: dict[str, Any], message: str) -> None:
    server = Server(prediction)
    with client_before("blocking", server) as client, pytest.raises(InvalidInput, match=message):
        client.uncertainty(**({"model": "small", "rows": [[1.0]]} | given))
    assert server.asked == []


def test_one_thing_to_include_need_be_no_list() -> None:
    server = Server(lambda _: failure(400, "invalid_input"))
    with client_before("blocking", server) as client:
        for include in ("quantiles", ("quantiles",)):
            with pytest.raises(InvalidInput):
                client.uncertainty("small", [[1.0]], include=include)
    assert [json.loads(request.content)["include"] for request in server.asked] == [["quantiles"]] * 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [[float("nan")], [None, object()]])
def test_nothing_is_sent_of_rows_of_which_one_cannot_be(kind: str, bad: list[Any]) -> None:
    server = Server(prediction)
    with client_before(kind, server, batching=Batching(rows=1)) as client:
        with pytest.raises(ValueError, match="row 2 holds"):
            client.predict("small", [[1.0], [2.0], bad])
        with pytest.raises(ValueError, match="row 1 holds NaN"):
            client.predict("small", np.array([[1.0], [np.nan]]))
    assert server.asked == []


@pytest.mark.parametrize("identifier", ["", "with space", "x" * 101, "ü"])
def test_an_identifier_that_the_server_would_not_take_is_refused(identifier: str) -> None:
    with (
        client_before("blocking", Server(prediction)) as client,
        pytest.raises(ValueError, match="request_id"),
    ):
        client.predict("small", [[1.0]], request_id=identifier)
