"""Room that is saved for large requests, which small ones would otherwise fill as soon as it appears."""

from collections import OrderedDict
from dataclasses import dataclass
from math import log2

_SHARE = 0.5  # of the device's time that is saved: the rest stays with those who need less
_RETURN_SECONDS = 10.0  # after the time that a client was told to come back at


@dataclass
class _Refused:
    seconds: float
    until: float


class Savings:
    """Saves room for one size of requests at a time, in the order in which the sizes were refused.

    Whoever needs little room finds it first. So half of the time that passes is kept from the others, until
    a request of the size that was refused fits, whoever sends it.

    Args:
        unit_seconds: the largest request of the smallest size; each further size is twice as large.
    """

    def __init__(self, unit_seconds: float) -> None:
        self._unit_seconds = unit_seconds
        self._sizes: OrderedDict[int, _Refused] = OrderedDict()
        self._saved = 0.0
        self._grown = 0.0

    def kept_from(self, seconds: float, now: float) -> float:
        """Seconds of room that a request of such a length may not use."""
        while self._sizes:
            size, refused = next(iter(self._sizes.items()))
            if refused.until >= now:
                self._saved = min(refused.seconds, self._saved + _SHARE * max(0.0, now - self._grown))
                self._grown = now
                return 0.0 if seconds >= refused.seconds / 2 else self._saved  # estimates vary
            self._end(size)
        self._grown = now
        return 0.0

    def refused(self, seconds: float, retry_seconds: float, now: float) -> None:
        """Note a request that found no room, and when its client was told to come back."""
        size, until = self._size(seconds), now + retry_seconds + _RETURN_SECONDS
        found = self._sizes.get(size)
        if found is None:
            self._sizes[size] = _Refused(seconds, until)
        else:
            found.seconds, found.until = max(seconds, found.seconds), max(until, found.until)

    def admitted(self, seconds: float) -> None:
        """Note a request that found room: that was its size's turn."""
        sizes = [size for size, one in self._sizes.items() if seconds >= one.seconds / 2]
        if sizes:
            self._end(max(sizes))

    def _end(self, size: int) -> None:
        if size == next(iter(self._sizes)):
            self._saved = 0.0
        del self._sizes[size]

    def _size(self, seconds: float) -> int:
        return max(0, int(log2(max(seconds, self._unit_seconds) / self._unit_seconds)))
