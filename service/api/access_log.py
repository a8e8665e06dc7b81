"""One line for each request, in the log."""

import logging
from collections.abc import Callable

from starlette.types import Scope

from service.logs import with_fields

log = logging.getLogger("unsure.access")

LogAccess = Callable[[Scope, int, float], None]
"""Takes a request, the status it was answered with, and the seconds that took."""


def logging_of(*, wanted: bool) -> LogAccess:
    """Give what logs a request, or what does not."""
    return log_access if wanted else _log_nothing


def log_access(scope: Scope, status: int, seconds: float) -> None:
    """Log a request.

    Its path stands as it was sent, with what would break a line still encoded, and without its query.
    """
    method, path = scope["method"], scope.get("raw_path", b"").decode("ascii", "backslashreplace")
    identifier = scope["state"]["request_id"]
    log.info(
        "%s %s %d in %.4f s, request %s",
        method,
        path,
        status,
        seconds,
        identifier,
        extra=with_fields(method=method, path=path, status=status, seconds=round(seconds, 6)),
    )


def _log_nothing(_scope: Scope, _status: int, _seconds: float) -> None:
    pass
