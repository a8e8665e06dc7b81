"""Traces by OpenTelemetry, whose SDK reads the variables for endpoint, headers, sampler and limits itself."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from threading import Thread
from time import monotonic, time_ns

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from service import __version__
from service.logs import log_about
from service.tracing.redaction import keep_secrets
from service.tracing.trace import Fact, Trace, tracing_as

_CLOSING_SECONDS = 1.5  # before the last resort ends the process
_MOST_LINKS = 32  # of hundreds of requests in a batch each would name all others
_SERVER_FAULT = 500
_UNNAMED = "unknown_service"  # what the SDK calls a service without a name


def exported_to(exporter: str) -> "OtelTracing":
    """Trace to a collector by OTLP, or to the console."""
    keep_secrets(os.environ)
    exporters: dict[str, type[SpanExporter]] = {"otlp": OTLPSpanExporter, "console": ConsoleSpanExporter}
    provider = TracerProvider(resource=_resource(), id_generator=Identifiers(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporters[exporter]()))
    return OtelTracing(provider)


class Identifiers(IdGenerator):
    """Names traces and spans at random, by a generator of its own.

    A model that is loaded is refused if it draws from Python's, and that would be moved all the while.
    """

    def __init__(self) -> None:
        self._random = Random()  # noqa: S311  # nothing is kept secret by it

    def generate_span_id(self) -> int:
        """Name a span; 0 is none."""
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """Name a trace; 0 is none."""
        return self._random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        """Tell that samplers may rely on it."""
        return True


def _resource() -> Resource:
    """Say what runs: as the environment names it, or by our own name."""
    ours = Resource({SERVICE_NAME: "unsure", SERVICE_VERSION: __version__})
    given = Resource.create()
    named = not str(given.attributes[SERVICE_NAME]).startswith(_UNNAMED)
    return ours.merge(given) if named else given.merge(ours)


class OtelTracing:
    """Traces requests by OpenTelemetry.

    Args:
        provider: of the tracer.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("unsure", __version__)

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str], request_id: str) -> Iterator[Trace]:
        """Trace a request while it is answered: below the span that its `traceparent` names, if any."""
        clock = _Clock()
        span = self._tracer.start_span(
            name,
            extract(headers),
            SpanKind.SERVER,
            {"unsure.request_id": request_id},
            start_time=clock.nanoseconds(monotonic()),
        )
        context = span.get_span_context()
        log_about(trace_id=format_trace_id(context.trace_id), span_id=format_span_id(context.span_id))
        trace = OtelTrace(self._tracer, span, clock)
        try:
            with tracing_as(trace if span.is_recording() else None):
                yield trace
        finally:
            span.end(clock.nanoseconds(monotonic()))

    def close(self) -> None:
        """Send what is not sent yet; whoever does not take it in time goes without."""
        closing = Thread(target=self._provider.shutdown, name="last traces", daemon=True)
        closing.start()
        closing.join(_CLOSING_SECONDS)


class OtelTrace(Trace):
    """A request's span, and those below it.

    Args:
        tracer: makes them.
        span: of the request.
        clock: of all of them.

    Attributes:
        context: by which others link to it.
    """

    def __init__(self, tracer: Tracer, span: Span, clock: "_Clock") -> None:
        super().__init__()
        self._tracer = tracer
        self._span = span
        self._clock = clock
        self.context = span.get_span_context()

    def note(self, **facts: Fact) -> None:
        """Add facts to the request's own span."""
        self._span.set_attributes(_attributes(facts))

    def answered(self, status: int, error: str | None = None) -> None:
        """Tell the status; a span has failed where the server has, not the client."""
        self._span.set_attribute("http.response.status_code", status)
        if error is not None:
            self._span.set_attribute("error.type", error)
        if status >= _SERVER_FAULT:
            self._span.set_status(StatusCode.ERROR)

    def tell(
        self,
        name: str,
        started: float,
        ended: float,
        facts: Mapping[str, Fact],
        *,
        beside: Sequence[Trace] = (),
        error: str | None = None,
    ) -> None:
        """Add a span below the request's own; it links to the requests that it was done for as well."""
        others = [other for other in beside if isinstance(other, OtelTrace)]
        links = [Link(other.context) for other in others[:_MOST_LINKS]]
        span = self._tracer.start_span(
            name,
            set_span_in_context(self._span),
            attributes=_attributes(facts),
            links=links,
            start_time=self._clock.nanoseconds(started),
        )
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)
        span.end(self._clock.nanoseconds(ended))


class _Clock:
    """Turns seconds of `monotonic` into a date: of one request all by the same difference."""

    def __init__(self) -> None:
        self._origin = time_ns() - int(monotonic() * 1e9)

    def nanoseconds(self, seconds: float) -> int:
        """Since 1970."""
        return self._origin + int(seconds * 1e9)


def _attributes(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {f"unsure.{name}": fact for name, fact in facts.items()}
