"""Connections: what a client may hold open, of a server that strangers reach."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.api.exchange import REQUEST_ID_HEADER, new_identifier
from service.api.failures import CLIENT_GONE, failed
from service.errors import InvalidInput, RequestError, Unavailable

log = logging.getLogger("unsure")

_HOP = {b"connection", b"upgrade", b"http2-settings"}  # headers that speak of another protocol

Application = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class ConnectionLimits:
    """What clients may hold open.

    Args:
        connections: at one time.
        head_bytes: of the first line and the headers of a request.
        head_seconds: until a head is here, from its first byte or the opening of its connection.
        answer_seconds: until the client has taken an answer that does not fit the buffers.
    """

    connections: int
    head_bytes: int
    head_seconds: float
    answer_seconds: float


class Door:
    """Lets so many connections in, and tells once that there are more.

    Args:
        limit: of connections.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._told = False

    def admits(self, others: int) -> bool:
        """Tell whether one more may be let in beside so many others."""
        full = others >= self._limit
        if full and not self._told:
            log.warning("%d connections are open, the limit: new ones are answered 503", others)
        self._told = full
        return not full


class Connection(HttpToolsProtocol):
    """One connection; an ordinary request passes by its limits without a timer."""

    limits: ClassVar[ConnectionLimits]
    door: ClassVar[Door]

    _head_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None
    _task: "asyncio.Task[None] | None" = None
    _fault: InvalidInput | None = None
    _head_complete = False
    _upgrading = False
    _aside_bytes = 0  # since a message began, or its body last grew

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Let a client in, or not."""
        if not self.door.admits(len(self.connections)):
            self.transport = transport
            self._refuse(Unavailable("the server has as many connections as it takes; try again in a moment"))
            return
        super().connection_made(transport)
        self.app = partial(self._answered, self.app)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a client, and what it waits for."""
        self._end_timers()
        self.app = self.config.loaded_app  # or it and the connection would hold each other
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel(CLIENT_GONE)

    def data_received(self, data: bytes) -> None:
        """Read on; cut off a head without an end, or wait for it only so long."""
        self._aside_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self.transport.is_closing():
            return
        if self._aside_bytes > self.limits.head_bytes:
            self._refuse(self._too_large())
        elif self._head_timer is None and not self._answering:
            self._expect_head()

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._aside_bytes = 0
        self._head_complete = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are none: a proxy in front may have looked at headers alone."""
        if not self._head_complete:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._head_complete = True
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if (
            len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            > self.limits.head_bytes
        ):
            self._fault = self._too_large()
            raise self._fault
        # What follows CONNECT would be no HTTP: that is answered as any method that nobody has.
        self._upgrading = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._upgrading:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request's body."""
        if not self._upgrading:
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body: what counts against the head are its first line, headers and trailers."""
        self._aside_bytes = 0
        super().on_body(body)

    def pause_writing(self) -> None:
        """Wait until the client takes what was sent, but not for ever."""
        super().pause_writing()
        self._expect_taken()

    def resume_writing(self) -> None:
        """Go on sending."""
        # While it closes, what is left in the buffer has the same time: nothing tells when that is gone.
        if self._answer_timer is not None and not self.transport.is_closing():
            self._answer_timer.cancel()
            self._answer_timer = None
        super().resume_writing()

    def on_response_complete(self) -> None:
        """End a request."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_taken()

    def timeout_keep_alive_handler(self) -> None:
        """Close what nobody uses."""
        super().timeout_keep_alive_handler()
        self._expect_taken()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if self._upgrading:
                self._decline_upgrade(data[upgrade.args[0] :])
        except HttpParserError:
            self._refuse(self._fault or _malformed())

    def _decline_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1, as a server may: Java's client offers HTTP/2 with every first request.

        The parser takes the body for bytes of the other protocol, so a new one reads the request without the
        offer.
        """
        closing = b"connection: close\r\n" if not self.parser.should_keep_alive() else b""
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] not in _HOP]
        line = b"%b %b HTTP/%b\r\n" % (
            self.parser.get_method(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        self.parser = HttpRequestParser(self)
        self._parse(b"".join([line, *headers, closing, b"\r\n", rest]))

    async def _answered(self, app: Application, *exchange: Any) -> None:
        self._task = asyncio.current_task()
        try:
            await app(*exchange)
        finally:
            self._task = None

    @property
    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_seconds, self._end)

    def _end(self) -> None:
        log.debug("a connection is closed: no request came of it in %g s", self.limits.head_seconds)
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self._expect_taken()

    def _expect_taken(self) -> None:
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_later(self.limits.answer_seconds, self.transport.abort)

    def _too_large(self) -> InvalidInput:
        return InvalidInput(
            f"the head of the request is over {self.limits.head_bytes} bytes; send fewer headers"
        )

    def _refuse(self, error: RequestError) -> None:
        identifier = new_identifier()
        response = failed(error, identifier)
        response.headers.update({"Connection": "close", REQUEST_ID_HEADER: identifier})
        headers = [b"%b: %b\r\n" % header for header in response.raw_headers]
        self.transport.write(b"".join([STATUS_LINE[response.status_code], *headers, b"\r\n", response.body]))
        self._close()

    def _end_timers(self) -> None:
        for timer in (self._head_timer, self._answer_timer):
            if timer is not None:
                timer.cancel()


def _malformed() -> InvalidInput:
    text = "the request is not well-formed HTTP/1.1; look at its first line, headers and body length"
    return InvalidInput(text)


def connection_class(limits: ConnectionLimits) -> type[Connection]:
    """Give the protocol for connections within limits, as uvicorn takes it."""
    return type("LimitedConnection", (Connection,), {"limits": limits, "door": Door(limits.connections)})
