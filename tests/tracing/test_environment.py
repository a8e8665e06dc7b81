"""When requests are traced: as OpenTelemetry's environment variables say, and never at a cost otherwise."""

import logging
import subprocess
import sys
from collections.abc import Mapping

import pytest
from readme import ROOT

from service.api.operations import Operation
from service.api.traced import traced
from service.tracing.environment import tracing_from_environment, wanted_exporter
from service.tracing.trace import NOTHING, span
from service.tracing.turns import batch, scheduled

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environment", "exporter"),
    [
        ({}, None),
        (ENDPOINT, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, None),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "True"}, None),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, "otlp"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "otlp"),
    ],
)
def test_what_the_environment_asks_for(environment: Mapping[str, str], exporter: str | None) -> None:
    assert wanted_exporter(environment) == exporter


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is zipkin"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "is set to grpc"),
    ],
)
def test_what_is_not_here_is_told_and_not_traced(
    environment: Mapping[str, str], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert wanted_exporter(environment) is None
    assert told in caplog.text


def test_without_the_extra_the_log_says_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setitem(sys.modules, "service.tracing.exporting", None)
    assert tracing_from_environment() is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "install unsure[otel]" in caplog.text


def test_a_variable_that_is_wrong_does_not_keep_the_server_from_starting() -> None:
    """OpenTelemetry refuses some of them when it is imported."""
    program = "import service.tracing.environment as e; assert e.tracing_from_environment() is None"
    environment = ENDPOINT | {"OTEL_PROPAGATORS": "unheard-of"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "cannot take one of its variables: Propagator unheard-of not found" in done.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue,Authorization: Bearer hush"},
        {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "hush"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:hush@127.0.0.1:9/?token=hush"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9/[?token=hush"},
    ],
)
def test_no_secret_of_the_environment_is_in_the_log(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (ENDPOINT | {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.01"} | environment).items():
        monkeypatch.setenv(name, value)
    tracing = tracing_from_environment()
    assert tracing is not None
    try:
        exporter = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        exporter.warning("Max retries exceeded with url: %s", environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
        assert "Max retries exceeded" in caplog.text
        assert "hush" not in caplog.text
    finally:
        tracing.close()


def test_where_nobody_traces_nothing_is_added() -> None:
    """Operations stay themselves, what is done for a request is not surrounded by anything."""
    operation = Operation("GET", "/", "", None, scope="predict")  # type: ignore[arg-type]
    assert traced(operation, None) is operation
    assert span("flag") is NOTHING
    assert scheduled() is NOTHING
    with batch("sample", [None, None], [1, 1]) as turns:
        assert turns == ()


def test_opentelemetry_is_imported_only_when_it_is_asked_for() -> None:
    program = (
        "import sys, service.api.traced, service.tracing.turns, service.tracing.environment as e\n"
        "assert e.tracing_from_environment() is None\n"
        "assert not any(name.split('.')[0] == 'opentelemetry' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={}, check=True)
