"""What is secret among OpenTelemetry's variables, kept out of the log."""

import logging
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

_HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# They repeat a header that they cannot read, and the address of a collector that is not there.
_TALKATIVE = ("opentelemetry.util.re", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def keep_secrets(environment: Mapping[str, str]) -> None:
    """Have the loggers of the library leave out what is secret."""
    withheld = Withheld({*_secrets(environment)})
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(withheld)


class Withheld(logging.Filter):
    """Puts dots in the place of secrets.

    Args:
        secrets: as they may stand in a line.
    """

    def __init__(self, secrets: set[str]) -> None:
        super().__init__()
        self._secrets = sorted(secrets, key=len, reverse=True)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a line through, without them."""
        text = record.getMessage()
        for secret in self._secrets:
            text = text.replace(secret, "…")
        record.msg, record.args = text, ()
        return True


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name in _HEADERS:
        yield from filter(None, (header.strip() for header in environment.get(name, "").split(",")))
    for name in _ENDPOINTS:
        address = urlsplit(environment.get(name, ""))
        yield from filter(None, (address.query, address.password))
