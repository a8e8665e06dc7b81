"""How long a call may take."""

from collections.abc import Callable


class Deadline:
    """The end of a call's time.

    Args:
        seconds: from now.
        clock: tells seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 where it has passed."""
        return max(self._end - self._clock(), 0.0)
