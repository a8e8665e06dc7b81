"""One queue before the device: bounded, in order, dropped when nobody waits any more."""

import asyncio
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

from service.errors import DeadlineExceeded, Overloaded, TooLarge, Unavailable

Result = TypeVar("Result")

_SMOOTHING = 0.2  # how much one piece of work moves the estimate of the time a row takes


@dataclass(frozen=True)
class Done(Generic[Result]):
    """Finished work.

    Args:
        result: what it gave.
        queue_seconds: from admission to its start.
        compute_seconds: from its start to its end.
    """

    result: Result
    queue_seconds: float
    compute_seconds: float


class Caller:
    """Who waits for a piece of work; long work asks now and then whether it still makes sense."""

    def __init__(self) -> None:
        self._left = threading.Event()

    def leave(self) -> None:
        """Say that nobody waits any more."""
        self._left.set()

    def check(self) -> None:
        """Raise Abandoned if nobody waits any more."""
        if self._left.is_set():
            raise Abandoned


class Abandoned(Exception):
    """Work was broken off because nobody waits for it; nobody sees this."""


class Scheduler:
    """Runs work on one thread beside the event loop. To be used from one event loop.

    The thread is one because the device is: torch spreads each piece of work over all cores by itself.

    Args:
        max_pending_rows: rows that may be waiting or running at one time.
        deadline_seconds: how long a caller waits at most.
    """

    def __init__(self, max_pending_rows: int, deadline_seconds: float) -> None:
        self._max_pending_rows = max_pending_rows
        self._deadline_seconds = deadline_seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute")
        self._lock = threading.Lock()
        self._pending_rows = 0
        self._row_seconds = 0.0
        self._closed = False

    @property
    def pending_rows(self) -> int:
        """Rows that are waiting or running."""
        return self._pending_rows

    async def run(self, work: Callable[[Caller], Result], rows: int) -> Done[Result]:
        """Wait for a piece of work to run.

        Args:
            work: is called on the compute thread, unless the caller has left before its turn.
            rows: how many rows it is about.

        Raises:
            TooLarge: more rows than ever fit.
            Overloaded: too many rows are pending.
            DeadlineExceeded: it was not done in time.
            Unavailable: the server is shutting down.
            Exception: whatever the work raised.
        """
        caller = Caller()
        future = self._admitted(work, caller, rows)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await asyncio.wrap_future(future)  # to stop waiting cancels what has not begun
        except TimeoutError as cause:
            raise DeadlineExceeded(
                f"no answer within {self._deadline_seconds:g} s; ask for fewer rows or samples, or try later"
            ) from cause
        finally:
            caller.leave()

    async def drain(self) -> None:
        """Refuse new work and wait until what was accepted is done."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown)

    def _admitted(self, work: Callable[[Caller], Result], caller: Caller, rows: int) -> Future[Done[Result]]:
        with self._lock:
            self._check_room(rows)
            self._pending_rows += rows
        future = self._thread.submit(self._timed, work, caller, rows, monotonic())
        future.add_done_callback(lambda _: self._release(rows))
        return future

    def _check_room(self, rows: int) -> None:
        limit, pending = self._max_pending_rows, self._pending_rows
        if self._closed:
            raise Unavailable("the server is shutting down")
        if rows > limit:
            raise TooLarge(f"{rows} rows are more than the {limit} that fit the queue; split the request")
        if pending + rows > limit:
            raise Overloaded(
                f"{pending} rows are pending and {rows} more would exceed the limit of {limit}",
                retry_after_seconds=max(1, math.ceil(pending * self._row_seconds)),
            )

    def _release(self, rows: int) -> None:
        with self._lock:
            self._pending_rows -= rows

    def _timed(
        self, work: Callable[[Caller], Result], caller: Caller, rows: int, submitted: float
    ) -> Done[Result]:
        started = monotonic()
        result = work(caller)
        seconds = monotonic() - started
        self._row_seconds += _SMOOTHING * (seconds / max(1, rows) - self._row_seconds)
        return Done(result, queue_seconds=started - submitted, compute_seconds=seconds)
