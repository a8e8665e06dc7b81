"""What goes on while the application serves: from the first model that loads to the last row answered."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from starlette.applications import Starlette

from service.errors import Unavailable
from service.fleet.place import Fellowship, Place
from service.predictor.auditing import AuditFigures, audit_figures
from service.predictor.catalogue import Catalogue
from service.process import keep_what_is_loaded
from service.review.queue import ReviewQueue
from service.review.retention import retain
from service.review.store import Store
from service.review.watching import by_status, watch
from service.scheduling.scheduler import Scheduler
from service.telemetry.reviews import ReviewTelemetry
from service.tracing.trace import Tracing

log = logging.getLogger("unsure")

_LOOK_SECONDS = 1.0
_LOOKS = 3  # in a row that find trouble: a thread that died is replaced at once
_CLOSING_SECONDS = 5.0  # of a database that does not answer


@dataclass(frozen=True)
class Upkeep:
    """What is done for the review queue while it is open.

    Args:
        queue: None where there is none.
        days: that an item is kept; 0 for ever.
        catalogue: has the models that audits are about.
        telemetry: is told the figures.
    """

    queue: ReviewQueue | None
    days: float
    catalogue: Catalogue
    telemetry: ReviewTelemetry

    @asynccontextmanager
    async def while_open(self, loading: asyncio.Task[None]) -> AsyncIterator[None]:
        """Have the queue open; whoever still enters rows at the end has left before.

        Args:
            loading: of the models, which figures of audits wait for.
        """
        queue = self.queue
        if queue is None:
            yield
            return
        opening = _begun(_open(queue))
        tasks = [_begun(one) for one in self._duties(queue, loading)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait([opening], timeout=_CLOSING_SECONDS)
            await queue.close()

    def _duties(self, queue: ReviewQueue, loading: asyncio.Task[None]) -> Sequence[Coroutine[Any, Any, None]]:
        watches = [watch(queue, by_status, self.telemetry.items), self._watch_audits(queue, loading)]
        return [*watches, retain(queue, self.days)] if self.days > 0 else watches

    async def _watch_audits(self, queue: ReviewQueue, loading: asyncio.Task[None]) -> None:
        await asyncio.wait([loading])
        await watch(queue, self._figures, self._tell_audits)

    def _figures(self, store: Store) -> Sequence[AuditFigures]:
        """Compute the figures where the store is asked: bounds of many labels take their time."""
        return list(audit_figures(self.catalogue.served(), store.audits()))

    def _tell_audits(self, figures: Sequence[AuditFigures]) -> None:
        for one in figures:
            self.telemetry.audited(**asdict(one))
        self.telemetry.forget_audits(but=[(one.model, one.version) for one in figures])


class Lifespan:
    """Serving, from its start to its end.

    Args:
        catalogue: of the models to load.
        scheduler: that answers what was accepted.
        upkeep: of the review queue.
        place: of the process among others.
        fellowship: by which models change.
        tracing: traces requests; None where nobody does.
        owns_process: whether the process is there for this alone.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        scheduler: Scheduler,
        upkeep: Upkeep,
        place: Place,
        fellowship: Fellowship,
        tracing: Tracing | None,
        *,
        owns_process: bool,
    ) -> None:
        self._catalogue = catalogue
        self._scheduler = scheduler
        self._upkeep = upkeep
        self._place = place
        self._fellowship = fellowship
        self._tracing = tracing
        self._owns_process = owns_process

    @asynccontextmanager
    async def around(self, _app: Starlette) -> AsyncIterator[None]:
        """Load, serve, and drain."""
        # The port is open while models load, so that an orchestrator can tell loading from dead.
        loading = asyncio.create_task(asyncio.to_thread(self._load))
        loading.add_done_callback(_tell_loaded)
        if self._place.beside:
            await loading  # others answer meanwhile, and go on to if this fails
        watching = (
            asyncio.create_task(_end_in_trouble(self._scheduler)) if self._place.ends_in_trouble else None
        )
        self._fellowship.listen()
        async with self._upkeep.while_open(loading):
            yield
            if watching is not None:
                watching.cancel()
            self._catalogue.close()
            await self._scheduler.drain()
            await asyncio.wait([loading])
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    def _load(self) -> None:
        self._catalogue.load(self._place.unloaded)
        if self._owns_process:
            keep_what_is_loaded()
        self._fellowship.loaded()


def _begun(duty: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin what nobody waits for; what ends it by a fault of ours is in the log at once."""
    task = asyncio.create_task(duty)
    task.add_done_callback(_tell_ended)
    return task


def _tell_ended(duty: asyncio.Task[None]) -> None:
    failure = None if duty.cancelled() else duty.exception()
    if failure is not None:
        log.error("the review queue is looked after no more as it should be", exc_info=failure)


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
