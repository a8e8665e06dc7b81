"""Connections: what a client may hold open, of a server that strangers reach."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.api.exchange import REQUEST_ID_HEADER, new_identifier
from service.api.failures import CLIENT_GONE, failed
from service.errors import InvalidInput, RequestError, TooLarge, Unavailable

log = logging.getLogger("unsure")

_HOP = {b"connection", b"upgrade", b"http2-settings"}  # headers that speak of another protocol
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")
_MOST_PIPELINED = 64  # requests of one connection that wait for an answer; each is held in memory meanwhile

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
    _running: RequestResponseCycle | None = None  # `cycle` is the last that was read, and may still wait
    _fault: InvalidInput | None = None
    _refusal: bytes | None = None  # which is the last answer of the connection
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
        if self._running is not None:
            self._running.disconnected = True  # uvicorn tells the last request alone
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel(CLIENT_GONE)

    def data_received(self, data: bytes) -> None:
        """Read on; cut off a head without an end, or wait for it only so long."""
        if not self._reading:
            return
        self._aside_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if not self._reading:
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
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._fault = self._head_fault()
        if self._fault is not None:
            raise self._fault
        # What follows CONNECT would be no HTTP: that is answered as any method that nobody has.
        self._upgrading = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._upgrading:
            super().on_headers_complete()
        self._head_complete = True

    def on_message_complete(self) -> None:
        """End a request's body."""
        self._head_complete = False
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
        if self._refusal and not self._answering and not self.transport.is_closing():
            self._send_refusal(self._refusal)
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
        except HttpParserError as cause:
            self._refuse(self._fault or _malformed(str(cause)))

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
    def _reading(self) -> bool:
        return self._refusal is None and not self.transport.is_closing()

    @property
    def _answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

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

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _head_fault(self) -> InvalidInput | None:
        """Tell what is wrong with a head that the parser has let through.

        A proxy in front may read such a head in another way than this server, and let a request pass that is
        hidden in another (RFC 9112, sections 3.2, 6.1 and 11.2).
        """
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            return InvalidInput(f"the request is in HTTP/{version}; this server speaks HTTP/1.1 and HTTP/1.0")
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > (
            self.limits.head_bytes
        ):
            return self._too_large()
        hosts = [value.strip() for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            return InvalidInput(f"the request must have one Host header, and has {len(hosts) or 'none'}")
        if hosts and not _HOST.fullmatch(hosts[0]):
            return InvalidInput("the Host header must be a name or an address, with a port or without")
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or version == "1.0"):
            return InvalidInput(
                "Transfer-Encoding must be chunked alone, in HTTP/1.1; compression is for Content-Encoding"
            )
        if len(self.pipeline) >= _MOST_PIPELINED:
            return InvalidInput(
                f"{_MOST_PIPELINED} requests of this connection wait for their answers; read one before "
                "you send another"
            )
        return None

    def _too_large(self) -> InvalidInput:
        return InvalidInput(
            f"the head of the request is over {self.limits.head_bytes} bytes; send fewer headers"
        )

    def _refuse(self, error: RequestError) -> None:
        """Answer what is no request, and read no more; requests before it have their answers first."""
        identifier = new_identifier()
        response = failed(error, identifier)
        response.headers.update({"Connection": "close", REQUEST_ID_HEADER: identifier})
        headers = [b"%b: %b\r\n" % header for header in response.raw_headers]
        self._refusal = b"".join([STATUS_LINE[response.status_code], *headers, b"\r\n", response.body])
        if self._head_complete and self.pipeline:  # it is the body of the last that waits
            self.pipeline.popleft()
        running = self._running
        if running is not None and running is self.cycle and self._head_complete:  # it is its body
            if running.response_started:  # a second answer would pass for that of the next request
                self._close()
            else:
                self._send_refusal(self._refusal)
        elif not self._answering:
            self._send_refusal(self._refusal)

    def _send_refusal(self, refusal: bytes) -> None:
        self.transport.write(refusal)
        self._close()

    def _end_timers(self) -> None:
        for timer in (self._head_timer, self._answer_timer):
            if timer is not None:
                timer.cancel()


def _malformed(cause: str) -> RequestError:
    if cause == "Content-Length overflow":
        return TooLarge("the body is over 2**64 bytes, says Content-Length; send less in one request")
    text = "the request is not well-formed HTTP/1.1; look at its first line, headers and body length"
    return InvalidInput(text)


def connection_class(limits: ConnectionLimits) -> type[Connection]:
    """Give the protocol for connections within limits, as uvicorn takes it."""
    return type("LimitedConnection", (Connection,), {"limits": limits, "door": Door(limits.connections)})
