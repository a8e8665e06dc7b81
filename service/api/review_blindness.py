"""What may not be asked of open reviews while audits are among them: who knows one judges it otherwise."""

from msgspec import UNSET

from service.api.review_wire import ExportQuery, ListQuery
from service.errors import Forbidden
from service.review.paging import Order


def check_filter(asked: ListQuery | ExportQuery, *, blind: bool) -> None:
    """Refuse to sort out audits that are open.

    Raises:
        Forbidden: the filter would tell them.
    """
    if blind and asked.status != "resolved" and asked.audit is not UNSET:
        raise Forbidden(
            "audit would tell which open reviews are audits, and they would be judged otherwise; ask with "
            "status=resolved, or with a key that has the scope admin"
        )


def order_of(asked: ListQuery, *, blind: bool) -> Order:
    """Give the order of a list, which must not put audits, whose scores are the lowest, at its end.

    Raises:
        Forbidden: order or filter would tell audits.
    """
    check_filter(asked, blind=blind)
    hidden = blind and asked.status != "resolved"
    if asked.order is UNSET:
        return "oldest" if hidden else "uncertain"
    if hidden and asked.order == "uncertain":
        raise Forbidden(
            "order=uncertain would tell which open reviews are audits, and they would be judged otherwise; "
            "ask with order=oldest or status=resolved, or with a key that has the scope admin"
        )
    return asked.order
