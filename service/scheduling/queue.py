"""Which jobs are let in, and the order in which their lots run.

Lots run in turn among the requests, and together where their keys allow it. What is let in can end in time:

- A job is let in where what waits and the job itself take at most a share of its time, by measured speeds.
- Jobs have turns while every job could still end in time if the jobs ran by their deadlines. Once one could
  not wait longer, it and those of earlier deadlines go first. So whatever the turns, jobs that could end in
  time when the last of them was let in do end in time, if the estimates hold.
- Where estimates turn out too low, those that have not begun are refused, the latest deadline first.
"""

from asyncio import Future
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any, NamedTuple

from service.errors import DeadlineExceeded, Overloaded, RequestError, TooLarge
from service.scheduling.lots import Caller, Lot, Part
from service.scheduling.savings import Savings
from service.scheduling.speeds import Speeds

_FIRST_ROWS = 8  # of a key that nothing is known of, and at most
_FIRST_COST = 512
_SMOOTHING = 0.2  # how much one batch moves the estimate of the time a row takes
_FILLED_SHARE = 0.8  # of a job's time that work may fill: the rest is for estimates that are too low
_SLACK_SHARE = 0.1  # of a job's time that turns of others leave to it
_SKIPPED_BATCHES = 20  # between looks at each job, while none can be late by far
_LONGEST_MEMORY = 0.9  # of the longest batch, from each to the next


class Rest(NamedTuple):
    """What is left of a lot.

    Args:
        key: its hash.
        kind: the hash of what its speed is remembered by.
        cost: rows times samples.
    """

    key: int
    kind: int
    cost: int


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
        remaining: of its lots, what has not been taken.
    """

    lots: Sequence[Lot]
    caller: Caller
    future: "Future[list[Any]]"
    submitted: float
    deadline: float
    started: float | None = None
    results: list[Any] = field(default_factory=list)
    remaining: list[Rest] = field(init=False)
    _lot: int = 0
    _row: int = 0

    def __post_init__(self) -> None:
        self.remaining = [Rest(hash(lot.key), hash(lot.speed_kind), lot.rows * lot.cost) for lot in self.lots]

    @property
    def seconds(self) -> float:
        """How long its caller waits at most."""
        return self.deadline - self.submitted

    @property
    def rows(self) -> int:
        """How many it has."""
        return sum(lot.rows for lot in self.lots)

    @property
    def cost(self) -> int:
        """Rows times samples."""
        return sum(lot.rows * lot.cost for lot in self.lots)

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

    @property
    def kind(self) -> int:
        """The hash of what the speed of the rows to be taken next is remembered by."""
        return self.remaining[0].kind

    def expired(self) -> DeadlineExceeded:
        """What its caller is told, who has waited for nothing."""
        seconds = round(self.seconds, 9)  # without what the clock's numbers cannot hold
        return DeadlineExceeded(
            f"no answer within {seconds:g} s; ask for fewer rows or samples, or try later"
        )

    def take(self, most: int) -> Part:
        """Take the next rows, all of one lot."""
        lot, start, rest = self.lots[self._lot], self._row, self.remaining[0]
        stop = min(lot.rows, start + most)
        if stop == lot.rows:
            del self.remaining[0]
        else:
            self.remaining[0] = rest._replace(cost=(lot.rows - stop) * lot.cost)
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

    @property
    def kind(self) -> int:
        """The hash of what its speed is remembered by."""
        return hash(self.parts[0].lot.speed_kind)

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
        deadline_seconds: the most time that any job has.

    Attributes:
        cost_seconds: about how long a sample of a row takes, of whatever key.
        work_seconds: about how long it takes to run all that waits or runs.
    """

    def __init__(self, batch_seconds: float, batch_rows: int, deadline_seconds: float = inf) -> None:
        self._batch_seconds = batch_seconds
        self._batch_rows = batch_rows
        self._deadline_seconds = deadline_seconds
        self.cost_seconds = 0.0
        self.work_seconds = 0.0
        self._jobs: deque[Job] = deque()
        self._urgent: Sequence[Job] = ()  # by their deadlines, where one of them could not wait longer
        self._costs: dict[int, int] = {}  # of what waits, by the hashes of keys
        self._skipped = 0
        self._longest_seconds = 0.0  # that a batch took lately
        self._now = 0.0
        self._speeds = Speeds(batch_seconds)
        self._savings = Savings(batch_seconds)

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Put a job at the end."""
        self._jobs.append(job)
        self.work_seconds += self._added_seconds(job, self._costs)
        _count(self._costs, job)

    def discard(self, job: Job) -> bool:
        """Take a job out; tells whether it was there."""
        there = job in self._jobs
        if there:
            self._jobs.remove(job)
            self.work_seconds = max(0.0, self.work_seconds - self._seconds(job)) if self._jobs else 0.0
        return there

    def clear(self) -> list[Job]:
        """Take all jobs out."""
        jobs = list(self._jobs)
        self._jobs.clear()
        self.work_seconds, self._costs = 0.0, {}
        return jobs

    def refusal(self, job: Job, now: float) -> RequestError | None:
        """Say why a job is not let in: what is let in shall end in time, and keep nobody else from it.

        A job whose kind has hardly run is let in wherever there is room: nothing is known against it. So is
        any that can end in time while nothing else waits or runs.
        """
        self._now = now
        seconds, own = job.deadline - now, self._seconds(job)
        if own > seconds and not (self.work_seconds == 0 and self._is_stale(job)):
            return self._too_long(job, own, seconds)
        if self.work_seconds == 0:
            return None
        limit = _FILLED_SHARE * seconds
        least = min(self._added_seconds(job, self._costs), limit)
        ahead = self._ahead(job, own, now)
        kept = self._savings.kept_from(least, now)
        missing = ahead + kept + least - limit
        if missing <= 0:
            self._savings.admitted(least)
            return None
        retry_seconds = max(1, ceil(missing))
        self._savings.refused(least, retry_seconds, now)
        return self._overloaded(ahead, own, seconds, retry_seconds)

    def take_late(self, now: float) -> list[tuple[Job, RequestError]]:
        """Take out the jobs that would end after their deadline: what they cost would be lost to others.

        One that has begun, or that is too late by itself, only once it has waited for longer than it has
        left: an estimate that is wrong must not keep a job from running where it need not wait, since nothing
        else would ever correct it.

        Returns:
            Each with what its caller hears.
        """
        self._now = now
        batches = 2 * self._longest_seconds
        self._skipped += 1
        if self._skipped < _SKIPPED_BATCHES and not self._may_be_late(now, batches):
            return []
        self._skipped = 0
        late, ordered, urgent = list[tuple[Job, RequestError]](), list[Job](), 0
        work, costs = 0.0, dict[int, int]()
        for job in sorted(self._jobs, key=lambda one: one.deadline):
            seconds, own = job.deadline - now, self._seconds(job)
            if max(self._batch_seconds, own, self._first_estimate(job)) > seconds < now - job.submitted:
                late.append((job, job.expired()))
                continue
            if own > seconds:
                continue  # it may have its turns, and no more than these
            added = self._added_seconds(job, costs)
            if work + added > seconds and job.started is None:
                retry_seconds = max(1, ceil(work + own - _FILLED_SHARE * job.seconds))
                late.append((job, self._overloaded(work, own, seconds, retry_seconds)))
                continue
            _count(costs, job)
            work += added
            ordered.append(job)
            if work > seconds - max(batches, _SLACK_SHARE * job.seconds):
                urgent = len(ordered)
        if late:
            gone = {job for job, _ in late}
            self._jobs = deque(job for job in self._jobs if job not in gone)
        self._urgent = ordered[:urgent]
        self.work_seconds, self._costs = work, costs
        return late

    def _may_be_late(self, now: float, batches: float) -> bool:
        """Tell whether any job could be late or urgent: most of the time, none is by far."""
        if not self._jobs:
            return False
        ends = min(job.deadline - max(batches, _SLACK_SHARE * job.seconds) for job in self._jobs)
        return now + max(self._batch_seconds, 1.1 * self.work_seconds) > ends

    def _ahead(self, job: Job, own: float, now: float) -> float:
        """Estimate the seconds that run before a job.

        Most have the same time: then all that waits is ahead. One that has less goes first, unless that made
        others late.
        """
        ahead, work = 0.0, 0.0
        if not self._jobs or job.deadline >= max(one.deadline for one in (self._jobs[0], self._jobs[-1])):
            return self.work_seconds
        for one in sorted(self._jobs, key=lambda one: one.deadline):
            work += self._seconds(one)
            if one.deadline <= job.deadline:
                ahead = work
            elif work + own > one.deadline - now >= work:
                return self.work_seconds
        return ahead

    def _added_seconds(self, job: Job, costs: dict[int, int]) -> float:
        """Estimate how much longer all takes by a job, beside others of which so much of each key waits."""
        seconds = 0.0
        for key, kind, cost in job.remaining:
            before = costs.get(key)
            if before is None:
                seconds += self._speeds.seconds(kind, cost)
            else:
                seconds += self._speeds.seconds(kind, before + cost) - self._speeds.seconds(kind, before)
        return seconds

    def _seconds(self, job: Job) -> float:
        """Estimate how long it takes to run what is left of a job."""
        return sum([self._speeds.seconds(rest.kind, rest.cost) for rest in job.remaining])

    def _first_estimate(self, job: Job) -> float:
        """Estimate it by a first run too, slow as that may have been."""
        return sum([rest.cost * (self._speeds.cost_seconds(rest.kind) or 0.0) for rest in job.remaining])

    def _is_stale(self, job: Job) -> bool:
        return any(self._speeds.is_stale(rest.kind, self._now) for rest in job.remaining)

    def _too_long(self, job: Job, own: float, seconds: float) -> RequestError:
        takes = f"{job.rows} rows of up to {max(lot.cost for lot in job.lots)} samples take about {own:.2g} s"
        if job.seconds < self._deadline_seconds:
            return DeadlineExceeded(
                f"{takes}, and the request allows {seconds:.3g} s; "
                "allow more, or ask for fewer rows or samples"
            )
        return TooLarge(
            f"{takes} when nothing else runs, more than the {seconds:.3g} s that a request may take; "
            "split it, or ask for fewer samples"
        )

    def _overloaded(self, ahead: float, own: float, seconds: float, retry_seconds: int) -> Overloaded:
        return Overloaded(
            f"what waits takes about {ahead:.2g} s and this request about {own:.2g} s more: that may not end "
            f"within {seconds:.3g} s; try again in {retry_seconds} s, or ask for fewer rows or samples",
            retry_after_seconds=retry_seconds,
        )

    def take(self) -> Batch:
        """Take what runs next, of at least one job."""
        urgent, self._urgent = set(self._urgent), ()
        jobs, parts, waiting = list[Job](), list[Part](), deque[Job]()
        if urgent:
            # These alone: what others added to the batch would take from them the time that they do not have.
            waiting.extend(job for job in self._jobs if job not in urgent)
            self._jobs = deque(sorted(urgent, key=lambda job: job.deadline))
        key = self._jobs[0].key
        rows, cost = self._room(self._jobs[0].kind)
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

    def ran(self, batch: Batch, seconds: float, *, whole: bool = True) -> None:
        """Learn how long a batch took.

        Args:
            batch: that ran.
            seconds: that it took.
            whole: whether all of it ran: what failed, or nobody waits for, tells no speed.
        """
        self._longest_seconds = max(seconds, _LONGEST_MEMORY * self._longest_seconds)
        if whole:
            self.cost_seconds += _SMOOTHING * (seconds / batch.cost - self.cost_seconds)
            before = self._speeds.seconds(batch.kind, batch.cost)
            self._speeds.learn(batch.kind, batch.cost, seconds, self._now + seconds, single=batch.rows == 1)
            if self._speeds.seconds(batch.kind, batch.cost) > 1.05 * before:
                self._skipped = _SKIPPED_BATCHES  # before more of them begin than can end
        if self._jobs:
            key = hash(batch.key)
            left = self._costs.get(key, 0) - batch.cost
            self.work_seconds = max(
                0.0, self.work_seconds - batch.cost * (self._speeds.cost_seconds(batch.kind) or 0.0)
            )
            if left > 0:
                self._costs[key] = left
            else:
                self._costs.pop(key, None)
        else:
            self.work_seconds, self._costs = 0.0, {}

    def _room(self, kind: int) -> tuple[int, int]:
        """Give the most rows of a batch, and the most rows times samples."""
        cost = self._speeds.room_cost(kind)
        if cost is None:
            return min(_FIRST_ROWS, self._batch_rows), _FIRST_COST
        return self._batch_rows, int(cost)


def _count(costs: dict[int, int], job: Job) -> None:
    """Add what is left of a job to what waits of each key."""
    for rest in job.remaining:
        costs[rest.key] = costs.get(rest.key, 0) + rest.cost
