"""The order in which lots run: in turn among the requests, and together where their keys allow it."""

from asyncio import Future
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.errors import DeadlineExceeded
from service.scheduling.lots import Caller, Lot, Part

_REMEMBERED_KEYS = 1024
_FIRST_ROWS = 8  # of a key that nothing is known of, and at most
_FIRST_COST = 512
_LEAST_SECONDS = 1e-9  # that a clock tells apart
_SMOOTHING = 0.2  # how much one batch moves the estimate of the time a row takes


@dataclass(eq=False)
class Job:
    """One request while it waits and runs.

    Args:
        lots: of its rows.
        caller: who waits.
        future: of the results of its parts, in their order.
        submitted: when it came, in seconds.
        deadline: when its caller stops waiting.

    Attributes:
        started: when its first rows began to run.
        results: of its parts so far, in their order.
    """

    lots: Sequence[Lot]
    caller: Caller
    future: "Future[list[Any]]"
    submitted: float
    deadline: float
    started: float | None = None
    results: list[Any] = field(default_factory=list)
    _lot: int = 0
    _row: int = 0

    @property
    def rows(self) -> int:
        """How many it has."""
        return sum(lot.rows for lot in self.lots)

    @property
    def cost(self) -> int:
        """Rows times samples."""
        return sum(lot.rows * lot.cost for lot in self.lots)

    @property
    def cost_left(self) -> int:
        """Rows times samples of the rows that have not been taken."""
        rest = sum(lot.rows * lot.cost for lot in self.lots[self._lot :])
        return rest - self._row * self.row_cost if self._row else rest

    @property
    def row_cost(self) -> int:
        """Of one of the rows to be taken next."""
        return self.lots[self._lot].cost

    @property
    def exhausted(self) -> bool:
        """Whether all its rows have been taken."""
        return self._lot == len(self.lots)

    @property
    def key(self) -> Hashable:
        """Of the rows to be taken next."""
        return self.lots[self._lot].key

    def expired(self) -> DeadlineExceeded:
        """What its caller is told, who has waited for nothing."""
        seconds = round(self.deadline - self.submitted, 9)  # without what the clock's numbers cannot hold
        return DeadlineExceeded(
            f"no answer within {seconds:g} s; ask for fewer rows or samples, or try later"
        )

    def take(self, most: int) -> Part:
        """Take the next rows, all of one lot."""
        lot, start = self.lots[self._lot], self._row
        stop = min(lot.rows, start + most)
        self._lot, self._row = (self._lot + 1, 0) if stop == lot.rows else (self._lot, stop)
        return Part(lot, start, stop, self.caller)


@dataclass(frozen=True)
class Batch:
    """Parts that run together, each of another job."""

    jobs: Sequence[Job]
    parts: Sequence[Part]

    @property
    def rows(self) -> int:
        """How many rows run together."""
        return sum(part.rows for part in self.parts)

    @property
    def cost(self) -> int:
        """Rows times samples."""
        return sum(part.rows * part.lot.cost for part in self.parts)

    @property
    def key(self) -> Hashable:
        """Of all of them."""
        return self.parts[0].lot.key

    def alone(self) -> Iterator["Batch"]:
        """Give each part as a batch of its own."""
        for job, part in zip(self.jobs, self.parts, strict=True):
            yield Batch([job], [part])


class FairQueue:
    """Jobs that wait. Not safe for threads: its owner has the lock.

    A batch begins with the job that has waited longest since its last turn, and takes the next rows of all
    others of the same key that fit. What is left of a job goes to the end: a request of ten thousand rows
    delays one of a single row by a batch, and not by itself.

    Args:
        batch_seconds: about how long a batch may run.
        batch_rows: the most rows in one.

    Attributes:
        cost_seconds: about how long a sample of a row takes, of whatever key.
    """

    def __init__(self, batch_seconds: float, batch_rows: int) -> None:
        self._batch_seconds = batch_seconds
        self._batch_rows = batch_rows
        self.cost_seconds = 0.0
        self._jobs: deque[Job] = deque()
        # By their hashes: a key that is kept would keep the model that it names.
        self._key_seconds: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Put a job at the end."""
        self._jobs.append(job)

    def discard(self, job: Job) -> bool:
        """Take a job out; tells whether it was there."""
        there = job in self._jobs
        if there:
            self._jobs.remove(job)
        return there

    def clear(self) -> list[Job]:
        """Take all jobs out."""
        jobs = list(self._jobs)
        self._jobs.clear()
        return jobs

    def take_late(self, now: float) -> list[Job]:
        """Take out the jobs that would end after their deadline: what they cost would be lost to others.

        Only those that have waited for longer than they have left: an estimate that is wrong must not keep
        a job from running where it need not wait, since nothing else would ever correct it.
        """
        late = [job for job in self._jobs if self._seconds(job) > job.deadline - now < now - job.submitted]
        for job in late:
            self._jobs.remove(job)
        return late

    def _seconds(self, job: Job) -> float:
        """Estimate how long it takes to run what is left of a job, beside others."""
        return max(self._batch_seconds, job.cost_left * self._key_seconds.get(hash(job.key), 0.0))

    def take(self) -> Batch:
        """Take what runs next, of at least one job."""
        key = self._jobs[0].key
        rows, cost = self._room(key)
        jobs, parts, waiting = list[Job](), list[Part](), deque[Job]()
        while self._jobs:
            job = self._jobs.popleft()
            # Where a single row costs more than there is room for, it runs alone: it cannot be cut.
            fit = min(rows, max(cost // job.row_cost, 0 if parts else 1))
            if job.key != key or fit < 1:
                waiting.append(job)
                continue
            parts.append(job.take(fit))
            jobs.append(job)
            rows -= parts[-1].rows
            cost -= parts[-1].rows * parts[-1].lot.cost
        waiting.extend(job for job in jobs if not job.exhausted)
        self._jobs = waiting
        return Batch(jobs, parts)

    def ran(self, batch: Batch, seconds: float) -> None:
        """Learn how long a batch took."""
        self.cost_seconds += _SMOOTHING * (seconds / batch.cost - self.cost_seconds)
        key = hash(batch.key)
        now, before = seconds / batch.cost, self._key_seconds.pop(key, None)
        # A first run makes and compiles what later ones have: what was fast once is believed at once.
        self._key_seconds[key] = now if before is None else min(now, before + _SMOOTHING * (now - before))
        if len(self._key_seconds) > _REMEMBERED_KEYS:
            self._key_seconds.popitem(last=False)

    def _room(self, key: Hashable) -> tuple[int, int]:
        """Give the most rows of a batch, and the most rows times samples."""
        seconds = self._key_seconds.get(hash(key))
        if seconds is None:
            return min(_FIRST_ROWS, self._batch_rows), _FIRST_COST
        return self._batch_rows, int(self._batch_seconds / max(seconds, _LEAST_SECONDS))
