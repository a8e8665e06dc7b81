"""What is done for the review queue while it is open."""

import asyncio
from typing import Any

import pytest

from service.lifespan import Upkeep


class Faulty:
    """A queue with a fault of ours."""

    closed = False

    async def ask(self, _question: Any) -> Any:
        raise ZeroDivisionError("no database says this")

    async def close(self) -> None:
        self.closed = True


def test_a_fault_that_ends_a_watch_is_told_and_the_queue_closed(caplog: pytest.LogCaptureFixture) -> None:
    queue: Any = Faulty()
    others: Any = None  # nobody comes to them

    async def served() -> None:
        loading = asyncio.create_task(asyncio.sleep(0))
        async with Upkeep(queue, 0.0, others, others).while_open(loading):
            for _ in range(10):  # turns of the loop: nothing here waits
                await asyncio.sleep(0)
            assert "no database says this" in caplog.text
            raise KeyError("serving failed too")

    with pytest.raises(KeyError):
        asyncio.run(served())
    assert queue.closed
