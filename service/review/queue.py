"""The queue as an event loop sees it: nothing here blocks."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.errors import Unavailable
from service.review.intake import Intake
from service.review.items import Row
from service.review.store import Store

Answer = TypeVar("Answer")

_READERS = 4


class ReviewQueue:
    """Takes rows in, and answers what reviewers ask.

    Args:
        store: of the items.
        write_seconds: how long rows may take to enter.
    """

    def __init__(self, store: Store, write_seconds: float) -> None:
        self._store = store
        self._write_seconds = write_seconds
        self._intake = Intake(store)
        # Threads of its own: a database that hangs must not take those that models are loaded by.
        self._readers = ThreadPoolExecutor(_READERS, "review questions")

    async def enter(self, rows: Sequence[Row]) -> list[str]:
        """Let the rows of a request in: once this returns they are on the disk.

        Returns:
            One identifier a row.

        Raises:
            Unavailable: they are not in the queue, or it is not known in time whether they are.
        """
        entered = asyncio.wrap_future(self._intake.enter(rows))
        try:
            async with asyncio.timeout(self._write_seconds):
                return await entered
        except TimeoutError as cause:
            raise Unavailable(
                f"the review queue's database did not answer within {self._write_seconds:g} s"
            ) from cause

    async def ask(self, question: Callable[[Store], Answer]) -> Answer:
        """Ask the store something."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, question, self._store)

    async def close(self) -> None:
        """Write what waits, and let go of the database."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._intake.close()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._store.close()
