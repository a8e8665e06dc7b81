"""Serves the application: by this process, or by several on one port."""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from service.api.connections import ConnectionLimits, connection_class
from service.app import build
from service.errors import UnsureError
from service.fleet.link import Membership
from service.fleet.supervisor import Supervisor
from service.listener import listening, turn_away
from service.logs import start_logging
from service.process import connections_that_fit, prepare_process, share_of_cores
from service.sampling.compiled import COMPILING
from service.settings import Settings
from service.telemetry.shared import shared_metrics

log = logging.getLogger("unsure")

_LEAVING_SECONDS = 2.0  # to answer what was cut off when its time was over
_LOOK_SECONDS = 0.05  # long enough to read what has arrived
_LOOKS = 10  # for the first request of a connection; one without is closed then


def serve(settings: Settings) -> None:
    """Serve until told to stop.

    Raises:
        StartError: the settings name something that is not there, or an address that is taken, or one that
            others reach without a key.
        FleetError: of several processes not even one could start.
    """
    if settings.workers > 1:
        _serve_together(settings)
        return
    application = build(settings, owns_process=True)
    with _listening(settings) as listener:
        _tell(listener)
        _run(application, settings, listener)


def _serve_together(settings: Settings) -> None:
    """Serve by several processes on one port, which the system spreads connections over."""
    with _listening(settings) as probe:  # by this nobody else is there
        settings = replace(settings, port=probe.getsockname()[1])
    with _listening(settings, shared=True) as reserved, shared_metrics() as buried:
        _tell(reserved)
        Supervisor(settings.workers, serve_beside, settings, settings.drain_seconds, buried).run()


def serve_beside(
    connection: Connection, number: int, beside: bool, unloaded: Sequence[str], settings: Settings
) -> None:
    """Be one process of a fleet; raises SystemExit where it cannot start."""
    start_logging(settings.log_level, settings.log_format)
    log.debug("process %d of %d starts", number + 1, settings.workers)
    try:
        application = build(settings, Membership(connection, beside, unloaded), owns_process=True)
        with _listening(settings, shared=True) as listener:
            _run(application, settings, listener)
    except UnsureError as cause:
        log.critical("%s", cause)
        raise SystemExit(1) from cause


def _listening(settings: Settings, *, shared: bool = False) -> socket.socket:
    guarded = settings.api_keys_file is not None or settings.without_keys
    return listening(settings.host, settings.port, guarded=guarded, shared=shared)


def _tell(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    log.info("listening on http://%s:%d, documentation at /docs", name, port)


def _run(application: Starlette, settings: Settings, listener: socket.socket) -> None:
    prepare_process(settings.threads or share_of_cores(settings.workers))
    config = server_config(application, settings)
    Server(config, application.state.close, settings.drain_seconds).run(sockets=[listener])


def server_config(application: ASGIApp, settings: Settings, **others: Any) -> uvicorn.Config:
    """Say how an application is served over HTTP; `others` are uvicorn's, instead of ours."""
    ours: dict[str, Any] = {
        "http": connection_class(_connection_limits(settings)),
        "ws": "none",  # what is upgraded would go round the limits
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": settings.drain_seconds,
    }
    return uvicorn.Config(application, **(ours | others))


def _connection_limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        connections=connections_that_fit(settings.max_connections),
        head_bytes=settings.max_head_bytes,
        head_seconds=settings.head_seconds,
        answer_seconds=settings.body_seconds,
    )


class Server(uvicorn.Server):
    """Says that it is stopping before it stops, and ends in exit status 0.

    Args:
        config: of uvicorn.
        close: says that it is stopping.
        drain_seconds: how long accepted requests may take then.
    """

    def __init__(self, config: uvicorn.Config, close: Callable[[], None], drain_seconds: float) -> None:
        super().__init__(config)
        self._close = close
        self._stopping = threading.Event()
        # Begun here: a signal may come while a lock is held that beginning a thread takes.
        arguments = (self._stopping, drain_seconds + _LEAVING_SECONDS)
        threading.Thread(target=_leave, args=arguments, name="last resort", daemon=True).start()
        # When uvicorn is done, it sends itself the signal again; by default that would be the exit status.
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self.handle_exit)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        super().run(sockets)
        if any(thread.name == COMPILING for thread in threading.enumerate()):
            # A compiler in a thread aborts the process when the interpreter goes away under it.
            _end()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let in who has connected already, and answer what they ask, before connections are closed.

        Closing a listener resets connections that wait to be accepted, and closing a connection resets it
        where what was sent is not read yet.
        """
        # Whoever asks from now on is told not to ask again here.
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        for listener in sockets or []:
            turn_away(listener)
        # Looks are counted, and no time is taken: a process that hardly runs reads late what came early.
        for _ in range(_LOOKS):
            for listener in sockets or []:
                await self._let_in(listener)
            await asyncio.sleep(_LOOK_SECONDS)
            if all(getattr(one, "cycle", None) is not None for one in self.server_state.connections):
                break
        await super().shutdown(sockets)

    async def _let_in(self, listener: socket.socket) -> None:
        """Let in those who are still waiting: the loop accepts so many at a time."""
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:  # nobody, or one who has left
                return
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connected)

    def _protocol(self) -> asyncio.Protocol:
        config = self.config
        made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn does
            config=config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal."""
        self._stopping.set()
        self._close()
        super().handle_exit(sig, frame)


def _leave(stopping: threading.Event, seconds: float) -> None:
    """End the process whatever it does: the last resort, which does not clean up.

    A thread within a model's pass cannot be stopped from outside, and Python waits for threads at its end.
    By now every caller has been answered: accepted requests are cut off with 503 when their time is over.
    """
    stopping.wait()
    time.sleep(seconds)
    log.critical("what still runs does not end; the process ends without it")
    _end()


def _end() -> NoReturn:
    logging.shutdown()
    os._exit(0)
