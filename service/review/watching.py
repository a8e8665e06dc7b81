"""Counts the queue, for those who watch it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from service.errors import Unavailable
from service.review.queue import ReviewQueue
from service.review.store import Store

Counted = TypeVar("Counted")

_SECONDS = 30.0


async def watch(
    queue: ReviewQueue,
    count: Callable[[Store], Counted],
    tell: Callable[[Counted], object],
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Count and tell, now and twice a minute, for ever; while nobody knows, nothing is told.

    Args:
        queue: of the items.
        count: counts some of them.
        tell: takes what was counted.
        pause: waits for some seconds.
    """
    while True:
        with suppress(Unavailable):  # told in the log
            tell(await queue.ask(count))
        await pause(_SECONDS)


def by_status(store: Store) -> Mapping[str, int]:
    """Count items by where they stand."""
    tallies = store.tallies()
    return {
        status: sum(getattr(tally, status) for tally in tallies)
        for status in ("pending", "claimed", "resolved")
    }
