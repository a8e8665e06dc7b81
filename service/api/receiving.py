"""Bodies on their way in: how long one may take, and how much memory all that are not whole may hold."""

import asyncio
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import DeadlineExceeded, Overloaded


@dataclass(frozen=True)
class BodyLimits:
    """What bodies may take.

    Args:
        bytes: of one.
        receiving_bytes: of all that are not whole yet.
        seconds: until one is whole, from when its head was.
    """

    bytes: int
    receiving_bytes: int
    seconds: float


class Receiving:
    """Refuses bodies that come too slowly, or beside too many others.

    Args:
        app: reads them.
        limits: on them.
    """

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app = app
        self._limits = limits
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an exchange on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(self._limits.seconds, receive, send)
        try:
            await self._app(scope, lambda: self._received(body), body.send)
        finally:
            self._bytes -= body.bytes

    async def _received(self, body: "_Body") -> Message:
        message = await body.next()
        if body.whole:
            self._bytes -= body.bytes
            body.bytes = 0
            return message
        added = len(message["body"])
        body.bytes += added
        self._bytes += added
        others = self._bytes - body.bytes
        # One alone is let in, whatever is set: its own size has a limit of its own.
        if others and self._bytes > self._limits.receiving_bytes:
            raise Overloaded(
                f"{others} bytes of other requests are on their way, and {body.bytes} more would exceed the "
                f"limit of {self._limits.receiving_bytes}; try again in a moment",
                retry_after_seconds=1,
            )
        return message


class _Body:
    """One body on its way in."""

    def __init__(self, seconds: float, receive: Receive, send: Send) -> None:
        self.bytes = 0
        self.whole = False
        self._seconds = seconds
        self._end = asyncio.get_running_loop().time() + seconds
        self._late = False
        self._receive = receive
        self._send = send

    async def next(self) -> Message:
        """Wait for more, for as long as there is time."""
        if self.whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError as cause:
            self._late = True
            raise DeadlineExceeded(
                f"the body was not here within {self._seconds:g} s; send it faster"
            ) from cause
        self.whole = not message.get("more_body")
        return message

    async def send(self, message: Message) -> None:
        """Answer; who was too slow with a body is not waited for any more."""
        if self._late and message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
        await self._send(message)
