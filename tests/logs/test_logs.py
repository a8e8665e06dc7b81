"""What log lines look like, for people and for programs."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from repositories import Repository
from servers import Serve

from service.api.access_log import logging_of
from service.api.application import Envelope
from service.logs import JsonFormatter, log_about, with_fields
from service.predictor.served_model import ServedModel

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
PREDICT = "/v1/models/small/predict"


class Lines:
    """What was logged since, as JSON."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, self.stream.getvalue().splitlines())


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines, root = Lines(), logging.getLogger()
    handler = logging.StreamHandler(lines.stream)
    handler.setFormatter(JsonFormatter())
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lines
    root.removeHandler(handler)
    root.setLevel(before)


def test_an_event_is_one_line_with_its_fields(lines: Lines) -> None:
    logging.getLogger("unsure.x").warning("two\nlines of %s", "é", extra=with_fields(rows=3))
    (event,) = lines
    assert datetime.fromisoformat(event.pop("time")).tzinfo is not None
    assert event.pop("process")
    assert event == {"level": "warning", "logger": "unsure.x", "message": "two\nlines of é", "rows": 3}


def test_an_error_is_a_field(lines: Lines) -> None:
    try:
        float("what is wrong")
    except ValueError:
        logging.getLogger("unsure").exception("it failed")
    (event,) = lines
    assert (event["level"], event["message"], event["error"]) == ("error", "it failed", "ValueError")
    assert event["traceback"].endswith("ValueError: could not convert string to float: 'what is wrong'")


def test_what_a_request_is_told_about_stays_with_it(lines: Lines) -> None:
    async def request(identifier: str) -> None:
        log_about(request_id=identifier)
        await asyncio.sleep(0)
        log_about(trace_id=f"of {identifier}")
        logging.getLogger("unsure").warning(identifier)

    async def both() -> None:
        await asyncio.gather(request("a"), request("b"))
        logging.getLogger("unsure").warning("neither")

    asyncio.run(both())
    told = {event["message"]: (event.get("request_id"), event.get("trace_id")) for event in lines}
    assert told == {"a": ("a", "of a"), "b": ("b", "of b"), "neither": (None, None)}


def test_each_request_has_a_line(repository: Repository, serve: Serve, lines: Lines) -> None:
    """With the identifier that its answer has, whatever the answer; its path as sent, without its query."""
    repository.add()
    client = serve(access_log=True)
    good = client.post(PREDICT, json={"inputs": [ROW]}, headers={"X-Request-ID": "mine"})
    bad = client.post("/v1/models/a%0Ab/predict?key=secret", json={})
    told = {event["request_id"]: event for event in lines if event["logger"] == "unsure.access"}
    first, second = told["mine"], told[bad.headers["X-Request-ID"]]
    assert (first["method"], first["path"], first["status"]) == ("POST", PREDICT, good.status_code)
    assert 0 < first["seconds"] < 60
    assert (second["path"], second["status"]) == ("/v1/models/a%0Ab/predict", bad.status_code)
    assert "secret" not in json.dumps(told)


def test_a_fault_of_ours_has_its_requests_identifier(
    repository: Repository, serve: Serve, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add()
    client = serve()

    def fail(*_given: Any) -> None:
        raise ValueError("a secret of the server")

    monkeypatch.setattr(ServedModel, "predict", fail)
    answer = client.post(PREDICT, json={"inputs": [ROW]})
    (event,) = [event for event in lines if event["level"] == "error"]
    assert event["request_id"] == answer.json()["request_id"]
    assert event["traceback"].endswith("ValueError: a secret of the server")


def test_no_path_makes_a_line_of_its_own(lines: Lines) -> None:
    async def fail(*_given: Any) -> None:
        raise ValueError("a fault of ours")

    async def send(_message: Any) -> None:
        """Be there."""

    asked = {"type": "http", "method": "GET", "path": "/a\n2026-11-21 INFO forged", "headers": []}
    asyncio.run(Envelope(fail, logging_of(wanted=False))(asked, send, send))  # type: ignore[arg-type]
    (event,) = lines
    assert event["message"].endswith("GET /a%0A2026-11-21%20INFO%20forged")


def test_without_being_asked_no_request_has_a_line(
    repository: Repository, serve: Serve, lines: Lines
) -> None:
    serve().get("/v2")
    assert [event for event in lines if event["logger"] == "unsure.access"] == []
