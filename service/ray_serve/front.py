"""What stands in front of the models: it hands each request on to a replica of the model that it is about."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.application import enveloped
from service.api.exchange import REQUEST_ID_HEADER, read_body
from service.api.guard import Guard
from service.api.heads import Heads
from service.api.operations import model_paths
from service.api.receiving import BodyLimits
from service.errors import DeadlineExceeded, Unavailable
from service.ray_serve.exchange import Answered, Asked, answered_by, asked_by, header
from service.ray_serve.remote import RemoteModel
from service.telemetry.replicas import of_replicas

Ask = Callable[[Request], Awaitable[Response]]


class Front:
    """Answers for all models.

    Args:
        own: the server without a model: it has the review queue, the page and the documentation, asks for
            keys, and knows how to say that a model is not there.
        models: the others.
        bodies: what the bodies of requests may take.
        name: of this replica, in its metrics.
    """

    def __init__(self, own: Starlette, models: Sequence[RemoteModel], bodies: BodyLimits, name: str) -> None:
        self._own = own
        self._guard: Guard = own.state.guard
        self._models = {model.name: model for model in models}
        self._bodies = bodies
        self._name = name

    def application(self) -> ASGIApp:
        """Give it as an application."""
        routes: list[BaseRoute] = [
            Route("/v1/models", self._listed, methods=["GET"]),
            Route("/v2/repository/index", self._indexed, methods=["POST"]),
            Route("/v2/health/ready", self._ready, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
            Route("/v1/reviews/{id}/resolve", self._resolved, methods=["POST"]),
        ]
        for model in self._models.values():
            routes += _routes(model.name, _Any(partial(self._forwarded, model)))
        routes.append(Mount("", self._own))
        state = self._own.state
        heads = Middleware(Heads, state.hosts, state.telemetry.rejected)
        return Unnamed(enveloped(routes, self._bodies, heads, self._own.router.lifespan_context))

    async def _forwarded(self, model: RemoteModel, request: Request) -> Response:
        asked = await self._read(request)
        changes = asked.path.startswith("/v2/repository/")
        return (await (model.change if changes else model.answer)(asked)).response()

    async def _listed(self, request: Request) -> Response:
        """Answer GET /v1/models with the lists of all."""
        own, others = await self._of_all(await self._read(request))
        lines = [line for other in others for line in msgspec.json.decode(other.body)["models"]]
        return _json({"models": lines}) if own.status == 200 else own.response()

    async def _indexed(self, request: Request) -> Response:
        """Answer POST /v2/repository/index with the lists of all."""
        own, others = await self._of_all(await self._read(request))
        lines = [line for other in others for line in msgspec.json.decode(other.body)]
        return _json(lines) if own.status == 200 else own.response()

    async def _ready(self, request: Request) -> Response:
        """Answer GET /v2/health/ready: with what the first that is not ready says, if one is not."""
        try:
            own, others = await self._of_all(asked_by(request, b""))
        except DeadlineExceeded as cause:
            raise Unavailable(str(cause)) from cause
        return next((one for one in (own, *others) if one.status != 200), own).response()

    async def _metrics(self, request: Request) -> Response:
        """Answer GET /metrics with those of every replica."""
        own = await answered_by(self._own, asked_by(request, b""))
        if own.status != 200:
            return own.response()
        gathered = await asyncio.gather(*(model.expositions() for model in self._models.values()))
        texts = dict([(self._name, own.body), *(one for several in gathered for one in several)])
        return Response(of_replicas(texts), media_type=header(own.headers, b"content-type").decode())

    async def _resolved(self, request: Request) -> Response:
        """Answer POST …/resolve by the model that the item is about: it knows its labels."""
        asked = await self._read(request)
        item = await answered_by(self._own, _item_of(asked))
        model = self._models.get(msgspec.json.decode(item.body)["model"]) if item.status == 200 else None
        if model is None:
            return (await answered_by(self._own, asked)).response()
        return (await model.answer(asked)).response()

    async def _of_all(self, asked: Asked) -> tuple[Answered, list[Answered]]:
        """Ask the server without models, which asks for a key, and then a replica of each model."""
        own = await answered_by(self._own, asked)
        if own.status != 200:
            return own, []
        return own, await asyncio.gather(*(model.tell(asked) for model in self._models.values()))

    async def _read(self, request: Request) -> Asked:
        """Receive a request that needs a key: nothing of it before its key."""
        self._guard.admit(request)
        return asked_by(request, await read_body(request, self._bodies.bytes))


class Unnamed:
    """Leaves the identifier of an exchange out of the headers of its answer: Ray's proxy adds it by itself.

    Args:
        app: puts it there; it has taken it from the proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an exchange on."""

        async def unnamed(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)[REQUEST_ID_HEADER]
            await send(message)

        await self._app(scope, receive, unnamed)


class _Any:
    """An application of one function, for every method: which it takes is for the other to say."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        response = await self._ask(Request(scope, receive))
        await response(scope, receive, send)


def _routes(name: str, app: _Any) -> list[BaseRoute]:
    roots = [model_paths(face)[0].replace("{model}", name) for face in ("/v1", "/v2", "/v2/repository")]
    return [Route(root + rest, app) for root in roots for rest in ("", "/{rest:path}")]


def _item_of(asked: Asked) -> Asked:
    """Give the question for the item that a request would resolve."""
    return replace(asked, method="GET", path=asked.path.removesuffix("/resolve"), query=b"", body=b"")


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
