"""Joins the rooms: settings in, a server out."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType

import torch
import uvicorn
from starlette.applications import Starlette

from service.access.ring import KeyRing
from service.api.application import api
from service.api.guard import Guard
from service.errors import KeysError, StartError
from service.listener import listening
from service.predictor.catalogue import Catalogue
from service.predictor.execution import Execution
from service.predictor.lanes import LaneRunner
from service.predictor.predictor import Predictor
from service.sampling.memory import keep_freed_memory
from service.scheduling.scheduler import Limits, Scheduler
from service.settings import Settings
from service.telemetry.metrics import Telemetry

log = logging.getLogger("unsure")


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
    guard = Guard(_ring(settings), telemetry, protect_all=settings.protect_all)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        # The port is open while models load, so that an orchestrator can tell loading from dead.
        loading = asyncio.create_task(asyncio.to_thread(catalogue.load))
        loading.add_done_callback(_tell_loaded)
        yield
        catalogue.close()
        await scheduler.drain()
        await asyncio.wait([loading])

    application = api(predictor, catalogue, telemetry, guard, settings.max_body_bytes, lifespan)
    application.state.close = catalogue.close
    return application


def serve(settings: Settings) -> None:
    """Serve until told to stop.

    Raises:
        StartError: the settings name something that is not there, or an address that is taken, or one that
            others reach without a key.
    """
    keep_freed_memory()
    application = build(settings)
    config = uvicorn.Config(
        application, log_config=None, access_log=False, timeout_graceful_shutdown=settings.drain_seconds
    )
    guarded = settings.api_keys_file is not None or settings.without_keys
    with listening(settings.host, settings.port, guarded=guarded) as listener:
        host, port = listener.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        log.info("listening on http://%s:%d, documentation at /docs", name, port)
        Server(config, application.state.close).run(sockets=[listener])


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


def _ring(settings: Settings) -> KeyRing | None:
    path = settings.api_keys_file
    if path is None:
        if settings.protect_all:
            raise StartError("--protect-all protects by keys; name a file of them with --api-keys-file")
        return None
    if settings.without_keys:
        raise StartError(f"--api-keys-file {path} and --without-keys contradict each other; leave out one")
    try:
        return KeyRing(path)
    except KeysError as cause:
        raise StartError(str(cause)) from cause


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
