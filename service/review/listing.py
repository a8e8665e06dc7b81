"""All items of a kind, page by page."""

from collections.abc import Iterator

from service.review.items import Item
from service.review.paging import Filter
from service.review.store import Store

_PAGE_ITEMS = 100


def all_items(store: Store, wanted: Filter) -> Iterator[Item]:
    """Give items, the oldest first.

    Args:
        store: that keeps them.
        wanted: which.

    Raises:
        Unavailable: the database does not answer.
    """
    after: str | None = None
    while True:
        page = store.page(wanted, "oldest", _PAGE_ITEMS, after)
        yield from page.items
        after = page.next_cursor
        if after is None:
            return
