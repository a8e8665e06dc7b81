"""The scheduler, without a model: what is admitted, refused, dropped and told."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.errors import DeadlineExceeded, Overloaded, TooLarge, Unavailable
from service.scheduling.scheduler import Abandoned, Caller, Scheduler


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


class Gate:
    """Work that waits to be let through."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def work(self, _caller: Caller) -> str:
        self.begun.set()
        assert self.open.wait(20)
        return "through"


@asynccontextmanager
async def occupied(scheduler: Scheduler, rows: int) -> AsyncIterator[Gate]:
    """The device is busy with so many rows, until the block ends."""
    gate = Gate()
    task = asyncio.create_task(scheduler.run(gate.work, rows))
    await asyncio.to_thread(gate.begun.wait, 20)
    try:
        yield gate
    finally:
        gate.open.set()
        assert (await task).result == "through"


def test_work_is_run_and_timed() -> None:
    async def test() -> None:
        scheduler = Scheduler(10, 5)
        done = await scheduler.run(lambda _: 42, 3)
        assert done.result == 42
        assert done.queue_seconds >= 0
        assert done.compute_seconds >= 0
        await scheduler.drain()

    run(test)


def test_what_the_work_raises_reaches_its_caller_alone() -> None:
    async def test() -> None:
        scheduler = Scheduler(10, 5)

        def fail(_caller: Caller) -> None:
            raise KeyError("mine")

        good, bad = await asyncio.gather(
            scheduler.run(lambda _: "good", 1), scheduler.run(fail, 1), return_exceptions=True
        )
        assert not isinstance(good, BaseException)
        assert good.result == "good"
        assert isinstance(bad, KeyError)
        assert scheduler.pending_rows == 0
        await scheduler.drain()

    run(test)


def test_a_full_queue_refuses_at_once_and_says_when_to_return() -> None:
    async def test() -> None:
        scheduler = Scheduler(10, 5)
        async with occupied(scheduler, 8):
            assert scheduler.pending_rows == 8
            with pytest.raises(
                Overloaded, match="8 rows are pending and 3 more would exceed the limit of 10"
            ) as full:
                await scheduler.run(lambda _: None, 3)
            assert full.value.retry_after_seconds >= 1
            waiting = asyncio.create_task(scheduler.run(lambda _: "fits", 2))
            await asyncio.sleep(0)
            assert scheduler.pending_rows == 10
        assert (await waiting).result == "fits"
        assert scheduler.pending_rows == 0
        await scheduler.drain()

    run(test)


def test_the_time_to_return_follows_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that took 2 s each, by a clock of our own: with 8 pending, far more than a second is told."""
    clock = itertools.count(0, 10)
    monkeypatch.setattr("service.scheduling.scheduler.monotonic", lambda: next(clock))

    async def test() -> None:
        scheduler = Scheduler(10, 5)
        for _ in range(40):
            await scheduler.run(lambda _: None, 5)  # 10 s for 5 rows
        async with occupied(scheduler, 8):
            with pytest.raises(Overloaded) as full:
                await scheduler.run(lambda _: None, 5)
            assert full.value.retry_after_seconds in (15, 16)
        await scheduler.drain()

    run(test)


def test_what_can_never_fit_is_no_overload() -> None:
    async def test() -> None:
        scheduler = Scheduler(10, 5)
        with pytest.raises(TooLarge, match="11 rows are more than the 10"):
            await scheduler.run(lambda _: None, 11)
        await scheduler.drain()

    run(test)


def test_work_whose_deadline_passed_in_the_queue_never_runs() -> None:
    async def test() -> None:
        scheduler = Scheduler(10, 0.05)
        ran: list[str] = []
        blocker = Gate()
        first = asyncio.create_task(scheduler.run(blocker.work, 1))
        await asyncio.to_thread(blocker.begun.wait, 20)
        with pytest.raises(DeadlineExceeded, match=r"no answer within 0.05 s"):
            await scheduler.run(lambda _: ran.append("late"), 4)
        assert scheduler.pending_rows == 1  # only what still runs
        blocker.open.set()
        with pytest.raises(DeadlineExceeded):
            await first
        await scheduler.drain()
        assert not ran
        assert scheduler.pending_rows == 0

    run(test)


def test_running_work_is_told_that_its_caller_left() -> None:
    async def test() -> None:
        scheduler = Scheduler(10, 5)
        begun, seen = threading.Event(), threading.Event()

        def work(caller: Caller) -> None:
            begun.set()
            try:
                for _ in range(10_000_000):
                    caller.check()
            except Abandoned:
                seen.set()
                raise

        task = asyncio.create_task(scheduler.run(work, 1))
        await asyncio.to_thread(begun.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await scheduler.drain()
        assert seen.is_set()

    run(test)


def test_draining_finishes_what_was_accepted_and_takes_no_more() -> None:
    async def test() -> None:
        scheduler = Scheduler(10, 5)
        gate = Gate()
        accepted = asyncio.create_task(scheduler.run(gate.work, 1))
        await asyncio.to_thread(gate.begun.wait, 20)
        drained = asyncio.create_task(scheduler.drain())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="shutting down"):
            await scheduler.run(lambda _: None, 1)
        gate.open.set()
        assert (await accepted).result == "through"
        await drained

    run(test)
