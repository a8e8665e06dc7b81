"""When a request is tried again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from unsure_client.steps import Answer, Lost, Request

_AGAIN = (429, 503)
_FROM_A_PROXY = 502  # whose server was not there, or is gone with the request
_MOST_DOUBLED = 64  # beyond it a float ends, and every limit is reached long before


@dataclass(frozen=True)
class Retries:
    """How often, and after how long, a request is tried again.

    Only what is safe is: 429, 503, and connections that could not be made, or were lost before the answer (by
    a proxy too: 502), of requests that do the same when they are done twice. Before try n + 1 the client
    waits what the server's Retry-After says, and besides a random time of up to `first_seconds · 2ⁿ`, so that
    clients that were refused together do not come back together. A wait that would not end before the call's
    deadline is not begun.

    Args:
        limit: how often; 0 for never.
        first_seconds: most to wait before the first.
        most_seconds: most to wait before any.
    """

    limit: int = 5
    first_seconds: float = 0.2
    most_seconds: float = 5.0

    def pause(self, tried: int, outcome: Answer | Lost, draw: Callable[[], float]) -> float:
        """Give the seconds to wait.

        Args:
            tried: how often the request was tried again before.
            outcome: of the last try.
            draw: gives random numbers from 0 to 1.
        """
        asked = retry_after(outcome.headers.get("retry-after", "")) if isinstance(outcome, Answer) else 0.0
        doubled = self.first_seconds * 2.0 ** min(tried, _MOST_DOUBLED)
        return asked + draw() * min(self.most_seconds, doubled)


def is_worth_another(request: Request, outcome: Answer | Lost) -> bool:
    """Tell whether a request may be tried again."""
    if isinstance(outcome, Answer):
        return outcome.status in _AGAIN or (outcome.status == _FROM_A_PROXY and request.repeatable)
    return not outcome.late and (request.repeatable or not outcome.sent)


def retry_after(header: str) -> float:
    """Give the seconds that a Retry-After asks for: a number of them, or a date; 0 for anything else."""
    if header.strip().isdecimal():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)
