"""How long samples of rows take, by what batches of them took.

Part of what a batch takes is the same however few rows it has: its masks, and the calls of each sample. Where
that alone is longer than a batch should take, rows run one by one would cost that much each. So where a row
alone is too long, batches are doubled while that makes a row clearly cheaper.
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import inf

_REMEMBERED_KINDS = 1024
_FIRST_RUNS = 2  # which may include compilation: nothing is refused by what they took
_RISE = 0.2  # of the way to a slower measurement, each batch
_FALL = 0.5  # of the way to a faster one
_LARGEST_STEP = 4.0  # a batch counts as so many times slower at most: it may be a pause of the machine
_LARGEST_MEMORY = 0.99  # of the largest batch, from each to the next
_STALE_SECONDS = 60.0
_PAYS = 0.75  # of the time of a row before, or less: then a batch of twice as many rows was worth it
_LEAST_SECONDS = 1e-9  # that a clock tells apart
_WAITED = 8  # batches, for one of as many rows as may run together
_TRIED_AGAIN = 64  # batches after doubling did not pay: the machine may have been busy


@dataclass
class _Speed:
    """What was measured of one kind.

    Args:
        cost_seconds: that a sample of a row takes in a full batch.
        batch_seconds: that the least batch takes, however few rows it has.
        measured: when, in seconds of a monotonic clock.
        largest_cost: of a batch lately: what a smaller one takes is not in proportion.
        runs: how many batches were measured.
        doubled_cost: that a batch may have though it takes longer than it should; 0 before any was so long.
        doubled_rate: seconds per cost of the last batch that was doubled.
        doubling: whether that still pays.
        settled: whether it has been found out how many rows run together.
        since: batches since doubling was last tried.
    """

    cost_seconds: float
    batch_seconds: float
    measured: float
    largest_cost: float
    runs: int = 1
    doubled_cost: float = 0.0
    doubled_rate: float = inf
    doubling: bool = True
    settled: bool = False
    since: int = 0


class Speeds:
    """Estimates of time by kinds of rows, each learned from the batches of its own.

    Args:
        batch_seconds: about how long a batch may run.
    """

    def __init__(self, batch_seconds: float) -> None:
        self._batch_seconds = batch_seconds
        # By the hashes of kinds: one that is kept would keep the model that it names.
        self._speeds: OrderedDict[int, _Speed] = OrderedDict()

    def learn(self, kind: int, cost: int, seconds: float, now: float, *, single: bool = False) -> None:
        """Learn from a batch.

        Args:
            kind: its hash.
            cost: rows times samples.
            seconds: that it took.
            now: when it ended.
            single: whether it was one row, which cannot be cut.
        """
        found = self._speeds.pop(kind, None)
        rate = seconds / cost
        if found is None:
            found = _Speed(rate, seconds, now, cost)
        else:
            before = found.cost_seconds
            fall = 1.0 if found.runs <= _FIRST_RUNS else _FALL  # a first run makes what later ones have
            if rate < before:
                found.cost_seconds += fall * (rate - before)
            elif 2 * seconds >= self._batch_seconds and 2 * cost >= found.largest_cost:
                # Few rows tell nothing of what many take together.
                found.cost_seconds += _RISE * (min(rate, _LARGEST_STEP * before) - before)
            found.batch_seconds += (fall if seconds < found.batch_seconds else _RISE / 4) * (
                min(seconds, _LARGEST_STEP * found.batch_seconds) - found.batch_seconds
            )
            found.largest_cost = max(cost, _LARGEST_MEMORY * found.largest_cost)
            found.measured = now
            found.runs += 1
        self._double(found, cost, seconds, single=single)
        self._speeds[kind] = found
        if len(self._speeds) > _REMEMBERED_KINDS:
            self._speeds.popitem(last=False)

    def _double(self, found: _Speed, cost: int, seconds: float, *, single: bool) -> None:
        """Decide whether the next batch may have twice the rows of one that was too long."""
        if seconds <= self._batch_seconds:
            found.settled = found.settled or found.runs >= _FIRST_RUNS
            return
        found.since += 1
        if not (single or found.doubled_cost):  # it can be cut
            return
        if cost < found.doubled_cost:  # there were no more rows, and may never be any of the same key
            found.settled = found.settled or found.since >= _WAITED
            return
        if seconds / cost <= _PAYS * found.doubled_rate:
            found.doubled_rate = seconds / cost
            found.settled = found.settled and found.doubled_cost > 0
            found.doubled_cost = 2 * cost
        elif found.doubling:
            found.doubling, found.settled, found.since = False, True, 0
            found.doubled_cost = max(1.0, found.doubled_cost / 2)
        elif found.since >= _TRIED_AGAIN:
            found.doubling, found.doubled_rate = True, inf

    def room_cost(self, kind: int) -> float | None:
        """The most rows times samples of a batch, or None where none has run."""
        found = self._speeds.get(kind)
        if found is None:
            return None
        return max(self._batch_seconds / max(found.cost_seconds, _LEAST_SECONDS), found.doubled_cost)

    def cost_seconds(self, kind: int) -> float | None:
        """Seconds that a sample of a row takes, or None where no batch has run."""
        found = self._speeds.get(kind)
        return None if found is None else found.cost_seconds

    def seconds(self, kind: int, cost: int) -> float:
        """Seconds that rows times samples of a kind take: 0 where too little has run to refuse work by it."""
        found = self._speeds.get(kind)
        if found is None or found.runs < _FIRST_RUNS or not found.settled:
            return 0.0
        return max(found.cost_seconds * cost, min(found.batch_seconds, self._batch_seconds))

    def is_stale(self, kind: int, now: float) -> bool:
        """Whether nothing of a kind was measured for so long that one more try is worth its time."""
        found = self._speeds.get(kind)
        return found is None or now - found.measured > _STALE_SECONDS
