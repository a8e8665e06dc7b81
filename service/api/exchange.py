"""One exchange over HTTP: its body in, its answer out, its identifier throughout."""

import re
import zlib
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from service.errors import InvalidInput, NotFound, TooLarge
from service.json_names import DEEPEST, doubled_name

Body = TypeVar("Body")

REQUEST_ID_HEADER = "X-Request-ID"

# Unlike uuid4 without a system call, in which the thread that computes would take over.
_IDENTIFIERS = Random()  # noqa: S311  # nothing is kept secret by it

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
VERSION = re.compile(r"0|[1-9][0-9]{0,17}")
_DIGITS = re.compile(r"[0-9]+")
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_IDENTITY = "identity"

ENCODINGS = [*_WINDOWS, _IDENTITY]
"""How a body may be compressed."""

_SURROGATES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_NOT_JSON = (b"NaN", b"-Infinity", b"Infinity")


def request_id(scope: Scope) -> str:
    """Give the request's identifier: the client's own, if it sent a proper one, or a new one."""
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        sent = dict(scope["headers"]).get(REQUEST_ID_HEADER.lower().encode(), b"").decode("latin-1")
        state["request_id"] = sent if _REQUEST_ID.fullmatch(sent) else new_identifier()
    return str(state["request_id"])


def new_identifier() -> str:
    """Make an identifier for a request that brought none."""
    return f"{_IDENTIFIERS.getrandbits(128):032x}"


def is_request_id(text: str) -> bool:
    """Tell whether a client's identifier is one to be kept."""
    return _REQUEST_ID.fullmatch(text) is not None


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Receive a body, refusing one that is too large before it is all here, and inflate it.

    Args:
        request: whose body has not been read.
        limit_bytes: of the body as sent, and again when inflated.

    Raises:
        InvalidInput: it is not compressed as its Content-Encoding says.
        TooLarge: it is over the limit.
    """
    declared = request.headers.get("content-length", "").strip()
    received = bytearray()
    # Leading zeros may be many, and Python refuses to read a number of thousands of digits.
    if _DIGITS.fullmatch(declared):
        digits = declared.lstrip("0") or "0"
        if len(digits) > len(str(limit_bytes)) or int(digits) > limit_bytes:
            raise _too_large(limit_bytes)
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit_bytes:
            raise _too_large(limit_bytes)
    encodings = request.headers.getlist("content-encoding") or [_IDENTITY]
    return _inflated(bytes(received), ", ".join(encodings).strip().lower(), limit_bytes)


def _inflated(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    if encoding == _IDENTITY:
        return body
    if encoding not in _WINDOWS:
        raise InvalidInput(f"Content-Encoding must be gzip, deflate or identity, and is {encoding[:40]!r}")
    inflater = zlib.decompressobj(_WINDOWS[encoding])
    try:
        inflated = inflater.decompress(body, limit_bytes + 1)
    except zlib.error as cause:
        raise InvalidInput(f"the body is not {encoding}") from cause
    if len(inflated) > limit_bytes:
        raise TooLarge(f"the inflated body is over {limit_bytes} bytes; send less in one request")
    if not inflater.eof or inflater.unused_data:
        raise InvalidInput(f"the body is not one whole {encoding} stream")
    return inflated


def decode(body: bytes, kind: type[Body], depth: int = DEEPEST) -> Body:
    """Read a JSON body.

    Args:
        body: as it was sent, inflated.
        kind: its type.
        depth: how deep names are looked at; what lies deeper is its reader's.

    Raises:
        InvalidInput: it is no JSON, or not of this kind, or an object of it has a name twice.
    """
    try:
        decoded = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as cause:
        raise InvalidInput(f"the body: {_lowered(str(cause))}") from cause
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise InvalidInput(_malformed(body, cause)) from cause
    twice = doubled_name(body, depth)
    if twice is not None:
        raise InvalidInput(f"the body has {twice[:40]!r} twice in one object; give it once")
    return decoded


def reply(content: msgspec.Struct | Sequence[msgspec.Struct]) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(content), media_type="application/json")


def version_number(request: Request) -> int | None:
    """Give the version that the path asks for, or None where it names none."""
    version: str | None = request.path_params.get("version")
    if version is None:
        return None
    if not VERSION.fullmatch(version):
        raise NotFound(f"a version is a number, and {version[:40]!r} is none")
    return int(version)


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body is over {limit_bytes} bytes; send less in one request")


def _malformed(body: bytes, cause: Exception) -> str:
    number = next((number for number in _NOT_JSON if number in body), None)
    if number:
        return f"the body is not JSON: JSON has no {number.decode()}"
    if not body.strip():
        return "the body is empty; it must be a JSON object"
    half = next((found for found in _SURROGATES.finditer(body) if found["half"]), None)
    if half:
        return f"the body is not JSON: at byte {half.start()} a text has half of a pair, {half[0].decode()}"
    return (
        "the body nests too deeply" if isinstance(cause, RecursionError) else f"the body is not JSON: {cause}"
    )


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]
