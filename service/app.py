"""Joins the rooms: settings in, a server out."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType

import torch
import uvicorn
from starlette.applications import Starlette

from service.api.application import api
from service.api.connections import ConnectionLimits, connection_class
from service.api.receiving import BodyLimits
from service.errors import UnsureError
from service.predictor.catalogue import Catalogue
from service.predictor.execution import Execution
from service.predictor.lanes import LaneRunner
from service.predictor.predictor import Predictor
from service.sampling.memory import keep_freed_memory
from service.scheduling.scheduler import Limits, Scheduler
from service.settings import Settings
from service.telemetry.metrics import Telemetry

log = logging.getLogger("unsure")

_LEAVING_SECONDS = 2.0  # to answer what was cut off when its time was over

_OTHER_FILES = 128  # that a process has open beside its connections: weights, libraries, the loop's own


class StartError(UnsureError):
    """The server cannot start as it is set up."""


def build(settings: Settings) -> Starlette:
    """Join everything that serves; models are loaded once it runs.

    Raises:
        StartError: the settings name something that is not there.
    """
    if not settings.repository.is_dir():
        raise StartError(
            f"the model repository {settings.repository} is not a folder; name one with --repository"
        )
    telemetry = Telemetry()
    telemetry.built_with(torch.__version__)
    scheduler = Scheduler(LaneRunner(telemetry), _limits(settings))
    telemetry.watch_pending_rows(lambda: scheduler.pending_rows)
    catalogue = Catalogue(settings.repository, settings.allowed_factories, execution(settings), telemetry)
    predictor = Predictor(catalogue, scheduler, telemetry, settings.max_sample_values)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        # The port is open while models load, so that an orchestrator can tell loading from dead.
        loading = asyncio.create_task(asyncio.to_thread(catalogue.load))
        loading.add_done_callback(_tell_loaded)
        yield
        catalogue.close()
        await scheduler.drain()
        await asyncio.wait([loading])

    application = api(predictor, catalogue, telemetry, _body_limits(settings), lifespan)
    application.state.close = catalogue.close
    return application


def serve(settings: Settings) -> None:
    """Serve until told to stop.

    Raises:
        StartError: the settings name something that is not there, or an address that is taken.
    """
    keep_freed_memory()
    application = build(settings)
    config = uvicorn.Config(
        application,
        http=connection_class(_connection_limits(settings)),
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    with _listening(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        log.info("listening on http://%s:%d, documentation at /docs", name, port)
        Server(config, application.state.close, settings.drain_seconds).run(sockets=[listener])


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
        self._last_resort = threading.Timer(drain_seconds + _LEAVING_SECONDS, _leave)
        self._last_resort.daemon = True
        # When uvicorn is done, it sends itself the signal again; by default that would be the exit status.
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self.handle_exit)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal."""
        if not self.should_exit:
            self._last_resort.start()
        self._close()
        super().handle_exit(sig, frame)


def _leave() -> None:
    """End the process whatever it does: the last resort, and the one place that does not clean up.

    A thread within a model's pass cannot be stopped from outside, and Python waits for threads at its end.
    By now every caller has been answered: accepted requests are cut off with 503 when their time is over.
    """
    log.critical("what still runs does not end; the process ends without it")
    logging.shutdown()
    os._exit(0)


def _tell_loaded(loading: asyncio.Task[None]) -> None:
    if loading.cancelled():
        return
    failure = loading.exception()
    if failure is not None:
        log.critical("the models could not be loaded, and the server will never be ready: %s", failure)


def execution(settings: Settings) -> Execution:
    """Say how models shall run.

    Raises:
        StartError: the device is not there.
    """
    device = _device(settings.device)
    return Execution(device, settings.plan, settings.precision, settings.compile_after_seconds)


def _limits(settings: Settings) -> Limits:
    return Limits(
        pending_rows=settings.max_pending_rows,
        pending_cost=settings.max_pending_samples,
        deadline_seconds=settings.deadline_seconds,
        batch_seconds=settings.batch_seconds,
        batch_rows=settings.max_batch_rows,
    )


def _body_limits(settings: Settings) -> BodyLimits:
    return BodyLimits(settings.max_body_bytes, settings.max_receiving_bytes, settings.body_seconds)


def _connection_limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        connections=_that_fit(settings.max_connections),
        head_bytes=settings.max_head_bytes,
        head_seconds=settings.head_seconds,
        answer_seconds=settings.body_seconds,
    )


def _that_fit(connections: int) -> int:
    """Tell how many connections the process may have, after asking for as many files as it is allowed."""
    if sys.platform == "win32":
        return connections
    import resource  # there is none on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = connections + _OTHER_FILES
    if soft != unlimited and soft < wanted:
        soft = wanted if hard == unlimited else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == unlimited or soft >= wanted:
        return connections
    fit = max(1, soft - _OTHER_FILES)
    log.warning("the process may open %d files: %d connections are let in, not %d", soft, fit, connections)
    return fit


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
        # A row alone and the same row in a batch must agree to single precision on a GPU too.
        torch.backends.cudnn.allow_tf32 = False
    except (RuntimeError, AssertionError, NotImplementedError) as cause:  # torch has no one error for this
        reason = str(cause).splitlines()[0]
        raise StartError(f"the device {name!r} is not available here ({reason}); try --device cpu") from cause
    return name


def _listening(host: str, port: int) -> socket.socket:
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as cause:
        if listener is not None:
            listener.close()
        raise StartError(
            f"cannot listen on {host}:{port} ({cause.strerror}); choose another with --host and --port"
        ) from cause
    return listener
