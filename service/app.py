"""Joins the rooms: settings in, an application out."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict

import torch
from starlette.applications import Starlette

from service.access.ring import KeyRing
from service.api.application import api
from service.api.guard import Guard
from service.api.receiving import BodyLimits
from service.errors import KeysError, StartError, Unavailable
from service.fleet.messages import Action
from service.fleet.place import Place
from service.predictor.auditing import audit_figures
from service.predictor.catalogue import Catalogue
from service.predictor.execution import Execution
from service.predictor.lanes import LaneRunner
from service.predictor.predictor import Predictor
from service.predictor.reviewing import Reviewing
from service.process import keep_what_is_loaded, let_go_of_what_is_replaced
from service.review.database import Database
from service.review.queue import ReviewQueue
from service.review.retention import retain
from service.review.store import Audit, Store
from service.review.watching import by_status, watch
from service.scheduling.scheduler import Limits, Scheduler
from service.settings import NO_REVIEWS, Settings
from service.telemetry.metrics import Telemetry
from service.telemetry.reviews import ReviewTelemetry
from service.tracing.environment import tracing_from_environment
from service.tracing.trace import Tracing

log = logging.getLogger("unsure")

_LOOK_SECONDS = 1.0
_CLOSING_SECONDS = 5.0  # of a database that does not answer
_LOOKS = 3  # in a row that find trouble: a thread that died is replaced at once


def build(
    settings: Settings,
    place: Place | None = None,
    *,
    owns_process: bool = False,
    tracing: Tracing | None = None,
) -> Starlette:
    """Join everything that serves; models are loaded once it runs.

    Args:
        settings: of the operator.
        place: among several that serve as one; None for a process on its own.
        owns_process: whether the process is there for this alone, and its garbage collected as suits it.
        tracing: traces requests; None for what OpenTelemetry's environment variables ask for.

    Raises:
        StartError: the settings name something that is not there.
    """
    if not settings.repository.is_dir():
        raise StartError(
            f"the model repository {settings.repository} is not a folder; name one with --repository"
        )
    tracing = tracing or tracing_from_environment()
    telemetry = Telemetry()
    telemetry.built_with(torch.__version__)
    scheduler = Scheduler(LaneRunner(telemetry), _limits(settings), telemetry.pending)
    catalogue = Catalogue(
        settings.repository,
        settings.allowed_factories,
        execution(settings),
        telemetry,
        only=None if place is None else place.models,
        elsewhere=() if place is None else place.elsewhere,
    )
    queue = _review_queue(settings)
    reviewing = Reviewing(
        queue,
        telemetry.reviews,
        stores_inputs=settings.review_inputs == "stored",
        refuses=settings.review_failure == "refuse",
        audit_share=settings.review_audit_share,
    )
    predictor = Predictor(catalogue, scheduler, telemetry, settings.max_sample_values, reviewing)
    guard = Guard(_ring(settings), telemetry, protect_all=settings.protect_all)
    changes = _Changes(catalogue, owns_process=owns_process)
    link = None if place is None else place.linked(changes.apply)

    def load() -> None:
        catalogue.load(() if place is None else place.unloaded)
        if owns_process:
            keep_what_is_loaded()
        if link is not None:
            link.loaded()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        # The port is open while models load, so that an orchestrator can tell loading from dead.
        loading = asyncio.create_task(asyncio.to_thread(load))
        loading.add_done_callback(_tell_loaded)
        if place is not None and place.beside:
            await loading  # others answer meanwhile, and go on to if this fails
        ends = place is not None and place.ends_in_trouble
        watching = asyncio.create_task(_end_in_trouble(scheduler)) if ends else None
        if link is not None:
            link.listen()
        async with _reviewed(queue, settings.review_days, catalogue, telemetry.reviews, loading):
            yield
            if watching is not None:
                watching.cancel()
            catalogue.close()
            await scheduler.drain()
            await asyncio.wait([loading])
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

    application = api(
        predictor,
        catalogue,
        link or changes,
        telemetry,
        guard,
        body_limits(settings),
        lifespan,
        queue,
        draws_audits=settings.review_audit_share > 0,
        logs_access=settings.access_log,
        tracing=tracing,
    )
    application.state.close = catalogue.close
    application.state.changes = link or changes
    application.state.scheduler = scheduler
    application.state.telemetry = telemetry
    return application


class _Changes:
    """Changes the models of a catalogue, and lets go of what it replaces."""

    def __init__(self, catalogue: Catalogue, *, owns_process: bool) -> None:
        self._catalogue = catalogue
        self._owns_process = owns_process

    def apply(self, action: Action, model: str) -> None:
        (self.reload if action == "reload" else self.unload)(model)

    def reload(self, model: str) -> None:
        self._changed(lambda: self._catalogue.reload(model))

    def unload(self, model: str) -> None:
        self._changed(lambda: self._catalogue.unload(model))

    def _changed(self, change: Callable[[], None]) -> None:
        try:
            change()
        finally:
            if self._owns_process:
                let_go_of_what_is_replaced()


def _review_queue(settings: Settings) -> ReviewQueue | None:
    """Make the queue; its database need not answer yet, and may come back whenever it does."""
    if settings.review_url == NO_REVIEWS:
        return None
    store = Store(Database(settings.review_url, settings.review_write_seconds), settings.review_lease_seconds)
    return ReviewQueue(store, settings.review_write_seconds)


@asynccontextmanager
async def _reviewed(
    queue: ReviewQueue | None,
    days: float,
    catalogue: Catalogue,
    telemetry: ReviewTelemetry,
    loading: asyncio.Task[None],
) -> AsyncIterator[None]:
    """Have the queue open; whoever still enters rows at the end has left before."""
    if queue is None:
        yield
        return

    def audited(audits: list[Audit]) -> None:
        for figures in audit_figures(catalogue.served(), audits):
            telemetry.audited(**asdict(figures))

    async def watch_audits() -> None:
        await asyncio.wait([loading])  # the figures are of models
        await watch(queue, Store.audits, audited)

    opening = asyncio.create_task(_open(queue))
    tasks = [
        asyncio.create_task(watch(queue, by_status, telemetry.items)),
        asyncio.create_task(watch_audits()),
    ]
    if days > 0:
        tasks.append(asyncio.create_task(retain(queue, days)))
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait([opening], timeout=_CLOSING_SECONDS)
    await queue.close()


async def _open(queue: ReviewQueue) -> None:
    """Make or migrate the queue's tables before rows come, or let the log tell why that cannot be."""
    with suppress(Unavailable):
        await queue.ask(Store.open)


async def _end_in_trouble(scheduler: Scheduler) -> None:
    """End one process of several whose model never comes back: another takes its place."""
    in_trouble = 0
    while in_trouble < _LOOKS:
        await asyncio.sleep(_LOOK_SECONDS)
        in_trouble = in_trouble + 1 if scheduler.trouble else 0
    log.critical("this process ends, and another takes its place: %s", scheduler.trouble)
    os.kill(os.getpid(), signal.SIGTERM)


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


def body_limits(settings: Settings) -> BodyLimits:
    """Say what the bodies of requests may take."""
    return BodyLimits(settings.max_body_bytes, settings.max_receiving_bytes, settings.body_seconds)


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
