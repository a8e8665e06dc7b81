"""Admission: what may wait for the device, and for how long."""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from service.errors import Overloaded, TooLarge, Unavailable
from service.scheduling.lots import Caller, Lot, Runner
from service.scheduling.queue import FairQueue, Job
from service.scheduling.worker import Finished, Worker

_PATIENCE_SECONDS = 1.0  # with a batch that ends just after its deadline


@dataclass(frozen=True)
class Limits:
    """What a scheduler admits.

    Args:
        pending_rows: the most rows that may wait or run at one time.
        pending_cost: the most rows times samples.
        deadline_seconds: how long a caller waits at most.
        batch_seconds: about how long rows that run together may take.
        batch_rows: the most rows that run together.
    """

    pending_rows: int = 4096
    pending_cost: int = 1_000_000
    deadline_seconds: float = 30.0
    batch_seconds: float = 0.05
    batch_rows: int = 256


@dataclass(frozen=True)
class Done:
    """A finished request.

    Args:
        results: of its parts, in the order of its rows.
        queue_seconds: from admission to its start.
        compute_seconds: from its start to its end, with the turns of others between its parts.
    """

    results: Sequence[Any]
    queue_seconds: float
    compute_seconds: float


class Scheduler:
    """Lets requests wait for the device, within limits. To be used from one event loop.

    Args:
        runner: runs rows of one key together.
        limits: what is admitted.
        watch: told how many rows wait or run, and the share of the queue that is taken, when that changes.
    """

    def __init__(
        self, runner: Runner, limits: Limits, watch: Callable[[int, float], None] = lambda _rows, _share: None
    ) -> None:
        self._limits = limits
        self._watch = watch
        self._queue = FairQueue(limits.batch_seconds, limits.batch_rows, limits.deadline_seconds)
        self._worker = Worker(self._queue, runner, self._deliver)
        self._pending_rows = 0
        self._pending_cost = 0
        self._closed = False

    @property
    def pending_rows(self) -> int:
        """Rows that are waiting or running."""
        return self._pending_rows

    @property
    def pending_cost(self) -> int:
        """Rows times samples that are waiting or running."""
        return self._pending_cost

    @property
    def taken_share(self) -> float:
        """How much of the queue is taken, from 0 to 1: of rows or of samples, whichever has less room."""
        return max(
            self._pending_rows / self._limits.pending_rows, self._pending_cost / self._limits.pending_cost
        )

    @property
    def alive(self) -> bool:
        """Whether there is a thread that computes."""
        return self._worker.alive

    @property
    def trouble(self) -> str | None:
        """Why what is admitted would not run; None where it will."""
        if not self.alive:
            return "the thread that computes has died and is started anew; ask again"
        # Whoever waited for such a batch has been told that the deadline passed.
        if self._worker.batch_seconds > self._limits.deadline_seconds + _PATIENCE_SECONDS:
            return "a model does not come to an end with what nobody waits for any more; ask another server"
        return None

    async def run(self, lots: Sequence[Lot], timeout_seconds: float | None = None) -> Done:
        """Wait for lots to run.

        Args:
            lots: of one request.
            timeout_seconds: how long to wait, if that is less than the limit.

        Raises:
            TooLarge: more rows or samples than ever fit the queue, or than end in time when all is idle.
            Overloaded: too much is pending for it to end in time.
            DeadlineExceeded: it was not done in time, or would not be in the time that the caller has.
            Unavailable: the server is shutting down, or lost the work.
            Exception: whatever the runner raised for these lots.
        """
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        seconds = min(self._limits.deadline_seconds, timeout_seconds or math.inf)
        now = monotonic()
        job = Job(lots, Caller(), future, submitted=now, deadline=now + seconds)
        self._admit(job)
        try:
            async with asyncio.timeout(seconds):
                results = await future
        except TimeoutError as cause:
            raise job.expired() from cause
        finally:
            job.caller.leave()
            if self._worker.discard(job):
                self._release(job)
        started = job.started or job.submitted
        return Done(results, started - job.submitted, monotonic() - started)

    async def drain(self) -> None:
        """Refuse new work and wait until what was accepted is done."""
        self._closed = True
        await asyncio.to_thread(self._worker.close)
        await asyncio.sleep(0)  # for what was delivered last

    def _admit(self, job: Job) -> None:
        if self._closed:
            raise Unavailable("the server is shutting down")
        if self.trouble:
            raise Unavailable(self.trouble)
        self._check("rows", job.rows, self._pending_rows, self._limits.pending_rows)
        self._check("row samples", job.cost, self._pending_cost, self._limits.pending_cost)
        self._worker.add(job)
        self._pending_rows += job.rows
        self._pending_cost += job.cost
        self._watch(self._pending_rows, self.taken_share)

    def _check(self, what: str, asked: int, pending: int, limit: int) -> None:
        if asked > limit:
            raise TooLarge(f"{asked} {what} are more than the {limit} that fit the queue; split the request")
        if pending + asked > limit:
            raise Overloaded(
                f"{pending} {what} are pending and {asked} more would exceed the limit of {limit}",
                retry_after_seconds=max(1, math.ceil(self._pending_cost * self._queue.cost_seconds)),
            )

    def _release(self, job: Job) -> None:
        self._pending_rows -= job.rows
        self._pending_cost -= job.cost
        self._watch(self._pending_rows, self.taken_share)

    def _deliver(self, finished: Finished) -> None:
        """Bring what is done to the event loop: one call for all that ran together."""
        if not finished:
            return
        loop = finished[0][0].future.get_loop()
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(self._settle, finished)

    def _settle(self, finished: Finished) -> None:
        for job, error in finished:
            self._release(job)
            if job.future.done():
                continue
            if error is None:
                job.future.set_result(job.results)
            else:
                job.future.set_exception(error)
