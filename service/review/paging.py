"""Pages of the queue: a cursor names the last item of a page, so that what enters meanwhile moves nothing."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, or_

from service.errors import InvalidInput
from service.review.identifiers import is_identifier
from service.review.items import Item, Status
from service.review.schema import ITEMS

Order = Literal["uncertain", "oldest"]


class Filter(msgspec.Struct, frozen=True):
    """Which items are asked for; None is any.

    Args:
        status: where they stand.
        model: whose they are.
        audit: whether they are audits.
    """

    status: Status | None = None
    model: str | None = None
    audit: bool | None = None

    def conditions(self, now: float) -> list[ColumnElement[bool]]:
        """Give it in SQL."""
        found = [] if self.model is None else [ITEMS.c.model == self.model]
        found += [] if self.audit is None else [ITEMS.c.audit.is_(self.audit)]
        return found if self.status is None else [*found, standing(self.status, now)]


class _Last(msgspec.Struct, array_like=True, frozen=True):
    order: Order
    score: float
    id: str


def standing(status: Status, now: float) -> ColumnElement[bool]:
    """Say in SQL that an item stands there; the same as `Item.status`."""
    is_open, held = ITEMS.c.resolved.is_(None), ITEMS.c.claim_expires > now
    if status == "resolved":
        return ITEMS.c.resolved.is_not(None)
    if status == "claimed":
        return and_(is_open, held)
    return and_(is_open, or_(ITEMS.c.claim_expires.is_(None), ITEMS.c.claim_expires <= now))


def ordering(order: Order) -> tuple[ColumnElement[Any], ...]:
    """Give the columns of an order; no two items are alike by it."""
    return (ITEMS.c.score.desc(), ITEMS.c.id) if order == "uncertain" else (ITEMS.c.id.asc(),)


def cursor(order: Order, item: Item) -> str:
    """Name an item's place: by its score only where that is the order, since who asks may not be told it."""
    last = _Last(order, item.row.score if order == "uncertain" else 0.0, item.id)
    return urlsafe_b64encode(msgspec.json.encode(last)).decode().rstrip("=")


def behind(order: Order, given: str) -> ColumnElement[bool]:
    """Say in SQL that an item comes after a place.

    Raises:
        InvalidInput: it is no place of this order.
    """
    last = _read(given)
    if last is None or last.order != order or not is_identifier(last.id):
        raise InvalidInput("cursor must be the next_cursor of an answer in the same order, and is another")
    later: ColumnElement[bool] = ITEMS.c.id > last.id
    if order == "oldest":
        return later
    return or_(ITEMS.c.score < last.score, and_(ITEMS.c.score == last.score, later))


def _read(given: str) -> _Last | None:
    try:
        return msgspec.json.decode(urlsafe_b64decode(given + "=" * (-len(given) % 4)), type=_Last)
    except (ValueError, msgspec.MsgspecError):
        return None
