"""How long a call may take."""

from collections.abc import Callable
from numbers import Real

_LONGEST_SECONDS = 1e9  # of sockets; they take no infinity


class Deadline:
    """The end of a call's time.

    Args:
        seconds: from now.
        clock: tells seconds.

    Raises:
        ValueError: the seconds are no number of them.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        if not _is_time(seconds):
            raise ValueError(
                f"timeout must be a number of seconds, 0 to {_LONGEST_SECONDS:g}, and is {seconds!r}"
            )
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 where it has passed."""
        return max(self._end - self._clock(), 0.0)


def _is_time(seconds: object) -> bool:
    return isinstance(seconds, Real) and 0 <= float(seconds) <= _LONGEST_SECONDS
