"""A real server sends its traces to a collector, and its log names the same requests."""

import json
import signal
import time

import pytest
from collectors import collecting, plain
from processes import served
from repositories import Repository

pytestmark = pytest.mark.end_to_end

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NAMES = {"POST /v1/models/{model}/uncertainty", "queue", "sample", "flag"}


def test_traces_reach_a_collector_and_log_lines_name_them(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not sent when the server is told to stop is sent before it ends."""
    repository.add()
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "ward-7")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
        began = time.time_ns()
        with served(repository.path, LOG_FORMAT="json", ACCESS_LOG="true") as server:
            headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Request-ID": "mine"}
            answer = server.client.post(
                "/v1/models/small/uncertainty", json={"inputs": [ROW]}, headers=headers
            )
            assert answer.json()["request_id"] == "mine"
            server.tell(signal.SIGTERM)
            assert server.ended() == 0
    assert [resource["service.name"] for resource in collector.resources] == ["ward-7"]
    assert {span.name for span in collector.spans} == NAMES
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    (whole,) = [span for span in collector.spans if span.name.startswith("POST")]
    assert whole.parent_span_id.hex() == SPAN
    assert plain(whole.attributes)["unsure.request_id"] == "mine"
    for span in collector.spans:
        assert began < span.start_time_unix_nano <= span.end_time_unix_nano < time.time_ns()
    events = [json.loads(line) for line in server.log.read_text().splitlines()]
    (line,) = [event for event in events if event.get("request_id") == "mine"]
    assert (line["logger"], line["path"], line["status"]) == (
        "unsure.access",
        "/v1/models/small/uncertainty",
        200,
    )
    assert (line["trace_id"], line["span_id"]) == (TRACE, whole.span_id.hex())
