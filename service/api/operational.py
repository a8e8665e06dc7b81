"""What operators and readers ask for: metrics and documentation."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from service.api.docs_page import CONTENT_SECURITY_POLICY, docs_page
from service.api.guard import Guard
from service.api.openapi import document
from service.api.operations import Operation
from service.telemetry.metrics import Telemetry
from service.web.page import HEADERS


class OperationalFace:
    """Handlers of /metrics, /docs and /openapi.json.

    Args:
        telemetry: has the metrics.
        others: the operations of the other faces, to be documented.
        guard: knows which of all need a key.
    """

    def __init__(self, telemetry: Telemetry, others: Sequence[Operation], guard: Guard) -> None:
        self._telemetry = telemetry
        described = document([guard.guarded(one) for one in (*others, *self.operations())])
        self._document = msgspec.json.encode(described)
        self._page = docs_page(described)

    def operations(self) -> list[Operation]:
        """List what this face can be asked."""
        return [
            Operation(
                "GET",
                "/metrics",
                "Metrics, for Prometheus",
                self.metrics,
                media_type="text/plain",
                scope=None,
            ),
            Operation("GET", "/docs", "This documentation", self.docs, media_type="text/html", scope=None),
            Operation("GET", "/openapi.json", "The OpenAPI document", self.openapi, scope=None),
        ]

    async def metrics(self, _request: Request) -> Response:
        """Answer GET /metrics."""
        text, media_type = self._telemetry.exposition()
        return Response(text, media_type=media_type)

    async def docs(self, _request: Request) -> Response:
        """Answer GET /docs."""
        policy = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return HTMLResponse(self._page, headers=HEADERS | policy)

    async def openapi(self, _request: Request) -> Response:
        """Answer GET /openapi.json."""
        return Response(self._document, media_type="application/json")
