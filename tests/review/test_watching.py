"""Those who watch hear how many items stand where, and nothing while nobody knows."""

import asyncio
from collections.abc import Mapping

from reviewed import row

from service.errors import Unavailable
from service.review.queue import ReviewQueue
from service.review.store import Store, Tally
from service.review.watching import by_status, watch


def test_items_are_counted_again_and_again(store: Store) -> None:
    told: list[Mapping[str, int]] = []
    queue = ReviewQueue(store, 1.0)
    known = store.tallies

    def failing() -> list[Tally]:
        raise Unavailable("down")

    async def pause(seconds: float) -> None:
        """Pass no time: claim an item, then let the database fail, then end."""
        if len(told) == 1 and store.tallies == known:
            store.claim(store.enter([row(2)])[0], "ann")
            store.tallies = failing  # type: ignore[method-assign]
        elif len(told) == 1:
            store.tallies = known  # type: ignore[method-assign]
        else:
            raise asyncio.CancelledError

    async def watched() -> None:
        try:
            await watch(queue, by_status, told.append, pause)
        except asyncio.CancelledError:
            pass
        finally:
            await queue.close()

    store.enter([row(0), row(1)])
    asyncio.run(watched())
    assert told == [
        {"pending": 2, "claimed": 0, "resolved": 0},
        {"pending": 2, "claimed": 1, "resolved": 0},
    ]
