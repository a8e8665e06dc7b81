"""One exchange over HTTP as values, to be handed to another process and answered there."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

from service.api.exchange import REQUEST_ID_HEADER, request_id

Headers = tuple[tuple[bytes, bytes], ...]

_OF_SENT_BODY = (b"content-encoding", b"content-length")  # and not of the body that was read


@dataclass(frozen=True)
class Asked:
    """A request, whole.

    Args:
        method: in capitals.
        path: decoded.
        query: behind it.
        headers: their names in lower case.
        body: all of it.
        server: the address and the port that it came in by; None where that is not known.
    """

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    server: tuple[str, int | None] | None = None


@dataclass(frozen=True)
class Answered:
    """What it was answered with.

    Args:
        status: its code.
        headers: their names in lower case.
        body: all of it.
    """

    status: int
    headers: Headers
    body: bytes

    def response(self) -> Response:
        """Give it to be sent on."""
        response = Response(self.body, self.status)
        response.raw_headers = list(self.headers)
        return response


def asked_by(request: Request, body: bytes) -> Asked:
    """Give a request as values, under the identifier that it has here.

    Args:
        request: whose body has been read.
        body: that body, inflated.
    """
    name = REQUEST_ID_HEADER.lower().encode()
    sent = [one for one in request.scope["headers"] if one[0] not in (name, *_OF_SENT_BODY)]
    headers = (*sent, (name, request_id(request.scope).encode()))
    # Behind a prefix of Ray's, both sides know paths without it.
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    query, server = request.scope["query_string"], request.scope.get("server")
    return Asked(request.method, path, query, headers, body, server and tuple(server))


async def answered_by(app: ASGIApp, asked: Asked) -> Answered:
    """Have an application of this process answer a request."""
    waiting = [{"type": "http.request", "body": asked.body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope(asked), receive, send)
    start, *parts = sent
    return Answered(
        start["status"], tuple(start["headers"]), b"".join(part.get("body", b"") for part in parts)
    )


def _scope(asked: Asked) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": asked.path,
        "raw_path": quote(asked.path).encode(),
        "query_string": asked.query,
        "root_path": "",
        "headers": list(asked.headers),
        "client": None,
        "server": asked.server,
        "state": {},
    }


def header(headers: Headers, name: bytes) -> bytes:
    """Give the value of a header; nothing where there is none."""
    found: Mapping[bytes, bytes] = dict(headers)
    return found.get(name, b"")
