"""The review queue as a file, page by page: however many items there are, few are held at one time."""

from collections.abc import AsyncIterator

import msgspec
from starlette.responses import StreamingResponse

from service.api.review_views import label_studio, review
from service.api.review_wire import Review
from service.review.paging import Filter
from service.review.queue import ReviewQueue
from service.review.store import Page, Store

JSON_LINES = "application/x-ndjson"

_PAGE_ITEMS = 100


async def exported(queue: ReviewQueue, wanted: Filter, *, as_tasks: bool, blind: bool) -> StreamingResponse:
    """Answer with items, the oldest first.

    Args:
        queue: has them.
        wanted: which.
        as_tasks: whether as an array of Label Studio's tasks, instead of an object a line.
        blind: whether nothing may tell an audit from a flagged row before it is resolved.

    Raises:
        Unavailable: the database does not answer; later the answer breaks off.
    """
    pages = _pages(queue, wanted, blind=blind)
    first = await anext(pages)
    if as_tasks:
        return StreamingResponse(_array(first, pages), media_type="application/json")
    return StreamingResponse(_lines(first, pages), media_type=JSON_LINES)


async def _pages(queue: ReviewQueue, wanted: Filter, *, blind: bool) -> AsyncIterator[list[Review]]:
    after: str | None = None
    while True:
        page, now = await queue.ask(lambda store, after=after: _page(store, wanted, after))  # type: ignore[misc]
        yield [review(item, now, blind=blind) for item in page.items]
        after = page.next_cursor
        if after is None:
            return


def _page(store: Store, wanted: Filter, after: str | None) -> tuple[Page, float]:
    return store.page(wanted, "oldest", _PAGE_ITEMS, after), store.now


async def _lines(first: list[Review], pages: AsyncIterator[list[Review]]) -> AsyncIterator[bytes]:
    yield msgspec.json.Encoder().encode_lines(first)
    async for reviews in pages:
        yield msgspec.json.Encoder().encode_lines(reviews)


async def _array(first: list[Review], pages: AsyncIterator[list[Review]]) -> AsyncIterator[bytes]:
    yield b"[" + _joined(first)
    async for reviews in pages:
        yield b"," + _joined(reviews)
    yield b"]"


def _joined(reviews: list[Review]) -> bytes:
    return b",".join(msgspec.json.encode(label_studio(one)) for one in reviews)
