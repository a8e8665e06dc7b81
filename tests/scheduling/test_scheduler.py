"""The scheduler, without a model: what is admitted, refused, run together, dropped and told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from service.errors import DeadlineExceeded, Overloaded, TooLarge, Unavailable
from service.scheduling.lots import Lot, Part
from service.scheduling.scheduler import Limits, Scheduler
from service.scheduling.worker import Worker

LIMITS = Limits(pending_rows=10, pending_cost=100, deadline_seconds=5, batch_seconds=10, batch_rows=8)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def lot(content: Any = None, rows: int = 1, key: str = "key", cost: int = 1) -> Lot:
    return Lot(key, content, rows, cost)


class Device:
    """Gives each part its content and its rows; can be held, and fails where the content says so."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.batches: list[list[tuple[Any, range]]] = []

    def __call__(self, parts: Sequence[Part]) -> Sequence[Any]:
        self.batches.append([(part.lot.content, range(part.start, part.stop)) for part in parts])
        self.begun.set()
        assert self.open.wait(20)
        for part in parts:
            if isinstance(part.lot.content, BaseException):
                raise part.lot.content
        return [(part.lot.content, part.rows) for part in parts]

    @property
    def ran(self) -> list[Any]:
        """The contents that ran, in order."""
        return [content for batch in self.batches for content, _ in batch]


@asynccontextmanager
async def occupied(scheduler: Scheduler, device: Device, rows: int = 1) -> AsyncIterator[None]:
    """The device is busy with so many rows, until the block ends."""
    device.open.clear()
    device.begun.clear()
    task = asyncio.create_task(scheduler.run([lot("first", rows, key="other")]))
    await asyncio.to_thread(device.begun.wait, 20)
    try:
        yield
    finally:
        device.open.set()
        await asyncio.wait([task])


async def waiting(scheduler: Scheduler, *lots: Lot) -> list[asyncio.Task[Any]]:
    """Submit requests of one lot each, in this order."""
    tasks = [asyncio.create_task(scheduler.run([one])) for one in lots]
    await asyncio.sleep(0)
    return tasks


def test_lots_are_run_and_timed() -> None:
    async def test() -> None:
        scheduler = Scheduler(Device(), LIMITS)
        done = await scheduler.run([lot("a", 3), lot("b", 2, key="another")])
        assert done.results == [("a", 3), ("b", 2)]
        assert done.queue_seconds >= 0
        assert done.compute_seconds >= 0
        assert (scheduler.pending_rows, scheduler.pending_cost) == (0, 0)
        await scheduler.drain()

    run(test)


def test_the_share_of_the_queue_is_that_of_what_has_less_room() -> None:
    """Rows take 0.3 of theirs and samples 0.6; then it is empty again."""

    async def test() -> None:
        told: list[tuple[int, float]] = []
        scheduler = Scheduler(Device(), LIMITS, lambda rows, share: told.append((rows, share)))
        await scheduler.run([lot("a", 3, cost=20)])
        assert told == [(3, 0.6), (0, 0.0)]
        await scheduler.run([lot("a", 3, cost=1)])
        assert told[2:] == [(3, 0.3), (0, 0.0)]
        await scheduler.drain()

    run(test)


def test_waiting_requests_of_one_key_run_together() -> None:
    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, LIMITS)
        async with occupied(scheduler, device):
            tasks = await waiting(scheduler, lot("a"), lot("x", key="third"), lot("b", 2), lot("c"))
        assert [(await task).results for task in tasks] == [[("a", 1)], [("x", 1)], [("b", 2)], [("c", 1)]]
        assert device.batches[1:] == [
            [("a", range(1)), ("b", range(2)), ("c", range(1))],
            [("x", range(1))],
        ]
        await scheduler.drain()

    run(test)


def test_a_request_of_many_rows_does_not_starve_small_ones() -> None:
    """Nothing is known of its key: 8 rows run at first, and each small request is done within two batches."""

    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, replace(LIMITS, pending_rows=1000, pending_cost=1000))
        async with occupied(scheduler, device):
            (large,) = await waiting(scheduler, lot("large", 50))
            small = await waiting(scheduler, lot("s"), lot("t", key="third"), lot("u"))
        await asyncio.gather(*small)
        assert (await large).results == [("large", rows) for rows in (8, 6, 8, 8, 8, 8, 4)]
        after = device.batches[1:]
        assert after[0] == [("large", range(8))]
        assert [content for batch in after[1:3] for content, _ in batch] == ["s", "u", "large", "t"]
        parts = [part for batch in after for part in batch]
        assert [row for content, rows in parts if content == "large" for row in rows] == list(range(50))
        await scheduler.drain()

    run(test)


def test_batches_are_as_long_as_they_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own each row takes a second: after the first batch, three rows fit 3.5 s."""
    now = [0.0]
    monkeypatch.setattr("service.scheduling.worker.monotonic", lambda: now[0])

    def device(parts: Sequence[Part]) -> Sequence[int]:
        now[0] += sum(part.rows for part in parts)
        return [part.rows for part in parts]

    async def test() -> None:
        scheduler = Scheduler(device, replace(LIMITS, pending_rows=100, batch_seconds=3.5))
        assert (await scheduler.run([lot("a", 20)])).results == [8, 3, 3, 3, 3]
        await scheduler.drain()

    run(test)


def test_a_row_of_many_samples_counts_for_as_many_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own each sample takes a second: cheap rows let no costly ones run together."""
    now = [0.0]
    monkeypatch.setattr("service.scheduling.worker.monotonic", lambda: now[0])

    def device(parts: Sequence[Part]) -> Sequence[int]:
        now[0] += sum(part.rows * part.lot.cost for part in parts)
        return [part.rows for part in parts]

    async def test() -> None:
        limits = replace(LIMITS, pending_rows=100, pending_cost=10_000, batch_seconds=100, batch_rows=50)
        scheduler = Scheduler(device, limits)
        assert (await scheduler.run([lot("cheap", 60, cost=2)])).results == [8, 50, 2]
        assert (await scheduler.run([lot("costly", 6, cost=40)])).results == [2, 2, 2]
        assert (await scheduler.run([lot("alone", 2, cost=400)])).results == [1, 1]
        await scheduler.drain()

    run(test)


def test_beside_others_a_row_takes_part_only_where_there_is_room_for_its_samples() -> None:
    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, replace(LIMITS, pending_rows=100, pending_cost=10_000))
        async with occupied(scheduler, device):
            tasks = await waiting(
                scheduler, lot("few", cost=10), lot("many", cost=511), lot("few too", cost=10)
            )
        await asyncio.gather(*tasks)
        assert [[content for content, _ in batch] for batch in device.batches[1:]] == [
            ["few", "few too"],
            ["many"],
        ]
        await scheduler.drain()

    run(test)


def test_what_a_lot_raises_reaches_its_caller_alone() -> None:
    """The batch is tried again part by part."""

    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, LIMITS)
        async with occupied(scheduler, device):
            tasks = await waiting(scheduler, lot("good"), lot(KeyError("mine")), lot("fine"))
        good, bad, fine = await asyncio.gather(*tasks, return_exceptions=True)
        assert (good.results, fine.results) == ([("good", 1)], [("fine", 1)])
        assert isinstance(bad, KeyError)
        assert [len(batch) for batch in device.batches] == [1, 3, 1, 1, 1]
        assert scheduler.pending_rows == 0
        await scheduler.drain()

    run(test)


def test_the_rest_of_a_request_that_failed_does_not_run() -> None:
    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, LIMITS)
        with pytest.raises(ValueError, match="mine"):
            await scheduler.run([lot(ValueError("mine")), lot("never")])
        assert scheduler.pending_rows == 0
        await scheduler.drain()
        assert "never" not in device.ran

    run(test)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (lot(rows=3), "8 rows are pending and 3 more would exceed the limit of 10"),
        (lot(rows=2, cost=50), "8 row samples are pending and 100 more would exceed the limit of 100"),
    ],
)
def test_a_full_queue_refuses_at_once_and_says_when_to_return(asked: Lot, words: str) -> None:
    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, LIMITS)
        async with occupied(scheduler, device, rows=8):
            assert scheduler.pending_rows == 8
            with pytest.raises(Overloaded, match=words) as full:
                await scheduler.run([asked])
            assert full.value.retry_after_seconds >= 1
            (fits,) = await waiting(scheduler, lot("fits", 2))
            assert scheduler.pending_rows == 10
        assert (await fits).results == [("fits", 2)]
        assert (scheduler.pending_rows, scheduler.pending_cost) == (0, 0)
        await scheduler.drain()

    run(test)


def test_the_time_to_return_follows_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that took 2 s each, by a clock of our own: with 8 pending, far more than a second is told."""
    now = [0.0]
    monkeypatch.setattr("service.scheduling.worker.monotonic", lambda: now[0])
    device = Device()

    def slow(parts: Sequence[Part]) -> Sequence[Any]:
        now[0] += 2 * sum(part.rows for part in parts)
        return device(parts)

    async def test() -> None:
        scheduler = Scheduler(slow, replace(LIMITS, deadline_seconds=60))
        for _ in range(40):
            await scheduler.run([lot(rows=5)])
        async with occupied(scheduler, device, rows=8):
            with pytest.raises(Overloaded) as full:
                await scheduler.run([lot(rows=5)])
            assert full.value.retry_after_seconds in (15, 16)
        await scheduler.drain()

    run(test)


@pytest.mark.parametrize("asked", [lot(rows=11), lot(rows=2, cost=51)])
def test_what_can_never_fit_is_no_overload(asked: Lot) -> None:
    async def test() -> None:
        scheduler = Scheduler(Device(), LIMITS)
        with pytest.raises(TooLarge, match="are more than the 10"):
            await scheduler.run([asked])
        await scheduler.drain()

    run(test)


def test_work_whose_deadline_passed_in_the_queue_never_runs() -> None:
    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, replace(LIMITS, deadline_seconds=0.05))
        async with occupied(scheduler, device):
            with pytest.raises(DeadlineExceeded, match=r"no answer within 0.05 s"):
                await scheduler.run([lot("late", 4)])
            assert scheduler.pending_rows == 1  # only what still runs
        await scheduler.drain()
        assert "late" not in device.ran
        assert scheduler.pending_rows == 0

    run(test)


def test_work_that_would_end_after_its_deadline_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own: the device is free 4.5 s after a request that has 5, and a batch takes 1."""
    now = [0.0]
    for module in ("scheduler", "worker"):
        monkeypatch.setattr(f"service.scheduling.{module}.monotonic", lambda: now[0])

    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, replace(LIMITS, deadline_seconds=5, batch_seconds=1))
        async with occupied(scheduler, device):
            (late,) = await waiting(scheduler, lot("late", 4))
            now[0] = 4.5
            (early,) = await waiting(scheduler, lot("early", 2))
        with pytest.raises(DeadlineExceeded, match=r"no answer within 5 s"):
            await late
        assert (await early).results == [("early", 2)]
        assert "late" not in device.ran
        assert (scheduler.pending_rows, scheduler.pending_cost) == (0, 0)
        await scheduler.drain()

    run(test)


def test_a_request_may_have_less_time() -> None:
    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, LIMITS)
        async with occupied(scheduler, device):
            with pytest.raises(DeadlineExceeded, match=r"no answer within 0.01 s"):
                await scheduler.run([lot("late")], timeout_seconds=0.01)
        await scheduler.drain()

    run(test)


def test_running_work_can_tell_that_its_caller_left() -> None:
    async def test() -> None:
        begun, seen = threading.Event(), threading.Event()

        def device(parts: Sequence[Part]) -> Sequence[Any]:
            begun.set()
            while not parts[0].caller.left:
                pass
            seen.set()
            raise KeyError

        scheduler = Scheduler(device, LIMITS)
        task = asyncio.create_task(scheduler.run([lot(rows=4), lot("never")]))
        await asyncio.to_thread(begun.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await scheduler.drain()
        assert seen.is_set()
        assert scheduler.pending_rows == 0

    run(test)


def test_a_thread_that_dies_tells_everybody_and_is_started_again() -> None:
    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, LIMITS)
        async with occupied(scheduler, device):
            tasks = await waiting(scheduler, lot(SystemExit(3)), lot("beside"), lot("behind", key="third"))
        told = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in told] == [Unavailable] * 3
        assert (await scheduler.run([lot("after")])).results == [("after", 1)]
        assert scheduler.alive
        assert scheduler.pending_rows == 0
        await scheduler.drain()
        assert not scheduler.alive

    run(test)


def test_without_a_thread_nothing_is_admitted_and_who_waits_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is started anew when the test lets it: nobody is kept waiting for a thread that is not there."""
    start, restarting, go = Worker._started, threading.Event(), threading.Event()

    def held(worker: Worker) -> threading.Thread:
        restarting.set()
        assert go.wait(20)
        return start(worker)

    async def test() -> None:
        scheduler = Scheduler(Device(), LIMITS)
        monkeypatch.setattr(Worker, "_started", held)
        (dying,) = await waiting(scheduler, lot(SystemExit(3)))
        assert await asyncio.to_thread(restarting.wait, 20)
        assert not scheduler.alive
        with pytest.raises(Unavailable, match="has died"):
            await scheduler.run([lot("refused")])
        go.set()
        with pytest.raises(Unavailable, match="lost"):
            await dying
        assert scheduler.alive
        assert (await scheduler.run([lot("after")])).results == [("after", 1)]
        await scheduler.drain()

    run(test)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_where_no_thread_can_be_started_callers_still_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_worker: Worker) -> threading.Thread:
        raise RuntimeError("can't start new thread")

    async def test() -> None:
        scheduler = Scheduler(Device(), LIMITS)
        monkeypatch.setattr(Worker, "_started", none)
        with pytest.raises(Unavailable, match="lost"):
            await scheduler.run([lot(SystemExit(3))])
        assert not scheduler.alive
        await scheduler.drain()

    run(test)


def test_a_batch_that_nobody_waits_for_any_more_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own: the deadline is 5 s, and a second more is patience."""
    now = [0.0]
    monkeypatch.setattr("service.scheduling.worker.monotonic", lambda: now[0])

    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, LIMITS)
        async with occupied(scheduler, device):
            now[0] = 5.9
            assert scheduler.trouble is None
            now[0] = 6.1
            assert "does not come to an end" in str(scheduler.trouble)
            with pytest.raises(Unavailable, match="does not come to an end"):
                await scheduler.run([lot("refused")])
        assert scheduler.trouble is None
        assert (await scheduler.run([lot("after")])).results == [("after", 1)]
        await scheduler.drain()

    run(test)


def test_draining_finishes_what_was_accepted_and_takes_no_more() -> None:
    async def test() -> None:
        device = Device()
        scheduler = Scheduler(device, LIMITS)
        async with occupied(scheduler, device):
            (accepted,) = await waiting(scheduler, lot("accepted"))
            drained = asyncio.create_task(scheduler.drain())
            await asyncio.sleep(0)
            with pytest.raises(Unavailable, match="shutting down"):
                await scheduler.run([lot()])
        assert (await accepted).results == [("accepted", 1)]
        await drained

    run(test)
