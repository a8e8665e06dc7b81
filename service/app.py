"""Joins the rooms: settings in, a server out."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from types import FrameType

import torch
import uvicorn
from starlette.applications import Starlette

from service.api.application import api
from service.errors import UnsureError
from service.fleet.link import Link, Membership
from service.fleet.supervisor import Supervisor
from service.logs import start_logging
from service.predictor.catalogue import Catalogue
from service.predictor.execution import Execution
from service.predictor.lanes import LaneRunner
from service.predictor.predictor import Predictor
from service.process import keep_what_is_loaded, prepare_process
from service.scheduling.scheduler import Limits, Scheduler
from service.settings import Settings
from service.telemetry.metrics import Telemetry
from service.telemetry.shared import shared_metrics

log = logging.getLogger("unsure")


class StartError(UnsureError):
    """The server cannot start as it is set up."""


def build(settings: Settings, membership: Membership | None = None) -> Starlette:
    """Join everything that serves; models are loaded once it runs.

    Args:
        settings: of the operator.
        membership: in a fleet of processes; None for a process on its own.

    Raises:
        StartError: the settings name something that is not there.
    """
    if not settings.repository.is_dir():
        raise StartError(
            f"the model repository {settings.repository} is not a folder; name one with --repository"
        )
    telemetry = Telemetry()
    telemetry.built_with(torch.__version__)
    scheduler = Scheduler(LaneRunner(telemetry), _limits(settings), telemetry.pending)
    catalogue = Catalogue(settings.repository, settings.allowed_factories, execution(settings), telemetry)
    predictor = Predictor(catalogue, scheduler, telemetry, settings.max_sample_values)
    link = None if membership is None else _linked(catalogue, membership)

    def load() -> None:
        catalogue.load()
        for name in () if membership is None else membership.unloaded:
            catalogue.unload(name)
        keep_what_is_loaded()
        if link is not None:
            link.loaded()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        # The port is open while models load, so that an orchestrator can tell loading from dead.
        loading = asyncio.create_task(asyncio.to_thread(load))
        loading.add_done_callback(_tell_loaded)
        if membership is not None and membership.beside:
            await asyncio.wait([loading])
        if link is not None:
            link.listen()
        yield
        catalogue.close()
        await scheduler.drain()
        await asyncio.wait([loading])

    changes = catalogue if link is None else link
    application = api(predictor, catalogue, changes, telemetry, settings.max_body_bytes, lifespan)
    application.state.close = catalogue.close
    return application


def _linked(catalogue: Catalogue, membership: Membership) -> Link:
    changes = {"reload": catalogue.reload, "unload": catalogue.unload}
    # Without a supervisor nobody would hear of a change that others make: end as if told to.
    return Link(
        membership.connection,
        lambda action, model: changes[action](model),
        orphaned=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )


def serve(settings: Settings) -> None:
    """Serve until told to stop.

    Raises:
        StartError: the settings name something that is not there, or an address that is taken.
    """
    if settings.workers > 1:
        _serve_together(settings)
        return
    application = build(settings)
    with _listening(settings.host, settings.port) as listener:
        _tell_listening(listener)
        _run(application, settings, listener)


def _serve_together(settings: Settings) -> None:
    """Serve by several processes on one port, which the system spreads connections over."""
    with _listening(settings.host, settings.port) as probe:  # by this nobody else is there
        port = probe.getsockname()[1]
    shared = replace(settings, port=port)
    with _listening(shared.host, port, shared=True) as reserved, shared_metrics() as buried:
        _tell_listening(reserved)
        Supervisor(settings.workers, serve_beside, shared, settings.drain_seconds, buried).run()


def serve_beside(
    connection: Connection, number: int, beside: bool, unloaded: Sequence[str], settings: Settings
) -> None:
    """Be one process of a fleet."""
    start_logging(settings.log_level)
    log.debug("process %d of %d", number + 1, settings.workers)
    application = build(settings, Membership(connection, beside, unloaded))
    with _listening(settings.host, settings.port, shared=True) as listener:
        _run(application, settings, listener)


def _run(application: Starlette, settings: Settings, listener: socket.socket) -> None:
    prepare_process(settings.threads or _share_of_cores(settings.workers))
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    Server(config, application.state.close).run(sockets=[listener])


def _share_of_cores(processes: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // processes)


def _tell_listening(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    log.info("listening on http://%s:%d, documentation at /docs", name, port)


class Server(uvicorn.Server):
    """Says that it is stopping before it stops, and ends in exit status 0.

    Args:
        config: of uvicorn.
        close: says that it is stopping.
    """

    def __init__(self, config: uvicorn.Config, close: Callable[[], None]) -> None:
        super().__init__(config)
        self._close = close
        # When uvicorn is done, it sends itself the signal again; by default that would be the exit status.
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self.handle_exit)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal."""
        self._close()
        super().handle_exit(sig, frame)


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


def _listening(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Take an address; `shared` with other processes that take it so."""
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as cause:
        if listener is not None:
            listener.close()
        raise StartError(
            f"cannot listen on {host}:{port} ({cause.strerror}); choose another with --host and --port"
        ) from cause
    return listener
