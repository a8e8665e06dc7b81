"""The time by which rows enter, claims lapse and old items go: the system's, as far as it can be believed."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

log = logging.getLogger("unsure")

_LARGEST_STEP_SECONDS = 3600.0  # that a clock is set by, and believed at once
_DOUBT_SECONDS = 86_400.0  # after which a clock that has kept to a jump is believed


def elapsed_seconds() -> float:
    """Seconds since the machine started, with those in which it slept; setting the clock changes nothing."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SteadyClock:
    """Tells the time by the system's clock, except for a day after that has jumped.

    A clock that jumps by years, as it may when a battery or a time server fails, would make every claim lapse
    and every item old enough to be removed. So a step of more than an hour is not followed: the time goes on
    from where it was, until the clock has kept to its step for a day, or the process is started anew.

    Args:
        wall: the system's clock, in seconds since 1970.
        elapsed: seconds that passed, from any origin.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed_seconds
    ) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._reading = threading.Lock()
        self._believed = wall()  # when `elapsed` was `_read`
        self._read = elapsed()
        self._steady_since = self._read
        # By how much the clock is off what passed, where it is not believed.
        self._doubted: float | None = None
        self._doubted_since = 0.0

    def __call__(self) -> float:
        """Tell the time, in seconds since 1970."""
        with self._reading:
            wall, read = self._wall(), self._elapsed()
            expected = self._believed + read - self._read
            step = wall - expected
            if abs(step) <= _LARGEST_STEP_SECONDS:
                self._believed, self._doubted = wall, None
            elif self._doubted is None or abs(step - self._doubted) > _LARGEST_STEP_SECONDS:
                self._believed, self._doubted, self._doubted_since = expected, step, read
                log.error(
                    "the clock says %s, %+.1f hours from what has passed: it is not believed for a day; "
                    "if it is right, start the server anew",
                    _shown(wall),
                    step / 3600,
                )
            elif read - self._doubted_since >= _DOUBT_SECONDS:
                self._believed, self._doubted, self._steady_since = wall, None, read
                log.warning("the clock has kept to its step for a day: it is %s from now on", _shown(wall))
            else:
                self._believed = expected
            self._read = read
            return self._believed

    def steady_seconds(self) -> float:
        """For how long the time has gone on without a jump that was followed."""
        with self._reading:
            return self._elapsed() - self._steady_since


def _shown(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.0f} seconds after 1970"
