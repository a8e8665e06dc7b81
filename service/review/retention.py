"""Removes what has been kept for as long as it may be."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from service.errors import Unavailable
from service.review.queue import ReviewQueue

log = logging.getLogger("unsure")

_DAY_SECONDS = 86_400.0
_PORTION_ITEMS = 500  # rows that enter wait for a portion, and not for all
_HOUR_SECONDS = 3600.0
_BREATH_SECONDS = 0.1


async def retain(
    queue: ReviewQueue, days: float, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Remove old items, now and every hour, for ever.

    Several processes may do this to one database: what one has removed, the others do not find.

    Args:
        queue: of the items.
        days: that one is kept, whatever became of it.
        pause: waits for some seconds.
    """
    while True:
        await _removed(queue, days * _DAY_SECONDS, pause)
        await pause(_HOUR_SECONDS)


async def _removed(queue: ReviewQueue, seconds: float, pause: Callable[[float], Awaitable[object]]) -> None:
    removed = portion = _PORTION_ITEMS
    total = 0
    try:
        while removed == portion:
            removed = await queue.ask(lambda store: store.forget(seconds, portion))
            total += removed
            await pause(_BREATH_SECONDS)
    except Unavailable:  # told in the log; there is another hour
        pass
    if total:
        log.info(
            "%d items were removed from the review queue: they were kept for as long as they may be", total
        )
