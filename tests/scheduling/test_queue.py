"""The queue, without threads: which jobs it lets go."""

from typing import Any

import pytest

from service.errors import DeadlineExceeded
from service.scheduling.lots import Caller, Lot
from service.scheduling.queue import FairQueue, Job


def job(submitted: float, rows: int = 1, cost: int = 1) -> Job:
    nobody: Any = None
    return Job([Lot("key", None, rows, cost)], Caller(), nobody, submitted, deadline=10.0)


@pytest.mark.parametrize(
    ("submitted", "rows", "late_from"),
    [
        (0.0, 1, 8.0),  # a row two
        (0.0, 3, 5.0),  # three rows six, but what has waited for less than it has left is tried:
        (9.4, 1, 9.7),  # the estimate may be wrong
        (8.0, 4, 9.0),
    ],
)
def test_a_job_is_late_when_it_would_end_too_late(submitted: float, rows: int, late_from: float) -> None:
    queue = FairQueue(batch_seconds=1.0, batch_rows=8)
    queue.add(job(0.0, rows=4))
    queue.ran(queue.take(), seconds=8.0)
    waits = job(submitted, rows)
    queue.add(waits)
    assert queue.take_late(late_from - 0.01) == []
    ((late, told),) = queue.take_late(late_from + 0.01)
    assert late is waits
    assert isinstance(told, DeadlineExceeded)
    assert len(queue) == 0


def test_rows_that_have_run_are_not_waited_for() -> None:
    queue = FairQueue(batch_seconds=1.0, batch_rows=8)
    large = job(0.0, rows=6, cost=5)
    queue.add(large)
    assert [rest.cost for rest in large.remaining] == [30]
    large.take(4)
    assert [rest.cost for rest in large.remaining] == [10]
