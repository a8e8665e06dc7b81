"""What a client may hold open: connections, heads, bodies and answers that do not come or are not taken."""

import json
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from http.client import HTTPException

import httpx
import pytest
from errors_on_the_wire import assert_failed
from held import Held
from repositories import Repository
from servers import listening
from wires import Wire, asked, head, until, wired

from service.api.connections import ConnectionLimits, connection_class
from service.app import build
from service.predictor.catalogue import Catalogue
from service.process import connections_that_fit
from service.settings import Settings

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
PREDICT = "/v1/models/small/predict"
GOOD = asked(PREDICT, {"inputs": [ROW]})
BODY = GOOD.split(b"\r\n\r\n")[1]
PATIENT = ConnectionLimits(connections=100, head_bytes=2048, head_seconds=30, answer_seconds=30)
HASTY = replace(PATIENT, head_seconds=0.3, answer_seconds=0.3)

Start = Callable[..., AbstractContextManager[str]]


@pytest.fixture
def start(repository: Repository) -> Start:
    repository.add()

    @contextmanager
    def started(limits: ConnectionLimits, **given: object) -> Iterator[str]:
        usual = {"factories": "networks", "plan": "vmap", "review_url": "off"}
        settings = Settings(repository=repository.path, **usual, **given)  # type: ignore[arg-type]
        with listening(build(settings), http=connection_class(limits), ws="none") as address:
            with httpx.Client(base_url=f"http://{address}") as client:
                until(lambda: client.get("/v2/health/ready").status_code == 200)
            yield address

    return started


def test_a_silent_connection_is_closed_and_a_dripping_head_too(start: Start) -> None:
    with start(HASTY) as address:
        with wired(address) as silent:
            assert silent.closed
        for begun in (b"", b"\r\n", b"POST / HTTP/1.1\r\nX: ", GOOD[:-5]):
            with wired(address) as slow:
                slow.send(begun)
                if begun != GOOD[:-5]:
                    slow.drip()
        with wired(address) as used:
            used.send(GOOD)
            assert used.answer().status_code == 200
            used.send(GOOD[:20])
            used.drip()


OFFER = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAB"}


def test_an_offer_of_another_protocol_is_declined_and_the_request_answered(start: Start) -> None:
    """Whole, in pieces, in chunks, with another behind it; a client that closes afterwards sees it closed."""
    length = {"Content-Length": str(len(BODY))}
    offering = head(PREDICT, **OFFER, **length) + BODY
    chunked = head(PREDICT, **OFFER, **{"Transfer-Encoding": "chunked"}) + b"%x\r\n%b\r\n0\r\n\r\n" % (
        len(BODY),
        BODY,
    )
    with start(PATIENT) as address, wired(address) as wire:
        expected = _predicted(wire, GOOD)
        for request in (offering, chunked, offering + GOOD):
            assert _predicted(wire, request) == expected
        assert wire.answer().status_code == 200  # what was behind the last
        wire.send(offering[:30], offering[30:-20], offering[-20:])
        assert wire.answer().status_code == 200
        websocket = {"Connection": "Upgrade", "Upgrade": "websocket"}
        assert _predicted(wire, head(PREDICT, **websocket, **length) + BODY) == expected
        closing = {**OFFER, "Connection": "Upgrade, close"}
        assert _predicted(wire, head(PREDICT, **closing, **length) + BODY) == expected
        assert wire.closed


def _predicted(wire: Wire, request: bytes) -> object:
    wire.send(request)
    answer = wire.answer()
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def test_nobody_is_connected_to_elsewhere(start: Start) -> None:
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere\r\n\r\n")
        assert 400 <= wire.answer().status_code < 500


def test_requests_in_pieces_are_answered(start: Start) -> None:
    """Also a chunked one, whose many small chunks are longer than a head may be."""
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(GOOD[:7], GOOD[7:30], GOOD[30:-9], GOOD[-9:])
        assert wire.answer().status_code == 200
        wire.send(GOOD + GOOD[:50], GOOD[50:])
        assert [wire.answer().status_code for _ in range(2)] == [200, 200]
        body = GOOD.split(b"\r\n\r\n")[1].ljust(4000)
        wire.send(head(PREDICT, **{"Transfer-Encoding": "chunked"}))
        for byte in body:
            wire.send(b"1\r\n%c\r\n" % byte)
        wire.send(b"0\r\n\r\n")
        assert wire.answer().status_code == 200


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nX: %b\r\n\r\n", b"GET /%b HTTP/1.1\r\n\r\n"], ids=["header", "path"]
)
def test_a_head_that_is_too_long_is_400(start: Start, sent: bytes) -> None:
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(sent % (b"a" * 2048))
        assert_failed(wire.answer(), 400, "invalid_input", "the head of the request is over 2048 bytes")
        assert wire.closed


CHUNKED = head(PREDICT, **{"Transfer-Encoding": "chunked"})


def test_a_trailer_is_no_header(start: Start) -> None:
    """Not even where it would name the request: what a proxy let through as a trailer stays one."""
    body = json.dumps({"inputs": [ROW]}).encode()
    sent = (
        head(PREDICT, **{"Transfer-Encoding": "chunked"})
        + f"{len(body):x}\r\n".encode()
        + body
        + b"\r\n0\r\nX-Request-ID: smuggled\r\n\r\n"
    )
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(sent)
        answer = wire.answer()
        assert answer.status_code == 200
        assert answer.headers["x-request-id"] != "smuggled"
        wire.send(GOOD.replace(b"\r\n\r\n", b"\r\nX-Request-ID: meant\r\n\r\n", 1))
        assert wire.answer().headers["x-request-id"] == "meant"


@pytest.mark.parametrize(
    "begun",
    [b"GET / HTTP/1.1\r\nX: ", b"GET /", CHUNKED + b"1\r\n{\r\n0\r\nX: ", CHUNKED + b"1;"],
    ids=["header", "path", "trailer", "extension"],
)
def test_what_has_no_end_is_cut_off(start: Start, begun: bytes) -> None:
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(begun)
        wire.pour()


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"{}\r\n\r\n"]
)
def test_what_is_no_request_is_400_in_the_shape_of_every_error(start: Start, sent: bytes) -> None:
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(sent)
        assert_failed(wire.answer(), 400, "invalid_input", "the request is not well-formed HTTP/1.1")
        assert wire.closed


def _with(line: bytes, *headers: bytes) -> bytes:
    """Write a request whose body is good, under a first line and headers that may not be."""
    return b"\r\n".join([line, *headers, b"", BODY])


POST, HOST, LENGTH = f"POST {PREDICT} HTTP/1.1".encode(), b"Host: a", f"Content-Length: {len(BODY)}".encode()


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (_with(POST, LENGTH), "must have one Host header, and has none"),
        (_with(POST, HOST, HOST, LENGTH), "must have one Host header, and has 2"),
        (_with(POST, b"Host: a b", LENGTH), "the Host header must be a name or an address"),
        (_with(POST, b"Host: a/v1", LENGTH), "the Host header must be a name or an address"),
        (_with(POST, b"Host: user@a", LENGTH), "the Host header must be a name or an address"),
        (_with(POST.replace(b"1.1", b"2.0"), HOST, LENGTH), "the request is in HTTP/2.0"),
        (_with(POST.replace(b"1.1", b"0.9"), HOST, LENGTH), "the request is in HTTP/0.9"),
        (b"GET /v1/models\r\n\r\n", "the request is in HTTP/0.9"),
        (_with(POST, HOST, b"Transfer-Encoding: gzip, chunked"), "Transfer-Encoding must be chunked alone"),
        (
            _with(POST, HOST, b"Transfer-Encoding: chunked, chunked"),
            "is not well-formed HTTP/1.1",
        ),
        (_with(POST.replace(b"1.1", b"1.0"), b"Transfer-Encoding: chunked"), "chunked alone, in HTTP/1.1"),
        (_with(POST, HOST, b"Transfer-Encoding: identity"), "Transfer-Encoding must be chunked alone"),
        (_with(POST, HOST, *[b"Transfer-Encoding: chunked"] * 2), "is not well-formed HTTP/1.1"),
        (_with(POST, HOST, LENGTH, b"Transfer-Encoding: chunked"), "is not well-formed HTTP/1.1"),
        (_with(POST, HOST, LENGTH, LENGTH), "is not well-formed HTTP/1.1"),
    ],
)
def test_a_head_that_two_servers_may_read_in_two_ways_is_400(start: Start, sent: bytes, message: str) -> None:
    """At once, and nothing that follows is read: it may be a request that a proxy has taken for a body."""
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(sent + GOOD)
        assert_failed(wire.answer(), 400, "invalid_input", message)
        assert wire.closed


@pytest.mark.parametrize(
    "host", [b"", b"localhost", b"127.0.0.1:8000", b"[::1]:8000", b"under_score.svc:", b"EXAMPLE.org."]
)
def test_hosts_of_every_form_are_answered(start: Start, host: bytes) -> None:
    with start(PATIENT, allowed_hosts="*") as address, wired(address) as wire:
        wire.send(_with(POST, b"Host: " + host, LENGTH))
        assert wire.answer().status_code == 200
        wire.send(_with(POST.replace(b"1.1", b"1.0"), LENGTH))  # which needs none
        assert wire.answer().status_code == 200


@pytest.mark.parametrize("path", [PREDICT, "/v2/models/small/infer", "/v2/repository/index"])
@pytest.mark.parametrize(
    "length", ["9" * 18, "9" * 19, str(2**64 - 1), str(2**64), "9" * 1500, "0" * 1500 + "9" * 9]
)
def test_a_length_that_no_body_may_have_is_413_at_once(start: Start, path: str, length: str) -> None:
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(head(path, **{"Content-Length": length}), b"{")
        assert_failed(wire.answer(), 413, "too_large", "send less in one request")


def test_a_length_may_begin_with_zeros(start: Start) -> None:
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(head(PREDICT, **{"Content-Length": "0" * 1500 + str(len(BODY))}) + BODY)
        assert wire.answer().status_code == 200


BAD = b"POST / HTTP/7.7\r\n\r\n"
BAD_CHUNK = head(PREDICT, **{"Transfer-Encoding": "chunked"}) + b"1\r\n{\r\nzz\r\n"


@pytest.mark.parametrize(
    "bad", [BAD, b"\x00\r\n", head(PREDICT, Host="a b"), b"GET a HTTP/1.1\r\n\r\n", BAD_CHUNK]
)
@pytest.mark.parametrize("before", [1, 2])
def test_what_is_no_request_waits_for_the_answers_of_those_before(
    start: Start, monkeypatch: pytest.MonkeyPatch, bad: bytes, before: int
) -> None:
    """Or its 400 would pass for the answer of the first, which is a good one."""
    held = Held(monkeypatch)
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(GOOD * before + bad + GOOD)
        assert held.begun.wait(30)
        held.open.set()
        assert [wire.answer().status_code for _ in range(before)] == [200] * before
        assert_failed(wire.answer(), 400, "invalid_input", "")
        assert wire.closed


def test_the_rest_of_a_body_that_was_answered_already_has_no_second_answer(start: Start) -> None:
    """The next request's client would take it for its own."""
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(BAD_CHUNK.replace(b"predict", b"nothing")[:-4])
        assert wire.answer().status_code == 404
        wire.send(b"zz\r\n")
        assert wire.closed


def test_requests_that_wait_on_one_connection_have_a_limit(start: Start) -> None:
    with start(PATIENT) as address, wired(address) as wire:
        wire.send(GOOD * 100)
        answers = [wire.answer() for _ in range(66)]
        assert [answer.status_code for answer in answers] == [200] * 65 + [400]
        assert_failed(answers[-1], 400, "invalid_input", "64 requests of this connection wait")
        assert wire.closed


@pytest.mark.parametrize("sent", [GOOD * 2, GOOD * 3 + GOOD[:-5], GOOD + BAD])
def test_who_leaves_with_requests_that_wait_leaves_no_fault_in_the_log(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    held = Held(monkeypatch)
    with start(PATIENT) as address:
        with wired(address) as leaving:
            leaving.send(sent)
            assert held.begun.wait(30)
        _wait_for(address, 'unsure_requests_total{code="499"')
        held.open.set()
        with wired(address) as other:
            other.send(GOOD)
            assert other.answer().status_code == 200
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
    assert len(held.calls) == 2  # those that waited behind the one that ran were not run


@pytest.mark.parametrize("path", [PREDICT, "/v2/models/small/infer", "/v2/repository/index"])
def test_a_body_that_does_not_come_is_504_and_the_connection_closed(start: Start, path: str) -> None:
    with start(PATIENT, body_seconds=0.3) as address:
        with wired(address) as wire:
            wire.send(head(path, 100), b'{"inp')
            answer = wire.answer()
            assert_failed(answer, 504, "deadline_exceeded", "the body was not here within 0.3 s")
            assert answer.headers["connection"] == "close"
            assert wire.closed
        with wired(address) as slow:
            slow.send(head(path, 10**6))
            slow.drip()


def test_who_is_refused_and_sends_on_is_cut_off(start: Start) -> None:
    """A body that nobody wants: its answer comes at once, and the rest is read for a while, not for ever."""
    with start(HASTY) as address, wired(address) as wire:
        wire.send(head("/v1/nothing", 10**9), b"{")
        assert wire.answer().status_code == 404
        wire.drip()


def test_bodies_on_their_way_have_room_for_so_many_bytes(start: Start) -> None:
    """Whoever comes last is refused; one alone never is, and room is there again when a body is whole."""
    body = b'{"inputs": [' + b" " * 600_000 + b"]}"
    with start(PATIENT, max_receiving_bytes=500_000) as address, wired(address) as first:
        first.send(head(PREDICT, len(body)), body[:-10])
        with wired(address) as second:
            second.send(head(PREDICT, len(body)))
            second.send_until_answered(b" ")
            answer = second.answer()
            assert_failed(answer, 429, "overloaded", "bytes of other requests are on their way")
            assert int(answer.headers["retry-after"]) >= 1
        with wired(address) as small:
            small.send(GOOD)
            assert small.answer().status_code == 200
        first.send(body[-10:])
        assert_failed(first.answer(), 400, "invalid_input", "must be an array of at least one row")
        with wired(address) as third:
            third.send(head(PREDICT, len(body)), body[:-10], body[-10:])
            assert third.answer().status_code == 400


def test_a_body_that_is_whole_is_not_on_its_way(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its rows are computed there is room for others."""
    held = Held(monkeypatch)
    body = json.dumps({"inputs": [ROW]}).encode().ljust(600_000)
    with start(PATIENT, max_receiving_bytes=500_000) as address, wired(address) as first:
        first.send(head(PREDICT, len(body)), body)
        assert held.begun.wait(30)
        with wired(address) as second:
            second.send(head(PREDICT, len(body)), b" " * len(body))
            assert_failed(second.answer(), 400, "invalid_input", "the body is empty")
        held.open.set()
        assert first.answer().status_code == 200


def test_more_connections_than_may_be_are_503_with_one_line_in_the_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with start(replace(PATIENT, connections=3)) as address, ExitStack() as stack:
        wires = [stack.enter_context(let_in(address)) for _ in range(3)]
        caplog.clear()
        for _ in range(2):
            with wired(address) as more:
                assert_failed(more.answer(), 503, "unavailable", "as many connections as it takes")
                assert more.closed
        assert sum("3 connections are open, the limit" in text for text in caplog.messages) == 1
        wires[0].close()
        until(lambda: _status(address) == 200)
        wires[1].send(GOOD)
        assert wires[1].answer().status_code == 200


@pytest.mark.parametrize(
    ("files", "fit", "asked_for"),
    [
        ((20_000, 20_000), 2048, []),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 2048, []),
        ((1024, 65_536), 2048, [(2176, 65_536)]),
        ((256, resource.RLIM_INFINITY), 2048, [(2176, resource.RLIM_INFINITY)]),
        ((256, 1024), 896, [(1024, 1024)]),
    ],
)
def test_connections_are_as_many_as_the_process_may_open_files_for(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    files: tuple[int, int],
    fit: int,
    asked_for: list[tuple[int, int]],
) -> None:
    """It asks for more where it may, and tells where that is not enough."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: files)
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limits: given.append(limits))
    assert connections_that_fit(2048) == fit
    assert given == asked_for
    assert ("896 connections are let in, not 2048" in caplog.text) == (fit == 896)


def test_an_answer_that_is_not_taken_ends_its_connection(start: Start) -> None:
    """It holds the only place until it is cut off."""
    with start(replace(HASTY, connections=1)) as address, let_in(address) as deaf:
        deaf.send(head("/openapi.json", method="GET") * 200)
        assert deaf.socket.recv(8) == b"HTTP/1.1"
        until(lambda: _status(address) == 200)


def test_who_leaves_is_not_computed_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a request that is held until the one who left is forgotten."""
    held = Held(monkeypatch)
    with start(PATIENT) as address, wired(address) as first, wired(address) as leaving:
        first.send(GOOD)
        assert held.begun.wait(30)
        leaving.send(asked(PREDICT, {"inputs": [ROW] * 50}))
        _wait_for(address, "unsure_pending_rows 51.0")
        leaving.close()
        _wait_for(address, "unsure_pending_rows 1.0")
        _wait_for(address, 'unsure_requests_total{code="499"')
        held.open.set()
        assert first.answer().status_code == 200
    assert held.rows == [1]


def test_a_load_whose_client_left_is_ended_before_the_next(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, entered = threading.Event(), threading.Event(), []

    def reload(_catalogue: Catalogue, name: str) -> None:
        entered.append(name)
        begun.set()
        assert go.wait(30)

    monkeypatch.setattr(Catalogue, "reload", reload)
    load = head("/v2/repository/models/small/load", 0)
    with start(PATIENT) as address, wired(address) as next_one:
        with wired(address) as leaving:
            leaving.send(load)
            assert begun.wait(30)
        next_one.send(load)
        for _ in range(30):
            _wait_for(address, "unsure_pending_rows")
        assert len(entered) == 1
        go.set()
        assert next_one.answer().status_code == 200
        assert len(entered) == 2


def _wait_for(address: str, line: str) -> None:
    with httpx.Client(base_url=f"http://{address}") as client:
        until(lambda: line in client.get("/metrics").text)


@contextmanager
def let_in(address: str) -> Iterator[Wire]:
    """Connect once there is a place: that of whoever has just left may not be free at once."""
    with ExitStack() as stack:
        wire = stack.enter_context(wired(address))
        while not _served(wire):
            wire = stack.enter_context(wired(address))
        yield wire


def _served(wire: Wire) -> bool:
    try:
        wire.send(GOOD)
        return bool(wire.answer().status_code == 200)
    except (ConnectionError, HTTPException):
        return False


def _status(address: str) -> int:
    try:
        return httpx.get(f"http://{address}/v1/models").status_code
    except httpx.TransportError:  # refused while it was sending
        return 503
