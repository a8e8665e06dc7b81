"""Rows of requests that wait together enter together, and every one who waits hears."""

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest
from reviewed import row

from service.errors import Unavailable
from service.review.intake import Intake
from service.review.items import Row
from service.review.queue import ReviewQueue
from service.review.store import Store

SECONDS = 30


class Held:
    """A store that enters nothing until it may, and tells of every transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.transactions: list[int] = []
        self.begun = threading.Semaphore(0)
        self.may = threading.Semaphore(0)
        self.failure: Exception | None = None

    def enter(self, rows: Sequence[Row]) -> list[str]:
        self.transactions.append(len(rows))
        self.begun.release()
        assert self.may.acquire(timeout=SECONDS)
        if self.failure is not None:
            raise self.failure
        return self._store.enter(rows)

    def close(self) -> None:
        self._store.close()


@pytest.fixture
def held(store: Store) -> Held:
    return Held(store)


@pytest.fixture
def intake(held: Held) -> Iterator[Intake]:
    intake = Intake(held)  # type: ignore[arg-type]
    yield intake
    held.may.release(100)
    intake.close()


def test_requests_that_wait_together_enter_in_one_transaction(
    held: Held, intake: Intake, store: Store
) -> None:
    first = intake.enter([row(0)])
    assert held.begun.acquire(timeout=SECONDS)
    others = [intake.enter([row(number), row(100 + number)]) for number in range(1, 20)]
    held.may.release(2)
    identifiers = [one.result(SECONDS) for one in (first, *others)]
    assert held.transactions == [1, 38]
    numbers = [[store.item(one).row.number for one in some] for some in identifiers]
    assert numbers == [[0], *([number, 100 + number] for number in range(1, 20))]


def test_who_has_left_before_does_not_enter(held: Held, intake: Intake) -> None:
    first = intake.enter([row(0)])
    assert held.begun.acquire(timeout=SECONDS)
    left, stayed = intake.enter([row(1)]), intake.enter([row(2)])
    assert left.cancel()
    held.may.release(2)
    assert len(first.result(SECONDS) + stayed.result(SECONDS)) == 2
    assert held.transactions == [1, 1]


@pytest.mark.parametrize("failure", [Unavailable("down"), ValueError("a fault of ours")])
def test_everyone_hears_of_a_failure_and_the_next_may_succeed(
    held: Held, intake: Intake, failure: Exception
) -> None:
    held.failure = failure
    failed = [intake.enter([row(number)]) for number in range(3)]
    held.may.release(3)
    for one in failed:
        with pytest.raises(Unavailable):
            one.result(SECONDS)
    held.failure = None
    held.may.release()
    assert len(intake.enter([row(5)]).result(SECONDS)) == 1


def test_a_row_that_cannot_enter_keeps_no_other_out(held: Held, intake: Intake) -> None:
    first = intake.enter([row(0)])
    assert held.begun.acquire(timeout=SECONDS)
    good, bad, last = (intake.enter([one]) for one in (row(1), row(2, measure=None), row(3)))
    held.may.release(10)
    assert len(first.result(SECONDS) + good.result(SECONDS) + last.result(SECONDS)) == 3
    with pytest.raises(Unavailable):
        bad.result(SECONDS)


def test_closing_writes_what_waits(held: Held, store: Store) -> None:
    intake = Intake(held)  # type: ignore[arg-type]
    entered = [intake.enter([row(number)]) for number in range(3)]
    held.may.release(100)
    intake.close()
    assert all(one.done() and len(one.result()) == 1 for one in entered)


def test_a_database_that_hangs_keeps_nobody_longer_than_said(held: Held) -> None:
    async def enter() -> None:
        queue = ReviewQueue(held, write_seconds=0.05)  # type: ignore[arg-type]
        try:
            with pytest.raises(Unavailable, match=r"within 0\.05 s"):
                await queue.enter([row()])
        finally:
            held.may.release(100)
            await queue.close()

    asyncio.run(enter())
