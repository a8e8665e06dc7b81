"""The model repository extension of the Open Inference Protocol, /v2/repository."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Annotated, Literal, Protocol, TypeVar
from weakref import WeakValueDictionary

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from service.api.exchange import decode, read_body, reply
from service.api.infer_body import Parameters
from service.api.operations import MODEL_ERRORS, Handler, Operation
from service.errors import InvalidInput, ModelError, RequestError, TooLarge
from service.predictor.catalogue import Catalogue
from service.predictor.entry import Status

Body = TypeVar("Body", bound=Struct)

_MODEL = "/v2/repository/models/{model}"
_SIDE_BY_SIDE = 16  # changes of models: more than ever go on, unless loads hang
_ERRORS = (*MODEL_ERRORS, InvalidInput, TooLarge)

# What some servers take a model from: this one has its folder.
_OVERRIDES = re.compile(r"config$|file:")


class IndexBody(Struct):
    """What to list."""

    ready: Annotated[bool, Meta(description="Whether to leave out what does not answer.")] = False


class IndexLine(Struct):
    """One version of a model, or a model without any; `reason` says why it does not answer."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE", "LOADING"]
    reason: str


class LoadBody(Struct):
    """How to load or unload."""

    parameters: (
        Annotated[
            Parameters,
            Meta(extra_json_schema={"propertyNames": {"not": {"pattern": f"^({_OVERRIDES.pattern})"}}}),
        ]
        | None
    ) = None


class Changed(Struct):
    """Nothing more is to be said."""


class Changes(Protocol):
    """What changes the models: a catalogue, or the catalogues of several processes as one."""

    def reload(self, name: str, /) -> None:
        """Read a model's folder anew."""

    def unload(self, name: str, /) -> None:
        """Take a model out of service."""


class RepositoryFace:
    """Handlers of /v2/repository.

    Args:
        catalogue: has the models.
        changes: changes them.
        max_body_bytes: the largest body.
    """

    def __init__(self, catalogue: Catalogue, changes: Changes, max_body_bytes: int) -> None:
        self._catalogue = catalogue
        self._changes = changes
        self._max_body_bytes = max_body_bytes
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Of their own: a load may take minutes, and others need the threads of the loop.
        self._threads = ThreadPoolExecutor(_SIDE_BY_SIDE, "changes")

    def operations(self) -> list[Operation]:
        """List what this face can be asked."""
        return [
            Operation(
                "POST",
                "/v2/repository/index",
                "List the model repository",
                self.index,
                IndexBody,
                (IndexLine,),
                (InvalidInput, TooLarge),
                body_required=False,
                many=True,
                scope="predict",
            ),
            self._change("load", "Read a model's folder anew", self.load, ModelError),
            self._change("unload", "Take a model out of service", self.unload),
        ]

    @staticmethod
    def _change(verb: str, summary: str, handler: Handler, *errors: type[RequestError]) -> Operation:
        return Operation(
            "POST",
            f"{_MODEL}/{verb}",
            summary,
            handler,
            LoadBody,
            (Changed,),
            (*_ERRORS, *errors),
            body_required=False,
            scope="admin",
        )

    async def index(self, request: Request) -> Response:
        """Answer POST /v2/repository/index."""
        only_ready = (await self._body(request, IndexBody)).ready
        statuses = await asyncio.to_thread(self._catalogue.index)
        return reply([_line(one) for one in statuses if one.state == "ready" or not only_ready])

    async def load(self, request: Request) -> Response:
        """Answer POST …/load."""
        body = await self._body(request, LoadBody)
        for name in body.parameters or ():
            if _OVERRIDES.match(name):
                raise InvalidInput(f"parameters.{name[:40]}: a model is loaded as it lies in the repository")
        return await self._changed(request, self._changes.reload)

    async def unload(self, request: Request) -> Response:
        """Answer POST …/unload."""
        await self._body(request, LoadBody)
        return await self._changed(request, self._changes.unload)

    async def _changed(self, request: Request, change: Callable[[str], None]) -> Response:
        # What has begun cannot be broken off: the next one waits for it though its client has left.
        await asyncio.shield(asyncio.create_task(self._in_turn(change, request.path_params["model"])))
        return reply(Changed())

    async def _in_turn(self, change: Callable[[str], None], name: str) -> None:
        # One change of a model at a time, and those that wait take no thread: changes of others need them.
        turn = self._turns.setdefault(name, asyncio.Lock())
        async with turn:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, copy_context().run, change, name)

    async def _body(self, request: Request, kind: type[Body]) -> Body:
        """Read a body; some clients send an empty one."""
        body = await read_body(request, self._max_body_bytes)
        return decode(body, kind) if body else kind()


def _line(status: Status) -> IndexLine:
    states: dict[str, Literal["READY", "UNAVAILABLE", "LOADING"]] = {
        "ready": "READY",
        "loading": "LOADING",
        "unavailable": "UNAVAILABLE",
    }
    return IndexLine(status.name, status.version, states[status.state], status.reason)
