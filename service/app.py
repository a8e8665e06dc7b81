"""Joins the rooms: settings in, an application out."""

from dataclasses import replace

import torch
from starlette.applications import Starlette

from service.access.ring import KeyRing
from service.api.application import api
from service.api.guard import Guard
from service.api.heads import HostNames
from service.api.receiving import BodyLimits
from service.errors import KeysError, StartError
from service.fleet.messages import Action
from service.fleet.place import Alone, Apply, Place
from service.lifespan import Lifespan, Upkeep
from service.listener import only_this_machine
from service.predictor.catalogue import Catalogue
from service.predictor.execution import Execution
from service.predictor.lanes import LaneRunner
from service.predictor.predictor import Predictor
from service.predictor.reviewing import Reviewing
from service.process import let_go_of_what_is_replaced
from service.review.clock import SteadyClock
from service.review.database import Database
from service.review.queue import ReviewQueue
from service.review.store import Store
from service.scheduling.scheduler import Limits, Scheduler
from service.settings import NO_REVIEWS, Settings
from service.telemetry.metrics import Telemetry
from service.tracing.environment import tracing_from_environment
from service.tracing.trace import Tracing


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
    place = place or Alone()
    tracing = tracing or tracing_from_environment()
    telemetry = Telemetry()
    telemetry.built_with(torch.__version__)
    scheduler = Scheduler(LaneRunner(telemetry), _limits(settings), telemetry.pending)
    catalogue = _catalogue(settings, place, telemetry)
    fellowship = place.linked(_applying(catalogue, owns_process=owns_process))
    queue = _review_queue(settings)
    reviewing = _reviewing(settings, queue, telemetry)
    hosts = _host_names(settings)
    guard = Guard(key_ring(settings), telemetry, protect_all=settings.protect_all)
    predictor = Predictor(catalogue, scheduler, telemetry, settings.max_sample_values, reviewing)
    upkeep = Upkeep(queue, settings.review_days, catalogue, telemetry.reviews)
    lifespan = Lifespan(catalogue, scheduler, upkeep, place, fellowship, tracing, owns_process=owns_process)
    application = api(
        predictor,
        catalogue,
        fellowship,
        telemetry,
        guard,
        body_limits(settings),
        lifespan.around,
        queue,
        hosts=hosts,
        draws_audits=settings.review_audit_share > 0,
        logs_access=settings.access_log,
        tracing=tracing,
    )
    application.state.close = catalogue.close
    application.state.changes = fellowship
    application.state.guard = guard
    application.state.hosts = hosts
    application.state.scheduler = scheduler
    application.state.telemetry = telemetry
    return application


def _catalogue(settings: Settings, place: Place, telemetry: Telemetry) -> Catalogue:
    return Catalogue(
        settings.repository,
        settings.allowed_factories,
        replace(execution(settings), beside=place.beside),
        telemetry,
        load_seconds=settings.load_seconds,
        only=place.models,
        elsewhere=place.elsewhere,
    )


def _applying(catalogue: Catalogue, *, owns_process: bool) -> Apply:
    """Give what changes a model here, and lets go of what it replaces."""

    def apply(action: Action, model: str) -> None:
        try:
            (catalogue.reload if action == "reload" else catalogue.unload)(model)
        finally:
            if owns_process:
                let_go_of_what_is_replaced()

    return apply


def _review_queue(settings: Settings) -> ReviewQueue | None:
    """Make the queue; its database need not answer yet, and may come back whenever it does."""
    if settings.review_url == NO_REVIEWS:
        return None
    clock = SteadyClock()
    database = Database(settings.review_url, settings.review_write_seconds)
    store = Store(database, settings.review_lease_seconds, clock, clock.steady_seconds)
    return ReviewQueue(store, settings.review_write_seconds)


def _reviewing(settings: Settings, queue: ReviewQueue | None, telemetry: Telemetry) -> Reviewing:
    return Reviewing(
        queue,
        telemetry.reviews,
        stores_inputs=settings.review_inputs == "stored",
        refuses=settings.review_failure == "refuse",
        audit_share=settings.review_audit_share,
    )


def execution(settings: Settings) -> Execution:
    """Say how models shall run.

    Raises:
        StartError: the device is not there.
    """
    device = _device(settings.device)
    return Execution(device, settings.plan, settings.precision, settings.compile_after_seconds)


def key_ring(settings: Settings) -> KeyRing | None:
    """Read the keys that requests need; None where they need none.

    Raises:
        StartError: the settings contradict each other, or the file of keys is wrong.
    """
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


def _host_names(settings: Settings) -> HostNames:
    """Say what names the server may be asked under.

    Raises:
        StartError: one is no name.
    """
    bare = settings.api_keys_file is None and only_this_machine(settings.host)
    try:
        return HostNames.read(settings.allowed_hosts or "", only_loopback=bare)
    except ValueError as cause:
        raise StartError(
            f"--allowed-hosts has {str(cause)!r}: it takes names or addresses without a port, as "
            "unsure.example.com or *.example.com, separated by commas; * for any"
        ) from cause


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
