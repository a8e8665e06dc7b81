"""The faces as one ASGI application, and what surrounds every exchange."""

import asyncio
import logging
from collections.abc import Sequence
from time import perf_counter
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from service.api.access_log import LogAccess, logging_of
from service.api.exchange import REQUEST_ID_HEADER, request_id
from service.api.failures import (
    CLIENT_GONE,
    CLIENT_LEFT,
    INTERNAL_ERROR,
    METHOD_NOT_ALLOWED,
    cut_off,
    failed,
    failure_response,
)
from service.api.guard import Guard
from service.api.heads import Heads, HostNames
from service.api.inference_protocol import ProtocolFace
from service.api.native import NativeFace
from service.api.observed import Observer
from service.api.operational import OperationalFace
from service.api.receiving import BodyLimits, Receiving
from service.api.repository import Changes, RepositoryFace
from service.api.reviews import ReviewFace
from service.api.traced import traced
from service.errors import DeadlineExceeded, ModelError, NotFound, RequestError
from service.logs import log_about
from service.predictor.catalogue import Catalogue
from service.predictor.predictor import Predictor
from service.review.queue import ReviewQueue
from service.telemetry.metrics import Telemetry
from service.tracing.trace import Tracing
from service.web.page import Page

log = logging.getLogger("unsure")


def api(
    predictor: Predictor,
    catalogue: Catalogue,
    changes: Changes,
    telemetry: Telemetry,
    guard: Guard,
    bodies: BodyLimits,
    lifespan: Lifespan[Starlette],
    queue: ReviewQueue | None = None,
    *,
    hosts: HostNames,
    draws_audits: bool = False,
    logs_access: bool = False,
    tracing: Tracing | None = None,
) -> Starlette:
    """Build the application.

    Args:
        predictor: answers questions.
        catalogue: knows the models.
        changes: loads and unloads them.
        telemetry: counts.
        guard: asks for keys.
        bodies: what the bodies of requests may take.
        lifespan: surrounds serving.
        queue: of reviews; None where there is none.
        hosts: names that it may be asked under.
        draws_audits: whether rows that are not flagged enter it by chance.
        logs_access: whether each request has a line in the log.
        tracing: traces requests; None where nobody does.
    """
    observer = Observer(catalogue, telemetry)
    operations = NativeFace(predictor, catalogue, observer, bodies.bytes).operations()
    reviews = ReviewFace(queue, catalogue, telemetry.reviews, bodies.bytes, draws_audits=draws_audits)
    operations += reviews.operations()
    operations += ProtocolFace(predictor, catalogue, observer, bodies.bytes).operations()
    operations += RepositoryFace(catalogue, changes, bodies.bytes).operations()
    operational = OperationalFace(telemetry, operations, guard)
    operations += operational.operations()
    offered = [traced(guard.guarded(one), tracing) for one in operations]
    routes = [Route(one.path, one.handler, methods=[one.method]) for one in offered]
    heads = Middleware(Heads, hosts, telemetry.rejected)
    return enveloped([*routes, *Page().routes()], bodies, heads, lifespan, logs_access=logs_access)


def enveloped(
    routes: Sequence[BaseRoute],
    bodies: BodyLimits,
    heads: Middleware,
    lifespan: Lifespan[Starlette],
    *,
    logs_access: bool = False,
) -> Starlette:
    """Make an application of routes, with what surrounds every exchange.

    Args:
        routes: their handlers may raise our errors.
        bodies: what the bodies of requests may take.
        heads: refuses by the heads of requests.
        lifespan: surrounds serving.
        logs_access: whether each request has a line in the log.
    """
    application = Starlette(
        routes=routes,
        middleware=[
            Middleware(Envelope, logging_of(wanted=logs_access)),
            heads,
            Middleware(Receiving, bodies),
        ],
        exception_handlers={RequestError: _failure, HTTPException: _failure},
        lifespan=lifespan,
    )
    application.router.redirect_slashes = False
    return application


class Envelope:
    """Gives every exchange its identifier, and turns a fault of ours into an error like any other.

    Args:
        app: answers.
        log_access: logs each request.
    """

    def __init__(self, app: ASGIApp, log_access: LogAccess) -> None:
        self._app = app
        self._log_access = log_access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an exchange on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, exchange = perf_counter(), _Exchange(request_id(scope), send)
        log_about(request_id=exchange.request_id)
        try:
            await self._answer(scope, receive, exchange)
        finally:
            self._log_access(scope, exchange.status or CLIENT_LEFT, perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, exchange: "_Exchange") -> None:
        try:
            await self._app(scope, receive, exchange.send)
        except ClientDisconnect:
            log.debug("request %s: the client left before its body was here", exchange.request_id)
        except asyncio.CancelledError as cancelled:
            # The client left, and nothing reaches it; or the time for accepted requests is over.
            if not exchange.begun and CLIENT_GONE not in cancelled.args:
                await failed(cut_off(), exchange.request_id)(scope, receive, exchange.send)
        except Exception:
            # What a path decodes to may break a line, and begin another that nobody has logged.
            path = quote(scope["path"])
            log.exception("request %s failed: %s %s", exchange.request_id, scope["method"], path)
            if not exchange.begun:
                text = "the server failed; its log has the details under this request_id"
                answer = failure_response(
                    INTERNAL_ERROR.status, INTERNAL_ERROR.code, text, exchange.request_id
                )
                await answer(scope, receive, exchange.send)


class _Exchange:
    """Sends an answer with the request's identifier in its headers, and knows whether it has begun."""

    def __init__(self, request_id: str, send: Send) -> None:
        self.request_id = request_id
        self.status = 0
        self._send = send

    @property
    def begun(self) -> bool:
        return self.status > 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self.request_id
            headers.setdefault("X-Content-Type-Options", "nosniff")
        await self._send(message)


async def _failure(request: Request, error: Exception) -> Response:
    """Answer what a handler, or the routing, has raised."""
    if isinstance(error, RequestError):
        _tell(error, request_id(request.scope))
        return failed(error, request_id(request.scope))
    if isinstance(error, HTTPException) and error.status_code == METHOD_NOT_ALLOWED.status:
        allowed = (error.headers or {}).get("Allow", "")
        text = f"{request.url.path} does not take {request.method}; it takes {allowed}"
        response = failure_response(
            METHOD_NOT_ALLOWED.status, METHOD_NOT_ALLOWED.code, text, request_id(request.scope)
        )
        response.headers["Allow"] = allowed
        return response
    return failed(NotFound(f"there is no path {request.url.path}; see /docs"), request_id(request.scope))


def _tell(error: RequestError, identifier: str) -> None:
    """Log an error under its request's identifier: a client's own only for who looks closely."""
    if isinstance(error, ModelError):
        log.error("request %s: %s: %s", identifier, error, error.detail, exc_info=error.__cause__)
    else:
        level = logging.WARNING if isinstance(error, DeadlineExceeded) else logging.DEBUG
        log.log(level, "request %s: %s: %s", identifier, error.code, error)
