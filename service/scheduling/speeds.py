"""How long samples of rows take, by what batches of them took."""

from collections import OrderedDict
from dataclasses import dataclass

_REMEMBERED_KINDS = 1024
_FIRST_RUNS = 2  # which may include compilation: nothing is refused by what they took
_RISE = 0.2  # of the way to a slower measurement, each batch
_FALL = 0.5  # of the way to a faster one
_LARGEST_STEP = 4.0  # a batch counts as so many times slower at most: it may be a pause of the machine
_LARGEST_MEMORY = 0.99  # of the largest batch, from each to the next
_STALE_SECONDS = 60.0


@dataclass
class _Speed:
    """What was measured of one kind.

    Args:
        cost_seconds: that a sample of a row takes in a full batch.
        batch_seconds: that the least batch takes, however few rows it has.
        measured: when, in seconds of a monotonic clock.
        largest_cost: of a batch lately: what a smaller one takes is not in proportion.
        runs: how many batches were measured.
    """

    cost_seconds: float
    batch_seconds: float
    measured: float
    largest_cost: float
    runs: int = 1


class Speeds:
    """Estimates of time by kinds of rows, each learned from the batches of its own.

    Args:
        batch_seconds: about how long a batch may run.
    """

    def __init__(self, batch_seconds: float) -> None:
        self._batch_seconds = batch_seconds
        # By the hashes of kinds: one that is kept would keep the model that it names.
        self._speeds: OrderedDict[int, _Speed] = OrderedDict()

    def learn(self, kind: int, cost: int, seconds: float, now: float) -> None:
        """Learn from a batch: the hash of its kind, its rows times samples, and the seconds that it took."""
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
        self._speeds[kind] = found
        if len(self._speeds) > _REMEMBERED_KINDS:
            self._speeds.popitem(last=False)

    def cost_seconds(self, kind: int) -> float | None:
        """Seconds that a sample of a row takes, or None where no batch has run."""
        found = self._speeds.get(kind)
        return None if found is None else found.cost_seconds

    def seconds(self, kind: int, cost: int) -> float:
        """Seconds that rows times samples of a kind take: 0 where too little has run to refuse work by it."""
        found = self._speeds.get(kind)
        if found is None or found.runs < _FIRST_RUNS:
            return 0.0
        return max(found.cost_seconds * cost, min(found.batch_seconds, self._batch_seconds))

    def is_stale(self, kind: int, now: float) -> bool:
        """Whether nothing of a kind was measured for so long that one more try is worth its time."""
        found = self._speeds.get(kind)
        return found is None or now - found.measured > _STALE_SECONDS
