"""Counts the queue, for those who watch it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from service.errors import Unavailable
from service.review.queue import ReviewQueue
from service.review.store import Store

_SECONDS = 30.0


async def watch(
    queue: ReviewQueue,
    tell: Callable[[Mapping[str, int]], object],
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Tell how many items stand where, now and twice a minute, for ever; while nobody knows, nothing is told.

    Args:
        queue: of the items.
        tell: takes the numbers, by status.
        pause: waits for some seconds.
    """
    while True:
        with suppress(Unavailable):  # told in the log
            tell(await queue.ask(_counts))
        await pause(_SECONDS)


def _counts(store: Store) -> Mapping[str, int]:
    tallies = store.tallies()
    return {
        status: sum(getattr(tally, status) for tally in tallies)
        for status in ("pending", "claimed", "resolved")
    }
