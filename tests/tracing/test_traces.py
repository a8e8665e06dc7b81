"""Spans of requests: what they tell, when, below what, and what they must not tell."""

import json
import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from typing import Any

import pytest
from held import Held
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from repositories import Repository
from servers import wait_until_ready
from starlette.testclient import TestClient
from wires import until

from service.app import build
from service.settings import Settings
from service.tracing.exporting import Identifiers, OtelTracing, exported_to

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
FAR = [1000.0, *ROW[1:]]
PREDICT, UNCERTAINTY = (f"/v1/models/small/{verb}" for verb in ("predict", "uncertainty"))
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FLAGGING = {"measure": "predictive_entropy", "threshold": -1}


class Traced:
    """A server, and the spans that it has told.

    Args:
        client: of the server.
        exporter: has the spans.
    """

    def __init__(self, client: TestClient, exporter: InMemorySpanExporter) -> None:
        self.client = client
        self._exporter = exporter

    @property
    def spans(self) -> list[ReadableSpan]:
        return [*self._exporter.get_finished_spans()]

    def asked(self, path: str, body: Any, **headers: str) -> dict[str, ReadableSpan]:
        """Ask, and give the spans of that by their names."""
        self._exporter.clear()
        self.client.post(path, json=body, headers=headers)
        assert len({span.name for span in self.spans}) == len(self.spans)
        return {span.name: span for span in self.spans}


Trace = Callable[..., Traced]


@pytest.fixture
def trace(repository: Repository) -> Iterator[Trace]:
    """Start servers over the repository that are traced."""
    with ExitStack() as stack:

        def start(**given: Any) -> Traced:
            exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            url = f"sqlite:///{repository.path.parent}/reviews.db"
            settings = Settings(repository.path, "networks", plan="vmap", review_url=url, **given)
            application = build(settings, tracing=OtelTracing(provider))
            client = stack.enter_context(TestClient(application, raise_server_exceptions=False))
            wait_until_ready(client)
            return Traced(client, exporter)

        yield start


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return {name.removeprefix("unsure."): value for name, value in (span.attributes or {}).items()}


def number(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def parent(span: ReadableSpan) -> int:
    return span.parent.span_id if span.parent else 0


def test_a_request_is_told_from_its_queue_to_its_review(repository: Repository, trace: Trace) -> None:
    repository.add(policy=FLAGGING)
    body = {"inputs": [ROW] * 3, "samples": 20}
    spans = trace().asked(UNCERTAINTY, body, **{"X-Request-ID": "mine"})
    name = "POST /v1/models/{model}/uncertainty"
    assert spans.keys() == {name, "queue", "sample", "flag", "review"}
    whole = spans[name]
    assert whole.kind is SpanKind.SERVER
    assert whole.parent is None
    assert attributes(whole) == {
        "request_id": "mine",
        "model": "small",
        "version": "1",
        "mode": "mc_dropout",
        "rows": 3,
        "samples": 60,
        "flagged": 3,
        "http.response.status_code": 200,
    }
    parts = {"rows": 3, "batch_rows": 3, "batch_requests": 1, "samples": 60}
    assert attributes(spans["sample"]) == parts
    assert attributes(spans["flag"]) == {"measure": "predictive_entropy"}
    assert attributes(spans["review"]) == {"rows": 3}


def test_spans_follow_each_other_within_their_request(repository: Repository, trace: Trace) -> None:
    repository.add(policy=FLAGGING)
    spans = trace().asked(UNCERTAINTY, {"inputs": [ROW]})
    whole = spans.pop("POST /v1/models/{model}/uncertainty")
    order = [spans[name] for name in ("queue", "sample", "flag", "review")]
    times = [time for span in order for time in (span.start_time, span.end_time)]
    assert times == sorted(times)  # type: ignore[type-var]
    assert spans["queue"].end_time == spans["sample"].start_time
    assert whole.start_time <= times[0]  # type: ignore[operator]
    assert times[-1] <= whole.end_time  # type: ignore[operator]
    for span in order:
        assert span.parent == whole.context


def test_a_request_belongs_to_the_trace_that_it_names(repository: Repository, trace: Trace) -> None:
    repository.add()
    spans = trace().asked(PREDICT, {"inputs": [ROW]}, traceparent=PARENT)
    whole = spans["POST /v1/models/{model}/predict"]
    assert whole.parent is not None
    assert format_span_id(whole.parent.span_id) == "b7ad6b7169203331"
    assert {format_trace_id(span.context.trace_id) for span in spans.values()} == {PARENT[3:35]}  # type: ignore[union-attr]
    assert spans.keys() == {"POST /v1/models/{model}/predict", "queue", "predict"}


def test_the_other_face_is_traced_as_well(repository: Repository, trace: Trace) -> None:
    repository.add(policy=FLAGGING)
    inputs = [{"name": "features", "datatype": "FP32", "shape": [1, 6], "data": ROW}]
    body = {"inputs": inputs, "parameters": {"samples": 5}}
    spans = trace().asked("/v2/models/small/infer", body)
    assert attributes(spans["POST /v2/models/{model}/infer"])["samples"] == 5
    assert {"queue", "sample", "flag", "review"} < spans.keys()


def test_requests_that_run_together_are_linked(
    repository: Repository, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two gather while a first one is held: each has the batch as a span of its own, and names the other."""
    repository.add()
    traced, held = trace(batch_seconds=60), Held(monkeypatch)  # or the held batch would make others small

    def ask(count: int) -> Any:
        return traced.client.post(PREDICT, json={"inputs": [ROW] * count})

    def pending() -> str:
        return str(re.findall("^unsure_pending_rows (.*)$", traced.client.get("/metrics").text, re.M)[0])

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, 1)
        assert held.begun.wait(30)
        second, third = pool.submit(ask, 2), pool.submit(ask, 3)
        until(lambda: pending() == "6.0")
        held.open.set()
        for answer in (first, second, third):
            assert answer.result().status_code == 200
    batches = {attributes(span)["rows"]: span for span in traced.spans if span.name == "predict"}
    queues = {parent(span): span for span in traced.spans if span.name == "queue"}
    whole = {attributes(span)["rows"]: span for span in traced.spans if span.kind is SpanKind.SERVER}
    assert [attributes(batches[rows])["batch_rows"] for rows in (1, 2, 3)] == [1, 5, 5]
    assert [attributes(batches[rows])["batch_requests"] for rows in (1, 2, 3)] == [1, 2, 2]
    assert [[link.context for link in batches[rows].links] for rows in (1, 2, 3)] == [
        [],
        [whole[3].context],
        [whole[2].context],
    ]
    for rows in (2, 3):  # they waited until the first one was through
        assert batches[1].end_time <= queues[number(whole[rows])].end_time  # type: ignore[operator]
        assert parent(batches[rows]) == number(whole[rows])
    lengths = [span.end_time - span.start_time for span in (batches[2], batches[3])]  # type: ignore[operator]
    assert lengths[0] == lengths[1] > 0


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (PREDICT, {"inputs": [["a secret"] * 6]}, 400, "invalid_input"),
        ("/v1/models/none/predict", {"inputs": [ROW]}, 404, "not_found"),
        ("/v1/models/raising/predict", {"inputs": [FAR]}, 500, "model_error"),
    ],
)
def test_an_error_is_a_code(
    repository: Repository, trace: Trace, path: str, body: Any, status: int, code: str
) -> None:
    """The span has failed where the server has, and never repeats a text of ours, or a value of theirs."""
    repository.add()
    repository.add("raising", factory="raising")
    spans = trace().asked(path, body)
    whole = spans["POST /v1/models/{model}/predict"]
    assert attributes(whole)["http.response.status_code"] == status
    assert attributes(whole)["error.type"] == code
    assert whole.status.status_code is (StatusCode.ERROR if status >= 500 else StatusCode.UNSET)
    assert whole.status.description is None
    assert [event for span in spans.values() for event in span.events] == []
    if code == "model_error":
        assert attributes(spans["predict"])["error.type"] == code


def test_who_waits_too_long_is_told_in_the_queue(
    repository: Repository, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two, the first runs without an end, and the other never begins."""
    repository.add()
    traced, held = trace(deadline_seconds=0.5), Held(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(traced.client.post, PREDICT, json={"inputs": [ROW]})
        assert held.begun.wait(30)
        second = traced.client.post(PREDICT, json={"inputs": [ROW] * 2})
        assert (first.result().status_code, second.status_code) == (504, 504)
    held.open.set()
    whole = {number(span): attributes(span)["rows"] for span in traced.spans if span.kind is SpanKind.SERVER}
    failed = {
        (span.name, whole[parent(span)]): attributes(span).get("error.type")
        for span in traced.spans
        if parent(span) in whole
    }
    late = "deadline_exceeded"
    assert failed == {("queue", 1): None, ("predict", 1): late, ("queue", 2): late}


def test_no_span_tells_what_was_asked(repository: Repository, trace: Trace) -> None:
    repository.add(policy=FLAGGING)
    traced = trace()
    odd = [[0.123456789] * 6]
    traced.client.post(f"{UNCERTAINTY}?key=secret", json={"inputs": odd}, headers={"Cookie": "secret"})
    traced.client.get("/v1/reviews")
    told = json.dumps([json.loads(span.to_json()) for span in traced.spans])
    assert "POST /v1/models/{model}/uncertainty" in told
    assert "GET /v1/reviews" in told
    for hidden in ("0.1234", "secret"):
        assert hidden not in told


def test_probes_and_scrapes_are_not_traced(trace: Trace) -> None:
    traced = trace()
    for path in ("/metrics", "/v2/health/live", "/docs", "/v2"):
        assert traced.client.get(path).status_code == 200
    assert traced.spans == []


@pytest.mark.parametrize(("sampler", "told"), [("always_off", False), ("parentbased_always_off", True)])
def test_the_sampler_of_the_environment_decides(
    repository: Repository, trace: Trace, monkeypatch: pytest.MonkeyPatch, sampler: str, told: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    repository.add(policy=FLAGGING)
    traced = trace()
    assert traced.asked(UNCERTAINTY, {"inputs": [ROW]}) == {}
    assert bool(traced.asked(UNCERTAINTY, {"inputs": [ROW]}, traceparent=PARENT)) is told


def test_a_collector_that_takes_nothing_does_not_keep_the_server_from_its_end() -> None:
    """Nor does one that is not there: the last traces are given up."""
    taken = threading.Event()

    class Stuck(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            assert taken.wait(30)
            return SpanExportResult.SUCCESS

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Stuck()))
    tracing = OtelTracing(provider)

    def ask() -> None:
        with tracing.request("GET /", {}, "mine"):
            pass

    copy_context().run(ask)  # what log lines are told about a request ends with it
    tracing.close()
    assert not taken.is_set()
    taken.set()


def test_tracing_draws_nothing_from_the_generator_that_a_load_looks_at() -> None:
    """Else a model that is loaded while requests are traced would be refused as one that draws itself."""
    tracing, before = exported_to("console"), random.getstate()

    def ask() -> None:
        with tracing.request("a", {}, "1") as trace:
            trace.tell("b", 0.0, 1.0, {})

    copy_context().run(ask)  # as above
    assert random.getstate() == before
    tracing.close()


def test_every_span_has_an_identifier_of_its_own() -> None:
    identifiers = Identifiers()
    spans = {identifiers.generate_span_id() for _ in range(100)}
    traces = {identifiers.generate_trace_id() for _ in range(100)}
    assert len(spans) == len(traces) == 100
    assert 0 < min(spans) <= max(spans) < 2**64
    assert 0 < min(traces) <= max(traces) < 2**128
