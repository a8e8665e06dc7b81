"""The queue, without threads: which jobs it lets go."""

from typing import Any

import pytest

from service.scheduling.lots import Caller, Lot
from service.scheduling.queue import FairQueue, Job


def job(submitted: float, rows: int = 1, cost: int = 1) -> Job:
    nobody: Any = None
    return Job([Lot("key", None, rows, cost)], Caller(), nobody, submitted, deadline=10.0)


@pytest.mark.parametrize(
    ("submitted", "rows", "late_from"),
    [
        (0.0, 1, 9.0),  # a batch takes a second
        (8.0, 4, 9.0),  # whatever was measured of these rows, two seconds each
        (9.4, 1, 9.7),  # what has waited for less than it has left is tried
    ],
)
def test_a_job_is_late_when_it_would_end_too_late(submitted: float, rows: int, late_from: float) -> None:
    queue = FairQueue(batch_seconds=1.0, batch_rows=8)
    queue.add(job(0.0, rows=4))
    queue.ran(queue.take(), seconds=8.0)
    waits = job(submitted, rows)
    queue.add(waits)
    assert queue.take_late(late_from - 0.01) == []
    assert queue.take_late(late_from + 0.01) == [waits]
    assert len(queue) == 0
