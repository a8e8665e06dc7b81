"""What is old is removed, in portions, and nothing else."""

import asyncio
from collections.abc import Callable

import pytest
from reviewed import Clock, row

from service.review.identifiers import Identifiers, first_identifier
from service.review.paging import Filter
from service.review.queue import ReviewQueue
from service.review.retention import retain
from service.review.steps import Verdict
from service.review.store import Store

DAY = 86_400.0


def kept(store: Store) -> list[int]:
    return [item.row.number for item in store.page(Filter(), "oldest", 100).items]


def test_the_oldest_go_first_and_what_is_held_stays(store: Store, clock: Clock) -> None:
    _, held, resolved, _ = (store.enter([row(number)])[0] for number in range(4))
    clock.now += DAY
    store.claim(resolved, "ann")
    store.resolve(resolved, "ann", Verdict("3"))
    store.claim(held, "ann")
    clock.now += 1
    store.enter([row(4)])
    assert store.forget(DAY + 2, 10) == 0
    assert store.forget(DAY, 1) == 1
    assert kept(store) == [1, 2, 3, 4]
    clock.now += 60  # the claims lapse
    assert store.forget(DAY, 10) == 3
    assert kept(store) == [4]


@pytest.mark.parametrize("now", [1.5, 1_795_000_000.123])
def test_a_time_parts_what_entered_before_from_what_did_later(now: float) -> None:
    make = Identifiers()
    assert make.new(now - 0.002) < first_identifier(now)
    assert make.new(now) >= first_identifier(now)


def test_all_that_is_old_goes_in_portions_and_again_every_hour(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.review.retention._PORTION_ITEMS", 3)
    store.enter([row(number) for number in range(7)])
    clock.now += 2 * DAY
    store.enter([row(7)])
    paused: list[float] = []

    async def retained() -> None:
        queue = ReviewQueue(store, 1.0)
        try:
            await retain(queue, 1.0, _pause(paused, clock))
        except asyncio.CancelledError:
            pass
        finally:
            await queue.close()

    asyncio.run(retained())
    assert paused == [0.1, 0.1, 0.1, 3600.0, 0.1, 3600.0]
    assert kept(store) == []


def _pause(paused: list[float], clock: Clock) -> Callable[[float], object]:
    """A pause that ends at once: an hour takes two days, and the second one is the end."""

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        clock.now += 2 * DAY if seconds == 3600.0 else 0
        if paused.count(3600.0) == 2:
            raise asyncio.CancelledError

    return pause
