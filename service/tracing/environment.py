"""Whether traces are wanted: what OpenTelemetry's own environment variables say."""

import logging
import os
from collections.abc import Mapping

from service.tracing.trace import Tracing

log = logging.getLogger("unsure")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_EXPORTERS = ("otlp", "console")


def tracing_from_environment() -> Tracing | None:
    """Give what traces requests, as OTEL_… say; None where they ask for nothing, or for what is not here.

    What the log is told then is a warning: a platform may set them for all that runs on it.
    """
    exporter = wanted_exporter(os.environ)
    if exporter is None:
        return None
    try:
        from service.tracing.exporting import exported_to

        return exported_to(exporter)
    except ImportError as cause:
        log.warning("nothing is traced though OTEL_… asks for it: %s; install unsure[otel]", cause)
    except ValueError as cause:
        log.warning("nothing is traced: OpenTelemetry cannot take one of its variables: %s; mend it", cause)
    return None


def wanted_exporter(environment: Mapping[str, str]) -> str | None:
    """Name what traces are exported by; None for nothing."""
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    default = "otlp" if any(name in given for name in _ENDPOINTS) else "none"
    exporter = given.get("OTEL_TRACES_EXPORTER", default)
    if exporter == "none":
        return None
    if exporter not in _EXPORTERS:
        log.warning("nothing is traced: OTEL_TRACES_EXPORTER is %s; make it otlp, console or none", exporter)
        return None
    protocol = next((given[name] for name in _PROTOCOLS if name in given), _PROTOCOL)
    if exporter == "otlp" and protocol != _PROTOCOL:
        log.warning(
            "nothing is traced: the protocol of OTLP is set to %s, and traces are sent by %s; set that, and "
            "the port for it, 4318 as a rule",
            protocol,
            _PROTOCOL,
        )
        return None
    return exporter
